//! What native streams ask of their transport: of ours straight, of any other by its methods.
//!
//! Called by `streams/`. A transport of ours that a program put attributes on is asked by its methods too: one of them may be there.

use super::state::{Transport, transport_type};
use super::{close as closing, methods, write as writing};
use crate::ffi::{Python, Raised, depth::Deeper, names::names, owned::Owned};
use pyo3_ffi as ffi;

/// The transport of ours that `object` is, if nothing was put in front of its methods.
///
/// # Safety
/// `object` is live.
#[inline]
unsafe fn own(object: *mut ffi::PyObject) -> Option<Transport> {
    // SAFETY: the type is checked before the layout is relied on.
    unsafe {
        if ffi::Py_TYPE(object) != transport_type() {
            return None;
        }
        let transport = Transport::from_object(object);
        transport.state().dict.is_null().then_some(transport)
    }
}

/// Asks any other: it may be a writer, which asks its transport in turn.
#[cold]
unsafe fn by_method(object: *mut ffi::PyObject, name: *mut ffi::PyObject) -> Python<Owned> {
    // SAFETY: the caller keeps the object alive.
    unsafe {
        let _deeper = Deeper::enter()?;
        Owned::new(ffi::PyObject_CallMethodNoArgs(object, name))
    }
}

/// `transport.write(data)`: what it returns.
///
/// # Safety
/// The objects live, and the caller keeps the transport alive.
#[inline]
pub unsafe fn write(object: *mut ffi::PyObject, data: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the caller's contract.
    unsafe {
        match own(object) {
            Some(transport) => writing::write(transport, data),
            None => {
                let _deeper = Deeper::enter()?;
                Owned::new(ffi::PyObject_CallMethodOneArg(object, names().write, data)).map(drop)
            }
        }
    }
}

/// `transport.is_closing()`, as a truth.
///
/// # Safety
/// As for `write`.
#[inline]
pub unsafe fn is_closing(object: *mut ffi::PyObject) -> Python<bool> {
    // SAFETY: the caller's contract.
    unsafe {
        if let Some(transport) = own(object) {
            return Ok(transport.state().closing);
        }
        let answer = by_method(object, names().is_closing)?;
        match ffi::PyObject_IsTrue(answer.as_ptr()) {
            -1 => Err(Raised),
            truth => Ok(truth == 1),
        }
    }
}

/// `transport.close()`.
///
/// # Safety
/// As for `write`.
pub unsafe fn close(object: *mut ffi::PyObject) -> Python<Owned> {
    // SAFETY: the caller's contract.
    unsafe {
        match own(object) {
            Some(transport) => {
                closing::close(transport).map(|()| Owned::from_borrowed(ffi::Py_None()))
            }
            None => by_method(object, names().close),
        }
    }
}

/// `transport.pause_reading()`.
///
/// # Safety
/// As for `write`.
pub unsafe fn pause_reading(object: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the caller's contract.
    unsafe {
        match own(object) {
            Some(transport) => methods::pause(transport),
            None => by_method(object, names().pause_reading).map(drop),
        }
    }
}

/// `transport.resume_reading()`.
///
/// # Safety
/// As for `write`.
pub unsafe fn resume_reading(object: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the caller's contract.
    unsafe {
        match own(object) {
            Some(transport) => methods::resume(transport),
            None => by_method(object, names().resume_reading).map(drop),
        }
    }
}
