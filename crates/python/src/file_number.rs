//! What asyncio takes for a file: a descriptor's number, or an object that tells one by `fileno()`.

use crate::ffi::{Python, Raised, args::raise, names::names, owned::Owned};
use pyo3_ffi as ffi;
use std::os::fd::RawFd;

/// The descriptor of an int or of an object with `fileno()`, with the errors of `selectors`; None for a number that no descriptor has.
///
/// # Safety
/// `file` lives.
pub unsafe fn number(file: *mut ffi::PyObject) -> Python<Option<RawFd>> {
    // SAFETY: `file` lives; each format has one %R or %S and gets one object.
    unsafe {
        let number = if ffi::PyLong_Check(file) != 0 {
            Ok(Owned::from_borrowed(file))
        } else {
            Owned::new(ffi::PyObject_CallMethodNoArgs(file, names().fileno))
        };
        let mut overflow = 0;
        let value = match &number {
            Ok(number) => ffi::PyLong_AsLongAndOverflow(number.as_ptr(), &mut overflow),
            Err(Raised) => -1,
        };
        let number = match number {
            Ok(number) if ffi::PyErr_Occurred().is_null() => number,
            _ => {
                ffi::PyErr_Clear();
                ffi::PyErr_Format(
                    ffi::PyExc_ValueError,
                    c"Invalid file object: %R".as_ptr(),
                    file,
                );
                return Err(Raised);
            }
        };
        if overflow < 0 || (overflow == 0 && value < 0) {
            ffi::PyErr_Format(
                ffi::PyExc_ValueError,
                c"Invalid file descriptor: %S".as_ptr(),
                number.as_ptr(),
            );
            return Err(Raised);
        }
        Ok(RawFd::try_from(value).ok().filter(|_| overflow == 0))
    }
}

/// The descriptor of `file`, to be watched.
///
/// # Safety
/// `file` lives.
pub unsafe fn descriptor(file: *mut ffi::PyObject) -> Python<RawFd> {
    // SAFETY: the caller's contract; OverflowError is live.
    unsafe {
        number(file)?.ok_or_else(|| {
            raise(
                ffi::PyExc_OverflowError,
                "Python int too large to convert to C int",
            )
        })
    }
}
