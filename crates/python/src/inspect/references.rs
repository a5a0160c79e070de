//! How many references to some objects come from a few tasks: all of them, and nobody else knows the object.
//!
//! Called by the walk, within one slice. A frame may refer to an object through another: the bound `__aexit__` of an `async with`, a
//! cell, a function that closes over it. Such a carrier counts for what it refers to once all references to itself have been seen.

use super::tables::{attribute, referents};
use crate::door::import;
use crate::ffi::{compat, owned::Owned};
use pyo3_ffi as ffi;
use std::collections::HashMap;

pub struct References {
    /// The objects that are asked about, and the carriers: what was seen of each.
    found: HashMap<usize, Found>,
}

struct Found {
    /// NULL for one that was not met yet.
    object: *mut ffi::PyObject,
    seen: usize,
    asked: bool,
    opened: bool,
}

impl References {
    /// None was seen yet to the objects at these addresses.
    pub fn to(addresses: &[usize]) -> References {
        let found = addresses.iter().map(|address| {
            let found = Found {
                object: std::ptr::null_mut(),
                seen: 0,
                asked: true,
                opened: true,
            };
            (*address, found)
        });
        References {
            found: found.collect(),
        }
    }

    /// One reference, to any object.
    ///
    /// # Safety
    /// NULL or live; no Python code runs until [`References::count`] was called.
    pub unsafe fn see(&mut self, object: *mut ffi::PyObject) {
        // SAFETY: the caller's contract.
        let counts = !object.is_null()
            && (self.found.contains_key(&object.addr()) || unsafe { is_carrier(object) });
        if counts {
            let found = self.found.entry(object.addr()).or_insert(Found {
                object,
                seen: 0,
                asked: false,
                opened: false,
            });
            found.object = object;
            found.seen += 1;
        }
    }

    /// The objects that were asked about and met, each with the number of references to it that were seen.
    ///
    /// # Safety
    /// As for [`References::see`].
    pub unsafe fn count(mut self) -> Vec<(*mut ffi::PyObject, usize)> {
        // SAFETY: what was met lives.
        unsafe {
            loop {
                let ready: Vec<_> = self
                    .found
                    .values_mut()
                    .filter(|found| {
                        !found.opened && found.seen as isize == ffi::Py_REFCNT(found.object)
                    })
                    .map(|found| {
                        found.opened = true;
                        found.object
                    })
                    .collect();
                if ready.is_empty() {
                    break;
                }
                for carrier in ready {
                    if weak_count(carrier) == 0 {
                        for object in referents(carrier) {
                            self.see(object);
                        }
                    }
                }
            }
        }
        self.found
            .into_values()
            .filter(|found| found.asked && !found.object.is_null())
            .map(|found| (found.object, found.seen))
            .collect()
    }
}

/// Whether it is one of those through which a frame refers to what it uses.
unsafe fn is_carrier(object: *mut ffi::PyObject) -> bool {
    // SAFETY: the caller has a live object; the types are CPython's own.
    unsafe {
        let kind = ffi::Py_TYPE(object);
        kind == &raw mut compat::PyMethod_Type
            || kind == &raw mut ffi::PyCFunction_Type
            || kind == &raw mut ffi::PyFunction_Type
            || kind == &raw mut ffi::PyTuple_Type
            || kind == &raw mut ffi::PyCell_Type
    }
}

/// How many weak references there are to an object; 1 where it cannot be told.
///
/// # Safety
/// The object lives.
pub unsafe fn weak_count(object: *mut ffi::PyObject) -> i64 {
    // SAFETY: a function of C's on a live object.
    unsafe {
        let count = import(c"_weakref").ok().and_then(|module| {
            let function = attribute(module.as_ptr(), c"getweakrefcount")?;
            Owned::new(ffi::PyObject_CallOneArg(function.as_ptr(), object)).ok()
        });
        match count {
            Some(count) => ffi::PyLong_AsLongLong(count.as_ptr()),
            None => {
                ffi::PyErr_Clear();
                1
            }
        }
    }
}
