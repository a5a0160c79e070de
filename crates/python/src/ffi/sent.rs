//! What a step of something that can be awaited came to, and the three ways in which CPython is told.
//!
//! Called by the surfaces of futures and coroutines: `tp_iternext`, which `await` goes through, `am_send`, and the methods `send` and `throw`.

use super::{owned::Owned, stop_iteration};
use pyo3_ffi as ffi;
use std::ptr;

/// What was sent to a coroutine or a future came to.
pub enum Sent {
    /// It waits for this (a new reference).
    Pending(*mut ffi::PyObject),
    /// It returned this (a new reference).
    Done(*mut ffi::PyObject),
    /// It raised.
    Raised,
}

impl Sent {
    /// The answer of `am_send`.
    ///
    /// # Safety
    /// `result` is the place that CPython gave.
    #[inline]
    pub unsafe fn status(self, result: *mut *mut ffi::PyObject) -> ffi::PySendResult {
        let (value, status) = match self {
            Sent::Pending(waited_for) => (waited_for, ffi::PySendResult::PYGEN_NEXT),
            Sent::Done(value) => (value, ffi::PySendResult::PYGEN_RETURN),
            Sent::Raised => (ptr::null_mut(), ffi::PySendResult::PYGEN_ERROR),
        };
        // SAFETY: the caller's contract.
        unsafe { *result = value };
        status
    }

    /// The answer of `tp_iternext`; `end` raises the StopIteration that only the interpreter sees.
    ///
    /// # Safety
    /// No exception is set but what `Raised` stands for.
    #[inline]
    pub unsafe fn next(self, end: unsafe fn(*mut ffi::PyObject)) -> *mut ffi::PyObject {
        match self {
            Sent::Pending(waited_for) => waited_for,
            Sent::Done(value) => {
                // SAFETY: the caller's contract; the reference is given away.
                unsafe { end(value) };
                ptr::null_mut()
            }
            Sent::Raised => ptr::null_mut(),
        }
    }

    /// The answer of a method: a StopIteration that Python code sees.
    ///
    /// # Safety
    /// As for `next`.
    pub unsafe fn shown(self) -> *mut ffi::PyObject {
        match self {
            Sent::Pending(waited_for) => waited_for,
            Sent::Done(value) => {
                // SAFETY: the reference is ours.
                unsafe { stop_iteration::raise(Owned::from_owned(value)) };
                ptr::null_mut()
            }
            Sent::Raised => ptr::null_mut(),
        }
    }
}
