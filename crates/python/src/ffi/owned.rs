//! One strong reference, owned. Called wherever a reference lives longer than a statement.

use super::{Python, Raised, args::raise};
use pyo3_ffi as ffi;
use std::ptr::NonNull;

/// A strong reference to a Python object; dropping it may run any Python code (a finalizer).
#[repr(transparent)]
pub struct Owned(NonNull<ffi::PyObject>);

impl Owned {
    /// Takes over the reference that a CPython call returned; NULL means that it raised.
    ///
    /// # Safety
    /// `ptr` is NULL with an exception set, or a reference that nobody else will release.
    #[inline]
    pub unsafe fn new(ptr: *mut ffi::PyObject) -> Python<Owned> {
        NonNull::new(ptr).map(Owned).ok_or(Raised)
    }

    /// Takes over a reference that is known not to be NULL.
    ///
    /// # Safety
    /// `ptr` is a non-NULL reference that nobody else will release.
    #[inline]
    pub unsafe fn from_owned(ptr: *mut ffi::PyObject) -> Owned {
        // SAFETY: the caller's contract.
        Owned(unsafe { NonNull::new_unchecked(ptr) })
    }

    /// A new reference to an object that is borrowed.
    ///
    /// # Safety
    /// `ptr` points to a live object.
    #[inline]
    pub unsafe fn from_borrowed(ptr: *mut ffi::PyObject) -> Owned {
        // SAFETY: live by the caller's contract.
        unsafe {
            ffi::Py_INCREF(ptr);
            Owned::from_owned(ptr)
        }
    }

    /// A new reference to what a field holds; where it holds nothing, since `__init__` never ran or a program has deleted it, the
    /// AttributeError that Python code meets then.
    ///
    /// # Safety
    /// `field` is NULL or points to a live object.
    #[inline]
    pub unsafe fn from_field(field: *mut ffi::PyObject, class: &str, name: &str) -> Python<Owned> {
        if field.is_null() {
            return Err(missing(class, name));
        }
        // SAFETY: live by the caller's contract.
        Ok(unsafe { Owned::from_borrowed(field) })
    }

    /// The object, borrowed.
    #[inline]
    pub fn as_ptr(&self) -> *mut ffi::PyObject {
        self.0.as_ptr()
    }

    /// Gives the reference away.
    #[inline]
    pub fn into_ptr(self) -> *mut ffi::PyObject {
        let ptr = self.0.as_ptr();
        std::mem::forget(self);
        ptr
    }
}

#[cold]
fn missing(class: &str, name: &str) -> Raised {
    let message = format!("'{class}' object has no attribute '{name}'");
    // SAFETY: AttributeError is live.
    unsafe { raise(ffi::PyExc_AttributeError, &message) }
}

impl Clone for Owned {
    #[inline]
    fn clone(&self) -> Self {
        // SAFETY: `self` keeps the object alive.
        unsafe { Owned::from_borrowed(self.as_ptr()) }
    }
}

impl Drop for Owned {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: this reference is ours to release.
        unsafe { ffi::Py_DECREF(self.0.as_ptr()) }
    }
}
