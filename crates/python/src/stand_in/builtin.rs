//! On 3.11: a builtin function bound to asyncio's own, which gets what is declined.

use super::StandIn;
use crate::ffi::{Python, Raised, args::Args, owned::Owned, types};
use pyo3_ffi as ffi;
use std::ptr;

unsafe extern "C" fn call<S: StandIn>(
    original: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention; `original` is what the function was bound to.
    unsafe {
        match S::call(Args::new(args, count, keywords)) {
            Ok(Some(made)) => made.into_ptr(),
            Ok(None) => ffi::PyObject_Vectorcall(original, args, count as usize, keywords),
            Err(Raised) => ptr::null_mut(),
        }
    }
}

/// A function of the module `rondeau` with the name of `original`.
///
/// # Safety
/// Called during import.
pub unsafe fn make<S: StandIn>(original: &Owned) -> Python<Owned> {
    let definition = types::table([types::fast_keywords(S::NAME, call::<S>, c"")]);
    // SAFETY: the definition lives as long as the process.
    unsafe {
        let module = Owned::new(ffi::PyUnicode_FromString(c"rondeau".as_ptr()))?;
        Owned::new(ffi::PyCFunction_NewEx(
            definition.cast(),
            original.as_ptr(),
            module.as_ptr(),
        ))
    }
}
