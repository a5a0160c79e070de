//! Connections: the type `_core.SocketTransport`, an `asyncio.Transport`, for TCP and Unix stream sockets.
//!
//! `state` is what it holds, `make` its beginning, `read` and `write` its life, `flow` its back-pressure, `extra` what it tells
//! of itself, `close` its end, `consumer` a protocol that takes the driver's slice itself; `interest` is what the kernel is asked for. This file is the Python surface.

mod attributes;
mod close;
mod consumer;
mod direct;
mod extra;
mod flow;
mod interest;
mod make;
mod methods;
mod outgoing;
mod read;
mod state;
mod write;

pub use consumer::add as add_consumer;
pub use direct::{close, is_closing, pause_reading, resume_reading, write};
pub use outgoing::send_outbox;
pub use read::{note_readiness, on_ready};
pub use state::transport_type;
pub use write::write_to;

use crate::door::door;
use crate::ffi::{
    Python, Raised, compat,
    gil::GilCell,
    owned::Owned,
    types::{Type, fast, one},
};
use crate::native_loop::Loop;
use crate::native_loop::descriptors::Slot;
use crate::recorder::Mark;
use pyo3_ffi as ffi;
use state::{State, Transport, offset, replace, set_type};
use std::ffi::{CStr, c_int, c_void};
use std::ptr;

/// The loop's method that makes a transport of a connected socket.
pub const FOR_SOCKET: ffi::PyMethodDef = fast(
    c"_transport_for",
    make::for_socket,
    c"_transport_for($self, sock, protocol, waiter, extra, server, context, /)\n--\n\n",
);
/// The loop's method that accepts one connection.
pub const ACCEPT: ffi::PyMethodDef = fast(
    c"_accept",
    make::accept,
    c"_accept($self, fd, protocol_factory, server, context, /)\n--\n\n",
);
/// The loop's method that names the transport of a descriptor.
pub const TRANSPORT_OF: ffi::PyMethodDef = one(
    c"_transport_of",
    transport_of,
    c"_transport_of($self, fd, /)\n--\n\n",
);
/// The loop's method that lists a server's transports.
pub const TRANSPORTS_OF: ffi::PyMethodDef = one(
    c"_transports_of",
    transports_of,
    c"_transports_of($self, server, /)\n--\n\n",
);

static EXTRA: GilCell<isize> = GilCell::new(0);

/// Where asyncio.BaseTransport keeps `_extra` in an instance.
#[inline]
fn extra_offset() -> isize {
    // SAFETY: written once at import.
    unsafe { *EXTRA.get() }
}

/// Whether `object` is a socket transport.
///
/// # Safety
/// `object` lives.
#[inline]
pub unsafe fn is_socket_transport(object: *mut ffi::PyObject) -> bool {
    // SAFETY: the caller's contract. The type has no subclasses.
    unsafe { ffi::Py_TYPE(object) == transport_type() }
}

/// The protocol of a transport, borrowed; NULL once the connection is lost.
///
/// # Safety
/// `object` is a live socket transport.
#[inline]
pub unsafe fn protocol_of(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: the caller's contract; the borrow ends here.
    unsafe { Transport::from_object(object).state().protocol }
}

/// The recorder's mark of a transport, to read or write, and its peer's address.
///
/// # Safety
/// `object` is a live socket transport, and the borrow ends before Python code can run.
pub unsafe fn mark_and_peer<'a>(
    object: *mut ffi::PyObject,
) -> (&'a mut Mark, Option<&'a rondeau_driver::SockAddr>) {
    // SAFETY: the caller's contract.
    unsafe {
        let state = Transport::from_object(object).state();
        (&mut state.mark, state.peer.as_ref())
    }
}

/// The peer's address, where it is known.
///
/// # Safety
/// `object` is a live transport, and the borrow ends before Python code can run.
pub unsafe fn peer<'a>(object: *mut ffi::PyObject) -> Option<&'a rondeau_driver::SockAddr> {
    // SAFETY: the caller's contract.
    unsafe { Transport::from_object(object).state().peer.as_ref() }
}

unsafe extern "C" fn transport_of(
    self_: *mut ffi::PyObject,
    fd: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance of the loop's type.
    unsafe {
        let mut overflow = 0;
        let number = ffi::PyLong_AsLongAndOverflow(fd, &mut overflow);
        if number == -1 && !ffi::PyErr_Occurred().is_null() {
            return ptr::null_mut();
        }
        // A number that no descriptor has is no transport's either.
        let number = i32::try_from(number).unwrap_or(-1);
        let found = match Loop::from_object(self_).parts().descriptors.get(number) {
            Some(Slot::Transport { object, .. }) => object.as_ptr(),
            _ => ffi::Py_None(),
        };
        Owned::from_borrowed(found).into_ptr()
    }
}

unsafe extern "C" fn transports_of(
    self_: *mut ffi::PyObject,
    server: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance of the loop's type; the transports get references before Python runs.
    unsafe {
        let mut found = Vec::new();
        for (_, slot) in Loop::from_object(self_).parts().descriptors.iter() {
            if let Slot::Transport { object, .. } = slot
                && Transport::from_object(object.as_ptr()).state().server == server
            {
                found.push(Owned::from_borrowed(object.as_ptr()));
            }
        }
        let list = ffi::PyList_New(found.len() as ffi::Py_ssize_t);
        if !list.is_null() {
            for (index, transport) in found.into_iter().enumerate() {
                ffi::PyList_SET_ITEM(list, index as ffi::Py_ssize_t, transport.into_ptr());
            }
        }
        list
    }
}

fn references(state: &State) -> [*mut ffi::PyObject; 7] {
    [
        state.loop_,
        state.protocol,
        state.server,
        state.sock,
        state.context,
        state.empty_waiter,
        state.dict,
    ]
}

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the collector calls this on a live instance with no borrow alive.
    unsafe {
        let transport = Transport::from_object(object);
        let extra = *extra::extra_slot(transport);
        let kind = ffi::Py_TYPE(object).cast::<ffi::PyObject>();
        for held in references(transport.state())
            .into_iter()
            .chain([extra, kind])
        {
            if !held.is_null() {
                let result = visit(held, arg);
                if result != 0 {
                    return result;
                }
            }
        }
        0
    }
}

unsafe extern "C" fn clear(object: *mut ffi::PyObject) -> c_int {
    // SAFETY: an unreachable transport is not registered (the loop would hold it): closing it reaches nobody else.
    unsafe {
        let transport = Transport::from_object(object);
        if close::release(transport).is_err() {
            ffi::PyErr_Clear();
        }
        replace(extra::extra_slot(transport), ptr::null_mut());
        replace(&mut transport.state().dict, ptr::null_mut());
        0
    }
}

/// A transport that nobody refers to and that was never closed: warns as asyncio does, then closes it.
unsafe extern "C" fn finalize(object: *mut ffi::PyObject) {
    // SAFETY: the object is alive during finalisation; an exception on its way is put aside.
    unsafe {
        let transport = Transport::from_object(object);
        if transport.state().fd < 0 {
            return;
        }
        let raised = compat::take_raised();
        if crate::door::cold(c"unclosed", &[object]).is_err() {
            ffi::PyErr_WriteUnraisable(object);
        }
        if close::release(transport).is_err() {
            ffi::PyErr_WriteUnraisable(object);
        }
        compat::set_raised(raised);
    }
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: the last reference is gone; the finalizer may bring the object back, which ends this.
    unsafe {
        if ffi::PyObject_CallFinalizerFromDealloc(object) < 0 {
            return;
        }
        let kind = ffi::Py_TYPE(object);
        ffi::PyObject_GC_UnTrack(object.cast());
        let transport = Transport::from_object(object);
        if !transport.state().weak.is_null() {
            ffi::PyObject_ClearWeakRefs(object);
        }
        clear(object);
        ptr::drop_in_place(object.byte_add(offset()).cast::<State>());
        ffi::PyObject_GC_Del(object.cast());
        ffi::Py_DECREF(kind.cast());
    }
}

/// Makes the type and adds it to the module.
pub fn init(module: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the slots match their numbers; the size covers asyncio.Transport's slots and the state.
    unsafe {
        let base = door().transport;
        let descriptor = Owned::new(ffi::PyObject_GetAttrString(base.cast(), c"_extra".as_ptr()))?;
        let Some(extra) = compat::slot_offset(descriptor.as_ptr()) else {
            crate::ffi::args::raise(
                ffi::PyExc_ImportError,
                "rondeau: asyncio.BaseTransport._extra is not a slot in this Python; this version of rondeau does not know it",
            );
            return Err(Raised);
        };
        *EXTRA.get() = extra;
        let at = |name: &'static CStr, field: usize| ffi::PyMemberDef {
            name: name.as_ptr(),
            type_code: ffi::Py_T_PYSSIZET,
            offset: (offset() + field) as ffi::Py_ssize_t,
            flags: ffi::Py_READONLY,
            doc: ptr::null(),
        };
        let members = crate::ffi::types::table([
            at(c"__weaklistoffset__", std::mem::offset_of!(State, weak)),
            at(c"__dictoffset__", std::mem::offset_of!(State, dict)),
        ]);
        let kind = Type {
            name: c"rondeau._core.SocketTransport",
            size: offset() + size_of::<State>(),
            flags: ffi::Py_TPFLAGS_HAVE_GC | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION,
            slots: vec![
                (
                    ffi::Py_tp_doc,
                    c"A connected stream socket on a Rondeau loop.".as_ptr() as *mut c_void,
                ),
                (ffi::Py_tp_dealloc, dealloc as *mut c_void),
                (ffi::Py_tp_finalize, finalize as *mut c_void),
                (ffi::Py_tp_traverse, traverse as *mut c_void),
                (ffi::Py_tp_clear, clear as *mut c_void),
                (ffi::Py_tp_repr, methods::repr as *mut c_void),
                (ffi::Py_tp_methods, methods::methods()),
                (ffi::Py_tp_getset, attributes::attributes()),
                (ffi::Py_tp_members, members),
            ],
        };
        let kind = kind.publish(module, base.cast())?;
        let theirs = crate::door::import(c"asyncio.selector_events")?;
        let theirs = crate::door::attribute(&theirs, c"_SelectorSocketTransport")?;
        crate::stand_in::native::put(kind.cast(), kind, &theirs, &[c"write"])?;
        set_type(kind);
        debug_assert!(!transport_type().is_null());
    }
    Ok(())
}
