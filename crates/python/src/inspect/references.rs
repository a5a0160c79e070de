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
    /// None for one that was not met yet. It counts as one reference.
    object: Option<Owned>,
    seen: usize,
    asked: bool,
    opened: bool,
}

impl References {
    /// None was seen yet to the objects at these addresses.
    pub fn to(addresses: &[usize]) -> References {
        let found = addresses.iter().map(|address| {
            let found = Found {
                object: None,
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
    /// The GIL is held.
    pub unsafe fn see(&mut self, object: &Owned) {
        let address = object.as_ptr().addr();
        // SAFETY: a reference keeps it alive.
        if self.found.contains_key(&address) || unsafe { is_carrier(object.as_ptr()) } {
            let found = self.found.entry(address).or_insert(Found {
                object: None,
                seen: 0,
                asked: false,
                opened: false,
            });
            found.object.get_or_insert_with(|| object.clone());
            found.seen += 1;
        }
    }

    /// The objects that were asked about and met, each with the number of references to it that were seen.
    ///
    /// # Safety
    /// The GIL is held; whoever called [`References::see`] has let go of what it saw.
    pub unsafe fn count(mut self) -> Vec<(Owned, usize)> {
        // SAFETY: what was met is kept.
        unsafe {
            loop {
                let ready: Vec<_> = self
                    .found
                    .values_mut()
                    .filter(|found| !found.opened)
                    .filter_map(|found| {
                        let object = found.object.as_ref()?;
                        let all = found.seen as isize == ffi::Py_REFCNT(object.as_ptr()) - 1;
                        found.opened = all;
                        all.then_some(object.as_ptr())
                    })
                    .collect();
                if ready.is_empty() {
                    break;
                }
                for carrier in ready {
                    if weak_count(carrier) == 0 {
                        for object in referents(carrier) {
                            self.see(&object);
                        }
                    }
                }
            }
        }
        self.found
            .into_values()
            .filter(|found| found.asked)
            .filter_map(|found| Some((found.object?, found.seen)))
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
