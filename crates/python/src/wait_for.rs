//! `wait_for(fut, timeout)` from 3.12 on, where it is `async with timeout(…): return await fut`; before, asyncio's own.
//!
//! Native for a coroutine or a native future with a plain number of seconds above 0, or None, in a native task. Else, and on another
//! loop, it becomes asyncio's own coroutine.

use crate::coroutine::{self, CoroRef, Kind, Sent};
use crate::event_loop;
use crate::ffi::{Python, Raised, args::Args, compat, gil::GilCell, names::names, owned::Owned};
use crate::future::layout::layout;
use crate::running::{self, Plain};
use crate::seconds::plain_seconds;
use crate::stand_in::{self, StandIn};
use crate::task::current;
use crate::timeout::{self, TimeoutRef};
use pyo3_ffi as ffi;
use std::ffi::CStr;
use std::ptr;

static KIND: Kind = Kind::new(c"wait_for", c"wait_for", resume);

/// asyncio's own function, and what tells whether a coroutine is suspended.
struct Known {
    original: *mut ffi::PyObject,
    suspended: Option<ffi::getter>,
}

static KNOWN: GilCell<Known> = GilCell::new(Known {
    original: ptr::null_mut(),
    suspended: None,
});

/// `held`: what is awaited; its seconds, and from the first step on the time-out.
const INNER: usize = 0;
const TIMEOUT: usize = 1;

struct WaitFor;

impl StandIn for WaitFor {
    const MODULE: &'static CStr = c"asyncio.tasks";
    const NAME: &'static CStr = c"wait_for";

    unsafe fn call(call: Args<'_>) -> Python<Option<Owned>> {
        // SAFETY: the arguments live.
        unsafe {
            if !compat::WAIT_FOR_IS_A_TIMEOUT {
                return Ok(None);
            }
            let mut given = [ptr::null_mut(); 2];
            if call.keyword_count() != 0
                && call
                    .keywords("wait_for", [names().fut, names().timeout], &mut given)
                    .is_err()
            {
                ffi::PyErr_Clear();
                return Ok(None);
            }
            match (call.positional, given) {
                ([fut, seconds], [a, b]) if a.is_null() && b.is_null() => given = [*fut, *seconds],
                ([fut], [a, b]) if a.is_null() && !b.is_null() => given = [*fut, b],
                ([], [a, b]) if !a.is_null() && !b.is_null() => {}
                _ => return Ok(None),
            }
            let [fut, seconds] = given;
            let known_seconds = seconds == ffi::Py_None()
                || plain_seconds(seconds).is_some_and(|value| value > 0.0);
            if !known_seconds || !can_await(fut) {
                return Ok(None);
            }
            let made = coroutine::new(&KIND)?;
            let coro = CoroRef::of(made.as_ptr());
            coro.hold(INNER, Owned::from_borrowed(fut).into_ptr());
            coro.hold(TIMEOUT, Owned::from_borrowed(seconds).into_ptr());
            Ok(Some(made))
        }
    }
}

/// What can be sent to without asking it for an iterator.
unsafe fn can_await(object: *mut ffi::PyObject) -> bool {
    // SAFETY: the object lives.
    unsafe { crate::gather::is_coroutine(object) || layout().exact(object).is_some() }
}

unsafe fn resume(coro: CoroRef, exception: Option<Owned>) -> Sent {
    // SAFETY: called by `drive`, which keeps the coroutine alive.
    unsafe {
        if coro.cell().phase == 0 {
            match start(coro) {
                Ok(true) => coro.cell().phase = 1,
                Ok(false) => return coroutine::become_(coro, asyncios(coro)),
                Err(Raised) => return Sent::Raised,
            }
        }
        let outcome = match coroutine::forward(coro.held(INNER), exception) {
            Sent::Pending(object) => return Sent::Pending(object),
            Sent::Done(object) => Ok(Owned::from_owned(object)),
            Sent::Raised => Err(Owned::from_owned(compat::take_raised())),
        };
        let timeout = TimeoutRef::of(coro.held(TIMEOUT));
        match timeout::wait_for_end(timeout, outcome) {
            Ok(result) => Sent::Done(result.into_ptr()),
            Err(Raised) => Sent::Raised,
        }
    }
}

/// Enters the time-out; false where asyncio's own coroutine must do it.
unsafe fn start(coro: CoroRef) -> Python<bool> {
    // SAFETY: no borrow lives while Python code runs.
    unsafe {
        let Some(Plain { loop_, .. }) = running::plain() else {
            return Ok(false);
        };
        if is_suspended(coro.held(INNER)) {
            return Ok(false);
        }
        let Some(task) = current::get(loop_)? else {
            return Ok(false);
        };
        drop(task);
        let seconds = coro.held(TIMEOUT);
        let when = match plain_seconds(seconds) {
            None => Owned::from_borrowed(ffi::Py_None()),
            Some(seconds) => {
                let now = event_loop::time_or_machines(loop_);
                Owned::new(ffi::PyFloat_FromDouble(now + seconds))?
            }
        };
        let made = timeout::new(when.as_ptr())?;
        if !timeout::enter(loop_, TimeoutRef::of(made.as_ptr()))? {
            return Ok(false);
        }
        coro.hold(TIMEOUT, made.into_ptr());
        Ok(true)
    }
}

/// Whether somebody else awaits this coroutine: asyncio's own function then says so.
#[inline]
unsafe fn is_suspended(object: *mut ffi::PyObject) -> bool {
    // SAFETY: the getter is the coroutine type's own; True and False are immortal or counted alike.
    unsafe {
        if ffi::PyCoro_CheckExact(object) == 0 {
            return ffi::Py_TYPE(object) == coroutine::kind()
                && coroutine::is_suspended(CoroRef::of(object));
        }
        let Some(suspended) = KNOWN.get().suspended else {
            return false;
        };
        let answer = suspended(object, ptr::null_mut());
        let is = answer == ffi::Py_True();
        ffi::Py_XDECREF(answer);
        is
    }
}

/// asyncio's own coroutine with the same arguments.
#[cold]
unsafe fn asyncios(coro: CoroRef) -> Python<Owned> {
    // SAFETY: the function lives for good.
    unsafe {
        let args = [coro.held(INNER), coro.held(TIMEOUT)];
        Owned::new(ffi::PyObject_Vectorcall(
            KNOWN.get().original,
            args.as_ptr(),
            2,
            ptr::null_mut(),
        ))
    }
}

/// Makes the function and adds it to the module.
pub fn init(module: *mut ffi::PyObject) -> Python<()> {
    let original = stand_in::add::<WaitFor>(module)?;
    // SAFETY: `types.CoroutineType` has this as a getset descriptor in every version; the import runs alone.
    unsafe {
        let kind = Owned::from_borrowed((&raw mut ffi::PyCoro_Type).cast());
        let descriptor = crate::door::attribute(&kind, c"cr_suspended")?;
        let suspended = compat::getter(descriptor.as_ptr());
        *KNOWN.get() = Known {
            original,
            suspended,
        };
    }
    Ok(())
}
