//! Visiting what an object holds, for the collector. Called by the `tp_traverse` of the native types.

use pyo3_ffi as ffi;
use std::ffi::{c_int, c_void};

/// Visits each of these that is not NULL; the first answer that is not 0.
///
/// # Safety
/// Called by the collector, which runs no Python code while it visits; each is NULL or a live object.
#[inline]
pub unsafe fn each(held: &[*mut ffi::PyObject], visit: ffi::visitproc, arg: *mut c_void) -> c_int {
    for object in held {
        if object.is_null() {
            continue;
        }
        // SAFETY: the caller's contract.
        let answer = unsafe { visit(*object, arg) };
        if answer != 0 {
            return answer;
        }
    }
    0
}
