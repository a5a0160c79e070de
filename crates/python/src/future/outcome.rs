//! How a future ends and what it then gives: result, exception, cancellation. Called by the methods, the awaiters and tasks.

use super::callbacks;
use super::cell::{FutureRef, State};
use super::door::door;
use crate::ffi::{Python, Raised, args::raise, args::raise_type_error, compat, owned::Owned};
use pyo3_ffi as ffi;
use std::ptr;

/// Fails with asyncio's message unless `__init__` ran.
///
/// # Safety
/// The future lives.
#[inline]
pub unsafe fn ensure_alive(future: FutureRef) -> Python<()> {
    // SAFETY: the caller's contract.
    if unsafe { future.cell().loop_.is_null() } {
        // SAFETY: RuntimeError is live.
        return Err(unsafe { raise(ffi::PyExc_RuntimeError, "Future object is not initialized.") });
    }
    Ok(())
}

#[cold]
fn invalid_state(message: &str) -> Raised {
    // SAFETY: InvalidStateError is live.
    unsafe { raise(door().invalid_state, message) }
}

/// Fails with asyncio's message unless the future is pending.
unsafe fn ensure_pending(future: FutureRef) -> Python<()> {
    // SAFETY: the caller's contract.
    if unsafe { future.cell().state } != State::Pending {
        Err(invalid_state("invalid state"))
    } else {
        Ok(())
    }
}

/// Ends the future with `result` (borrowed).
///
/// # Safety
/// The objects live and stay alive.
#[inline]
pub unsafe fn set_result(future: FutureRef, result: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the borrow ends before the callbacks are scheduled.
    unsafe {
        ensure_pending(future)?;
        ffi::Py_INCREF(result);
        let cell = future.cell();
        debug_assert!(cell.value.is_null());
        cell.value = result;
        cell.state = State::Finished;
        callbacks::schedule_all(future)
    }
}

/// Ends the future with an exception: an instance, or a class that is called.
///
/// # Safety
/// The objects live and stay alive.
pub unsafe fn set_exception(future: FutureRef, exception: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: no borrow lives while Python code runs; the state is asked again after it did.
    unsafe {
        ensure_pending(future)?;
        let exception = if ffi::PyExceptionClass_Check(exception) != 0 {
            let made = Owned::new(ffi::PyObject_CallNoArgs(exception))?;
            ensure_pending(future)?;
            made
        } else {
            Owned::from_borrowed(exception)
        };
        if ffi::PyExceptionInstance_Check(exception.as_ptr()) == 0 {
            return Err(raise_type_error("invalid exception object"));
        }
        let exception = storable(exception)?;
        let traceback = ffi::PyException_GetTraceback(exception.as_ptr());
        if !traceback.is_null() {
            future.rare().exception_traceback = Some(Owned::from_owned(traceback));
        }
        let cell = future.cell();
        cell.value = exception.into_ptr();
        cell.failed = true;
        cell.state = State::Finished;
        callbacks::schedule_all(future)?;
        future.cell().log_traceback = true;
        Ok(())
    }
}

/// StopIteration cannot be raised into a coroutine: an error, or (3.13+) a RuntimeError that has it as its cause.
unsafe fn storable(exception: Owned) -> Python<Owned> {
    const MESSAGE: &str =
        "StopIteration interacts badly with generators and cannot be raised into a Future";
    // SAFETY: the exception is live.
    unsafe {
        let stop = ffi::PyExc_StopIteration;
        if !compat::WRAPS_STOP_ITERATION {
            if ffi::Py_TYPE(exception.as_ptr()).cast::<ffi::PyObject>() == stop {
                return Err(raise_type_error(MESSAGE));
            }
            return Ok(exception);
        }
        if ffi::PyErr_GivenExceptionMatches(exception.as_ptr(), stop) == 0 {
            return Ok(exception);
        }
        let text = Owned::new(ffi::PyUnicode_FromStringAndSize(
            MESSAGE.as_ptr().cast(),
            MESSAGE.len() as isize,
        ))?;
        let error = Owned::new(ffi::PyObject_CallOneArg(
            ffi::PyExc_RuntimeError,
            text.as_ptr(),
        ))?;
        ffi::PyException_SetCause(error.as_ptr(), exception.clone().into_ptr());
        ffi::PyException_SetContext(error.as_ptr(), exception.into_ptr());
        Ok(error)
    }
}

/// Ends the future as cancelled; false if it was done. `message` may be NULL.
///
/// # Safety
/// The objects live and stay alive.
pub unsafe fn cancel(future: FutureRef, message: *mut ffi::PyObject) -> Python<bool> {
    // SAFETY: the old message is dropped with no borrow alive.
    unsafe {
        let cell = future.cell();
        cell.log_traceback = false;
        if cell.state != State::Pending {
            return Ok(false);
        }
        cell.state = State::Cancelled;
        set_cancel_message(future, message);
        callbacks::schedule_all(future)?;
        Ok(true)
    }
}

/// Notes what `cancel(msg)` was given; NULL and None mean nothing.
///
/// # Safety
/// The objects live and stay alive.
pub unsafe fn set_cancel_message(future: FutureRef, message: *mut ffi::PyObject) {
    // SAFETY: the old message is dropped with no borrow alive.
    unsafe {
        let absent = message.is_null() || message == ffi::Py_None();
        if absent && future.cell().rare.is_none() {
            return;
        }
        let new = (!absent).then(|| Owned::from_borrowed(message));
        let old = std::mem::replace(&mut future.rare().cancel_message, new);
        drop(old);
    }
}

/// What `cancel(msg)` was given, a new reference.
///
/// # Safety
/// The future lives.
pub unsafe fn cancel_message(future: FutureRef) -> Option<Owned> {
    // SAFETY: the borrow ends with the clone.
    unsafe {
        future
            .cell()
            .rare
            .as_ref()
            .and_then(|rare| rare.cancel_message.clone())
    }
}

/// The CancelledError that this future raises: the one that ended its task, once, else a new one with the message.
///
/// # Safety
/// The future lives and stays alive.
pub unsafe fn cancelled_error(future: FutureRef) -> Python<Owned> {
    // SAFETY: the borrow ends before the class is called.
    unsafe {
        if let Some(saved) = future
            .cell()
            .rare
            .as_mut()
            .and_then(|rare| rare.cancelled_error.take())
        {
            return Ok(saved);
        }
        match cancel_message(future) {
            Some(message) => Owned::new(ffi::PyObject_CallOneArg(
                door().cancelled_error,
                message.as_ptr(),
            )),
            None => Owned::new(ffi::PyObject_CallNoArgs(door().cancelled_error)),
        }
    }
}

/// What a future that is done gives.
pub enum Outcome {
    /// Its result.
    Result(Owned),
    /// The exception that was set, with the traceback that it had then; for a cancelled one, its CancelledError.
    Exception(Owned),
}

/// What `result()` gives or raises; Err where it is not done or making the CancelledError failed.
///
/// # Safety
/// The future lives and stays alive.
#[inline]
pub unsafe fn outcome(future: FutureRef) -> Python<Outcome> {
    // SAFETY: each borrow ends before Python code runs.
    unsafe {
        let cell = future.cell();
        match cell.state {
            State::Finished if !cell.failed => {
                cell.log_traceback = false;
                Ok(Outcome::Result(Owned::from_borrowed(cell.value)))
            }
            State::Finished => failure(future).map(Outcome::Exception),
            State::Cancelled => cancelled_error(future).map(Outcome::Exception),
            State::Pending => Err(invalid_state("Result is not set.")),
        }
    }
}

#[cold]
unsafe fn failure(future: FutureRef) -> Python<Owned> {
    // SAFETY: the exception is kept alive; the saved traceback is used once, so that it holds no frames for longer.
    unsafe {
        let cell = future.cell();
        cell.log_traceback = false;
        let exception = Owned::from_borrowed(cell.value);
        let saved = cell
            .rare
            .as_mut()
            .and_then(|rare| rare.exception_traceback.take());
        let traceback = saved.as_ref().map_or(ffi::Py_None(), Owned::as_ptr);
        if ffi::PyException_SetTraceback(exception.as_ptr(), traceback) != 0 {
            return Err(Raised);
        }
        Ok(exception)
    }
}

/// `result()` of a future that is done or not: a new reference, or NULL with the exception raised.
///
/// # Safety
/// The future lives and stays alive.
#[inline]
pub unsafe fn result(future: FutureRef) -> *mut ffi::PyObject {
    // SAFETY: the caller's contract.
    unsafe {
        match outcome(future) {
            Ok(Outcome::Result(value)) => value.into_ptr(),
            Ok(Outcome::Exception(exception)) => {
                raise_object(exception);
                ptr::null_mut()
            }
            Err(Raised) => ptr::null_mut(),
        }
    }
}

/// Raises an exception object as `raise` does: the one being handled becomes its context.
///
/// # Safety
/// `exception` is an exception instance.
#[cold]
pub unsafe fn raise_object(exception: Owned) {
    // SAFETY: the caller's contract.
    unsafe { ffi::PyErr_SetObject(ffi::Py_TYPE(exception.as_ptr()).cast(), exception.as_ptr()) }
}

/// `exception()`: the exception or None.
///
/// # Safety
/// The future lives and stays alive.
pub unsafe fn exception(future: FutureRef) -> Python<Owned> {
    // SAFETY: each borrow ends before Python code runs.
    unsafe {
        let cell = future.cell();
        match cell.state {
            State::Cancelled => {
                raise_object(cancelled_error(future)?);
                Err(Raised)
            }
            State::Pending => Err(invalid_state("Exception is not set.")),
            State::Finished if cell.failed => {
                cell.log_traceback = false;
                Ok(Owned::from_borrowed(cell.value))
            }
            State::Finished => Ok(Owned::from_borrowed(ffi::Py_None())),
        }
    }
}

/// `InvalidStateError("Future object is not initialized.")`, which `result()` and `exception()` raise.
pub fn uninitialised() -> Raised {
    invalid_state("Future object is not initialized.")
}
