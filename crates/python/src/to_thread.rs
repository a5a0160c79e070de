//! `to_thread(func, /, *args, **kwargs)`.
//!
//! A native coroutine where Rondeau's loop runs: as in asyncio, it copies the context when it is first resumed, binds the call to it by
//! `functools.partial`, and gives that to the loop's `run_in_executor`, which a program may have set an executor for. On
//! other loops it becomes asyncio's own.
//!
//! Rejected: a context of the job's own, without the partial (0.2 of the 12 µs that the way to a thread and back takes).

use crate::coroutine::{self, CoroRef, Kind, Sent};
use crate::door::{attribute, cold, import};
use crate::ffi::{Python, Raised, args::Args, gil::GilCell, names::names, owned::Owned};
use crate::future::layout::layout;
use crate::running;
use crate::stand_in::{self, StandIn};
use pyo3_ffi as ffi;
use std::ffi::CStr;
use std::ptr;

static KIND: Kind = Kind::new(c"to_thread", c"to_thread", resume);

/// asyncio's own function, and `functools.partial`.
struct Known {
    original: *mut ffi::PyObject,
    partial: *mut ffi::PyObject,
}

static KNOWN: GilCell<Known> = GilCell::new(Known {
    original: ptr::null_mut(),
    partial: ptr::null_mut(),
});

/// `held`: the function and its arguments, in a tuple; its keyword arguments, a dict or NULL; what is awaited.
const CALL: usize = 0;
const KEYWORDS: usize = 1;
const AWAITED: usize = 2;

struct ToThread;

impl StandIn for ToThread {
    const MODULE: &'static CStr = c"asyncio.threads";
    const NAME: &'static CStr = c"to_thread";

    unsafe fn call(call: Args<'_>) -> Python<Option<Owned>> {
        // SAFETY: the arguments live.
        unsafe {
            if call.positional.is_empty() {
                return Ok(None);
            }
            let made = coroutine::new(&KIND)?;
            let coro = CoroRef::of(made.as_ptr());
            coro.hold(CALL, tuple(ptr::null_mut(), call.positional)?.into_ptr());
            if let Some(keywords) = call.keywords_as_dict()? {
                coro.hold(KEYWORDS, keywords.into_ptr());
            }
            Ok(Some(made))
        }
    }
}

/// A tuple of `first`, unless it is NULL, and the others.
unsafe fn tuple(first: *mut ffi::PyObject, others: &[*mut ffi::PyObject]) -> Python<Owned> {
    // SAFETY: all live; the tuple is fresh.
    unsafe {
        let extra = usize::from(!first.is_null());
        let made = Owned::new(ffi::PyTuple_New((others.len() + extra) as ffi::Py_ssize_t))?;
        let all = (extra == 1).then_some(&first).into_iter().chain(others);
        for (index, object) in all.enumerate() {
            let object = Owned::from_borrowed(*object).into_ptr();
            ffi::PyTuple_SET_ITEM(made.as_ptr(), index as ffi::Py_ssize_t, object);
        }
        Ok(made)
    }
}

unsafe fn resume(coro: CoroRef, exception: Option<Owned>) -> Sent {
    // SAFETY: called by `drive`, which keeps the coroutine alive.
    unsafe {
        if coro.cell().phase == 0 {
            match start(coro) {
                Ok(Some(awaited)) => coro.hold(AWAITED, awaited.into_ptr()),
                Ok(None) => return coroutine::become_(coro, asyncios(coro)),
                Err(Raised) => return Sent::Raised,
            }
            coro.cell().phase = 1;
        }
        coroutine::forward(coro.held(AWAITED), exception)
    }
}

/// Sends the call on its way; None where asyncio's own coroutine must.
unsafe fn start(coro: CoroRef) -> Python<Option<Owned>> {
    // SAFETY: what the coroutine holds is kept alive over the calls.
    unsafe {
        let Some(running) = running::native() else {
            return Ok(None);
        };
        let call = Owned::from_borrowed(coro.held(CALL));
        let context = Owned::new(ffi::PyContext_CopyCurrent())?;
        let run = Owned::new(ffi::PyObject_GetAttr(context.as_ptr(), names().run))?;
        let items = (&raw mut (*call.as_ptr().cast::<ffi::PyTupleObject>()).ob_item)
            .cast::<*mut ffi::PyObject>();
        let count = ffi::PyTuple_GET_SIZE(call.as_ptr()) as usize;
        let args = tuple(run.as_ptr(), std::slice::from_raw_parts(items, count))?;
        let bound = Owned::new(ffi::PyObject_Call(
            KNOWN.get().partial,
            args.as_ptr(),
            coro.held(KEYWORDS),
        ))?;
        let args = [running.loop_.object(), ffi::Py_None(), bound.as_ptr()];
        let future = Owned::new(ffi::PyObject_VectorcallMethod(
            names().run_in_executor,
            args.as_ptr(),
            3,
            ptr::null_mut(),
        ))?;
        // A native future is its own awaiter.
        if layout().exact(future.as_ptr()).is_some() {
            return Ok(Some(future));
        }
        cold(c"awaited", &[future.as_ptr()]).map(Some)
    }
}

/// asyncio's own coroutine with the same arguments.
#[cold]
unsafe fn asyncios(coro: CoroRef) -> Python<Owned> {
    // SAFETY: the function lives for good, and what the coroutine holds over the call.
    unsafe {
        Owned::new(ffi::PyObject_Call(
            KNOWN.get().original,
            coro.held(CALL),
            coro.held(KEYWORDS),
        ))
    }
}

/// Makes the function and adds it to the module.
pub fn init(module: *mut ffi::PyObject) -> Python<()> {
    let original = stand_in::add::<ToThread>(module)?;
    let partial = attribute(&import(c"functools")?, c"partial")?.into_ptr();
    // SAFETY: the import runs alone.
    unsafe { *KNOWN.get() = Known { original, partial } };
    Ok(())
}
