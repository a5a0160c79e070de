//! A method that is a builtin one, a method descriptor: what it declines it passes to asyncio's own function.
//!
//! The interpreter calls it without a detour where the instance is of exactly its class (`CALL_METHOD_DESCRIPTOR_NOARGS`): 100
//! instructions less than a function with another vectorcall. Every other call of it comes through its vectorcall, which is replaced
//! too, so that it takes what a Python function takes: instances of other classes, and wrong arguments with the words of Python's.
//! The price: it is no Python function, so it is for plain methods only, never for what `inspect.iscoroutinefunction` is asked about.

use super::StandIn;
use crate::ffi::{Python, Raised, args::Args, owned::Owned, types};
use pyo3_ffi as ffi;
use std::ffi::CString;
use std::ptr;

/// Include/cpython/descrobject.h, the same from 3.8 to 3.15.
#[repr(C)]
struct MethodDescriptor {
    ob_base: ffi::PyObject,
    d_type: *mut ffi::PyTypeObject,
    d_name: *mut ffi::PyObject,
    d_qualname: *mut ffi::PyObject,
    d_method: *const ffi::PyMethodDef,
    vectorcall: ffi::vectorcallfunc,
}

unsafe extern "C" fn call<S: StandIn>(
    this: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention.
    unsafe {
        S::quick(this, 0).unwrap_or_else(|| call_any::<S>(&raw const this, 1, ptr::null_mut()))
    }
}

unsafe extern "C" fn vectorcall<S: StandIn>(
    _: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: usize,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention.
    unsafe { call_any::<S>(args, ffi::PyVectorcall_NARGS(count), keywords) }
}

#[inline(never)]
unsafe fn call_any<S: StandIn>(
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the arguments live for the call.
    unsafe {
        match S::call(Args::new(args, count, keywords)) {
            Ok(Some(made)) => made.into_ptr(),
            Ok(None) => ffi::PyObject_Vectorcall(S::function(), args, count as usize, keywords),
            Err(Raised) => ptr::null_mut(),
        }
    }
}

/// What a method descriptor calls; None for an object of another kind.
///
/// # Safety
/// The object lives.
pub unsafe fn definition(object: *mut ffi::PyObject) -> Option<*const ffi::PyMethodDef> {
    // SAFETY: the type and its size are checked before the fields are read.
    unsafe {
        let kind = ffi::Py_TYPE(object);
        let known = kind == &raw mut ffi::PyMethodDescr_Type
            && (*kind).tp_basicsize as usize == size_of::<MethodDescriptor>();
        known.then(|| (*object.cast::<MethodDescriptor>()).d_method)
    }
}

/// A method descriptor of `class`, called by `vectorcall` where the interpreter has no quicker way.
///
/// # Safety
/// Called during import; the class and the definition live for good.
pub unsafe fn with_vectorcall(
    class: *mut ffi::PyObject,
    definition: *mut ffi::PyMethodDef,
    vectorcall: ffi::vectorcallfunc,
) -> Python<Owned> {
    // SAFETY: the size is checked before the fields are touched.
    unsafe {
        let made = Owned::new(ffi::PyDescr_NewMethod(class.cast(), definition))?;
        let size = (*ffi::Py_TYPE(made.as_ptr())).tp_basicsize as usize;
        let fields = made.as_ptr().cast::<MethodDescriptor>();
        if size == size_of::<MethodDescriptor>() && (*fields).d_method == definition {
            (*fields).vectorcall = vectorcall;
        }
        Ok(made)
    }
}

/// A method of `class`'s instances.
///
/// # Safety
/// Called during import; the class lives.
pub unsafe fn make<S: StandIn>(class: &Owned, doc: &str) -> Python<Owned> {
    let doc = format!("{}($self)\n--\n\n{doc}", S::NAME.to_string_lossy());
    let doc = Box::leak(CString::new(doc).unwrap_or_default().into_boxed_c_str());
    let definition = types::table([types::noargs(S::NAME, call::<S>, doc)]).cast();
    // SAFETY: the definition lives as long as the process.
    unsafe { with_vectorcall(class.as_ptr(), definition, vectorcall::<S>) }
}
