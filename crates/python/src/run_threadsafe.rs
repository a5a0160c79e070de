//! `run_coroutine_threadsafe(coro, loop)`.
//!
//! Native for a coroutine and a loop of ours that is not in debug mode: one `Submission` is what goes to the loop, makes the task there, observes
//! it, and is told when the program cancels the `concurrent.futures.Future`. asyncio makes three closures and two handles for that. The
//! future is `concurrent.futures`'s own, and asyncio's function hands over what the task ended with. Else it is asyncio's own.
//!
//! The task runs in a copy of the caller's context, as it does where a callback makes it.

use crate::door::{attribute, cold, import};
use crate::ffi::slot::set_slot;
use crate::ffi::{
    Python, Raised, answer,
    args::Args,
    gil::GilCell,
    holder::{self, Holder},
    names::names,
    owned::Owned,
    types,
};
use crate::future::callbacks;
use crate::future::cell::{Entry, FutureRef, State};
use crate::future::layout::layout;
use crate::native_loop::Loop;
use crate::ready::Ready;
use crate::stand_in::{self, StandIn};
use crate::task::{factory, request::Request};
use crate::{gather, observer, running};
use pyo3_ffi as ffi;
use std::ffi::CStr;
use std::ptr;

/// The fields; strong or NULL.
#[repr(C)]
struct SubmissionObject {
    ob_base: ffi::PyObject,
    loop_: *mut ffi::PyObject,
    /// Until the task is made.
    coro: *mut ffi::PyObject,
    context: *mut ffi::PyObject,
    /// From then on.
    task: *mut ffi::PyObject,
    /// The `concurrent.futures.Future`.
    future: *mut ffi::PyObject,
}

impl Holder for SubmissionObject {
    const NAME: &'static CStr = c"rondeau._core.Submission";

    unsafe fn held(this: *mut Self) -> impl IntoIterator<Item = *mut *mut ffi::PyObject> {
        // SAFETY: the caller's contract.
        unsafe {
            [
                &raw mut (*this).loop_,
                &raw mut (*this).coro,
                &raw mut (*this).context,
                &raw mut (*this).task,
                &raw mut (*this).future,
            ]
        }
    }
}

/// `concurrent.futures.Future`, asyncio's function that ends one, and whether its cancellation on the loop's own thread cancels
/// the task at once (3.15, and later releases of 3.14) and not in the next turn.
struct Known {
    future: *mut ffi::PyObject,
    set_state: *mut ffi::PyObject,
    at_once: bool,
}

static TYPE: GilCell<*mut ffi::PyTypeObject> = GilCell::new(ptr::null_mut());
static KNOWN: GilCell<Known> = GilCell::new(Known {
    future: ptr::null_mut(),
    set_state: ptr::null_mut(),
    at_once: false,
});

/// Whether it is one.
///
/// # Safety
/// The object lives.
#[inline]
pub unsafe fn is_submission(object: *mut ffi::PyObject) -> bool {
    // SAFETY: the type was made at import.
    unsafe { ffi::Py_TYPE(object) == *TYPE.get() }
}

struct RunThreadsafe;

impl StandIn for RunThreadsafe {
    const MODULE: &'static CStr = c"asyncio.tasks";
    const NAME: &'static CStr = c"run_coroutine_threadsafe";

    unsafe fn call(call: Args<'_>) -> Python<Option<Owned>> {
        // SAFETY: the arguments live.
        unsafe {
            let ([coro, given], 0) = (call.positional, call.keyword_count()) else {
                return Ok(None);
            };
            let Some(loop_) = running::as_plain(*given) else {
                return Ok(None);
            };
            if !gather::is_coroutine(*coro) || factory::native(loop_).is_none() {
                return Ok(None);
            }
            submit(loop_, *coro).map(Some)
        }
    }
}

unsafe fn submit(loop_: Loop, coro: *mut ffi::PyObject) -> Python<Owned> {
    // SAFETY: a fresh instance is zeroed; its fields take references of their own.
    unsafe {
        let future = Owned::new(ffi::PyObject_CallNoArgs(KNOWN.get().future))?;
        let context = Owned::new(ffi::PyContext_CopyCurrent())?;
        let made = Owned::new(ffi::PyType_GenericAlloc(*TYPE.get(), 0))?;
        let fields = made.as_ptr().cast::<SubmissionObject>();
        (*fields).loop_ = Owned::from_borrowed(loop_.object()).into_ptr();
        (*fields).coro = Owned::from_borrowed(coro).into_ptr();
        (*fields).context = context.into_ptr();
        (*fields).future = future.clone().into_ptr();
        if loop_.parts().closed {
            // A finalizer, or another thread, has closed it meanwhile.
            crate::native_loop::check_open(loop_)?;
        }
        loop_.schedule(Ready::alarm(made.into_ptr()));
        Ok(future)
    }
}

/// On the loop: makes the task, and ties both ends together.
///
/// # Safety
/// Called by the turn, which keeps the submission alive.
pub unsafe fn run_alarm(object: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: each object is kept alive while it is used; no borrow lives while Python code runs.
    unsafe {
        let fields = object.cast::<SubmissionObject>();
        if (*fields).coro.is_null() || (*fields).future.is_null() || (*fields).loop_.is_null() {
            return Ok(());
        }
        let take = |slot: &mut *mut ffi::PyObject| {
            Owned::from_owned(std::mem::replace(slot, ptr::null_mut()))
        };
        let (coro, context) = (take(&mut (*fields).coro), take(&mut (*fields).context));
        let future = Owned::from_borrowed((*fields).future);
        let running = Owned::from_borrowed((*fields).loop_);
        let loop_ = Loop::from_object(running.as_ptr());
        let task = match Request::of(coro.as_ptr())
            .in_context(context.as_ptr())
            .make(loop_)?
        {
            Some(task) => task,
            None => {
                let args = [
                    running.as_ptr(),
                    coro.as_ptr(),
                    context.as_ptr(),
                    future.as_ptr(),
                ];
                return cold(c"start_submitted", &args).map(drop);
            }
        };
        set_slot(&raw mut (*fields).task, task.clone().into_ptr());
        let told = Owned::new(ffi::PyObject_GetAttrString(
            object,
            c"_call_check_cancel".as_ptr(),
        ))?;
        let args = [future.as_ptr(), told.as_ptr()];
        Owned::new(ffi::PyObject_VectorcallMethod(
            names().add_done_callback,
            args.as_ptr(),
            2,
            ptr::null_mut(),
        ))?;
        let inner = FutureRef::at(task.as_ptr(), layout().exact_offset(task.as_ptr()));
        let entry = Owned::from_borrowed(object);
        if inner.cell().state == State::Pending {
            callbacks::add(inner, Entry::observer(entry.into_ptr()));
            return Ok(());
        }
        observer::schedule(inner, entry)
    }
}

/// The task is done: so is the program's future.
///
/// # Safety
/// Both live and stay alive.
pub unsafe fn task_done(object: *mut ffi::PyObject, task: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the future is kept alive over the call.
    unsafe {
        let future = (*object.cast::<SubmissionObject>()).future;
        if future.is_null() {
            return Ok(());
        }
        let future = Owned::from_borrowed(future);
        let args = [future.as_ptr(), task];
        Owned::new(ffi::PyObject_Vectorcall(
            KNOWN.get().set_state,
            args.as_ptr(),
            2,
            ptr::null_mut(),
        ))
        .map(drop)
    }
}

unsafe extern "C" fn call_set_state(
    object: *mut ffi::PyObject,
    task: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    unsafe { answer::none(task_done(object, task)) }
}

/// The program's future is done, in whatever thread: where it was cancelled, the task is too.
unsafe extern "C" fn call_check_cancel(
    object: *mut ffi::PyObject,
    future: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    unsafe { answer::none(check_cancel(object.cast(), future)) }
}

unsafe fn check_cancel(fields: *mut SubmissionObject, future: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the loop and the task are kept alive over the calls.
    unsafe {
        let cancelled = Owned::new(ffi::PyObject_CallMethodNoArgs(future, names().cancelled))?;
        if cancelled.as_ptr() != ffi::Py_True() || (*fields).task.is_null() {
            return Ok(());
        }
        let task = Owned::from_borrowed((*fields).task);
        let loop_ = Owned::from_borrowed((*fields).loop_);
        if KNOWN.get().at_once
            && running::object()?.is_some_and(|running| running.as_ptr() == loop_.as_ptr())
        {
            return Owned::new(ffi::PyObject_CallMethodNoArgs(
                task.as_ptr(),
                names().cancel,
            ))
            .map(drop);
        }
        let cancel = Owned::new(ffi::PyObject_GetAttr(task.as_ptr(), names().cancel))?;
        let name = c"call_soon_threadsafe";
        let call = Owned::new(ffi::PyObject_GetAttrString(loop_.as_ptr(), name.as_ptr()))?;
        Owned::new(ffi::PyObject_CallOneArg(call.as_ptr(), cancel.as_ptr())).map(drop)
    }
}

/// Makes the type and the function, and adds the latter to the module.
pub fn init(module: *mut ffi::PyObject) -> Python<()> {
    let methods = types::table([
        types::one(c"_call_set_state", call_set_state, c""),
        types::one(c"_call_check_cancel", call_check_cancel, c""),
    ]);
    let future = attribute(&import(c"concurrent.futures")?, c"Future")?.into_ptr();
    let futures = import(c"asyncio.futures")?;
    let set_state = attribute(&futures, c"_set_concurrent_future_state")?.into_ptr();
    let at_once = cold(c"cancels_at_once", &[])?;
    // SAFETY: the slots match their numbers; the import runs alone.
    unsafe {
        *TYPE.get() = holder::build::<SubmissionObject>(vec![(ffi::Py_tp_methods, methods)])?;
        *KNOWN.get() = Known {
            future,
            set_state,
            at_once: at_once.as_ptr() == ffi::Py_True(),
        };
    }
    stand_in::add::<RunThreadsafe>(module).map(drop)?;
    Ok::<(), Raised>(())
}
