//! A function of asyncio with a native way through it: a copy of asyncio's own Python function, whose call is native.
//!
//! Made at import, one for each native function (`sleep`, `gather`, `wait_for`, …). What is native looks at the arguments and at
//! the running loop, and declines what it does not know: then the copy runs as the Python function that it is. So signature,
//! defaults, errors for wrong arguments, `inspect.iscoroutinefunction`, `mock.patch` and each version's own semantics are
//! asyncio's, and native code has to be right only in what it accepts.
//!
//! Rejected: builtin functions: `mock.patch("asyncio.sleep")` takes them for plain functions, and what is
//! declined costs an argument parser for each.

pub mod class;
mod descriptor;
mod function;
pub mod native;
#[cfg(not(Py_3_12))]
mod subtype;

use crate::door::{attribute, import};
use crate::ffi::{Python, Raised, args::Args, owned::Owned};
use pyo3_ffi as ffi;
use std::ffi::CStr;

/// A native way through one of asyncio's functions.
pub trait StandIn {
    /// The module it is in.
    const MODULE: &'static CStr;
    /// Its name there.
    const NAME: &'static CStr;

    /// What `__doc__` is, where asyncio's own is no example that runs.
    const DOC: Option<&'static CStr> = None;

    /// The call; None leaves it to asyncio's own function, which must then find everything as it was.
    ///
    /// # Safety
    /// The arguments live for the call.
    unsafe fn call(call: Args<'_>) -> Python<Option<Owned>>;

    /// The same for a method's calls that are nothing but positional, where little is to be done: it comes first, in a function that
    /// saves no registers (some 20 instructions of 40). None leaves it to `call`; NULL is an error.
    ///
    /// # Safety
    /// The instance lives for the call; it is not among the `count` arguments.
    #[inline(always)]
    unsafe fn quick(_this: *mut ffi::PyObject, _count: usize) -> Option<*mut ffi::PyObject> {
        None
    }

    /// asyncio's own function, for a method that is a builtin one.
    fn function() -> *mut ffi::PyObject {
        std::ptr::null_mut()
    }
}

/// asyncio's own function.
pub fn original<S: StandIn>() -> Python<Owned> {
    attribute(&import(S::MODULE)?, S::NAME)
}

/// Makes the stand-in and adds it to the module by its name; returns asyncio's own function, which lives for good.
pub fn add<S: StandIn>(module: *mut ffi::PyObject) -> Python<*mut ffi::PyObject> {
    let original = original::<S>()?;
    // SAFETY: the module and the function live.
    unsafe {
        let made = function::make::<S>(&original)?;
        if ffi::PyModule_AddObjectRef(module, S::NAME.as_ptr(), made.as_ptr()) != 0 {
            return Err(Raised);
        }
    }
    Ok(original.into_ptr())
}

/// A stand-in for a method; its first argument is the instance.
///
/// # Safety
/// Called during import.
pub unsafe fn method<S: StandIn>(_: &Owned, original: &Owned) -> Python<Owned> {
    // SAFETY: the caller's contract.
    unsafe { function::make::<S>(original) }
}

/// A stand-in for a method without arguments that is no coroutine function: a builtin method of `class`, which the
/// interpreter calls directly.
///
/// # Safety
/// Called during import.
pub unsafe fn builtin_method<S: StandIn>(class: &Owned, original: &Owned) -> Python<Owned> {
    // SAFETY: the class lives.
    unsafe {
        let doc = attribute(original, c"__doc__")?;
        let doc = Owned::new(ffi::PyObject_Str(doc.as_ptr()))?;
        let text = ffi::PyUnicode_AsUTF8(doc.as_ptr());
        if text.is_null() {
            return Err(Raised);
        }
        descriptor::make::<S>(class, &CStr::from_ptr(text).to_string_lossy())
    }
}
