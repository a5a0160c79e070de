//! The session behind an `ssl.SSLObject`: which functions reach it, and those that go through `ssl`'s own methods.
//!
//! Found when asyncio's `__init__` sets `_sslobj`. Records go straight to OpenSSL where all is what it looks like: the exact types of
//! `ssl`, and the pointers where CPython 3.11–3.15 keep them, each checked against another that is known. A program's subclass
//! of `SSLObject`, a `msg_callback` (whose exceptions `_ssl` collects itself) or another layout: then every record goes through
//! `SSLObject.read` and `write`, as in asyncio.
//!
//! Only success and "no whole record yet" are dealt with here. Whatever else OpenSSL says is asked again through `ssl`'s methods, which find
//! the same answer and raise what Python raises for it.

use super::openssl::{Bio, Functions, Ssl, functions};
use super::sslproto::{SslProto, method, sslproto};
use super::state::{Protocol, State};
use crate::ffi::{Python, Raised, names::names, owned::Owned};
use pyo3_ffi as ffi;
use std::ffi::c_void;
use std::ptr;

/// `BIO_CTRL_PENDING`.
const PENDING: std::ffi::c_int = 10;

/// The beginning of an instance of `_ssl._SSLSocket` (Modules/_ssl.c, `PySSLSocket`).
#[repr(C)]
struct SslSocket {
    ob_base: ffi::PyObject,
    socket: *mut ffi::PyObject,
    ssl: *mut Ssl,
    context: *mut ffi::PyObject,
}

/// The beginning of an instance of `_ssl.MemoryBIO` (Modules/_ssl.c, `PySSLMemoryBIO`).
#[repr(C)]
struct MemoryBio {
    ob_base: ffi::PyObject,
    bio: *mut Bio,
}

/// A session that OpenSSL is asked for directly.
#[derive(Clone, Copy)]
pub struct Direct {
    pub functions: &'static Functions,
    pub ssl: *mut Ssl,
}

impl Direct {
    /// The protocol's session; None where records go through `ssl`'s methods.
    ///
    /// # Safety
    /// The protocol lives.
    #[inline]
    pub unsafe fn of(protocol: Protocol) -> Option<Direct> {
        // SAFETY: the borrow ends here.
        let ssl = unsafe { protocol.state().ssl };
        if ssl.is_null() {
            return None;
        }
        functions().map(|functions| Direct { functions, ssl })
    }

    /// Bytes that wait in a MemoryBIO.
    ///
    /// # Safety
    /// The BIO is the session's.
    #[inline]
    pub unsafe fn pending(self, bio: *mut Bio) -> usize {
        // SAFETY: the caller's contract; the control writes nothing.
        let count = unsafe { (self.functions.bio_control)(bio, PENDING, 0, ptr::null_mut()) };
        count.max(0) as usize
    }
}

/// Notes the session of a new `_sslobj`.
///
/// # Safety
/// The protocol lives; Python code may run.
pub unsafe fn note(protocol: Protocol) -> Python<()> {
    // SAFETY: each borrow ends before Python runs; the objects are kept alive by the state or by a reference here.
    unsafe {
        let state = protocol.state();
        (state.ssl, state.incoming_bio, state.outgoing_bio) =
            (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        let before = std::mem::replace(&mut state.socket, ptr::null_mut());
        if !before.is_null() {
            drop(Owned::from_owned(before));
        }
        let state = protocol.state();
        let (Some(functions), Ok(known)) = (functions(), sslproto()) else {
            ffi::PyErr_Clear();
            return Ok(());
        };
        if state.sslobj.is_null() || ffi::Py_TYPE(state.sslobj) != known.ssl_object {
            return Ok(());
        }
        let object = Owned::from_borrowed(state.sslobj);
        let socket = Owned::new(ffi::PyObject_GetAttr(object.as_ptr(), names()._sslobj))?;
        let context = Owned::new(ffi::PyObject_GetAttr(object.as_ptr(), names().context))?;
        let callback = Owned::new(ffi::PyObject_GetAttr(
            context.as_ptr(),
            names()._msg_callback,
        ));
        match callback {
            Ok(callback) if callback.as_ptr() == ffi::Py_None() => {}
            Ok(_) => return Ok(()),
            Err(_) => {
                ffi::PyErr_Clear();
                return Ok(());
            }
        }
        if let Some((ssl, incoming, outgoing)) =
            look_inside(functions, known, protocol.state(), &socket, &context)
        {
            let state = protocol.state();
            (state.ssl, state.incoming_bio, state.outgoing_bio) = (ssl, incoming, outgoing);
            state.socket = socket.into_ptr();
        }
        Ok(())
    }
}

/// The session and its BIOs, if everything is where it is expected.
unsafe fn look_inside(
    functions: &Functions,
    known: &SslProto,
    state: &State,
    socket: &Owned,
    context: &Owned,
) -> Option<(*mut Ssl, *mut Bio, *mut Bio)> {
    // SAFETY: each type is checked before its layout is relied on; `ssl` is called only where its neighbours are what they must be: no
    // Python socket before it and this very context after it.
    unsafe {
        let exact = |object: *mut ffi::PyObject, kind: *mut ffi::PyTypeObject, size: usize| {
            !object.is_null()
                && ffi::Py_TYPE(object) == kind
                && (*kind).tp_basicsize as usize >= size
        };
        if !exact(socket.as_ptr(), known.ssl_socket, size_of::<SslSocket>())
            || !exact(state.incoming, known.memory_bio, size_of::<MemoryBio>())
            || !exact(state.outgoing, known.memory_bio, size_of::<MemoryBio>())
        {
            return None;
        }
        let inner = socket.as_ptr().cast::<SslSocket>();
        let ssl = (*inner).ssl;
        if ssl.is_null() || !(*inner).socket.is_null() || (*inner).context != context.as_ptr() {
            return None;
        }
        let incoming = (*state.incoming.cast::<MemoryBio>()).bio;
        let outgoing = (*state.outgoing.cast::<MemoryBio>()).bio;
        let agrees = (functions.ex_data)(ssl, 0) == socket.as_ptr().cast::<c_void>()
            && (functions.reader)(ssl) == incoming
            && (functions.writer)(ssl) == outgoing
            && !incoming.is_null()
            && !outgoing.is_null();
        agrees.then_some((ssl, incoming, outgoing))
    }
}

/// `_incoming.write(slice)`.
///
/// # Safety
/// The protocol lives.
pub unsafe fn give(protocol: Protocol, slice: &[u8]) -> Python<()> {
    // SAFETY: MemoryBIO copies what the view shows before it returns, so that the view need not outlive the slice.
    unsafe {
        let bio = protocol.kept("_incoming", |state| state.incoming)?;
        let view = Owned::new(ffi::PyMemoryView_FromMemory(
            slice.as_ptr() as *mut _,
            slice.len() as ffi::Py_ssize_t,
            ffi::PyBUF_READ,
        ))?;
        method(names().write, &[bio.as_ptr(), view.as_ptr()]).map(drop)
    }
}

/// What waits in `_incoming` (or `_outgoing`), in bytes.
///
/// # Safety
/// The protocol lives.
pub unsafe fn pending(protocol: Protocol, outgoing: bool) -> Python<usize> {
    // SAFETY: the borrow ends before Python runs.
    unsafe {
        let state = protocol.state();
        let bio = if outgoing {
            state.outgoing_bio
        } else {
            state.incoming_bio
        };
        if let Some(direct) = Direct::of(protocol) {
            return Ok(direct.pending(bio));
        }
        let object = if outgoing {
            protocol.kept("_outgoing", |state| state.outgoing)?
        } else {
            protocol.kept("_incoming", |state| state.incoming)?
        };
        let count = Owned::new(ffi::PyObject_GetAttr(object.as_ptr(), names().pending_))?;
        match ffi::PyLong_AsSsize_t(count.as_ptr()) {
            -1 if !ffi::PyErr_Occurred().is_null() => Err(Raised),
            count => Ok(count.max(0) as usize),
        }
    }
}

/// What a call through `ssl`'s methods came to.
pub enum Answer {
    /// What it returned.
    Done(Owned),
    /// `SSLWantReadError` or its like.
    Again,
}

/// `_sslobj.name(*args)`.
///
/// # Safety
/// The protocol and the arguments live.
pub unsafe fn ask(
    protocol: Protocol,
    name: *mut ffi::PyObject,
    args: &[*mut ffi::PyObject],
) -> Python<Answer> {
    // SAFETY: the object is kept alive over the call.
    unsafe {
        let known = sslproto()?;
        let object = protocol.kept("_sslobj", |state| state.sslobj)?;
        let mut all = vec![object.as_ptr()];
        all.extend(args);
        match method(name, &all) {
            Ok(answer) => Ok(Answer::Done(answer)),
            Err(raised) => {
                if ffi::PyErr_ExceptionMatches(known.again) == 0 {
                    return Err(raised);
                }
                ffi::PyErr_Clear();
                Ok(Answer::Again)
            }
        }
    }
}
