//! What the native half of a TLS protocol is: its instance, and how other files get at it.
//!
//! `rondeau._tls.SSLProtocol` is `_core.TlsProtocol` in front of `asyncio.sslproto.SSLProtocol`, as the loop is in front of asyncio's:
//! handshake, shutdown, time-outs, errors and extra information are asyncio's own code, in this Python's form. What that code
//! shares with the pump lies here, under asyncio's names (`attributes`), so that both read and write the same fields.
//!
//! All zeroes is a valid state: CPython allocates it so, and asyncio's `__init__` fills it.

use super::openssl::{Bio, Ssl};
use crate::ffi::{Python, gil::GilCell, owned::Owned};
use pyo3_ffi as ffi;
use std::ffi::c_char;
use std::ptr;

/// An instance: CPython's header, then ours.
#[repr(C)]
pub struct Object {
    ob_base: ffi::PyObject,
    state: State,
}

/// The fields. Objects are strong references, or NULL.
#[repr(C)]
pub struct State {
    /// `_state`: a member of `SSLProtocolState`.
    pub state: *mut ffi::PyObject,
    /// `_sslobj`: the `ssl.SSLObject`.
    pub sslobj: *mut ffi::PyObject,
    /// `_incoming`, `_outgoing`: the `ssl.MemoryBIO`s.
    pub incoming: *mut ffi::PyObject,
    pub outgoing: *mut ffi::PyObject,
    /// `_write_backlog`: a deque of what could not be encrypted yet.
    pub backlog: *mut ffi::PyObject,
    /// `_transport`: what the records go over.
    pub transport: *mut ffi::PyObject,
    /// `_app_protocol`.
    pub app_protocol: *mut ffi::PyObject,
    /// The four marks, as they were set.
    pub marks: [*mut ffi::PyObject; 4],
    /// The `_ssl._SSLSocket` that owns `ssl`.
    pub socket: *mut ffi::PyObject,
    /// `_write_buffer_size`: bytes in the backlog.
    pub backlog_size: ffi::Py_ssize_t,
    /// The four marks, to compare with; see `Mark`.
    pub bounds: [f64; 4],
    /// The session behind `sslobj` and its two BIOs; NULL where records go through `ssl`'s methods.
    pub ssl: *mut Ssl,
    pub incoming_bio: *mut Bio,
    pub outgoing_bio: *mut Bio,
    /// `_ssl_writing_paused`: the transport's buffer is full.
    pub ssl_writing_paused: c_char,
    /// `_app_reading_paused`.
    pub app_reading_paused: c_char,
    /// `_ssl_reading_paused`: the transport was told to pause.
    pub ssl_reading_paused: c_char,
    /// `_app_writing_paused`: the app was told to pause.
    pub app_writing_paused: c_char,
    /// `_app_protocol_is_buffer`.
    pub app_is_buffer: c_char,
    /// The app's protocol is a native TLS protocol: TLS in TLS.
    pub app_is_tls: bool,
}

/// The four marks of flow control, by their place in `State::marks`.
#[derive(Clone, Copy)]
#[repr(usize)]
pub enum Mark {
    OutgoingHigh,
    OutgoingLow,
    IncomingHigh,
    IncomingLow,
}

static TYPE: GilCell<*mut ffi::PyTypeObject> = GilCell::new(ptr::null_mut());

/// Notes the type `_core.TlsProtocol`; called once, at import.
pub fn set_type(kind: *mut ffi::PyTypeObject) {
    // SAFETY: the import runs alone.
    unsafe { *TYPE.get() = kind }
}

/// Whether `object` is a native TLS protocol.
///
/// # Safety
/// `object` lives.
#[inline]
pub unsafe fn is_protocol(object: *mut ffi::PyObject) -> bool {
    // SAFETY: written once at import.
    unsafe { ffi::PyObject_TypeCheck(object, *TYPE.get()) != 0 }
}

/// A live protocol, borrowed.
#[derive(Clone, Copy)]
pub struct Protocol(*mut ffi::PyObject);

impl Protocol {
    /// # Safety
    /// `object` is a live instance of `_core.TlsProtocol`.
    #[inline]
    pub unsafe fn from_object(object: *mut ffi::PyObject) -> Protocol {
        Protocol(object)
    }

    /// The Python object, borrowed.
    #[inline]
    pub fn object(self) -> *mut ffi::PyObject {
        self.0
    }

    /// One of the fields that hold an object, kept; AttributeError where a program has deleted it.
    ///
    /// # Safety
    /// The protocol lives.
    #[inline]
    pub unsafe fn kept(
        self,
        name: &str,
        field: impl FnOnce(&State) -> *mut ffi::PyObject,
    ) -> Python<Owned> {
        // SAFETY: the borrow ends before the reference is taken.
        unsafe { Owned::from_field(field(self.state()), "SSLProtocol", name) }
    }

    /// The fields, to read or write.
    ///
    /// # Safety
    /// The GIL is held and the borrow ends before Python code can run.
    #[inline]
    pub unsafe fn state<'a>(self) -> &'a mut State {
        // SAFETY: the instance is an Object.
        unsafe { &mut (*self.0.cast::<Object>()).state }
    }
}

/// Where a field lies in an instance, for CPython's table of members.
pub const fn offset(field: usize) -> ffi::Py_ssize_t {
    (std::mem::offset_of!(Object, state) + field) as ffi::Py_ssize_t
}
