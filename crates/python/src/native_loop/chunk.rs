//! A piece of output that waits to be sent. Made by transports; the loop keeps a list of those that left.

use pyo3_ffi as ffi;

/// A bytes object in a send queue: one strong reference, released by hand since that can run Python code.
#[repr(transparent)]
#[derive(Debug)]
pub struct Chunk(*mut ffi::PyObject);

impl Chunk {
    /// Takes over a reference to a bytes object.
    #[inline]
    pub fn new(bytes: *mut ffi::PyObject) -> Chunk {
        Chunk(bytes)
    }

    /// Releases it.
    #[inline]
    pub fn release(self) {
        // SAFETY: the reference is ours.
        unsafe { ffi::Py_DECREF(self.0) }
    }
}

impl AsRef<[u8]> for Chunk {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        // SAFETY: only bytes objects come here (`new`); one never moves or changes, and the reference keeps it alive. Read straight
        // from the object: this is asked several times a send, and CPython's functions check the type each time.
        unsafe {
            let bytes = self.0.cast::<ffi::PyBytesObject>();
            let start = (&raw const (*bytes).ob_sval).cast::<u8>();
            std::slice::from_raw_parts(start, ffi::Py_SIZE(self.0) as usize)
        }
    }
}
