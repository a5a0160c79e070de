//! The methods that futures and tasks share, in Python's calling convention.

use super::callbacks;
use super::cell::{FutureRef, State};
use super::layout::Kind;
use super::outcome::{self, ensure_alive};
use crate::ffi::{Python, answer, args::Args, args::raise_type_error, names::names, owned::Owned};
use crate::task;
use pyo3_ffi as ffi;
use std::ptr;

pub unsafe extern "C" fn result<K: Kind>(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    unsafe {
        let future = FutureRef::of::<K>(object);
        if future.cell().loop_.is_null() {
            outcome::uninitialised();
            return ptr::null_mut();
        }
        outcome::result(future)
    }
}

pub unsafe extern "C" fn exception<K: Kind>(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    unsafe {
        let future = FutureRef::of::<K>(object);
        if future.cell().loop_.is_null() {
            outcome::uninitialised();
            return ptr::null_mut();
        }
        answer::object(outcome::exception(future))
    }
}

pub unsafe extern "C" fn set_result<K: Kind>(
    object: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    unsafe {
        let future = FutureRef::of::<K>(object);
        answer::none(ensure_alive(future).and_then(|()| outcome::set_result(future, value)))
    }
}

pub unsafe extern "C" fn set_exception<K: Kind>(
    object: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    unsafe {
        let future = FutureRef::of::<K>(object);
        answer::none(ensure_alive(future).and_then(|()| outcome::set_exception(future, value)))
    }
}

pub unsafe extern "C" fn add_done_callback<K: Kind>(
    object: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention, on an instance that it keeps alive.
    unsafe {
        let call = Args::new(args, count, keywords);
        let add = || {
            call.expect_positional("add_done_callback", 1, 1)?;
            let mut context = [ptr::null_mut()];
            call.keywords("add_done_callback", [names().context], &mut context)?;
            let future = FutureRef::of::<K>(object);
            if future.cell().loop_.is_null() {
                return Err(crate::ffi::args::raise(
                    ffi::PyExc_RuntimeError,
                    "uninitialized Future object",
                ));
            }
            callbacks::add_callable(future, call.positional[0], context[0])
        };
        answer::none(add())
    }
}

pub unsafe extern "C" fn remove_done_callback<K: Kind>(
    object: *mut ffi::PyObject,
    callable: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    unsafe {
        let future = FutureRef::of::<K>(object);
        match ensure_alive(future).and_then(|()| callbacks::remove(future, callable)) {
            Ok(count) => ffi::PyLong_FromSize_t(count),
            Err(_) => ptr::null_mut(),
        }
    }
}

/// The `msg` of `cancel(msg=None)`, borrowed; NULL where it is not given.
///
/// # Safety
/// The arguments live for the call.
pub unsafe fn cancel_message(call: Args<'_>) -> Python<*mut ffi::PyObject> {
    call.expect_positional("cancel", 0, 1)?;
    let mut message = [ptr::null_mut()];
    call.keywords("cancel", [names().msg], &mut message)?;
    if let [given] = call.positional {
        if !message[0].is_null() {
            return Err(raise_type_error(
                "argument for cancel() given by name ('msg') and position (1)",
            ));
        }
        message[0] = *given;
    }
    Ok(message[0])
}

/// `cancel(msg=None)`: a future's, or a task's.
pub unsafe extern "C" fn cancel<K: Kind>(
    object: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention, on an instance that it keeps alive.
    unsafe {
        let call = Args::new(args, count, keywords);
        let cancel = || {
            let message = cancel_message(call)?;
            let future = FutureRef::of::<K>(object);
            ensure_alive(future)?;
            if K::IS_TASK {
                task::cancel::cancel(task::cell::TaskRef::of(object), message)
            } else {
                outcome::cancel(future, message)
            }
        };
        answer::truth(cancel())
    }
}

pub unsafe extern "C" fn cancelled<K: Kind>(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    answer::truth(Ok(unsafe {
        FutureRef::of::<K>(object).cell().state == State::Cancelled
    }))
}

pub unsafe extern "C" fn done<K: Kind>(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    answer::truth(Ok(unsafe {
        FutureRef::of::<K>(object).cell().state != State::Pending
    }))
}

pub unsafe extern "C" fn get_loop<K: Kind>(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        let future = FutureRef::of::<K>(object);
        answer::object(ensure_alive(future).map(|()| Owned::from_borrowed(future.cell().loop_)))
    }
}

pub unsafe extern "C" fn make_cancelled_error<K: Kind>(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    unsafe { answer::object(outcome::cancelled_error(FutureRef::of::<K>(object))) }
}
