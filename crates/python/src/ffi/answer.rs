//! What a native method or attribute gives back to CPython: an object, or NULL with the exception set.

use super::{Python, Raised, owned::Owned};
use pyo3_ffi as ffi;
use std::ptr;

/// The object, given away; NULL where it raised.
#[inline]
pub fn object(made: Python<Owned>) -> *mut ffi::PyObject {
    made.map_or(ptr::null_mut(), Owned::into_ptr)
}

/// None; NULL where it raised.
#[inline]
pub fn none(done: Python<()>) -> *mut ffi::PyObject {
    match done {
        // SAFETY: None lives, and the GIL is held by whoever answers CPython.
        Ok(()) => unsafe { Owned::from_borrowed(ffi::Py_None()).into_ptr() },
        Err(Raised) => ptr::null_mut(),
    }
}

/// True or False.
#[inline]
pub fn boolean(value: bool) -> *mut ffi::PyObject {
    // SAFETY: the GIL is held by whoever answers CPython.
    unsafe { ffi::PyBool_FromLong(value.into()) }
}

/// True or False; NULL where it raised.
#[inline]
pub fn truth(answer: Python<bool>) -> *mut ffi::PyObject {
    answer.map_or(ptr::null_mut(), boolean)
}

/// A new reference to a borrowed object, or to None for NULL.
///
/// # Safety
/// `object` is live or NULL.
#[inline]
pub unsafe fn or_none(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: the caller's contract.
    unsafe {
        Owned::from_borrowed(if object.is_null() {
            ffi::Py_None()
        } else {
            object
        })
        .into_ptr()
    }
}
