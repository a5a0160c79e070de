//! An attempt by the socket object's own methods: for sockets that are no plain `socket.socket` (subclasses, stand-ins of tests), for
//! arguments that need the socket module's checks and messages, and for what happens once a connection.

use super::attempt::Attempt;
use super::call::{Call, Kind, Progress};
use crate::door;
use crate::ffi::{Python, Raised, names::names, owned::Owned};
use pyo3_ffi as ffi;
use std::ptr;

/// `sock.name(*args)`.
unsafe fn method(
    sock: &Owned,
    name: *mut ffi::PyObject,
    args: &[*mut ffi::PyObject],
) -> Python<Owned> {
    // SAFETY: the caller keeps the arguments alive; there are at most three.
    unsafe {
        let mut stack = [
            sock.as_ptr(),
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
        ];
        stack[1..=args.len()].copy_from_slice(args);
        Owned::new(ffi::PyObject_VectorcallMethod(
            name,
            stack.as_ptr(),
            1 + args.len(),
            ptr::null_mut(),
        ))
    }
}

/// Tries once. The arguments are kept alive over it, since it may run any Python code.
///
/// # Safety
/// The call is kept alive by the caller, is not over, and is marked as running.
pub unsafe fn attempt(call: Call) -> Python<Attempt> {
    // SAFETY: the references are made before Python code runs.
    let tried = unsafe {
        let fields = call.fields();
        let sock = Owned::from_borrowed(fields.sock);
        let or_none = |object: *mut ffi::PyObject| {
            Owned::from_borrowed(if object.is_null() {
                ffi::Py_None()
            } else {
                object
            })
        };
        let (first, second) = (or_none(fields.first), or_none(fields.second));
        let waiting = fields.progress == Progress::Waiting;
        match fields.kind {
            Kind::Recv => method(&sock, names().recv, &[first.as_ptr()]),
            Kind::RecvInto => method(&sock, names().recv_into, &[first.as_ptr()]),
            Kind::Recvfrom => method(&sock, names().recvfrom, &[first.as_ptr()]),
            Kind::RecvfromInto => method(
                &sock,
                names().recvfrom_into,
                &[first.as_ptr(), second.as_ptr()],
            ),
            Kind::Sendto => method(&sock, names().sendto, &[first.as_ptr(), second.as_ptr()]),
            Kind::Sendall => return sendall(call, &sock, &first),
            Kind::Accept => accept(&sock),
            Kind::Connect if waiting => connected(&sock, &first),
            Kind::Connect => method(&sock, names().connect, &[first.as_ptr()]),
        }
    };
    match tried {
        Ok(value) => Ok(Attempt::Done(value)),
        Err(Raised) => not_ready(),
    }
}

/// The exceptions that mean "not yet".
fn not_ready() -> Python<Attempt> {
    // SAFETY: an exception is set.
    unsafe {
        if ffi::PyErr_ExceptionMatches(ffi::PyExc_BlockingIOError) != 0
            || ffi::PyErr_ExceptionMatches(ffi::PyExc_InterruptedError) != 0
        {
            ffi::PyErr_Clear();
            return Ok(Attempt::NotReady);
        }
    }
    Err(Raised)
}

unsafe fn sendall(call: Call, sock: &Owned, data: &Owned) -> Python<Attempt> {
    // SAFETY: the caller keeps the call alive; what is sent is kept alive here.
    unsafe {
        let start = call.fields().sent;
        let rest = if call.fields().view.is_null() {
            data.clone()
        } else {
            let view = Owned::from_borrowed(call.fields().view);
            let end = ffi::PyObject_Size(view.as_ptr());
            if end < 0 {
                return Err(Raised);
            }
            Owned::new(ffi::PySequence_GetSlice(view.as_ptr(), start as isize, end))?
        };
        let taken = match method(sock, names().send, &[rest.as_ptr()]) {
            Ok(taken) => {
                let count = ffi::PyLong_AsSize_t(taken.as_ptr());
                if count == usize::MAX && !ffi::PyErr_Occurred().is_null() {
                    return Err(Raised);
                }
                count
            }
            Err(Raised) => {
                not_ready()?;
                0
            }
        };
        call.fields().sent = start + taken;
        if call.fields().view.is_null() {
            let whole = ffi::PyObject_Size(data.as_ptr());
            if whole < 0 {
                return Err(Raised);
            }
            if taken == whole as usize {
                return Ok(Attempt::none());
            }
            let plain = Owned::new(ffi::PyMemoryView_FromObject(data.as_ptr()))?;
            // As bytes, whatever its items are: what `send` counts.
            let bytes = Owned::new(ffi::PyUnicode_FromString(c"B".as_ptr()))?;
            let cast = Owned::new(ffi::PyUnicode_FromString(c"cast".as_ptr()))?;
            call.fields().view = method(&plain, cast.as_ptr(), &[bytes.as_ptr()])?.into_ptr();
        }
        let whole = ffi::PyObject_Size(call.fields().view);
        if whole < 0 {
            return Err(Raised);
        }
        Ok(if call.fields().sent >= whole as usize {
            Attempt::none()
        } else {
            Attempt::NotReady
        })
    }
}

/// `sock.accept()`, whose connection does not block.
unsafe fn accept(sock: &Owned) -> Python<Owned> {
    // SAFETY: what accept() returns is asked as Python code would ask it.
    unsafe {
        let pair = method(sock, names().accept, &[])?;
        let connection = Owned::new(ffi::PySequence_GetItem(pair.as_ptr(), 0))?;
        method(&connection, names().setblocking, &[ffi::Py_False()])?;
        Ok(pair)
    }
}

/// How a connection that was begun went.
unsafe fn connected(sock: &Owned, address: &Owned) -> Python<Owned> {
    // SAFETY: the objects live.
    unsafe {
        let level = Owned::new(ffi::PyLong_FromLong(libc::SOL_SOCKET.into()))?;
        let option = Owned::new(ffi::PyLong_FromLong(libc::SO_ERROR.into()))?;
        let error = method(sock, names().getsockopt, &[level.as_ptr(), option.as_ptr()])?;
        match ffi::PyObject_IsTrue(error.as_ptr()) {
            0 => Ok(Owned::from_borrowed(ffi::Py_None())),
            1 => door::cold(c"connect_failed", &[error.as_ptr(), address.as_ptr()]),
            _ => Err(Raised),
        }
    }
}
