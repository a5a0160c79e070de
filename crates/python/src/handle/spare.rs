//! Memory of handles that died, for the next ones: a chain of callbacks makes and frees one a turn. Called by `make` and `types`.
//!
//! What lies here is a whole object but for its slots' contents: the collector's header, the type and the one reference that
//! `take` gives out.

use super::HANDLE;
use crate::ffi::gil::GilCell;
use pyo3_ffi as ffi;

const MOST: usize = 128;
static SPARE: GilCell<(usize, [*mut ffi::PyObject; MOST])> = GilCell::new((0, [std::ptr::null_mut(); MOST]));

/// An instance whose slots hold nothing of meaning; NULL with an exception set.
#[inline]
pub unsafe fn take(kind: *mut ffi::PyTypeObject) -> *mut ffi::PyObject {
    // SAFETY: what is spare is memory of a dead HANDLE, its collector's header, type and reference to the type included.
    unsafe {
        let (count, spare) = SPARE.get();
        if *count == 0 || kind != *HANDLE.get() {
            return ffi::PyObject_GC_New::<ffi::PyObject>(kind);
        }
        *count -= 1;
        spare[*count]
    }
}

/// Takes over the memory of a dead, untracked instance; false if it is not wanted.
#[inline]
pub unsafe fn give(handle: *mut ffi::PyObject, kind: *mut ffi::PyTypeObject) -> bool {
    // SAFETY: the caller has the last use of it.
    unsafe {
        let (count, spare) = SPARE.get();
        let wanted = *count < MOST && kind == *HANDLE.get();
        if wanted {
            // It lies here with the one reference that `take` gives out; a death by DECREF left none.
            if ffi::Py_REFCNT(handle) == 0 {
                ffi::Py_INCREF(handle);
            }
            spare[*count] = handle;
            *count += 1;
        }
        wanted
    }
}
