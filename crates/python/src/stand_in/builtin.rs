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
    let definition = types::table([types::fast_keywords(
        S::NAME,
        call::<S>,
        S::DOC.unwrap_or(c""),
    )]);
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

unsafe extern "C" fn call_method<S: StandIn>(
    this: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention; the values of keywords follow the positional arguments.
    unsafe {
        let named = if keywords.is_null() {
            0
        } else {
            ffi::PyTuple_GET_SIZE(keywords)
        };
        let given = (count + named) as usize;
        if named == 0
            && let Some(made) = S::quick(this, given)
        {
            return made;
        }
        let mut all = [ptr::null_mut(); 8];
        if given >= all.len() {
            crate::ffi::args::raise_type_error("too many arguments");
            return ptr::null_mut();
        }
        all[0] = this;
        if given > 0 {
            ptr::copy_nonoverlapping(args, all.as_mut_ptr().add(1), given);
        }
        match S::call(Args::new(all.as_ptr(), count + 1, keywords)) {
            Ok(Some(made)) => made.into_ptr(),
            Ok(None) => {
                ffi::PyObject_Vectorcall(S::function(), all.as_ptr(), count as usize + 1, keywords)
            }
            Err(Raised) => ptr::null_mut(),
        }
    }
}

/// A method with the name of `original`. It says that it is one of `object`'s, so that it takes any instance, as a Python
/// function does: what is not native is asyncio's function's to deal with.
///
/// # Safety
/// Called during import.
pub unsafe fn method<S: StandIn>(_: &Owned) -> Python<Owned> {
    let definition = types::table([types::fast_keywords(S::NAME, call_method::<S>, c"")]);
    // SAFETY: the definition lives as long as the process.
    unsafe {
        Owned::new(ffi::PyDescr_NewMethod(
            &raw mut ffi::PyBaseObject_Type,
            definition.cast(),
        ))
    }
}
