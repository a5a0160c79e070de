//! The beginning of a connection: from a Python socket that asyncio's code connected, or straight from accept(2).
//!
//! Called by `EventLoop._make_socket_transport` and by a server's reader. The order is asyncio's: `connection_made`, then
//! reading, then the waiter, each a handle of its own in the same turn.

use super::state::{State, Transport, offset, transport_type};
use super::{close, consumer, flow, interest};
use crate::door::{self, door};
use crate::ffi::{Python, Raised, args::Args, compat, names::names, owned::Owned};
use crate::native_loop::{Loop, chunk::Chunk};
use crate::{errors, handle};
use pyo3_ffi as ffi;
use rondeau_driver::{SendQueue, SockAddr, socket};
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};
use std::{io, ptr};

/// An instance with nothing in it but its loop, descriptor and context.
unsafe fn allocate(
    loop_: Loop,
    fd: RawFd,
    peer: Option<SockAddr>,
    context: Owned,
    one_context: bool,
) -> Python<Owned> {
    // SAFETY: the instance is large enough for a State at `offset`; it is written before anyone else sees it.
    unsafe {
        let made = Owned::new(ffi::PyType_GenericAlloc(transport_type(), 0))?;
        ffi::Py_INCREF(loop_.object());
        made.as_ptr()
            .byte_add(offset())
            .cast::<State>()
            .write(State {
                loop_: loop_.object(),
                protocol: ptr::null_mut(),
                server: ptr::null_mut(),
                sock: ptr::null_mut(),
                context: context.into_ptr(),
                empty_waiter: ptr::null_mut(),
                dict: ptr::null_mut(),
                weak: ptr::null_mut(),
                out: SendQueue::<Chunk>::default(),
                peer,
                own: None,
                mark: Default::default(),
                high: flow::HIGH,
                low: flow::LOW,
                fd,
                lost: 0,
                readable: false,
                writable: false,
                queued: false,
                in_outbox: false,
                closing: false,
                paused: false,
                protocol_paused: false,
                eof: false,
                lent: false,
                buffered: false,
                consumer: 0,
                connected: false,
                own_context: one_context,
                one_context,
            });
        Ok(made)
    }
}

/// Gives the transport its protocol.
///
/// # Safety
/// Both live.
pub unsafe fn set_protocol(transport: Transport, protocol: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the new reference is stored before the old one is released.
    unsafe {
        let buffered = match ffi::PyObject_IsInstance(protocol, door().buffered_protocol.cast()) {
            -1 => return Err(Raised),
            answer => answer == 1,
        };
        transport.state().buffered = buffered;
        transport.state().consumer = consumer::of(protocol);
        ffi::Py_INCREF(protocol);
        super::state::replace(&mut transport.state().protocol, protocol);
        Ok(())
    }
}

/// Joins transport, protocol and server and schedules what follows.
unsafe fn begin(
    loop_: Loop,
    made: &Owned,
    protocol: *mut ffi::PyObject,
    server: *mut ffi::PyObject,
    waiter: *mut ffi::PyObject,
) -> Python<()> {
    // SAFETY: everything is kept alive by the caller.
    unsafe {
        let transport = Transport::from_object(made.as_ptr());
        interest::claim(transport)?;
        set_protocol(transport, protocol)?;
        transport.state().connected = true;
        if server != ffi::Py_None() {
            // Noted only then: what was not attached is not detached at the end.
            door::cold(c"attach", &[server, made.as_ptr()])?;
            ffi::Py_INCREF(server);
            transport.state().server = server;
        }
        let method = Owned::new(ffi::PyObject_GetAttr(protocol, names().connection_made))?;
        // Each handle runs in a copy of the transport's context, as `call_soon` would have made it here; from 3.15 on in itself.
        let (context, one) = (transport.state().context, transport.state().one_context);
        let soon = |callback: *mut ffi::PyObject, args: &[*mut ffi::PyObject]| {
            if one {
                return handle::call_soon(loop_, callback, args, context);
            }
            let copy = Owned::new(ffi::PyContext_Copy(context))?;
            handle::call_soon(loop_, callback, args, copy.as_ptr())
        };
        soon(method.as_ptr(), &[made.as_ptr()])?;
        let start = Owned::new(ffi::PyObject_GetAttrString(
            made.as_ptr(),
            c"_start_reading".as_ptr(),
        ))?;
        soon(start.as_ptr(), &[])?;
        if waiter != ffi::Py_None() {
            let done = Owned::new(ffi::PyObject_GetAttrString(
                door().cold,
                c"set_result".as_ptr(),
            ))?;
            soon(done.as_ptr(), &[waiter])?;
        }
        Ok(())
    }
}

/// `_transport_for(sock, protocol, waiter, extra, server, context)`: the transport of a connected Python socket, which keeps
/// owning the descriptor. A context other than None is the one that all callbacks run in (3.15).
pub unsafe extern "C" fn for_socket(
    self_: *mut ffi::PyObject,
    args: *mut *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention, on an instance of the loop's type.
    let made = unsafe {
        from_socket(
            Loop::from_object(self_),
            Args::new(args, count, ptr::null_mut()),
        )
    };
    made.map_or(ptr::null_mut(), Owned::into_ptr)
}

unsafe fn from_socket(loop_: Loop, call: Args<'_>) -> Python<Owned> {
    // SAFETY: the arguments live for the call.
    unsafe {
        call.expect_positional("_transport_for", 6, 6)?;
        let &[sock, protocol, waiter, extra, server, context] = call.positional else {
            return Err(Raised);
        };
        let fd = Owned::new(ffi::PyObject_CallMethodNoArgs(sock, names().fileno))?;
        let fd = ffi::PyLong_AsLong(fd.as_ptr());
        if fd < 0 {
            if ffi::PyErr_Occurred().is_null() {
                return Err(errors::raise_os_error(&io::Error::from_raw_os_error(
                    libc::EBADF,
                )));
            }
            return Err(Raised);
        }
        let fd = fd as RawFd;
        let one = context != ffi::Py_None();
        let context = if one {
            Owned::from_borrowed(context)
        } else {
            Owned::new(ffi::PyContext_CopyCurrent())?
        };
        let made = allocate(loop_, fd, socket::peer_addr(fd).ok(), context, one)?;
        let transport = Transport::from_object(made.as_ptr());
        ffi::Py_INCREF(sock);
        transport.state().sock = sock;
        if extra != ffi::Py_None() {
            let copy = Owned::new(ffi::PyDict_Copy(extra))?;
            *super::extra::extra_slot(transport) = copy.into_ptr();
        }
        nodelay(fd, transport.state().peer.as_ref());
        if begin(loop_, &made, protocol, server, waiter).is_err() {
            errors::keeping_raised(|| let_go(transport));
            return Err(Raised);
        }
        Ok(made)
    }
}

/// What could not begin is a closed transport, for a callback may know it already. The socket is still the caller's, who is told.
#[cold]
unsafe fn let_go(transport: Transport) {
    // SAFETY: the number is forgotten before it could be closed here; the references are released after their fields are empty.
    unsafe {
        interest::forget(transport);
        transport.state().closing = true;
        transport.state().connected = false;
        transport.state().fd = -1;
        super::state::replace(&mut transport.state().sock, ptr::null_mut());
        if close::release(transport).is_err() {
            ffi::PyErr_Clear();
        }
    }
}

/// Small writes leave at once, as asyncio has it since 3.6.
fn nodelay(fd: RawFd, peer: Option<&SockAddr>) {
    if matches!(peer, Some(SockAddr::Inet(_))) {
        // A stream that is not TCP has no such option, which is fine.
        let _ = socket::set_nodelay(fd, true);
    }
}

/// `_accept(fd, protocol_factory, server, context)`: takes one connection off a listening socket and begins it. Returns False when there
/// is none; raises OSError where accept(2) failed. A protocol factory that raises is reported and costs that connection only.
pub unsafe extern "C" fn accept(
    self_: *mut ffi::PyObject,
    args: *mut *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention, on an instance of the loop's type.
    match unsafe {
        accept_one(
            Loop::from_object(self_),
            Args::new(args, count, ptr::null_mut()),
        )
    } {
        // SAFETY: the GIL is held.
        Ok(accepted) => unsafe { ffi::PyBool_FromLong(accepted.into()) },
        Err(Raised) => ptr::null_mut(),
    }
}

unsafe fn accept_one(loop_: Loop, call: Args<'_>) -> Python<bool> {
    // SAFETY: the arguments live for the call.
    unsafe {
        call.expect_positional("_accept", 4, 4)?;
        let &[listener, factory, server, context] = call.positional else {
            return Err(Raised);
        };
        let listener = ffi::PyLong_AsLong(listener);
        if listener == -1 && !ffi::PyErr_Occurred().is_null() {
            return Err(Raised);
        }
        let (fd, peer) = match socket::accept(listener as RawFd) {
            Ok(accepted) => accepted,
            Err(error) => {
                return match error.kind() {
                    io::ErrorKind::WouldBlock
                    | io::ErrorKind::Interrupted
                    | io::ErrorKind::ConnectionAborted => Ok(false),
                    _ => Err(errors::raise_os_error(&error)),
                };
            }
        };
        let one = context != ffi::Py_None();
        let shared = Owned::new(if one {
            ffi::PyContext_Copy(context)
        } else {
            ffi::PyContext_CopyCurrent()
        })?;
        nodelay(fd.as_raw_fd(), Some(&peer));
        if ffi::PyContext_Enter(shared.as_ptr()) != 0 {
            return Err(Raised);
        }
        let protocol = Owned::new(ffi::PyObject_CallNoArgs(factory));
        ffi::PyContext_Exit(shared.as_ptr());
        let begun = protocol.and_then(|protocol| {
            let made = allocate(loop_, fd.as_raw_fd(), Some(peer), shared, one)?;
            let _ = fd.into_raw_fd(); // The transport's from here on.
            let begun = begin(loop_, &made, protocol.as_ptr(), server, ffi::Py_None());
            if begun.is_err() {
                let raised = compat::take_raised();
                let _ = close::release(Transport::from_object(made.as_ptr()));
                compat::set_raised(raised);
            }
            begun
        });
        if begun.is_err() {
            report(loop_)?;
        }
        Ok(true)
    }
}

#[cold]
unsafe fn report(loop_: Loop) -> Python<()> {
    // SAFETY: an exception is set and taken before Python runs.
    unsafe {
        if crate::errors::leaves_the_loop() {
            return Err(Raised);
        }
        let exception = Owned::new(compat::take_raised())?;
        door::cold(c"accept_failed", &[loop_.object(), exception.as_ptr()])?;
        Ok(())
    }
}
