//! The only file that asks which CPython this is, but for `mod` lines.
//!
//! Called wherever a version has another function for the same thing.

use pyo3_ffi as ffi;
use std::ptr;

/// Takes the current exception out of the thread as one normalised object with its traceback attached; NULL if none.
///
/// # Safety
/// The GIL is held.
pub unsafe fn take_raised() -> *mut ffi::PyObject {
    #[cfg(Py_3_12)]
    // SAFETY: the GIL is held.
    unsafe {
        ffi::PyErr_GetRaisedException()
    }
    #[cfg(not(Py_3_12))]
    // SAFETY: the GIL is held; the three pointers are ours once fetched.
    unsafe {
        let (mut kind, mut value, mut trace) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        ffi::PyErr_Fetch(&mut kind, &mut value, &mut trace);
        if kind.is_null() {
            return ptr::null_mut();
        }
        ffi::PyErr_NormalizeException(&mut kind, &mut value, &mut trace);
        if !trace.is_null() && !value.is_null() {
            ffi::PyException_SetTraceback(value, trace);
        }
        ffi::Py_XDECREF(kind);
        ffi::Py_XDECREF(trace);
        value
    }
}

/// Makes `exception` the thread's current exception; takes over the reference. NULL clears it.
///
/// # Safety
/// The GIL is held; `exception` is NULL or an owned reference to an exception object.
pub unsafe fn set_raised(exception: *mut ffi::PyObject) {
    #[cfg(Py_3_12)]
    // SAFETY: the caller's contract.
    unsafe {
        ffi::PyErr_SetRaisedException(exception)
    }
    #[cfg(not(Py_3_12))]
    // SAFETY: the caller's contract; PyErr_Restore takes all three references.
    unsafe {
        if exception.is_null() {
            ffi::PyErr_Restore(ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
            return;
        }
        let kind = ffi::Py_TYPE(exception).cast::<ffi::PyObject>();
        ffi::Py_INCREF(kind);
        let trace = ffi::PyException_GetTraceback(exception);
        ffi::PyErr_Restore(kind, exception, trace);
    }
}

/// CPython's descriptor of a `__slots__` member, as far as its `PyMemberDef` (Include/cpython/descrobject.h).
#[repr(C)]
struct MemberDescriptor {
    ob_base: ffi::PyObject,
    d_type: *mut ffi::PyTypeObject,
    d_name: *mut ffi::PyObject,
    d_qualname: *mut ffi::PyObject,
    d_member: *mut ffi::PyMemberDef,
}

/// Where in an instance the slot behind a member descriptor lies, in bytes; None if `descriptor` is not one.
///
/// # Safety
/// `descriptor` points to a live object.
pub unsafe fn slot_offset(descriptor: *mut ffi::PyObject) -> Option<isize> {
    // SAFETY: the type is checked before the layout is relied on.
    unsafe {
        if ffi::Py_TYPE(descriptor) != &raw mut ffi::PyMemberDescr_Type {
            return None;
        }
        Some((*(*descriptor.cast::<MemberDescriptor>()).d_member).offset)
    }
}
