//! What walks through a native coroutine from inside: asyncio's call graphs. From another process see `frame_state`.
//!
//! A native coroutine has no frame of its own. While it drives a coroutine of Python's (`wait_for(…)`), `cr_frame` and `cr_await` are that
//! one's, so that `asyncio.capture_call_graph`, `Task.get_stack` and whoever else follows `cr_await` see what is inside; else it has neither
//! attribute, which ends the walk.
//! Rejected: `cr_frame` None beside a `cr_await`: early releases of 3.14 take None for a frame, and `print_call_graph` fails.

use super::cell::CoroRef;
use super::{is_suspended, kind};
use crate::ffi::{names::names, owned::Owned};
use pyo3_ffi as ffi;
use std::ffi::c_void;
use std::ptr;

/// The coroutine that it drives, borrowed.
unsafe fn inside(coro: CoroRef) -> Option<*mut ffi::PyObject> {
    // SAFETY: it lives, and with it what it holds.
    unsafe {
        if !is_suspended(coro) {
            return None;
        }
        (0..4).map(|index| coro.held(index)).find(|held| {
            !held.is_null() && (ffi::PyCoro_CheckExact(*held) != 0 || ffi::Py_TYPE(*held) == kind())
        })
    }
}

unsafe fn from_inside(object: *mut ffi::PyObject, name: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: what is inside is kept alive over the look-up.
    unsafe {
        match inside(CoroRef::of(object)) {
            Some(inner) => {
                let inner = Owned::from_borrowed(inner);
                ffi::PyObject_GetAttr(inner.as_ptr(), name)
            }
            None => {
                ffi::PyErr_SetObject(ffi::PyExc_AttributeError, name);
                ptr::null_mut()
            }
        }
    }
}

/// `cr_frame`.
///
/// # Safety
/// CPython calls this on an instance.
pub unsafe extern "C" fn frame(object: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: the caller's contract.
    unsafe { from_inside(object, names().cr_frame) }
}

/// `cr_await`.
///
/// # Safety
/// CPython calls this on an instance.
pub unsafe extern "C" fn awaited(object: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: the caller's contract.
    unsafe { from_inside(object, names().cr_await) }
}
