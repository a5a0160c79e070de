//! Calls that may lead to themselves by way of objects: a chain of cancellations, or one in a circle. CPython's own limit holds,
//! and its RecursionError is raised.

use super::{Python, Raised};
use pyo3_ffi as ffi;

/// One level deeper.
///
/// # Safety
/// The GIL is held.
#[inline]
pub unsafe fn deeper<T>(call: impl FnOnce() -> Python<T>) -> Python<T> {
    // SAFETY: the caller's contract; what is entered is left in any case but an unwinding, which crosses no border of ours.
    unsafe {
        if ffi::Py_EnterRecursiveCall(c" while calling a Python object".as_ptr()) != 0 {
            return Err(Raised);
        }
        let done = call();
        ffi::Py_LeaveRecursiveCall();
        done
    }
}
