//! Running a few lines of Python at import, where a class in C would be longer. Called by `task/`.

use super::{Python, owned::Owned};
use pyo3_ffi as ffi;
use std::ffi::CStr;

/// Runs statements in a namespace.
///
/// # Safety
/// `namespace` is a dict.
pub unsafe fn run(source: &CStr, namespace: &Owned) -> Python<()> {
    // SAFETY: the text ends in NUL; the namespace is a dict by contract.
    unsafe {
        let code = Owned::new(ffi::Py_CompileString(
            source.as_ptr(),
            c"<rondeau._core>".as_ptr(),
            ffi::Py_file_input,
        ))?;
        Owned::new(ffi::PyEval_EvalCode(
            code.as_ptr(),
            namespace.as_ptr(),
            namespace.as_ptr(),
        ))
        .map(drop)
    }
}
