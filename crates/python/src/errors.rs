//! From errno to OSError, and which exceptions leave the loop, each in one place. Called wherever a system call or a callback failed.

use crate::ffi::{Raised, args::raise, compat};
use pyo3_ffi as ffi;
use std::io;

/// Raises the OSError subclass that belongs to the error's errno, with the system's text.
#[cold]
pub fn raise_os_error(error: &io::Error) -> Raised {
    match error.raw_os_error() {
        Some(code) => {
            // SAFETY: errno is the thread's own; PyErr_SetFromErrno reads it and makes the right subclass.
            unsafe {
                *libc::__errno_location() = code;
                ffi::PyErr_SetFromErrno(ffi::PyExc_OSError);
            }
            Raised
        }
        // SAFETY: OSError is live.
        None => unsafe { raise(ffi::PyExc_OSError, &error.to_string()) },
    }
}

/// Whether a call on a non-blocking descriptor may do better later: it would have blocked, or a signal came.
pub fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

/// Whether `exception` (an exception or its type) must leave `run_forever`, as asyncio has it: KeyboardInterrupt and SystemExit. All
/// others are reported.
///
/// # Safety
/// The GIL is held and the object lives.
#[cold]
pub unsafe fn leaves(exception: *mut ffi::PyObject) -> bool {
    // SAFETY: both types are live.
    unsafe {
        [ffi::PyExc_KeyboardInterrupt, ffi::PyExc_SystemExit]
            .into_iter()
            .any(|kind| ffi::PyErr_GivenExceptionMatches(exception, kind) != 0)
    }
}

/// `leaves` of the exception that is set.
///
/// # Safety
/// The GIL is held and an exception is set.
#[cold]
pub unsafe fn leaves_the_loop() -> bool {
    // SAFETY: what is set lives.
    unsafe { leaves(ffi::PyErr_Occurred()) }
}

/// Does what may run a finalizer while an exception is on its way out, without losing the exception.
///
/// # Safety
/// The GIL is held.
#[cold]
pub unsafe fn keeping_raised(release: impl FnOnce()) {
    // SAFETY: the exception is ours until it is set again.
    unsafe {
        let raised = compat::take_raised();
        release();
        compat::set_raised(raised);
    }
}
