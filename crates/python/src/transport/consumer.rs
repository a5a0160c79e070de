//! A protocol that takes what was read as it lies in the driver's buffer, without a Python call in between: TLS.
//!
//! Noted at import by the room above, which this one does not name. Asked by `make::set_protocol`, called by `read`.

use crate::ffi::{Python, gil::GilCell};
use pyo3_ffi as ffi;
use std::ptr;

/// Takes a slice for the time of the call: `feed(protocol, slice)`.
pub type Feed = unsafe fn(*mut ffi::PyObject, &[u8]) -> Python<()>;

struct Consumer {
    kind: *mut ffi::PyTypeObject,
    feed: Feed,
}

unsafe fn nothing(_: *mut ffi::PyObject, _: &[u8]) -> Python<()> {
    Ok(())
}

static CONSUMER: GilCell<Consumer> = GilCell::new(Consumer {
    kind: ptr::null_mut(),
    feed: nothing,
});

/// Notes the type and its function; called once, at import.
pub fn set_consumer(kind: *mut ffi::PyTypeObject, feed: Feed) {
    // SAFETY: the import runs alone.
    unsafe { *CONSUMER.get() = Consumer { kind, feed } }
}

/// Whether `protocol` is one.
///
/// # Safety
/// `protocol` lives.
pub unsafe fn is_consumer(protocol: *mut ffi::PyObject) -> bool {
    // SAFETY: written at import; a transport is made later.
    unsafe {
        let kind = CONSUMER.get().kind;
        !kind.is_null() && ffi::PyObject_TypeCheck(protocol, kind) != 0
    }
}

/// The function that takes the slice.
pub fn feed() -> Feed {
    // SAFETY: written at import only.
    unsafe { CONSUMER.get().feed }
}
