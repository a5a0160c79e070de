//! Sets and dicts that knew a function before it was interposed: they find it by its hash, which CPython makes of the pointer that
//! was replaced. Called once, at import.
//!
//! `os.supports_follow_symlinks` and its kin are such sets; `shutil` asks them what it may do. So may a program's own table of functions.
//! One is recognised by its first member, since a table of functions has only such; a frozenset cannot be made anew and is left alone.

use crate::door::{attribute, import};
use crate::ffi::{Python, Raised, owned::Owned};
use pyo3_ffi as ffi;
use std::ptr;

/// Puts what they hold into them anew.
pub fn all() -> Python<()> {
    let gc = import(c"gc")?;
    let get_objects = attribute(&gc, c"get_objects")?;
    // SAFETY: the list keeps each object alive; the import runs alone, and no Python code but a member's hash.
    unsafe {
        let objects = Owned::new(ffi::PyObject_CallNoArgs(get_objects.as_ptr()))?;
        for index in 0..ffi::PyList_Size(objects.as_ptr()) {
            let object = ffi::PyList_GetItem(objects.as_ptr(), index);
            let kind = ffi::Py_TYPE(object);
            if kind == &raw mut ffi::PySet_Type {
                if ffi::PySet_Size(object) > 0 && is_function(first_of_set(object)?.as_ptr()) {
                    set(object)?;
                }
            } else if kind == &raw mut ffi::PyDict_Type {
                let (mut at, mut key) = (0, ptr::null_mut());
                if ffi::PyDict_Next(object, &mut at, &mut key, ptr::null_mut()) != 0
                    && is_function(key)
                {
                    dict(object)?;
                }
            }
        }
    }
    Ok(())
}

unsafe fn is_function(object: *mut ffi::PyObject) -> bool {
    // SAFETY: the caller has a live object.
    unsafe { ffi::Py_TYPE(object) == &raw mut ffi::PyCFunction_Type }
}

unsafe fn first_of_set(set: *mut ffi::PyObject) -> Python<Owned> {
    // SAFETY: the set lives and is not empty.
    unsafe {
        let iterator = Owned::new(ffi::PyObject_GetIter(set))?;
        Owned::new(ffi::PyIter_Next(iterator.as_ptr()))
    }
}

unsafe fn set(set: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the list holds the members while the set is empty.
    unsafe {
        let members = Owned::new(ffi::PySequence_List(set))?;
        ffi::PySet_Clear(set);
        for index in 0..ffi::PyList_Size(members.as_ptr()) {
            if ffi::PySet_Add(set, ffi::PyList_GetItem(members.as_ptr(), index)) != 0 {
                return Err(Raised);
            }
        }
        Ok(())
    }
}

unsafe fn dict(dict: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the list holds the pairs while the dict is empty; each is a tuple of two.
    unsafe {
        let items = Owned::new(ffi::PyDict_Items(dict))?;
        ffi::PyDict_Clear(dict);
        for index in 0..ffi::PyList_Size(items.as_ptr()) {
            let pair = ffi::PyList_GetItem(items.as_ptr(), index);
            let (key, value) = (ffi::PyTuple_GetItem(pair, 0), ffi::PyTuple_GetItem(pair, 1));
            if ffi::PyDict_SetItem(dict, key, value) != 0 {
                return Err(Raised);
            }
        }
        Ok(())
    }
}
