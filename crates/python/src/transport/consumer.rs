//! Protocols that take what was read as it lies in the driver's buffer, without a Python call in between: TLS and streams.
//!
//! Noted at import by the rooms above, which this one does not name. Asked by `make::set_protocol`, called by `read`.

use crate::ffi::{Python, gil::GilCell};
use pyo3_ffi as ffi;
use std::ffi::CStr;

/// Takes a slice for the time of the call: `feed(protocol, slice)`. None: the protocol's own method must be called, since it may be
/// another than the type's.
pub type Feed = unsafe fn(*mut ffi::PyObject, &[u8]) -> Option<Python<()>>;

/// One of them.
#[derive(Clone, Copy)]
pub struct Consumer {
    kind: *mut ffi::PyTypeObject,
    /// The function that takes the slice.
    pub feed: Feed,
    /// What is reported where it fails.
    pub failed: &'static CStr,
}

static CONSUMERS: GilCell<Vec<Consumer>> = GilCell::new(Vec::new());

/// Notes a type and its function; called at import, once for each.
pub fn add(kind: *mut ffi::PyTypeObject, feed: Feed, failed: &'static CStr) {
    // SAFETY: the import runs alone.
    unsafe { CONSUMERS.get() }.push(Consumer { kind, feed, failed });
}

/// The number of the consumer that `protocol` is; 0 for none.
///
/// # Safety
/// `protocol` lives.
pub unsafe fn of(protocol: *mut ffi::PyObject) -> u8 {
    // SAFETY: written at import; a transport is made later. A look at a type runs no Python code.
    unsafe {
        CONSUMERS
            .get()
            .iter()
            .position(|each| ffi::PyObject_TypeCheck(protocol, each.kind) != 0)
            .map_or(0, |index| index as u8 + 1)
    }
}

/// The consumer of that number, which is not 0.
pub fn get(number: u8) -> Consumer {
    // SAFETY: written at import only; the copy ends the borrow.
    unsafe { CONSUMERS.get()[usize::from(number) - 1] }
}
