//! A native class in the place of one of asyncio's that is written in Python: what it does not define itself is asyncio's.
//!
//! asyncio's methods are plain Python functions, which take any object with the attributes that they use; the native class
//! has these as members. So what is rare in such a class (failing, rescheduling, reprs) is asyncio's own code on native storage, in
//! each version's form.
//!
//! Rejected: a subclass of asyncio's class: its instances' dict and its `tp_traverse` do not bear a native layout below 3.13.
//! The price: `isinstance(native, asyncio.TaskGroup)` is False where a program uses both by their own names.

use crate::ffi::{Python, Raised, owned::Owned};
use pyo3_ffi as ffi;

/// What describes asyncio's class itself, not its instances.
const OF_THE_CLASS: [&str; 6] = [
    "__dict__",
    "__weakref__",
    "__module__",
    "__qualname__",
    "__new__",
    "__doc__",
];

/// Gives `kind` every attribute of asyncio's class that it does not define itself.
///
/// # Safety
/// Called during import; both are types, and `kind` is not immutable.
pub unsafe fn complete(kind: &Owned, asyncios: &Owned) -> Python<()> {
    // SAFETY: the dict of a heap type is a dict; the items are borrowed while nothing changes it.
    unsafe {
        let own = (*kind.as_ptr().cast::<ffi::PyTypeObject>()).tp_dict;
        let theirs = (*asyncios.as_ptr().cast::<ffi::PyTypeObject>()).tp_dict;
        let items = Owned::new(ffi::PyDict_Items(theirs))?;
        for index in 0..ffi::PyList_Size(items.as_ptr()) {
            let pair = ffi::PyList_GetItem(items.as_ptr(), index);
            let (name, value) = (ffi::PyTuple_GetItem(pair, 0), ffi::PyTuple_GetItem(pair, 1));
            let of_the_class = OF_THE_CLASS.iter().any(|known| {
                let known = std::ffi::CString::new(*known).unwrap_or_default();
                ffi::PyUnicode_CompareWithASCIIString(name, known.as_ptr()) == 0
            });
            match ffi::PyDict_Contains(own, name) {
                _ if of_the_class => continue,
                -1 => return Err(Raised),
                0 => {}
                _ => continue,
            }
            if ffi::PyObject_SetAttr(kind.as_ptr(), name, value) != 0 {
                return Err(Raised);
            }
        }
    }
    Ok(())
}

/// A member that is a strong reference, as a `__slots__` entry is; NULL is an absent attribute.
pub const fn member(name: &'static std::ffi::CStr, offset: usize) -> ffi::PyMemberDef {
    ffi::PyMemberDef {
        name: name.as_ptr(),
        type_code: ffi::Py_T_OBJECT_EX,
        offset: offset as ffi::Py_ssize_t,
        flags: 0,
        doc: std::ptr::null(),
    }
}

/// Where instances keep what CPython wants to find by offset: `__dictoffset__`, `__weaklistoffset__`.
pub const fn offset_member(name: &'static std::ffi::CStr, offset: usize) -> ffi::PyMemberDef {
    ffi::PyMemberDef {
        name: name.as_ptr(),
        type_code: ffi::Py_T_PYSSIZET,
        offset: offset as ffi::Py_ssize_t,
        flags: ffi::Py_READONLY,
        doc: std::ptr::null(),
    }
}
