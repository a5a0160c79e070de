//! Memory of handles that died, for the next ones: a chain of callbacks makes and frees one a turn. Called by `make` and `types`.
//!
//! What lies here is a whole object but for its slots' contents: the collector's header, the type and the one reference that
//! `take` gives out.

use super::{HANDLE, TIMER};
use crate::ffi::gil::GilCell;
use pyo3_ffi as ffi;
use std::ptr;

const MOST: usize = 128;

/// Dead instances of one type, the last one first.
struct Spare {
    count: usize,
    objects: [*mut ffi::PyObject; MOST],
}

impl Spare {
    const EMPTY: Spare = Spare {
        count: 0,
        objects: [ptr::null_mut(); MOST],
    };
}

static HANDLES: GilCell<Spare> = GilCell::new(Spare::EMPTY);
static TIMERS: GilCell<Spare> = GilCell::new(Spare::EMPTY);

/// Where instances of `kind` are kept; other types' are not.
#[inline]
fn shelf(kind: *mut ffi::PyTypeObject) -> Option<&'static GilCell<Spare>> {
    // SAFETY: the cells of types are written at import only.
    unsafe {
        if kind == *HANDLE.get() {
            Some(&HANDLES)
        } else if kind == *TIMER.get() {
            Some(&TIMERS)
        } else {
            None
        }
    }
}

/// An instance whose slots hold nothing of meaning; NULL with an exception set.
#[inline]
pub unsafe fn take(kind: *mut ffi::PyTypeObject) -> *mut ffi::PyObject {
    if let Some(shelf) = shelf(kind) {
        // SAFETY: the borrow ends here; nothing in it runs Python code.
        let spare = unsafe { shelf.get() };
        if spare.count > 0 {
            spare.count -= 1;
            return spare.objects[spare.count];
        }
    }
    // SAFETY: both types are GC types.
    unsafe { ffi::PyObject_GC_New::<ffi::PyObject>(kind) }
}

/// Takes over the memory of a dead, untracked instance; false if it is not wanted.
#[inline]
pub unsafe fn give(handle: *mut ffi::PyObject, kind: *mut ffi::PyTypeObject) -> bool {
    let Some(shelf) = shelf(kind) else {
        return false;
    };
    // SAFETY: the borrow ends here; the caller has the last use of the instance.
    unsafe {
        let spare = shelf.get();
        if spare.count == MOST {
            return false;
        }
        // It lies here with the one reference that `take` gives out; a death by DECREF left none.
        if ffi::Py_REFCNT(handle) == 0 {
            ffi::Py_INCREF(handle);
        }
        spare.objects[spare.count] = handle;
        spare.count += 1;
        true
    }
}
