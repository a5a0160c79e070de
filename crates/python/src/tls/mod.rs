//! TLS: the record pump between a native transport and the program's own `ssl.SSLContext`, as two types that stand in front of
//! asyncio's: `_core.TlsProtocol` and `_core.TlsTransport` (`python/rondeau/_tls.py` joins them).
//!
//! `reading` and `writing` are the pump, `flow` its back-pressure, `fatal` what ends it, `app_transport` what the program writes to; `session` finds OpenSSL's session
//! behind the `SSLObject`, `openssl` its functions, `lent` gives it memory to read from and write into; `state` is what the protocol
//! holds, `sslproto` what comes from asyncio. Handshake, shutdown, time-outs and errors are asyncio's Python code.
//!
//! Rejected: a TLS library of our own beside the program's context (its callbacks, sessions and errors are OpenSSL's); all of
//! `sslproto` in Rust (it runs once a connection, and differs between Pythons).

mod app_transport;
mod attributes;
mod fatal;
mod flow;
mod lent;
mod openssl;
mod reading;
mod session;
mod sslproto;
mod state;
mod writing;

use crate::ffi::{Python, types::Type};
use crate::transport;
use pyo3_ffi as ffi;
use state::{Object, Protocol, set_type};
use std::ffi::{c_int, c_void};
use std::ptr;

/// Every reference that a protocol holds.
unsafe fn references(object: *mut ffi::PyObject) -> [*mut *mut ffi::PyObject; 12] {
    // SAFETY: only addresses are taken, of a live instance.
    unsafe {
        let state = Protocol::from_object(object).state();
        let [a, b, c, d] = &mut state.marks;
        [
            &raw mut state.state,
            &raw mut state.sslobj,
            &raw mut state.incoming,
            &raw mut state.outgoing,
            &raw mut state.backlog,
            &raw mut state.transport,
            &raw mut state.app_protocol,
            &raw mut state.socket,
            a,
            b,
            c,
            d,
        ]
    }
}

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the collector calls this on a live instance. A subclass in Python visits its type itself.
    unsafe {
        for held in references(object) {
            if !(*held).is_null() {
                let result = visit(*held, arg);
                if result != 0 {
                    return result;
                }
            }
        }
        0
    }
}

unsafe extern "C" fn clear(object: *mut ffi::PyObject) -> c_int {
    // SAFETY: the session's pointers go before the objects that keep them alive; each field is emptied before its reference goes.
    unsafe {
        Protocol::from_object(object).state().ssl = ptr::null_mut();
        for held in references(object) {
            let before = std::mem::replace(&mut *held, ptr::null_mut());
            ffi::Py_XDECREF(before);
        }
    }
    0
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: the last reference is gone.
    unsafe { release(object, clear) }
}

/// Frees an instance of a native base whose subclasses are Python's: those deal with what they added, and then call this.
unsafe fn release(
    object: *mut ffi::PyObject,
    clear: unsafe extern "C" fn(*mut ffi::PyObject) -> c_int,
) {
    // SAFETY: called by CPython with the last reference gone. A subclass's dealloc releases the type itself, and tracks the object for
    // what it calls (CPython's `subtype_dealloc`).
    unsafe {
        let kind = ffi::Py_TYPE(object);
        ffi::PyObject_GC_UnTrack(object.cast());
        clear(object);
        let free = (*kind).tp_free.unwrap_or(ffi::PyObject_GC_Del);
        free(object.cast());
        ffi::Py_DECREF(kind.cast());
    }
}

/// The transport below one that may be encrypted, borrowed, and whether it is; NULL where there is none any more.
///
/// # Safety
/// `transport` lives.
pub unsafe fn beneath(transport: *mut ffi::PyObject) -> (*mut ffi::PyObject, bool) {
    // SAFETY: the caller's contract; the type is checked.
    unsafe {
        if app_transport::is_transport(transport) {
            (app_transport::beneath(transport), true)
        } else {
            (transport, false)
        }
    }
}

/// How records go here, for `python -m rondeau doctor`.
pub fn way() -> &'static str {
    match (openssl::functions(), sslproto::is_open()) {
        (Some(_), true) => "straight to OpenSSL",
        (None, true) => "through the ssl module's methods: this Python's OpenSSL cannot be reached",
        (_, false) => "none: this Python has no ssl module",
    }
}

/// Makes the types and adds them to the module.
pub fn init(module: *mut ffi::PyObject) -> Python<()> {
    sslproto::open()?;
    openssl::look();
    // SAFETY: the slots match their numbers and the size is the instance struct's.
    unsafe {
        let kind = Type {
            name: c"rondeau._core.TlsProtocol",
            size: size_of::<Object>(),
            flags: ffi::Py_TPFLAGS_HAVE_GC | ffi::Py_TPFLAGS_BASETYPE,
            slots: vec![
                (
                    ffi::Py_tp_doc,
                    c"The native part of a TLS connection's protocol.".as_ptr() as *mut c_void,
                ),
                (ffi::Py_tp_dealloc, dealloc as *mut c_void),
                (ffi::Py_tp_traverse, traverse as *mut c_void),
                (ffi::Py_tp_clear, clear as *mut c_void),
                (ffi::Py_tp_methods, attributes::methods()),
                (ffi::Py_tp_getset, attributes::attributes()),
                (ffi::Py_tp_members, attributes::members()),
            ],
        };
        let kind = kind.publish(module, ptr::null_mut())?;

        set_type(kind);
        transport::add_consumer(
            kind,
            |protocol, slice| Some(reading::feed(protocol, slice)),
            c"Fatal error: protocol.buffer_updated() call failed.",
        );
        app_transport::init(module)
    }
}
