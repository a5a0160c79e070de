//! What an attribute's look-up has made, and nobody else holds: kept until the slice ends.
//!
//! The walk borrows what objects refer to. A property of the program's, or a class that computes its attributes, answers with an
//! object of its own making, which would be gone at once. Called by `tables` for each look-up and by `hold` where a slice ends.

use crate::ffi::{gil::GilCell, owned::Owned};
use pyo3_ffi as ffi;

static FRESH: GilCell<Vec<Owned>> = GilCell::new(Vec::new());

/// Keeps an object that only `found` refers to, but for those that lead nowhere.
///
/// # Safety
/// The GIL is held.
#[inline]
pub unsafe fn keep(found: &Owned) {
    // SAFETY: the object lives by `found`; the borrow ends before anything is released.
    unsafe {
        let object = found.as_ptr();
        let leads_nowhere = ffi::PyUnicode_CheckExact(object) != 0
            || ffi::PyLong_CheckExact(object) != 0
            || ffi::PyFloat_CheckExact(object) != 0;
        if ffi::Py_REFCNT(object) == 1 && !leads_nowhere {
            FRESH.get().push(found.clone());
        }
    }
}

/// Lets go of all of them: nothing is borrowed any more. May run finalizers of the program.
///
/// # Safety
/// The GIL is held.
pub unsafe fn let_go() {
    // SAFETY: taken out first: a finalizer may lead back here.
    drop(unsafe { std::mem::take(FRESH.get()) });
}
