//! Methods: copies of asyncio's own Python functions whose call is native (`stand_in`).
//!
//! Made at import. A method that is called with what native code does not know (a wrong argument, an instance of asyncio's own class,
//! an object for which asyncio's code has to act) runs as the Python function that it is.
//!
//! On 3.11, where a Python function cannot be called natively, it is a method descriptor that calls asyncio's function.

use crate::ffi::{Python, Raised, args::Args, gil::GilCell, owned::Owned};
use pyo3_ffi as ffi;
use std::ffi::CStr;

/// A native way through one of asyncio's methods.
pub trait Method {
    /// Its name.
    const NAME: &'static CStr;

    /// Where asyncio's own function is kept.
    fn original() -> &'static GilCell<*mut ffi::PyObject>;

    /// The call, `this` being a native instance and not among the arguments; None leaves it to asyncio's own function.
    ///
    /// # Safety
    /// The arguments live for the call.
    unsafe fn call(this: *mut ffi::PyObject, call: Args<'_>) -> Python<Option<Owned>>;

    /// `StandIn::quick`, `this` being an instance of the class itself and not counted.
    ///
    /// # Safety
    /// It lives for the call.
    #[inline(always)]
    unsafe fn quick(_this: *mut ffi::PyObject, _count: usize) -> Option<*mut ffi::PyObject> {
        None
    }

    /// The native type whose instances the method takes.
    fn kind() -> *mut ffi::PyTypeObject;
}

/// asyncio's own function, called with these arguments.
///
/// # Safety
/// They live for the call.
#[cold]
pub unsafe fn asyncios<M: Method>(args: &[*mut ffi::PyObject]) -> Python<Owned> {
    // SAFETY: the function lives for good.
    unsafe {
        Owned::new(ffi::PyObject_Vectorcall(
            *M::original().get(),
            args.as_ptr(),
            args.len(),
            std::ptr::null_mut(),
        ))
    }
}

/// How a method is made.
pub struct Make {
    name: &'static CStr,
    original: fn() -> &'static GilCell<*mut ffi::PyObject>,
    make: unsafe fn(&Owned, &Owned) -> Python<Owned>,
}

/// How `M` is made.
pub fn of<M: Method>() -> Make {
    Make {
        name: M::NAME,
        original: M::original,
        make: crate::stand_in::method::<As<M>>,
    }
}

/// How `M` is made where it takes no arguments and is no coroutine function: quicker for instances of the class itself.
pub fn builtin_of<M: Method>() -> Make {
    Make {
        make: crate::stand_in::builtin_method::<As<M>>,
        ..of::<M>()
    }
}

/// Whether `object` is an instance of the native type: its class's base is the type, where the class is the published one.
#[inline]
unsafe fn is_native(object: *mut ffi::PyObject, kind: *mut ffi::PyTypeObject) -> bool {
    // SAFETY: the object lives, and with it its class.
    unsafe { (*ffi::Py_TYPE(object)).tp_base == kind || ffi::PyObject_TypeCheck(object, kind) != 0 }
}

/// A method as a stand-in.
pub struct As<M>(std::marker::PhantomData<M>);

impl<M: Method> crate::stand_in::StandIn for As<M> {
    const MODULE: &'static CStr = c"";
    const NAME: &'static CStr = M::NAME;

    unsafe fn call(call: Args<'_>) -> Python<Option<Owned>> {
        // SAFETY: the type is checked before anything of the instance is read.
        unsafe {
            match call.without_first() {
                Some((this, call)) if is_native(this, M::kind()) => M::call(this, call),
                _ => Ok(None),
            }
        }
    }

    #[inline(always)]
    unsafe fn quick(this: *mut ffi::PyObject, count: usize) -> Option<*mut ffi::PyObject> {
        // SAFETY: the type is checked before anything of the instance is read.
        unsafe {
            if (*ffi::Py_TYPE(this)).tp_base != M::kind() {
                return None;
            }
            M::quick(this, count)
        }
    }

    fn function() -> *mut ffi::PyObject {
        // SAFETY: written at import.
        unsafe { *M::original().get() }
    }
}

/// Puts a method onto the class.
///
/// # Safety
/// Called during import; both classes live.
pub unsafe fn add(class: &Owned, theirs: &Owned, make: &Make) -> Python<()> {
    // SAFETY: the caller's contract.
    unsafe {
        let original = crate::door::attribute(theirs, make.name)?;
        let made = (make.make)(class, &original)?;
        *(make.original)().get() = original.into_ptr();
        if ffi::PyObject_SetAttrString(class.as_ptr(), make.name.as_ptr(), made.as_ptr()) != 0 {
            return Err(Raised);
        }
    }
    Ok(())
}

/// Declares a method: `method!(Acquire, c"acquire", lock::kind, acquire)`, with a fifth part for its `quick`.
macro_rules! method {
    ($type:ident, $name:literal, $kind:path, $call:path $(, $quick:path)?) => {
        pub struct $type;

        impl $crate::sync::method::Method for $type {
            const NAME: &'static std::ffi::CStr = $name;

            fn original() -> &'static $crate::ffi::gil::GilCell<*mut pyo3_ffi::PyObject> {
                static ORIGINAL: $crate::ffi::gil::GilCell<*mut pyo3_ffi::PyObject> =
                    $crate::ffi::gil::GilCell::new(std::ptr::null_mut());
                &ORIGINAL
            }

            fn kind() -> *mut pyo3_ffi::PyTypeObject {
                $kind()
            }

            unsafe fn call(
                this: *mut pyo3_ffi::PyObject,
                call: $crate::ffi::args::Args<'_>,
            ) -> $crate::ffi::Python<Option<$crate::ffi::owned::Owned>> {
                // SAFETY: the caller's contract.
                unsafe { $call($crate::sync::primitive::Primitive::of(this), call) }
            }

            $(
                #[inline(always)]
                unsafe fn quick(
                    this: *mut pyo3_ffi::PyObject,
                    count: usize,
                ) -> Option<*mut pyo3_ffi::PyObject> {
                    // SAFETY: the caller's contract.
                    unsafe { $quick($crate::sync::primitive::Primitive::of(this), count) }
                }
            )?
        }
    };
}

pub(crate) use method;
