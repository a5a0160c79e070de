//! Memory of coroutines that died, for the next ones: an `async with` makes and frees two of them. Called by `new` and dealloc.

use crate::ffi::gil::GilCell;
use pyo3_ffi as ffi;
use std::ptr;

const MOST: usize = 64;

struct Spare {
    count: usize,
    objects: [*mut ffi::PyObject; MOST],
}

static SPARE: GilCell<Spare> = GilCell::new(Spare {
    count: 0,
    objects: [ptr::null_mut(); MOST],
});

/// An untracked instance whose fields hold nothing of meaning; NULL with an exception set.
///
/// # Safety
/// `kind` is the coroutines' type.
#[inline]
pub unsafe fn take(kind: *mut ffi::PyTypeObject) -> *mut ffi::PyObject {
    // SAFETY: the borrow ends before anything else is called.
    unsafe {
        let spare = SPARE.get();
        if spare.count > 0 {
            spare.count -= 1;
            return spare.objects[spare.count];
        }
        let object = ffi::PyObject_GC_New::<ffi::PyObject>(kind);
        if !object.is_null() {
            super::cell::fill_fresh(object);
        }
        object
    }
}

/// Takes over the memory of a dead, untracked and emptied instance; false if it is not wanted.
///
/// # Safety
/// The caller has the last use of the instance, whose reference count is 0.
#[inline]
pub unsafe fn give(object: *mut ffi::PyObject) -> bool {
    // SAFETY: the borrow ends here. The instance keeps its reference to its type.
    unsafe {
        let spare = SPARE.get();
        if spare.count == MOST {
            return false;
        }
        ffi::Py_INCREF(object);
        spare.objects[spare.count] = object;
        spare.count += 1;
        true
    }
}
