//! What a socket transport is: its instance, its flags, and how other files get at them.
//!
//! Read by the files of `transport/`. Kept small, since ten thousand idle ones are held at once: addresses become Python
//! objects when somebody asks, the send queue allocates when something is pending, the context is shared until a callback runs.
//!
//! One descriptor, one owner: either this struct (`sock` is NULL; accepted connections) or the Python socket in `sock`
//! (connections made by asyncio's code, and after `get_extra_info("socket")` made one). `fd` is -1 once it was closed.

use crate::door::door;
use crate::ffi::gil::GilCell;
use crate::native_loop::{Loop, chunk::Chunk};
use crate::recorder::Mark;
use crate::sock_calls::python_socket;
use pyo3_ffi as ffi;
use rondeau_driver::{SendQueue, SockAddr};
use std::os::fd::RawFd;
use std::ptr;

/// The transport's own fields.
pub struct State {
    /// The loop; strong. NULL once the connection is lost.
    pub loop_: *mut ffi::PyObject,
    /// The protocol; strong. NULL once the connection is lost.
    pub protocol: *mut ffi::PyObject,
    /// The server that accepted it; strong, or NULL.
    pub server: *mut ffi::PyObject,
    /// The Python socket that owns the descriptor; strong. NULL: this struct owns it.
    pub sock: *mut ffi::PyObject,
    /// The context that callbacks run in; strong. Shared with the listener while `own_context` is false.
    pub context: *mut ffi::PyObject,
    /// Set while `sendfile` waits for the queue to empty; strong, or NULL.
    pub empty_waiter: *mut ffi::PyObject,
    /// Attributes that the program sets; NULL while there are none.
    pub dict: *mut ffi::PyObject,
    /// Weak references to the transport.
    pub weak: *mut ffi::PyObject,
    /// What was written and not yet sent.
    pub out: SendQueue<Chunk>,
    /// The peer's address, as accept(2) or getpeername(2) gave it; the kernel forgets it when the peer goes.
    pub peer: Option<SockAddr>,
    /// Our own address, noted when the descriptor is closed.
    pub own: Option<Box<SockAddr>>,
    /// Above this many pending bytes the protocol is paused.
    pub high: usize,
    /// At this many it is resumed.
    pub low: usize,
    /// What the recorder knows its peer by.
    pub mark: Mark,
    /// The descriptor; -1 once closed.
    pub fd: RawFd,
    /// How often something happened after the connection was lost.
    pub lost: u32,
    /// Readiness that waits for its turn.
    pub readable: bool,
    /// As `readable`.
    pub writable: bool,
    /// The transport is on the agenda.
    pub queued: bool,
    /// The transport is in the loop's outbox.
    pub in_outbox: bool,
    /// `close()` or an error ended it.
    pub closing: bool,
    /// `pause_reading()`.
    pub paused: bool,
    /// The protocol was told to pause writing.
    pub protocol_paused: bool,
    /// `write_eof()`.
    pub eof: bool,
    /// `sendfile` has the descriptor: its writer's handle is in the loop's slot, in the transport's place.
    pub lent: bool,
    /// The protocol is a `BufferedProtocol`.
    pub buffered: bool,
    /// Which consumer takes the driver's slice for the protocol; 0 for none.
    pub consumer: u8,
    /// The protocol was told of the connection, or will be.
    pub connected: bool,
    /// `context` is this transport's own copy.
    pub own_context: bool,
    /// Every callback of the connection runs in `context` itself, as from CPython 3.15 on; before, `connection_made` and
    /// `connection_lost` have copies.
    pub one_context: bool,
}

impl State {
    /// The program closed the Python socket that owns the descriptor, so the number is nobody's or another's. Asked before each
    /// system call that would act on it.
    ///
    /// # Safety
    /// The GIL is held.
    #[inline]
    pub unsafe fn is_stale(&self) -> bool {
        // SAFETY: the field's reference keeps the socket alive.
        !self.sock.is_null() && unsafe { !python_socket::still_has(self.sock, self.fd) }
    }
}

static TYPE: GilCell<*mut ffi::PyTypeObject> = GilCell::new(ptr::null_mut());

/// The type `_core.SocketTransport`.
#[inline]
pub fn transport_type() -> *mut ffi::PyTypeObject {
    // SAFETY: written once at import.
    unsafe { *TYPE.get() }
}

/// Notes the type; called once, at import.
pub fn set_type(kind: *mut ffi::PyTypeObject) {
    // SAFETY: the import runs alone.
    unsafe { *TYPE.get() = kind }
}

/// Where `State` begins in an instance: after asyncio.Transport's slots.
#[inline]
pub fn offset() -> usize {
    // SAFETY: the door's type is live.
    unsafe { ((*door().transport).tp_basicsize as usize).next_multiple_of(align_of::<State>()) }
}

/// A live transport, borrowed.
#[derive(Clone, Copy)]
pub struct Transport(*mut ffi::PyObject);

impl Transport {
    /// # Safety
    /// `object` is a live instance of `_core.SocketTransport`.
    #[inline]
    pub unsafe fn from_object(object: *mut ffi::PyObject) -> Transport {
        Transport(object)
    }

    /// The Python object, borrowed.
    #[inline]
    pub fn object(self) -> *mut ffi::PyObject {
        self.0
    }

    /// The fields, to read or write.
    ///
    /// # Safety
    /// The GIL is held and the borrow ends before Python code can run.
    #[inline]
    pub unsafe fn state<'a>(self) -> &'a mut State {
        // SAFETY: the instance has a State there, initialised when it was made.
        unsafe { &mut *self.0.byte_add(offset()).cast::<State>() }
    }

    /// The loop, unless the connection is lost.
    ///
    /// # Safety
    /// The GIL is held.
    #[inline]
    pub unsafe fn event_loop(self) -> Option<Loop> {
        // SAFETY: a transport's loop is native: `make` takes no other.
        unsafe {
            let object = self.state().loop_;
            (!object.is_null()).then(|| Loop::from_object(object))
        }
    }
}

/// Stores an owned reference (or NULL) and only then releases the old one.
///
/// # Safety
/// The field's reference is owned by the field; Python code may run.
pub unsafe fn replace(field: &mut *mut ffi::PyObject, value: *mut ffi::PyObject) {
    let old = std::mem::replace(field, value);
    // SAFETY: the old reference was the field's.
    unsafe { ffi::Py_XDECREF(old) }
}
