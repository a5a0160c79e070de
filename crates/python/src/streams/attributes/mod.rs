//! asyncio's private attributes, which its own code, subclasses and libraries read and set: `_buffer`, `_waiter`, `_transport`, …
//!
//! One file for each type; this one says how a field is shown and set. Called by Python. Each has asyncio's meaning; what is made on demand (`_closed`, `_drain_waiters`, `_complete_fut`) is made by asking.

pub mod protocol;
pub mod reader;
pub mod writer;

use crate::ffi::{Python, args::raise, owned::Owned};
use pyo3_ffi as ffi;
use std::ffi::CStr;
use std::ptr;

/// Fails as a missing attribute does.
#[cold]
unsafe fn missing(object: *mut ffi::PyObject, name: &CStr) -> *mut ffi::PyObject {
    // SAFETY: one %U and one %s.
    unsafe {
        if let Ok(kind) = Owned::new(ffi::PyType_GetName(ffi::Py_TYPE(object))) {
            ffi::PyErr_Format(
                ffi::PyExc_AttributeError,
                c"'%U' object has no attribute '%s'".as_ptr(),
                kind.as_ptr(),
                name.as_ptr(),
            );
        }
        ptr::null_mut()
    }
}

/// A new value, owned; Err where the attribute is to be deleted.
unsafe fn given(value: *mut ffi::PyObject) -> Python<Owned> {
    // SAFETY: live or NULL.
    unsafe {
        if value.is_null() {
            return Err(raise(ffi::PyExc_AttributeError, "cannot delete attribute"));
        }
        Ok(Owned::from_borrowed(value))
    }
}

/// The same, with NULL for None.
unsafe fn or_null(value: *mut ffi::PyObject) -> Python<*mut ffi::PyObject> {
    // SAFETY: live or NULL.
    unsafe {
        let value = given(value)?;
        if value.as_ptr() == ffi::Py_None() {
            return Ok(ptr::null_mut());
        }
        Ok(value.into_ptr())
    }
}

/// The getter of a field that holds an object: NULL is None, once `$known` (a field that `__init__` sets) is not NULL.
macro_rules! get {
    ($get:ident, $kind:ident, $field:ident, $known:ident, $name:literal) => {
        unsafe extern "C" fn $get(
            object: *mut pyo3_ffi::PyObject,
            _: *mut std::ffi::c_void,
        ) -> *mut pyo3_ffi::PyObject {
            // SAFETY: CPython calls this on an instance.
            unsafe {
                let fields = $kind::from_object(object).get();
                if fields.$known.is_null() && fields.$field.is_null() {
                    return $crate::streams::attributes::missing(object, $name);
                }
                $crate::ffi::answer::or_none(fields.$field)
            }
        }
    };
}

/// The setter of a field in which NULL is None.
macro_rules! put {
    ($set:ident, $kind:ident, $field:ident) => {
        unsafe extern "C" fn $set(
            object: *mut pyo3_ffi::PyObject,
            value: *mut pyo3_ffi::PyObject,
            _: *mut std::ffi::c_void,
        ) -> std::ffi::c_int {
            // SAFETY: CPython calls this on an instance; the new value is stored before the old one goes.
            unsafe {
                $crate::future::status($crate::streams::attributes::or_null(value).map(|value| {
                    $crate::streams::reader::set(
                        &raw mut $kind::from_object(object).get().$field,
                        value,
                    );
                }))
            }
        }
    };
}

/// The setter of a field that holds None itself where it is None.
macro_rules! put_any {
    ($set:ident, $kind:ident, $field:ident) => {
        unsafe extern "C" fn $set(
            object: *mut pyo3_ffi::PyObject,
            value: *mut pyo3_ffi::PyObject,
            _: *mut std::ffi::c_void,
        ) -> std::ffi::c_int {
            // SAFETY: CPython calls this on an instance; the new value is stored before the old one goes.
            unsafe {
                $crate::future::status($crate::streams::attributes::given(value).map(|value| {
                    $crate::streams::reader::set(
                        &raw mut $kind::from_object(object).get().$field,
                        value.into_ptr(),
                    );
                }))
            }
        }
    };
}

/// The setter of `_loop`, which also says whether the loop is native.
macro_rules! put_loop {
    ($set:ident, $kind:ident) => {
        unsafe extern "C" fn $set(
            object: *mut pyo3_ffi::PyObject,
            value: *mut pyo3_ffi::PyObject,
            _: *mut std::ffi::c_void,
        ) -> std::ffi::c_int {
            // SAFETY: CPython calls this on an instance; the new value is stored before the old one goes.
            unsafe {
                $crate::future::status($crate::streams::attributes::given(value).map(|value| {
                    let fields = $kind::from_object(object).get();
                    fields.direct = $crate::native_loop::Loop::direct(value.as_ptr()).is_some();
                    $crate::streams::reader::set(&raw mut fields.loop_, value.into_ptr());
                }))
            }
        }
    };
}

/// Both of a field that holds an object or NULL for None.
macro_rules! object {
    ($get:ident, $set:ident, $kind:ident, $field:ident, $known:ident, $name:literal) => {
        $crate::streams::attributes::get!($get, $kind, $field, $known, $name);
        $crate::streams::attributes::put!($set, $kind, $field);
    };
}

/// Getter and setter of a field that is true or false.
macro_rules! flag {
    ($get:ident, $set:ident, $kind:ident, $field:ident, $known:ident, $name:literal) => {
        unsafe extern "C" fn $get(
            object: *mut pyo3_ffi::PyObject,
            _: *mut std::ffi::c_void,
        ) -> *mut pyo3_ffi::PyObject {
            // SAFETY: CPython calls this on an instance.
            unsafe {
                let fields = $kind::from_object(object).get();
                if fields.$known.is_null() {
                    return $crate::streams::attributes::missing(object, $name);
                }
                $crate::ffi::answer::boolean(fields.$field)
            }
        }

        unsafe extern "C" fn $set(
            object: *mut pyo3_ffi::PyObject,
            value: *mut pyo3_ffi::PyObject,
            _: *mut std::ffi::c_void,
        ) -> std::ffi::c_int {
            // SAFETY: CPython calls this on an instance; the field is written after Python code ran.
            unsafe {
                $crate::future::status(
                    $crate::future::truth(value)
                        .map(|truth| $kind::from_object(object).get().$field = truth),
                )
            }
        }
    };
}

pub(crate) use {flag, get, object, put, put_any, put_loop};
