//! A copy of a Python function with another vectorcall (PEP 590): a function in all that can be asked of one.
//!
//! From 3.12 on `PyFunction_SetVectorcall` makes it so. 3.11's interpreter runs the frame of whatever is exactly a function without
//! asking for its vectorcall; so there it is an instance of a subtype of the function type, whose storage and every slot are the
//! function type's: `isinstance(f, types.FunctionType)` holds, and the call goes by the vectorcall.

use super::StandIn;
use crate::ffi::{Python, Raised, args::Args, gil::GilCell, owned::Owned};
use pyo3_ffi as ffi;
use std::ptr;

#[cfg(Py_3_12)]
unsafe extern "C" {
    /// Include/cpython/funcobject.h of 3.12 and later. Also takes the function out of the interpreter's inlining.
    fn PyFunction_SetVectorcall(function: *mut ffi::PyObject, vectorcall: ffi::vectorcallfunc);
}

/// How CPython calls a Python function.
static PLAIN: GilCell<Option<ffi::vectorcallfunc>> = GilCell::new(None);

unsafe extern "C" fn call<S: StandIn>(
    function: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: usize,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention.
    unsafe {
        let given = ffi::PyVectorcall_NARGS(count) as usize;
        if keywords.is_null()
            && given > 0
            && let Some(made) = S::quick(*args, given - 1)
        {
            return made;
        }
        call_any::<S>(function, args, count, keywords)
    }
}

#[inline(never)]
unsafe extern "C" fn call_any<S: StandIn>(
    function: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: usize,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention; what is declined is called as the Python function that it is.
    unsafe {
        match S::call(Args::new(args, ffi::PyVectorcall_NARGS(count), keywords)) {
            Ok(Some(made)) => made.into_ptr(),
            Ok(None) => as_python(function, args, count, keywords),
            Err(Raised) => ptr::null_mut(),
        }
    }
}

/// Calls the copy as the Python function that it is.
///
/// # Safety
/// CPython's calling convention; `function` is one of `copy`'s.
pub unsafe fn as_python(
    function: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: usize,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the caller's contract.
    unsafe {
        match *PLAIN.get() {
            Some(plain) => plain(function, args, count, keywords),
            None => ptr::null_mut(),
        }
    }
}

/// A copy of `original`, of the module `rondeau`, which is called by `vectorcall`.
///
/// # Safety
/// Called during import; `original` is any object.
pub unsafe fn copy(original: &Owned, vectorcall: ffi::vectorcallfunc) -> Python<Owned> {
    // SAFETY: the type is checked before the fields are read; all that is copied lives.
    unsafe {
        if ffi::PyFunction_Check(original.as_ptr()) == 0 {
            crate::ffi::args::raise_type_error("rondeau stands in for Python functions only");
            return Err(Raised);
        }
        let fields = original.as_ptr().cast::<ffi::PyFunctionObject>();
        let copy = Owned::new(ffi::PyFunction_NewWithQualName(
            (*fields).func_code,
            (*fields).func_globals,
            (*fields).func_qualname,
        ))?;
        let set = |name: &std::ffi::CStr, value: *mut ffi::PyObject| {
            if !value.is_null()
                && ffi::PyObject_SetAttrString(copy.as_ptr(), name.as_ptr(), value) != 0
            {
                return Err(Raised);
            }
            Ok(())
        };
        set(c"__defaults__", (*fields).func_defaults)?;
        set(c"__kwdefaults__", (*fields).func_kwdefaults)?;
        let annotations = crate::door::attribute(original, c"__annotations__")?;
        if ffi::PyDict_Size(annotations.as_ptr()) > 0 {
            set(c"__annotations__", annotations.as_ptr())?;
        }
        let module = Owned::new(ffi::PyUnicode_FromString(c"rondeau".as_ptr()))?;
        set(c"__module__", module.as_ptr())?;
        if !(*fields).func_closure.is_null() {
            ffi::PyFunction_SetClosure(copy.as_ptr(), (*fields).func_closure);
        }
        *PLAIN.get() = (*copy.as_ptr().cast::<ffi::PyFunctionObject>()).vectorcall;
        #[cfg(Py_3_12)]
        PyFunction_SetVectorcall(copy.as_ptr(), vectorcall);
        #[cfg(not(Py_3_12))]
        super::subtype::become_one(&copy, vectorcall)?;
        Ok(copy)
    }
}

/// A copy of `original` whose call is native.
///
/// # Safety
/// Called during import.
pub unsafe fn make<S: StandIn>(original: &Owned) -> Python<Owned> {
    // SAFETY: the caller's contract.
    unsafe {
        let copy = copy(original, call::<S>)?;
        if let Some(text) = S::DOC {
            let text = Owned::new(ffi::PyUnicode_FromString(text.as_ptr()))?;
            document(&copy, &text)?;
        }
        Ok(copy)
    }
}

/// Gives the function a docstring.
///
/// # Safety
/// Both live.
pub unsafe fn document(function: &Owned, text: &Owned) -> Python<()> {
    // SAFETY: the caller's contract.
    unsafe {
        if ffi::PyObject_SetAttrString(function.as_ptr(), c"__doc__".as_ptr(), text.as_ptr()) != 0 {
            return Err(Raised);
        }
    }
    Ok(())
}
