//! A field that owns a reference: how it is written. Whoever is released may look at it, so that it has its new value by then.

use pyo3_ffi as ffi;
use std::ptr;

/// Stores an owned reference (or NULL) and only then releases the old one, whose finalizer may look at the slot.
///
/// # Safety
/// `slot` is a field that owns its reference; `value` is owned by the caller.
#[inline]
pub unsafe fn set_slot(slot: *mut *mut ffi::PyObject, value: *mut ffi::PyObject) {
    // SAFETY: the caller's contract; a raw pointer, so that no borrow lives while the finalizer runs.
    unsafe {
        let old = slot.replace(value);
        ffi::Py_XDECREF(old);
    }
}

/// Empties a field and releases what it held.
///
/// # Safety
/// As for `set_slot`.
#[inline]
pub unsafe fn clear_slot(slot: *mut *mut ffi::PyObject) {
    // SAFETY: the caller's contract.
    unsafe { set_slot(slot, ptr::null_mut()) }
}
