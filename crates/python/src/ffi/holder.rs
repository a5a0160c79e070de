//! Objects of ours that hold others and that no program makes: how the collector visits them and how they die.
//!
//! Called by what needs one object to stand between several: a shield, a submitted coroutine, a job for a thread.

use super::{
    Python,
    types::{self, Type},
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
}

unsafe extern "C" fn traverse<H: Holder>(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the collector calls this on an instance and runs no Python code while it visits.
    unsafe {
        let mut result = visit(ffi::Py_TYPE(object).cast(), arg);
        for slot in H::held(object.cast()) {
            if result == 0 && !(*slot).is_null() {
                result = visit(*slot, arg);
            }
        }
        result
    }
}

unsafe extern "C" fn clear<H: Holder>(object: *mut ffi::PyObject) -> c_int {
    // SAFETY: each field is emptied before its reference is released.
    unsafe {
        for slot in H::held(object.cast()) {
            ffi::Py_XDECREF(slot.replace(ptr::null_mut()));
        }
    }
    0
}

unsafe extern "C" fn dealloc<H: Holder>(object: *mut ffi::PyObject) {
    // SAFETY: the last reference is gone.
    unsafe {
        ffi::PyObject_GC_UnTrack(object.cast());
        clear::<H>(object);
        types::free(ffi::Py_TYPE(object), object);
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
