//! Coroutines that died, for the next ones: an `async with` makes and frees two of them. Called by `new` and dealloc.
//!
//! They stay the collector's to look at, and hold nothing: taking them off its list and putting them back cost 110 instructions a
//! coroutine, which only those pay that wait (`rejuvenate`). So `gc.get_objects()` shows them, as finished coroutines, and one that
//! somebody took from there is not used again.

use super::CoroRef;
use crate::ffi::{gil::GilCell, owned::Owned};
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

/// A finished coroutine that nobody else knows.
///
/// # Safety
/// The GIL is held.
#[inline]
pub unsafe fn take() -> Option<Owned> {
    // SAFETY: each is ours; no borrow lives while another reference to one is given up, which frees nothing.
    unsafe {
        while SPARE.get().count > 0 {
            let spare = SPARE.get();
            spare.count -= 1;
            let object = Owned::from_owned(spare.objects[spare.count]);
            if ffi::Py_REFCNT(object.as_ptr()) == 1
                && CoroRef::of(object.as_ptr()).cell().weak.is_null()
            {
                return Some(object);
            }
        }
        None
    }
}

/// Brings a dead coroutine back, to be kept; false if it is not wanted.
///
/// # Safety
/// The caller has the last use of the instance, whose reference count is 0, which is finished and has no weak references.
#[inline]
pub unsafe fn give(object: *mut ffi::PyObject) -> bool {
    // SAFETY: the borrow ends here.
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
