//! Calling without the detours. Called where a callback runs and where a protocol gets data.

use pyo3_ffi as ffi;
use std::ptr;

/// Calls `callable` with positional arguments; NULL with an exception set where it raised.
///
/// Straight to the type's vectorcall where it has one: `PyObject_Vectorcall` also looks up the thread's state and checks the
/// result's consistency with the exception (5 of 140 ns).
///
/// # Safety
/// `callable` lives and is kept alive over the call, as are the `count` arguments at `args`.
#[inline]
pub unsafe fn vectorcall(
    callable: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: usize,
) -> *mut ffi::PyObject {
    // SAFETY: a type with the flag has a vectorcallfunc (or NULL) at that offset of each instance (PEP 590).
    unsafe {
        let kind = ffi::Py_TYPE(callable);
        if (*kind).tp_flags & ffi::Py_TPFLAGS_HAVE_VECTORCALL != 0 {
            let function = *callable
                .byte_offset((*kind).tp_vectorcall_offset)
                .cast::<Option<ffi::vectorcallfunc>>();
            if let Some(function) = function {
                return function(callable, args, count, ptr::null_mut());
            }
        }
        ffi::PyObject_Vectorcall(callable, args, count, ptr::null_mut())
    }
}
