//! `_core.probe()`: which back end this kernel allows, and why, and how TLS records go. Called by `python -m rondeau doctor`.

use crate::ffi::{Python, args::raise, owned::Owned, types};
use crate::{errors, tls};
use pyo3_ffi as ffi;
use rondeau_driver::{Backend, Choice, Driver};
use std::ptr;

/// The module's function.
pub const METHOD: ffi::PyMethodDef = types::noargs(
    c"probe",
    probe,
    c"probe()\n--\n\nWhat serves sockets and files here: a dict with 'driver', 'files', 'reason' and 'tls' (texts).",
);

unsafe extern "C" fn probe(_: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
    found().map_or(ptr::null_mut(), Owned::into_ptr)
}

fn found() -> Python<Owned> {
    // SAFETY: the exception type is live.
    let choice = Choice::from_env()
        .map_err(|bad| unsafe { raise(ffi::PyExc_ValueError, &bad.to_string()) })?;
    let driver = Driver::new(choice).map_err(|error| errors::raise_os_error(&error))?;
    let (files, reason) = match driver.backend() {
        Backend::Uring { mode } => ("io_uring", mode.to_owned()),
        Backend::Threads { reason } => ("threads", reason.into_string()),
        other => ("unknown", other.to_string()),
    };
    // SAFETY: the dict is new; keys end in NUL, texts carry their length.
    unsafe {
        let dict = Owned::new(ffi::PyDict_New())?;
        for (key, value) in [
            (c"driver", "epoll"),
            (c"files", files),
            (c"reason", &reason),
            (c"tls", tls::way()),
        ] {
            let text = Owned::new(ffi::PyUnicode_FromStringAndSize(
                value.as_ptr().cast(),
                value.len() as ffi::Py_ssize_t,
            ))?;
            if ffi::PyDict_SetItemString(dict.as_ptr(), key.as_ptr(), text.as_ptr()) != 0 {
                return Err(crate::ffi::Raised);
            }
        }
        Ok(dict)
    }
}
