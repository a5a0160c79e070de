//! What watches futures natively: a gather, a group, a wait, a shield, an `as_completed`. It stands in a future's list of callbacks without a handle, a
//! bound method and a context, and is told in the turn in which asyncio's callback would run.
//!
//! A completion puts two items on the agenda, the child and its observer, always together; the turn keeps the first until the
//! second runs. Only on loops whose agenda is used directly. An observer runs no code of the program, unless what
//! failed is reported or cancelled; so it needs no context of its own.
//!
//! Rejected: an object that holds the pair (25 ns a child); a queue of children in each observer (the order on the agenda does it).

use crate::ffi::{
    Python, Raised,
    args::{raise, raise_type_error},
    compat,
    names::names,
    owned::Owned,
};
use crate::future::cell::{FutureRef, State};
use crate::future::door::door;
use crate::future::layout::layout;
use crate::native_loop::Loop;
use crate::ready::Ready;
use crate::task::current;
use crate::{as_completed, coroutine, errors, gather, run_threadsafe, shield, task_group};
use pyo3_ffi as ffi;
use std::ptr;

/// Puts a child and its observer on the agenda of the child's loop.
///
/// # Safety
/// The future is done, lives and stays alive.
#[inline]
pub unsafe fn schedule(child: FutureRef, observer: Owned) -> Python<()> {
    // SAFETY: the agenda gets references of its own; both items go on it with nothing between them.
    unsafe {
        let Some(loop_) = child.direct_loop() else {
            return told(observer, child.object());
        };
        ffi::Py_INCREF(child.object());
        crate::future::soon::push(loop_, Ready::child(child.object()))?;
        loop_.schedule(Ready::observer(observer.into_ptr()));
    }
    Ok(())
}

/// Runs an observer's turn. Err only for what must leave the loop.
///
/// # Safety
/// Called by the turn, after the child's item; takes over the reference.
#[inline]
pub unsafe fn run(loop_: Loop, observer: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: both references are ours.
    unsafe {
        let observer = Owned::from_owned(observer);
        let child = std::mem::replace(&mut loop_.parts().child, ptr::null_mut());
        if child.is_null() {
            // The loop was cleared in between.
            return Ok(());
        }
        let child = Owned::from_owned(child);
        match told(observer, child.as_ptr()) {
            Ok(()) => Ok(()),
            Err(Raised) => failed(loop_),
        }
    }
}

#[inline]
unsafe fn told(observer: Owned, child: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the type says what it is; both are kept alive.
    unsafe {
        let kind = ffi::Py_TYPE(observer.as_ptr());
        if kind == layout().gathering {
            return gather::child_done(observer.as_ptr(), child);
        }
        if task_group::is_group(observer.as_ptr()) {
            return task_group::child_done(observer.as_ptr(), child);
        }
        if shield::is_shield(observer.as_ptr()) {
            return shield::side_done(observer.as_ptr(), child);
        }
        if as_completed::is_iterator(observer.as_ptr()) {
            return as_completed::child_done(observer.as_ptr(), child);
        }
        if run_threadsafe::is_submission(observer.as_ptr()) {
            return run_threadsafe::task_done(observer.as_ptr(), child);
        }
        debug_assert!(kind == coroutine::kind());
        coroutine::CoroRef::of(observer.as_ptr()).notify(child)
    }
}

/// A program that calls an observer's method itself must name what the loop would have named: a native future that is done.
///
/// # Safety
/// The object lives.
pub unsafe fn check_done(child: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the caller's contract.
    unsafe {
        let Some(future) = layout().exact(child) else {
            return Err(raise_type_error("a native future is required"));
        };
        if future.cell().state == State::Pending {
            return Err(raise(door().invalid_state, "Exception is not set."));
        }
        Ok(())
    }
}

/// Reports what an observer's turn raised, as a failed callback is.
///
/// # Safety
/// An exception is set. Err for what must leave the loop.
#[cold]
pub unsafe fn failed(loop_: Loop) -> Python<()> {
    // SAFETY: the exception is taken before other code runs.
    unsafe {
        current::settle(loop_);
        if errors::leaves_the_loop() {
            return Err(Raised);
        }
        let exception = Owned::new(compat::take_raised())?;
        let context = Owned::new(ffi::PyDict_New())?;
        let message = Owned::new(ffi::PyUnicode_FromString(c"Exception in callback".as_ptr()))?;
        for (key, value) in [(names().message, &message), (names().exception, &exception)] {
            if ffi::PyDict_SetItem(context.as_ptr(), key, value.as_ptr()) != 0 {
                return Err(Raised);
            }
        }
        Owned::new(ffi::PyObject_CallMethodOneArg(
            loop_.object(),
            names().call_exception_handler,
            context.as_ptr(),
        ))
        .map(drop)
    }
}

/// The callable that Python sees in `_callbacks` for an observer.
///
/// # Safety
/// `observer` is one, and lives.
pub unsafe fn callable(observer: *mut ffi::PyObject) -> Python<Owned> {
    // SAFETY: the caller's contract.
    unsafe {
        let name = if task_group::is_group(observer) {
            c"_on_task_done"
        } else if as_completed::is_iterator(observer) {
            as_completed::callback()
        } else if run_threadsafe::is_submission(observer) {
            c"_call_set_state"
        } else {
            c"_on_completion"
        };
        Owned::new(ffi::PyObject_GetAttrString(observer, name.as_ptr()))
    }
}
