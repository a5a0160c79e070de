//! On 3.11: the subtype of the function type, of which native functions are instances.
//!
//! CPython forbids such a subtype to Python classes only. It adds no field and no slot but one: `copy` and `pickle` know functions by
//! their exact type, so `__reduce__` answers what these do for a function, its name. An instance is made as a function and then
//! given this type, since the function type has no constructor that a subtype can call.

use crate::ffi::{Python, Raised, gil::GilCell, owned::Owned, types};
use pyo3_ffi as ffi;
use std::mem::offset_of;
use std::ptr;

static TYPE: GilCell<*mut ffi::PyTypeObject> = GilCell::new(ptr::null_mut());

unsafe extern "C" fn reduce(
    function: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { ffi::PyObject_GetAttrString(function, c"__qualname__".as_ptr()) }
}

unsafe fn kind() -> Python<*mut ffi::PyTypeObject> {
    // SAFETY: the import runs alone; a zeroed type is what PyType_Ready fills, and it lives for good.
    unsafe {
        if (*TYPE.get()).is_null() {
            let kind: *mut ffi::PyTypeObject =
                Box::leak(Box::new(std::mem::zeroed::<ffi::PyTypeObject>()));
            let base = &raw mut ffi::PyFunction_Type;
            (*kind).ob_base.ob_base.ob_refcnt = 1;
            (*kind).tp_name = c"function".as_ptr();
            (*kind).tp_base = base;
            (*kind).tp_basicsize = (*base).tp_basicsize;
            (*kind).tp_vectorcall_offset = offset_of!(ffi::PyFunctionObject, vectorcall) as _;
            (*kind).tp_call = (*base).tp_call;
            (*kind).tp_descr_get = (*base).tp_descr_get;
            (*kind).tp_flags = ffi::Py_TPFLAGS_DEFAULT
                | ffi::Py_TPFLAGS_HAVE_VECTORCALL
                | ffi::Py_TPFLAGS_METHOD_DESCRIPTOR
                | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION;
            (*kind).tp_methods = types::table([types::noargs(
                c"__reduce__",
                reduce,
                c"__reduce__($self, /)\n--\n\nThe name by which it is found again.",
            )])
            .cast();
            // A type without documentation has None for it, which would stand before the functions' own.
            if ffi::PyType_Ready(kind) != 0
                || ffi::PyDict_DelItemString((*kind).tp_dict, c"__doc__".as_ptr()) != 0
            {
                return Err(Raised);
            }
            ffi::PyType_Modified(kind);
            *TYPE.get() = kind;
        }
        Ok(*TYPE.get())
    }
}

/// Makes a fresh function one of this type, called by `vectorcall`.
///
/// # Safety
/// Called during import; `function` is exactly a function and nobody else has seen it.
pub unsafe fn become_one(function: &Owned, vectorcall: ffi::vectorcallfunc) -> Python<()> {
    // SAFETY: the layout is the base's, and so is every slot that frees or visits it.
    unsafe {
        let kind = kind()?;
        (*function.as_ptr().cast::<ffi::PyFunctionObject>()).vectorcall = Some(vectorcall);
        (*function.as_ptr()).ob_type = kind;
    }
    Ok(())
}
