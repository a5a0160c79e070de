//! From errno to OSError, and which exceptions leave the loop, each in one place. Called wherever a system call or a callback failed.

use crate::ffi::{Raised, args::raise};
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

/// Whether the exception that is set must leave `run_forever`, as asyncio has it: KeyboardInterrupt and SystemExit. All others are
/// reported.
///
/// # Safety
/// The GIL is held and an exception is set.
#[cold]
pub unsafe fn leaves_the_loop() -> bool {
    // SAFETY: both types are live.
    unsafe {
        ffi::PyErr_ExceptionMatches(ffi::PyExc_KeyboardInterrupt) != 0
            || ffi::PyErr_ExceptionMatches(ffi::PyExc_SystemExit) != 0
    }
}
