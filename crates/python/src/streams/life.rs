//! How the three types are visited by the collector and how they die. Called by CPython.

use crate::ffi::{instance::Instance, types};
use pyo3_ffi as ffi;
use std::ffi::{c_int, c_void};

/// What a type's fields hold.
pub trait Fields: Sized {
    /// Visits what is held.
    ///
    /// # Safety
    /// Called by the collector.
    unsafe fn traverse(&self, visit: ffi::visitproc, arg: *mut c_void) -> c_int;

    /// Lets go of everything.
    ///
    /// # Safety
    /// The instance lives; any Python code may run.
    unsafe fn forget(instance: Instance<Self>);
}

/// `tp_traverse`.
pub unsafe extern "C" fn traverse<T: Fields>(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the collector calls this on an instance with no borrow alive.
    unsafe {
        match visit(ffi::Py_TYPE(object).cast(), arg) {
            0 => Instance::<T>::from_object(object)
                .get()
                .traverse(visit, arg),
            result => result,
        }
    }
}

/// `tp_clear`.
pub unsafe extern "C" fn clear<T: Fields>(object: *mut ffi::PyObject) -> c_int {
    // SAFETY: the collector calls this on an instance.
    unsafe { T::forget(Instance::from_object(object)) };
    0
}

/// `tp_dealloc`, reached from the class's in Python, which has finalised by then.
pub unsafe extern "C" fn dealloc<T: Fields>(object: *mut ffi::PyObject) {
    // SAFETY: the last reference is gone.
    unsafe {
        let kind = ffi::Py_TYPE(object);
        ffi::PyObject_GC_UnTrack(object.cast());
        T::forget(Instance::from_object(object));
        types::free(kind, object);
    }
}
