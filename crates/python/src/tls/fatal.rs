//! What ends a session: an exception that neither side of the pump can go on after. Called by `reading` and `writing`.

use super::sslproto::method;
use super::state::Protocol;
use crate::ffi::{Python, Raised, compat, names::names, owned::Owned};
use pyo3_ffi as ffi;

/// `except Exception as ex: self._fatal_error(ex, 'Fatal error on SSL protocol')`. Err for what is no Exception.
///
/// # Safety
/// An exception is set; the protocol lives.
#[cold]
pub unsafe fn fatal(protocol: Protocol) -> Python<()> {
    // SAFETY: the exception is ours until it is given back; it is the handled one meanwhile, as inside an except block.
    unsafe {
        if ffi::PyErr_ExceptionMatches(ffi::PyExc_Exception) == 0 {
            return Err(Raised);
        }
        let exception = Owned::new(compat::take_raised())?;
        let message = Owned::new(ffi::PyUnicode_FromString(
            c"Fatal error on SSL protocol".as_ptr(),
        ))?;
        let before = ffi::PyErr_GetHandledException();
        ffi::PyErr_SetHandledException(exception.as_ptr());
        let told = method(
            names()._fatal_error,
            &[protocol.object(), exception.as_ptr(), message.as_ptr()],
        );
        ffi::PyErr_SetHandledException(before);
        ffi::Py_XDECREF(before);
        told.map(drop)
    }
}
