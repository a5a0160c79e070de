//! Cancelling a task. Called by `cancel()` and by a task that waits for another.

use super::cell::TaskRef;
use crate::ffi::{Python, Raised, depth::Deeper, names::names, owned::Owned};
use crate::future::cell::State;
use crate::future::layout::layout;
use crate::future::outcome;
use crate::gather;
use pyo3_ffi as ffi;

/// `task.cancel(msg)`: false if it was done. What it waits for is cancelled, else its next step throws CancelledError.
///
/// # Safety
/// The objects live and stay alive; `message` may be NULL.
pub unsafe fn cancel(task: TaskRef, message: *mut ffi::PyObject) -> Python<bool> {
    // SAFETY: no borrow lives while Python code runs.
    unsafe {
        let future = task.future();
        future.cell().log_traceback = false;
        if future.cell().state != State::Pending {
            return Ok(false);
        }
        let cell = task.cell();
        cell.cancels = cell.cancels.saturating_add(1);
        if !cell.waiter.is_null() {
            let waiter = Owned::from_borrowed(cell.waiter);
            if cancel_object(&waiter, message)? {
                return Ok(true);
            }
        }
        task.cell().must_cancel = true;
        outcome::set_cancel_message(future, message);
        Ok(true)
    }
}

/// `object.cancel(msg)` of a future that a task waits for.
///
/// # Safety
/// The objects live; `message` may be NULL.
pub unsafe fn cancel_object(object: &Owned, message: *mut ffi::PyObject) -> Python<bool> {
    // SAFETY: a future whose type is exactly native is cancelled directly, any other through its method.
    unsafe {
        let native = layout().exact(object.as_ptr());
        if let Some(future) = native
            && ffi::Py_TYPE(object.as_ptr()) == layout().future
        {
            return outcome::cancel(future, message);
        }
        // What it waits for may lead back to it.
        let _deeper = Deeper::enter()?;
        if native.is_some() {
            if gather::is_outer(object.as_ptr()) {
                return gather::cancel(object.as_ptr(), message);
            }
            return cancel(TaskRef::of(object.as_ptr()), message);
        }
        let message = if message.is_null() {
            ffi::Py_None()
        } else {
            message
        };
        let answer = Owned::new(ffi::PyObject_CallMethodOneArg(
            object.as_ptr(),
            names().cancel,
            message,
        ))?;
        match ffi::PyObject_IsTrue(answer.as_ptr()) {
            -1 => Err(Raised),
            truth => Ok(truth == 1),
        }
    }
}
