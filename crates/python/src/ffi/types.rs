//! Making heap types from tables. Called once for each native type, at import.

use super::{Python, Raised, compat, owned::Owned};
use pyo3_ffi as ffi;
use std::ffi::{CStr, c_int, c_uint, c_void};
use std::ptr;

/// `METH_FASTCALL | METH_KEYWORDS`.
pub type FastKeywords = unsafe extern "C" fn(
    *mut ffi::PyObject,
    *const *mut ffi::PyObject,
    ffi::Py_ssize_t,
    *mut ffi::PyObject,
) -> *mut ffi::PyObject;
/// `METH_FASTCALL`.
pub type Fast = unsafe extern "C" fn(
    *mut ffi::PyObject,
    *mut *mut ffi::PyObject,
    ffi::Py_ssize_t,
) -> *mut ffi::PyObject;
/// `METH_NOARGS` and `METH_O`.
pub type One = unsafe extern "C" fn(*mut ffi::PyObject, *mut ffi::PyObject) -> *mut ffi::PyObject;

/// A method without arguments.
pub const fn noargs(name: &'static CStr, function: One, doc: &'static CStr) -> ffi::PyMethodDef {
    ffi::PyMethodDef {
        ml_name: name.as_ptr(),
        ml_meth: ffi::PyMethodDefPointer {
            PyCFunction: function,
        },
        ml_flags: ffi::METH_NOARGS,
        ml_doc: doc.as_ptr(),
    }
}

/// A method with exactly one positional argument.
pub const fn one(name: &'static CStr, function: One, doc: &'static CStr) -> ffi::PyMethodDef {
    ffi::PyMethodDef {
        ml_name: name.as_ptr(),
        ml_meth: ffi::PyMethodDefPointer {
            PyCFunction: function,
        },
        ml_flags: ffi::METH_O,
        ml_doc: doc.as_ptr(),
    }
}

/// A method with positional arguments only.
pub const fn fast(name: &'static CStr, function: Fast, doc: &'static CStr) -> ffi::PyMethodDef {
    ffi::PyMethodDef {
        ml_name: name.as_ptr(),
        ml_meth: ffi::PyMethodDefPointer {
            PyCFunctionFast: function,
        },
        ml_flags: ffi::METH_FASTCALL,
        ml_doc: doc.as_ptr(),
    }
}

/// A method with positional and keyword arguments.
pub const fn fast_keywords(
    name: &'static CStr,
    function: FastKeywords,
    doc: &'static CStr,
) -> ffi::PyMethodDef {
    ffi::PyMethodDef {
        ml_name: name.as_ptr(),
        ml_meth: ffi::PyMethodDefPointer {
            PyCFunctionFastWithKeywords: function,
        },
        ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
        ml_doc: doc.as_ptr(),
    }
}

/// The same method as a class method (adds `METH_CLASS`).
pub const fn class_method(mut method: ffi::PyMethodDef) -> ffi::PyMethodDef {
    method.ml_flags |= ffi::METH_CLASS;
    method
}

/// An attribute read by `get` and, where given, written by `set`.
pub const fn attribute(
    name: &'static CStr,
    get: ffi::getter,
    set: Option<ffi::setter>,
) -> ffi::PyGetSetDef {
    ffi::PyGetSetDef {
        name: name.as_ptr(),
        get: Some(get),
        set,
        doc: ptr::null(),
        closure: ptr::null_mut(),
    }
}

/// A table that CPython keeps pointers into for the life of the process: it ends with a zeroed entry and is never freed.
pub fn table<T, const N: usize>(entries: [T; N]) -> *mut c_void {
    table_of(Vec::from(entries))
}

/// The same from a vector.
pub fn table_of<T>(mut all: Vec<T>) -> *mut c_void {
    // SAFETY: PyMethodDef and PyGetSetDef are plain C structs, for which all zeroes is the end mark.
    all.push(unsafe { std::mem::zeroed() });
    Box::leak(all.into_boxed_slice()).as_mut_ptr().cast()
}

/// What a heap type is made of.
pub struct Type {
    /// Dotted name, for `__module__` and `__name__`.
    pub name: &'static CStr,
    /// Size of an instance in bytes; 0 inherits the base's.
    pub size: usize,
    /// `Py_TPFLAGS_*` beside the default ones.
    pub flags: u64,
    /// Slots: (number, function or table).
    pub slots: Vec<(c_int, *mut c_void)>,
}

impl Type {
    /// Makes the type, with `bases` (NULL, a type, or a tuple of types).
    ///
    /// # Safety
    /// The slots are what their numbers ask for, and `size` is at least the base's size and the instance struct's.
    pub unsafe fn build(self, bases: *mut ffi::PyObject) -> Python<Owned> {
        let mut slots: Vec<ffi::PyType_Slot> = self
            .slots
            .into_iter()
            .map(|(slot, pfunc)| ffi::PyType_Slot { slot, pfunc })
            .collect();
        slots.push(ffi::PyType_Slot {
            slot: 0,
            pfunc: ptr::null_mut(),
        });
        let mut spec = ffi::PyType_Spec {
            name: self.name.as_ptr(),
            basicsize: self.size as c_int,
            itemsize: 0,
            flags: (ffi::Py_TPFLAGS_DEFAULT | self.flags as std::ffi::c_ulong) as c_uint,
            slots: slots.as_mut_ptr(),
        };
        // SAFETY: CPython copies spec and slots; the tables they point to are leaked on purpose.
        unsafe { Owned::new(ffi::PyType_FromSpecWithBases(&mut spec, bases)) }
    }

    /// The same, and adds it to the module, for the life of the process.
    ///
    /// # Safety
    /// As for `build`.
    pub unsafe fn publish(
        self,
        module: *mut ffi::PyObject,
        bases: *mut ffi::PyObject,
    ) -> Python<*mut ffi::PyTypeObject> {
        // SAFETY: the caller's contract.
        unsafe {
            let kind = self.build(bases)?;
            if ffi::PyModule_AddType(module, kind.as_ptr().cast()) != 0 {
                return Err(Raised);
            }
            Ok(kind.into_ptr().cast())
        }
    }
}

/// Takes `__next__` off a type whose `tp_iternext` serves `await` alone, and room for inline attributes, which few use.
///
/// # Safety
/// The type is fresh: no instance and no subclass exists.
pub unsafe fn trim(kind: *mut ffi::PyTypeObject) -> Python<()> {
    // SAFETY: the dict of a fresh heap type may be changed as long as its caches are told.
    unsafe {
        if ffi::PyDict_DelItemString((*kind).tp_dict, c"__next__".as_ptr()) != 0 {
            return Err(Raised);
        }
        (*kind).tp_flags &= !compat::INLINE_VALUES_FLAG;
        ffi::PyType_Modified(kind);
    }
    Ok(())
}

/// Frees the memory of an emptied instance.
///
/// # Safety
/// The last reference is gone and nothing is left in the instance.
#[inline]
pub unsafe fn free(kind: *mut ffi::PyTypeObject, object: *mut ffi::PyObject) {
    // SAFETY: the caller's contract; an instance of a heap type holds a reference to it.
    unsafe {
        (*kind).tp_free.unwrap_or(ffi::PyObject_GC_Del)(object.cast());
        ffi::Py_DECREF(kind.cast());
    }
}
