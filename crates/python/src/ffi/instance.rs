//! An instance of a native type, borrowed: what the files of such a type pass to each other.

use pyo3_ffi as ffi;

/// A live instance whose struct is `T`, which begins with CPython's header. The fields' meaning and methods are the type's own files'.
pub struct Instance<T>(*mut T);

impl<T> Clone for Instance<T> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Instance<T> {}

impl<T> Instance<T> {
    /// # Safety
    /// `object` is a live instance of the type, or of a subclass.
    #[inline]
    pub unsafe fn from_object(object: *mut ffi::PyObject) -> Instance<T> {
        Instance(object.cast())
    }

    /// The Python object, borrowed.
    #[inline]
    pub fn object(self) -> *mut ffi::PyObject {
        self.0.cast()
    }

    /// The struct, for access to one field at a time while Python code may run.
    #[inline]
    pub fn as_ptr(self) -> *mut T {
        self.0
    }

    /// The fields.
    ///
    /// # Safety
    /// The object lives, and the borrow ends before Python code can run.
    #[inline]
    pub unsafe fn get<'a>(self) -> &'a mut T {
        // SAFETY: the caller's contract.
        unsafe { &mut *self.0 }
    }
}
