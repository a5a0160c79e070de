//! Objects of ours that hold others: how the collector visits them and how they die.
//!
//! Called by types whose instances are a struct of references: streams, and what stands between several objects and is made by no program
//! (a shield, a submitted coroutine, a job for a thread), whose whole type is made here.

use super::{
    Python,
    slot::clear_slot,
    types::{self, Type},
    visit,
};
use pyo3_ffi as ffi;
use std::ffi::{CStr, c_int, c_void};
use std::ptr;

/// An instance's struct: CPython's header, then references (strong or NULL) and what needs no care.
pub trait Holder: Sized {
    /// The type's dotted name.
    const NAME: &'static CStr;

    /// Where its references are.
    ///
    /// # Safety
    /// `this` is an instance; only places are taken.
    unsafe fn held(this: *mut Self) -> impl IntoIterator<Item = *mut *mut ffi::PyObject>;

    /// One more object that it keeps alive, borrowed; NULL for none.
    ///
    /// # Safety
    /// `this` is an instance, and no borrow of it lives.
    unsafe fn other(_this: *mut Self) -> *mut ffi::PyObject {
        ptr::null_mut()
    }

    /// Lets go of what is in no field of `held`, and resets the rest, before those are emptied.
    ///
    /// # Safety
    /// `this` is an instance that is kept alive; any Python code may run.
    unsafe fn reset(_this: *mut Self) {}
}

/// Lets go of everything.
///
/// # Safety
/// The object is an instance that is kept alive; any Python code may run.
pub unsafe fn forget<H: Holder>(object: *mut ffi::PyObject) {
    // SAFETY: each field is emptied before its reference is released.
    unsafe {
        H::reset(object.cast());
        for slot in H::held(object.cast()) {
            clear_slot(slot);
        }
    }
}

/// `tp_traverse`.
pub unsafe extern "C" fn traverse<H: Holder>(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the collector calls this on an instance and runs no Python code while it visits.
    unsafe {
        let result = visit::each(
            &[ffi::Py_TYPE(object).cast(), H::other(object.cast())],
            visit,
            arg,
        );
        if result != 0 {
            return result;
        }
        for slot in H::held(object.cast()) {
            let result = visit::each(&[*slot], visit, arg);
            if result != 0 {
                return result;
            }
        }
        0
    }
}

/// `tp_clear`.
pub unsafe extern "C" fn clear<H: Holder>(object: *mut ffi::PyObject) -> c_int {
    // SAFETY: the collector calls this on an instance.
    unsafe { forget::<H>(object) };
    0
}

/// `tp_dealloc`; of a class made in Python, which has finalised by then, reached from there.
pub unsafe extern "C" fn dealloc<H: Holder>(object: *mut ffi::PyObject) {
    // SAFETY: the last reference is gone.
    unsafe {
        let kind = ffi::Py_TYPE(object);
        ffi::PyObject_GC_UnTrack(object.cast());
        forget::<H>(object);
        types::free(kind, object);
    }
}

/// Makes the type, with slots of its own beside these; called once, at import.
///
/// # Safety
/// The slots are what their numbers ask for.
pub unsafe fn build<H: Holder>(
    mut slots: Vec<(c_int, *mut c_void)>,
) -> Python<*mut ffi::PyTypeObject> {
    slots.extend([
        (ffi::Py_tp_traverse, traverse::<H> as *mut c_void),
        (ffi::Py_tp_clear, clear::<H> as *mut c_void),
        (ffi::Py_tp_dealloc, dealloc::<H> as *mut c_void),
    ]);
    let kind = Type {
        name: H::NAME,
        size: size_of::<H>(),
        flags: ffi::Py_TPFLAGS_HAVE_GC
            | ffi::Py_TPFLAGS_IMMUTABLETYPE
            | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION,
        slots,
    };
    // SAFETY: the slots match their numbers and the size is the instance's; the type is kept for the life of the process.
    unsafe { Ok(kind.build(ptr::null_mut())?.into_ptr().cast()) }
}
