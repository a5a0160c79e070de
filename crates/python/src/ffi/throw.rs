//! What `throw(type, value=None, traceback=None)` was given, as one exception. Called by everything that can be awaited.

use super::{Python, Raised, args::raise_type_error, compat, owned::Owned};
use pyo3_ffi as ffi;
use std::ptr;

/// The exception, with the traceback that came with it; the errors are a generator's.
///
/// # Safety
/// The arguments live for the call.
pub unsafe fn given(args: &[*mut ffi::PyObject]) -> Python<Owned> {
    // SAFETY: the arguments are borrowed from the caller; references are made before they are given away.
    unsafe {
        if args.is_empty() || args.len() > 3 {
            let (bound, limit) = if args.is_empty() {
                ("at least", "1 argument")
            } else {
                ("at most", "3 arguments")
            };
            return Err(raise_type_error(&format!(
                "throw expected {bound} {limit}, got {}",
                args.len()
            )));
        }
        if args.len() > 1 && compat::HAS_EAGER_START {
            let message = c"the (type, exc, tb) signature of throw() is deprecated, use the single-arg signature instead.";
            if ffi::PyErr_WarnEx(ffi::PyExc_DeprecationWarning, message.as_ptr(), 1) != 0 {
                return Err(Raised);
            }
        }
        let given = |index: usize| {
            args.get(index)
                .copied()
                .filter(|arg| *arg != ffi::Py_None())
        };
        let (kind, value, traceback) = (args[0], given(1), given(2));
        if traceback.is_some_and(|traceback| ffi::PyTraceBack_Check(traceback) == 0) {
            return Err(raise_type_error(
                "throw() third argument must be a traceback",
            ));
        }
        let exception = if ffi::PyExceptionClass_Check(kind) != 0 {
            ffi::PyErr_SetObject(kind, value.unwrap_or(ptr::null_mut()));
            Owned::new(compat::take_raised())?
        } else if ffi::PyExceptionInstance_Check(kind) != 0 {
            if value.is_some() {
                return Err(raise_type_error(
                    "instance exception may not have a separate value",
                ));
            }
            Owned::from_borrowed(kind)
        } else {
            return Err(raise_type_error(
                "exceptions must be classes deriving BaseException or instances of such a class",
            ));
        };
        if let Some(traceback) = traceback {
            ffi::PyException_SetTraceback(exception.as_ptr(), traceback);
        }
        Ok(exception)
    }
}
