//! One attempt of a call: the system call that does not wait, on a plain socket; else the socket's own method (`by_method`).
//!
//! Called when the call is first awaited and each time that its socket is ready. Received bytes go through the driver's hot buffer
//! and become an object of just their size; asyncio allocates and shrinks the room that the caller allows, often 256 KiB for 1 KiB.
//!
//! The system calls are told not to wait (`MSG_DONTWAIT`): a socket that was left blocking waits in the loop, while asyncio would
//! block the thread in `recv`.

use super::by_method;
use super::call::{Call, Kind, Progress};
use super::python_socket as plain;
use crate::address::address;
use crate::ffi::{Python, Raised, owned::Owned};
use crate::native_loop::Loop;
use crate::{door, errors};
use pyo3_ffi as ffi;
use rondeau_driver::{socket, unsent};
use std::io;
use std::os::fd::RawFd;

/// How it went.
pub enum Attempt {
    /// It is done; this is the result.
    Done(Owned),
    /// The socket is not ready.
    NotReady,
}

impl Attempt {
    /// Done, with None.
    pub fn none() -> Attempt {
        // SAFETY: None lives, and the GIL is held by every attempt.
        Attempt::Done(unsafe { Owned::from_borrowed(ffi::Py_None()) })
    }
}

/// Tries once.
///
/// # Safety
/// The call is kept alive by the caller, is not over, and is marked as running.
pub unsafe fn attempt(call: Call) -> Python<Attempt> {
    // SAFETY: the borrow of the fields ends before Python code can run; the call keeps its arguments alive, since it cannot be
    // resumed or closed while it runs.
    unsafe {
        let fields = call.fields();
        let loop_ = call.event_loop();
        unsent::send_now();
        unsent::touch();
        if fields.kind.writes() {
            loop_.parts().pace.look();
        }
        // The hot buffer is the loop's thread's.
        if fields.plain && !loop_.parts().parked {
            let fd = plain::descriptor(fields.sock)?;
            let tried = if fd < 0 {
                None
            } else {
                match fields.kind {
                    Kind::Recv => recv(loop_, fd, fields.first)?,
                    Kind::RecvInto => recv_into(fd, fields.first)?,
                    Kind::Recvfrom if plain::has_known_addresses(fields.sock) => {
                        recvfrom(loop_, fd, fields.first)?
                    }
                    Kind::Sendall => sendall(call, fd)?,
                    _ => None,
                }
            };
            if let Some(tried) = tried {
                return Ok(tried);
            }
        }
        by_method::attempt(call)
    }
}

fn failed(error: &io::Error) -> Python<Option<Attempt>> {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(Some(Attempt::NotReady)),
        _ => Err(errors::raise_os_error(error)),
    }
}

/// As much of the hot buffer as the caller has room for; None where the socket's own method must look at the number.
unsafe fn room<'a>(loop_: Loop, size: *mut ffi::PyObject) -> Option<&'a mut [u8]> {
    // SAFETY: the object lives; the driver is the loop's thread's.
    unsafe {
        if ffi::PyLong_CheckExact(size) == 0 {
            return None;
        }
        let mut overflow = 0;
        let size = ffi::PyLong_AsLongAndOverflow(size, &mut overflow);
        let hot = loop_.driver_mut()?.hot();
        let size = usize::try_from(size).ok().filter(|size| *size > 0)?;
        hot.get_mut(..size)
    }
}

unsafe fn bytes(data: &[u8]) -> Python<Owned> {
    // SAFETY: the bytes are copied.
    unsafe {
        Owned::new(ffi::PyBytes_FromStringAndSize(
            data.as_ptr().cast(),
            data.len() as ffi::Py_ssize_t,
        ))
    }
}

unsafe fn recv(loop_: Loop, fd: RawFd, size: *mut ffi::PyObject) -> Python<Option<Attempt>> {
    // SAFETY: as in `attempt`.
    unsafe {
        let Some(room) = room(loop_, size) else {
            return Ok(None);
        };
        match socket::try_recv(fd, room) {
            Ok(count) => bytes(&room[..count]).map(|data| Some(Attempt::Done(data))),
            Err(error) => failed(&error),
        }
    }
}

unsafe fn recvfrom(loop_: Loop, fd: RawFd, size: *mut ffi::PyObject) -> Python<Option<Attempt>> {
    // SAFETY: as in `attempt`.
    unsafe {
        let Some(room) = room(loop_, size) else {
            return Ok(None);
        };
        match socket::try_recv_from(fd, room) {
            Ok((count, sender)) => {
                let data = bytes(&room[..count])?;
                let sender = match &sender {
                    Some(sender) => address(sender)?,
                    None => Owned::from_borrowed(ffi::Py_None()),
                };
                let pair = Owned::new(ffi::PyTuple_Pack(2, data.as_ptr(), sender.as_ptr()))?;
                Ok(Some(Attempt::Done(pair)))
            }
            Err(error) => failed(&error),
        }
    }
}

unsafe fn recv_into(fd: RawFd, buffer: *mut ffi::PyObject) -> Python<Option<Attempt>> {
    // SAFETY: the view keeps the buffer in place until it is released.
    unsafe {
        let mut view: ffi::Py_buffer = std::mem::zeroed();
        if ffi::PyObject_GetBuffer(buffer, &mut view, ffi::PyBUF_WRITABLE) != 0 {
            // The socket's own method words the error.
            ffi::PyErr_Clear();
            return Ok(None);
        }
        if view.len == 0 {
            ffi::PyBuffer_Release(&mut view);
            return Ok(None);
        }
        let target = std::slice::from_raw_parts_mut(view.buf.cast::<u8>(), view.len as usize);
        let got = socket::try_recv(fd, target);
        ffi::PyBuffer_Release(&mut view);
        match got {
            Ok(count) => {
                let count = Owned::new(ffi::PyLong_FromSize_t(count))?;
                Ok(Some(Attempt::Done(count)))
            }
            Err(error) => failed(&error),
        }
    }
}

/// What is still to be sent of `data`; None where the socket's own method words the error.
unsafe fn sendall(call: Call, fd: RawFd) -> Python<Option<Attempt>> {
    // SAFETY: bytes never move; what an export shows stays in place until it is released.
    unsafe {
        let data = call.fields().first;
        if ffi::PyBytes_CheckExact(data) != 0 {
            let start = ffi::PyBytes_AsString(data).cast::<u8>();
            let whole = std::slice::from_raw_parts(start, ffi::PyBytes_Size(data) as usize);
            return send(call, fd, whole).map(Some);
        }
        if let Some(export) = &call.fields().export {
            return send(call, fd, shown(export)).map(Some);
        }
        // As with asyncio's memoryview, the caller's buffer cannot be resized while part of it is sent.
        let mut export: Box<ffi::Py_buffer> = Box::new(std::mem::zeroed());
        if ffi::PyObject_GetBuffer(data, &mut *export, ffi::PyBUF_SIMPLE) != 0 {
            ffi::PyErr_Clear();
            return Ok(None);
        }
        let sent = send(call, fd, shown(&export));
        if matches!(sent, Ok(Attempt::NotReady)) {
            call.fields().export = Some(export);
        } else {
            ffi::PyBuffer_Release(&mut *export);
        }
        sent.map(Some)
    }
}

/// The bytes behind a contiguous view, which may be at no address when there are none.
unsafe fn shown(view: &ffi::Py_buffer) -> &[u8] {
    if view.len == 0 {
        return &[];
    }
    // SAFETY: the exporter keeps `len` bytes there while the view lives.
    unsafe { std::slice::from_raw_parts(view.buf.cast::<u8>(), view.len as usize) }
}

/// Sends until all is sent or the socket takes no more.
unsafe fn send(call: Call, fd: RawFd, whole: &[u8]) -> Python<Attempt> {
    // SAFETY: no Python code runs.
    let fields = unsafe { call.fields() };
    loop {
        let rest = &whole[fields.sent.min(whole.len())..];
        match socket::try_send(fd, rest) {
            Ok(count) => fields.sent += count,
            Err(error) => {
                return match failed(&error)? {
                    Some(tried) => Ok(tried),
                    None => Err(Raised),
                };
            }
        }
        if fields.sent >= whole.len() {
            return Ok(Attempt::none());
        }
    }
}

/// The checks that asyncio's methods begin with.
///
/// # Safety
/// The call is kept alive by the caller, is fresh, and is marked as running.
pub unsafe fn check(call: Call) -> Python<()> {
    // SAFETY: as in `attempt`.
    unsafe {
        let fields = call.fields();
        debug_assert!(fields.progress == Progress::Fresh);
        let (sock, plain) = (fields.sock, fields.plain);
        let debug = call.event_loop().parts().debug;
        if !plain || debug {
            let debug = crate::ffi::answer::boolean(debug);
            let done = door::cold(c"check_socket", &[sock, debug]);
            ffi::Py_DECREF(debug);
            done?;
        }
        if call.fields().kind == Kind::RecvfromInto {
            let given = call.fields().second;
            let absent = match given {
                given if given.is_null() => 1,
                given => ffi::PyObject_Not(given),
            };
            if absent < 0 {
                return Err(Raised);
            }
            if absent == 1 {
                let whole = ffi::PyObject_Size(call.fields().first);
                if whole < 0 {
                    return Err(Raised);
                }
                let whole = Owned::new(ffi::PyLong_FromSsize_t(whole))?.into_ptr();
                let old = std::mem::replace(&mut call.fields().second, whole);
                ffi::Py_XDECREF(old);
            }
        }
        Ok(())
    }
}
