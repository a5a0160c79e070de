//! `get_extra_info` and addresses. Called by protocols, mostly once a connection.
//!
//! Addresses become Python objects when somebody asks. "socket" gives an asyncio `TransportSocket`; for an accepted
//! connection this makes the Python socket, which owns the descriptor from then on.

use super::state::{State, Transport, replace};
use crate::address::address;
use crate::door;
use crate::ffi::{Python, Raised, names::names, owned::Owned};
use pyo3_ffi as ffi;
use rondeau_driver::socket;

/// Notes our own address before the descriptor is closed, since the kernel forgets it then.
pub fn keep_own_address(state: &mut State) {
    // SAFETY: called under the GIL.
    if state.fd >= 0 && state.own.is_none() && !unsafe { state.is_stale() } {
        state.own = socket::local_addr(state.fd).ok().map(Box::new);
    }
}

/// `get_extra_info(name, default)`; both borrowed.
///
/// # Safety
/// The transport is kept alive by the caller.
pub unsafe fn get(
    transport: Transport,
    name: *mut ffi::PyObject,
    default: *mut ffi::PyObject,
) -> Python<Owned> {
    // SAFETY: `name` lives; the text is read before Python runs.
    unsafe {
        let own = *extra_slot(transport);
        if !own.is_null() {
            // A program may put another dict there while the name is hashed.
            let own = Owned::from_borrowed(own);
            let found = ffi::PyDict_GetItemWithError(own.as_ptr(), name);
            if !found.is_null() {
                return Ok(Owned::from_borrowed(found));
            }
            if !ffi::PyErr_Occurred().is_null() {
                return Err(Raised);
            }
        }
        let is = |text: &std::ffi::CStr| {
            ffi::PyUnicode_Check(name) != 0
                && ffi::PyUnicode_CompareWithASCIIString(name, text.as_ptr()) == 0
        };
        if is(c"peername") {
            return match &transport.state().peer {
                Some(peer) => address(&peer.clone()),
                None => Ok(Owned::from_borrowed(default)),
            };
        }
        if is(c"sockname") {
            keep_own_address(transport.state());
            return match &transport.state().own {
                Some(own) => address(&own.clone()),
                None => Ok(Owned::from_borrowed(default)),
            };
        }
        if is(c"socket") {
            return transport_socket(transport);
        }
        Ok(Owned::from_borrowed(default))
    }
}

/// asyncio.BaseTransport's `_extra` slot: what was given at creation and what was asked for so far; NULL when empty.
///
/// # Safety
/// The transport lives.
pub unsafe fn extra_slot<'a>(transport: Transport) -> &'a mut *mut ffi::PyObject {
    // SAFETY: the offset is the slot's, read from its descriptor at import.
    unsafe { &mut *transport.object().byte_offset(super::extra_offset()).cast() }
}

unsafe fn transport_socket(transport: Transport) -> Python<Owned> {
    // SAFETY: the dict is stored before Python runs again.
    unsafe {
        // After the end (None) a closed one, as in asyncio: every call on it raises OSError.
        let sock = python_socket(transport)?;
        let made = door::cold(c"transport_socket", &[sock.as_ptr()])?;
        if (*extra_slot(transport)).is_null() {
            let dict = Owned::new(ffi::PyDict_New())?;
            replace(extra_slot(transport), dict.into_ptr());
        }
        if ffi::PyDict_SetItemString(*extra_slot(transport), c"socket".as_ptr(), made.as_ptr()) != 0
        {
            return Err(Raised);
        }
        Ok(made)
    }
}

/// The Python socket that owns the descriptor, made now where this transport owned it.
///
/// # Safety
/// The transport is kept alive by the caller.
pub unsafe fn python_socket(transport: Transport) -> Python<Owned> {
    // SAFETY: the owner changes in one step: the field is set as soon as the socket object exists.
    unsafe {
        if transport.state().sock.is_null() {
            if transport.state().fd < 0 {
                return Ok(Owned::from_borrowed(ffi::Py_None()));
            }
            let fd = Owned::new(ffi::PyLong_FromLong(transport.state().fd.into()))?;
            let sock = door::cold(c"adopt", &[fd.as_ptr()])?;
            let state = transport.state();
            if state.sock.is_null() && state.fd >= 0 {
                state.sock = sock.into_ptr();
            } else {
                // Another thread or a finalizer asked as well or ended the connection meanwhile: there is an owner already, or none.
                Owned::new(ffi::PyObject_CallMethodNoArgs(
                    sock.as_ptr(),
                    names().detach,
                ))?;
                if transport.state().sock.is_null() {
                    return Ok(Owned::from_borrowed(ffi::Py_None()));
                }
            }
        }
        Ok(Owned::from_borrowed(transport.state().sock))
    }
}
