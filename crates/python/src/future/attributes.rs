//! The attributes that futures and tasks share: asyncio's private ones, which reprs, anyio and debuggers read.

use super::callbacks;
use super::cell::{FutureRef, State};
use super::door::door;
use super::layout::Kind;
use super::outcome::{self, ensure_alive};
use crate::ffi::{Python, Raised, answer, args::raise, names::names, owned::Owned};
use pyo3_ffi as ffi;
use std::ffi::{c_int, c_void};
use std::ptr;

/// The truth of an attribute's new value.
///
/// # Safety
/// `value` is NULL (deletion) or live.
pub unsafe fn truth(value: *mut ffi::PyObject) -> Python<bool> {
    // SAFETY: AttributeError is live; `value` by contract.
    unsafe {
        if value.is_null() {
            return Err(raise(ffi::PyExc_AttributeError, "cannot delete attribute"));
        }
        match ffi::PyObject_IsTrue(value) {
            -1 => Err(Raised),
            truth => Ok(truth == 1),
        }
    }
}

/// What a setter returns to CPython.
pub fn status(done: Python<()>) -> c_int {
    if done.is_ok() { 0 } else { -1 }
}

pub unsafe extern "C" fn state<K: Kind>(
    object: *mut ffi::PyObject,
    _: *mut c_void,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        let future = FutureRef::of::<K>(object);
        let name = || match future.cell().state {
            State::Pending => names().pending,
            State::Cancelled => names().cancelled_,
            State::Finished => names().finished,
        };
        answer::object(ensure_alive(future).map(|()| Owned::from_borrowed(name())))
    }
}

pub unsafe extern "C" fn blocking<K: Kind>(
    object: *mut ffi::PyObject,
    _: *mut c_void,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    answer::truth(Ok(unsafe { FutureRef::of::<K>(object).cell().blocking }))
}

pub unsafe extern "C" fn set_blocking<K: Kind>(
    object: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
    _: *mut c_void,
) -> c_int {
    // SAFETY: CPython calls this on an instance; the field is written after Python code ran.
    unsafe {
        let future = FutureRef::of::<K>(object);
        status(
            ensure_alive(future)
                .and_then(|()| truth(value))
                .map(|truth| future.cell().blocking = truth),
        )
    }
}

pub unsafe extern "C" fn loop_<K: Kind>(
    object: *mut ffi::PyObject,
    _: *mut c_void,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { answer::or_none(FutureRef::of::<K>(object).cell().loop_) }
}

pub unsafe extern "C" fn callbacks<K: Kind>(
    object: *mut ffi::PyObject,
    _: *mut c_void,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        let future = FutureRef::of::<K>(object);
        answer::object(ensure_alive(future).and_then(|()| callbacks::list(future)))
    }
}

unsafe fn value<K: Kind>(object: *mut ffi::PyObject, failed: bool) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        let future = FutureRef::of::<K>(object);
        if ensure_alive(future).is_err() {
            return ptr::null_mut();
        }
        let cell = future.cell();
        answer::or_none(if cell.failed == failed {
            cell.value
        } else {
            ptr::null_mut()
        })
    }
}

pub unsafe extern "C" fn result<K: Kind>(
    object: *mut ffi::PyObject,
    _: *mut c_void,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { value::<K>(object, false) }
}

pub unsafe extern "C" fn exception<K: Kind>(
    object: *mut ffi::PyObject,
    _: *mut c_void,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { value::<K>(object, true) }
}

pub unsafe extern "C" fn log_traceback<K: Kind>(
    object: *mut ffi::PyObject,
    _: *mut c_void,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        let future = FutureRef::of::<K>(object);
        answer::truth(ensure_alive(future).map(|()| future.cell().log_traceback))
    }
}

pub unsafe extern "C" fn set_log_traceback<K: Kind>(
    object: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
    _: *mut c_void,
) -> c_int {
    // SAFETY: CPython calls this on an instance; ValueError is live.
    unsafe {
        status(truth(value).and_then(|truth| {
            if truth {
                return Err(raise(
                    ffi::PyExc_ValueError,
                    "_log_traceback can only be set to False",
                ));
            }
            FutureRef::of::<K>(object).cell().log_traceback = false;
            Ok(())
        }))
    }
}

pub unsafe extern "C" fn source_traceback<K: Kind>(
    object: *mut ffi::PyObject,
    _: *mut c_void,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        let rare = FutureRef::of::<K>(object).cell().rare.as_ref();
        answer::or_none(
            rare.and_then(|rare| rare.source_traceback.as_ref())
                .map_or(ptr::null_mut(), Owned::as_ptr),
        )
    }
}

pub unsafe extern "C" fn cancel_message<K: Kind>(
    object: *mut ffi::PyObject,
    _: *mut c_void,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        let message = outcome::cancel_message(FutureRef::of::<K>(object));
        message.map_or_else(|| answer::or_none(ptr::null_mut()), Owned::into_ptr)
    }
}

pub unsafe extern "C" fn set_cancel_message<K: Kind>(
    object: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
    _: *mut c_void,
) -> c_int {
    // SAFETY: CPython calls this on an instance; NULL means deletion.
    unsafe {
        if value.is_null() {
            return status(Err(raise(
                ffi::PyExc_AttributeError,
                "cannot delete attribute",
            )));
        }
        outcome::set_cancel_message(FutureRef::of::<K>(object), value);
    }
    0
}

/// `_asyncio_awaited_by` (3.14+): the base's own getter, which reads the base's storage.
pub unsafe extern "C" fn awaited_by(
    object: *mut ffi::PyObject,
    _: *mut c_void,
) -> *mut ffi::PyObject {
    // SAFETY: the getter is a descriptor of the base type, of which `object` is an instance.
    unsafe {
        let getter = door().awaited_by_getter;
        match (*ffi::Py_TYPE(getter)).tp_descr_get {
            Some(get) => get(getter, object, ffi::Py_TYPE(object).cast()),
            None => answer::or_none(ptr::null_mut()),
        }
    }
}
