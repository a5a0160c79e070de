//! From records to the program: called with what the transport read, and by asyncio's code as `_do_read`.
//!
//! The way of most records: the driver's slice, OpenSSL reads from it straight into a bytes object of about the right size, the program
//! gets that. No MemoryBIO, no exception for "no more records", no Python frame but the program's own. What OpenSSL did not take
//! (it stops at an error, at the end of the stream, or when the program's buffer is full) goes to `_incoming`, where asyncio would
//! have put all of it.
//!
//! Python code may run while the slice is lent: a `BufferedProtocol`'s `get_buffer`, OpenSSL's callbacks. The transport keeps the driver from
//! reading into it meanwhile.

use super::fatal::fatal;
use super::lent::{self, RECORD, Sink, Source};
use super::openssl::{Ssl, WANT_READ};
use super::session::{self, Answer, Direct};
use super::sslproto::{call, method, sslproto};
use super::state::Protocol;
use super::{flow, writing};
use crate::ffi::{Python, Raised, names::names, owned::Owned};
use pyo3_ffi as ffi;
use std::ffi::c_int;
use std::mem::MaybeUninit;

/// What one `read` through `ssl`'s methods asks for at most: asyncio's `SSLProtocol.max_size`.
const MOST: i64 = 256 * 1024;

/// Takes what the transport read: `buffer_updated` without the buffer.
///
/// # Safety
/// `object` is a live native TLS protocol that the caller keeps alive; the slice stays as it is until this returns.
pub unsafe fn feed(object: *mut ffi::PyObject, slice: &[u8]) -> Python<()> {
    // SAFETY: each borrow ends before Python runs.
    unsafe {
        let protocol = Protocol::from_object(object);
        let known = sslproto()?;
        let state = protocol.state();
        let now = state.state;
        if now == known.wrapped
            && state.app_reading_paused == 0
            && let Some(direct) = Direct::of(protocol)
            && direct.pending(state.incoming_bio) == 0
        {
            return read(protocol, Some(slice));
        }
        session::give(protocol, slice)?;
        if now == known.wrapped {
            return read(protocol, None);
        }
        let step = if now == known.do_handshake {
            names()._do_handshake
        } else if now == known.flushing {
            names()._do_flush
        } else if now == known.shutdown {
            names()._do_shutdown
        } else {
            return Ok(());
        };
        method(step, &[object]).map(drop)
    }
}

/// `_do_read()`.
///
/// # Safety
/// As for `feed`.
pub unsafe fn do_read(object: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the borrow ends before Python runs.
    unsafe {
        let protocol = Protocol::from_object(object);
        let known = sslproto()?;
        let now = protocol.state().state;
        if now != known.wrapped && now != known.flushing {
            return Ok(());
        }
        read(protocol, None)
    }
}

/// Reads all there is, hands it over and answers; what fails ends the connection.
unsafe fn read(protocol: Protocol, slice: Option<&[u8]>) -> Python<()> {
    // SAFETY: as in `feed`.
    unsafe {
        let done = (|| {
            if protocol.state().app_reading_paused == 0 {
                if protocol.state().app_is_buffer != 0 && !protocol.state().app_is_tls {
                    read_into_buffer(protocol, slice)?;
                } else {
                    read_bytes(protocol, slice)?;
                }
                if writing::has_backlog(protocol)? {
                    writing::do_write(protocol)?;
                } else {
                    writing::process_outgoing(protocol)?;
                }
            }
            flow::control_ssl_reading(protocol)
        })();
        done.or_else(|Raised| fatal(protocol))
    }
}

/// Why OpenSSL gave no more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// No whole record is left; the rest of one is in the session.
    NoMore,
    /// The buffer is full.
    Full,
    /// Something that `ssl` has an exception for, or the end of the stream: to be asked again there.
    Unusual,
}

/// One `SSL_read_ex(3)`: the bytes that were read, or why there are none.
unsafe fn read_once(
    direct: Direct,
    ssl: *mut Ssl,
    room: *mut u8,
    length: usize,
) -> Result<usize, End> {
    // SAFETY: `room` has `length` bytes, which OpenSSL fills from the start.
    unsafe {
        let mut count = 0;
        let done: c_int = (direct.functions.read)(ssl, room.cast(), length, &mut count);
        if done == 1 {
            return Ok(count);
        }
        if (direct.functions.error)(ssl, done) == WANT_READ {
            Err(End::NoMore)
        } else {
            Err(End::Unusual)
        }
    }
}

/// Reads until there is no more. Err with an exception only where memory is out.
unsafe fn gather(direct: Direct, expected: usize) -> Python<(Sink, End)> {
    // SAFETY: as in `read_once`; nothing here runs Python code.
    unsafe {
        // The rest of a record that came before lies in the session and may become readable now.
        let begun = (direct.functions.has_pending)(direct.ssl) != 0;
        let mut sink = Sink::with_room(expected + if begun { RECORD } else { 0 })?;
        loop {
            let (room, length) = sink.room();
            let got = if length > 0 {
                read_once(direct, direct.ssl, room, length).map(|count| sink.advance(count))
            } else {
                let mut more = [const { MaybeUninit::<u8>::uninit() }; RECORD];
                let start = more.as_mut_ptr().cast::<u8>();
                match read_once(direct, direct.ssl, start, RECORD) {
                    Ok(count) => {
                        sink.push(std::slice::from_raw_parts(start, count))?;
                        Ok(())
                    }
                    Err(end) => Err(end),
                }
            };
            if let Err(end) = got {
                return Ok((sink, end));
            }
        }
    }
}

/// `_do_read__copied`: all there is, in one bytes object.
unsafe fn read_bytes(protocol: Protocol, slice: Option<&[u8]>) -> Python<()> {
    // SAFETY: as in `feed`.
    unsafe {
        let mut data = None;
        let mut end = End::Unusual;
        if let Some(direct) = Direct::of(protocol) {
            let gathered = match slice {
                Some(slice) => {
                    let mut source = Source::new(slice);
                    let ours =
                        lent::reading_from(direct.functions, direct.ssl, &mut source, || {
                            gather(direct, slice.len())
                        });
                    let rest = source.rest();
                    if !rest.is_empty() {
                        session::give(protocol, rest)?;
                    }
                    ours
                }
                None => {
                    let waiting = direct.pending(protocol.state().incoming_bio);
                    Some(gather(direct, waiting))
                }
            };
            if let Some(gathered) = gathered {
                let (sink, why) = gathered?;
                (data, end) = (sink.finish()?, why);
            }
        }
        let mut closed = false;
        if end == End::Unusual {
            (data, closed) = ask_for_bytes(protocol, data)?;
        }
        if let Some(data) = data {
            hand_over(protocol, &data)?;
        }
        if closed {
            close_notify(protocol)
        } else {
            Ok(())
        }
    }
}

/// Reads through `ssl`'s methods what comes after `first`; whether the peer ended the stream.
unsafe fn ask_for_bytes(protocol: Protocol, first: Option<Owned>) -> Python<(Option<Owned>, bool)> {
    // SAFETY: as in `feed`.
    unsafe {
        let most = Owned::new(ffi::PyLong_FromLongLong(MOST))?;
        let mut pieces: Vec<Owned> = first.into_iter().collect();
        let closed = loop {
            match session::ask(protocol, names().read, &[most.as_ptr()])? {
                Answer::Again => break false,
                Answer::Done(piece) => match ffi::PyObject_Size(piece.as_ptr()) {
                    -1 => return Err(Raised),
                    0 => break true,
                    _ => pieces.push(piece),
                },
            }
        };
        if pieces.len() <= 1 {
            return Ok((pieces.pop(), closed));
        }
        let list = Owned::new(ffi::PyList_New(0))?;
        for piece in &pieces {
            if ffi::PyList_Append(list.as_ptr(), piece.as_ptr()) != 0 {
                return Err(Raised);
            }
        }
        let nothing = Owned::new(ffi::PyBytes_FromStringAndSize(c"".as_ptr(), 0))?;
        let whole = method(names().join, &[nothing.as_ptr(), list.as_ptr()])?;
        Ok((Some(whole), closed))
    }
}

/// `data_received`, or straight into the TLS session inside this one.
unsafe fn hand_over(protocol: Protocol, data: &Owned) -> Python<()> {
    // SAFETY: the app's protocol is kept alive over the call, as is the data.
    unsafe {
        let app = Owned::from_borrowed(app_or_none(protocol));
        if protocol.state().app_is_tls {
            let length = ffi::PyBytes_Size(data.as_ptr());
            let start = ffi::PyBytes_AsString(data.as_ptr());
            if length < 0 || start.is_null() {
                return Err(Raised);
            }
            let slice = std::slice::from_raw_parts(start.cast::<u8>(), length as usize);
            return feed(app.as_ptr(), slice);
        }
        method(names().data_received, &[app.as_ptr(), data.as_ptr()]).map(drop)
    }
}

/// The app's protocol, borrowed; None once the connection is lost, whose missing methods raise what they raise in asyncio.
unsafe fn app_or_none(protocol: Protocol) -> *mut ffi::PyObject {
    // SAFETY: the borrow ends here.
    unsafe {
        let app = protocol.state().app_protocol;
        if app.is_null() { ffi::Py_None() } else { app }
    }
}

/// The peer ended the stream.
unsafe fn close_notify(protocol: Protocol) -> Python<()> {
    // SAFETY: the protocol lives.
    unsafe {
        method(names()._call_eof_received, &[protocol.object()])?;
        method(names()._start_shutdown, &[protocol.object()]).map(drop)
    }
}

/// `_do_read__buffered`: as much as the program's buffer takes.
unsafe fn read_into_buffer(protocol: Protocol, slice: Option<&[u8]>) -> Python<()> {
    // SAFETY: as in `feed`; the view keeps the buffer in place until it is released.
    unsafe {
        let waiting = session::pending(protocol, false)? + slice.map_or(0, <[u8]>::len);
        let hint = Owned::new(ffi::PyLong_FromSize_t(waiting))?;
        let app = Owned::from_borrowed(app_or_none(protocol));
        let buffer = method(names().get_buffer, &[app.as_ptr(), hint.as_ptr()])?;
        let wants = match ffi::PyObject_Size(buffer.as_ptr()) {
            -1 => return Err(Raised),
            wants => wants as usize,
        };
        let (mut got, mut end) = (0, End::Unusual);
        let mut rest = slice;
        // What cannot be written into is left to `ssl`, which says so in its own words.
        if let Some(direct) = Direct::of(protocol)
            && let Some(mut view) = writable(&buffer)
        {
            let room = (view.buf.cast::<u8>(), wants.min(view.len as usize));
            match slice {
                Some(slice) => {
                    let mut source = Source::new(slice);
                    let filled =
                        lent::reading_from(direct.functions, direct.ssl, &mut source, || {
                            fill(direct, room)
                        });
                    rest = Some(source.rest());
                    (got, end) = filled.unwrap_or((0, End::Unusual));
                }
                None => (got, end) = fill(direct, room),
            }
            ffi::PyBuffer_Release(&mut view);
        }
        if let Some(rest) = rest
            && !rest.is_empty()
        {
            session::give(protocol, rest)?;
        }
        let mut closed = false;
        if end == End::Unusual {
            (got, end, closed) = ask_to_fill(protocol, &buffer, wants, got)?;
        }
        if end == End::Full {
            again_soon(protocol)?;
        }
        if got > 0 {
            let count = Owned::new(ffi::PyLong_FromSize_t(got))?;
            let app = Owned::from_borrowed(app_or_none(protocol));
            method(names().buffer_updated, &[app.as_ptr(), count.as_ptr()])?;
        }
        if closed {
            close_notify(protocol)
        } else {
            Ok(())
        }
    }
}

/// A view of the buffer; None if it has no room or takes no bytes.
unsafe fn writable(buffer: &Owned) -> Option<ffi::Py_buffer> {
    // SAFETY: the caller releases what it gets.
    unsafe {
        let mut view: ffi::Py_buffer = std::mem::zeroed();
        if ffi::PyObject_GetBuffer(buffer.as_ptr(), &mut view, ffi::PyBUF_WRITABLE) != 0 {
            ffi::PyErr_Clear();
            return None;
        }
        if view.len == 0 {
            ffi::PyBuffer_Release(&mut view);
            return None;
        }
        Some(view)
    }
}

/// Reads until there is no more or no room.
unsafe fn fill(direct: Direct, (start, length): (*mut u8, usize)) -> (usize, End) {
    let mut got = 0;
    while got < length {
        // SAFETY: the rest of the room is behind what was read.
        match unsafe { read_once(direct, direct.ssl, start.add(got), length - got) } {
            Ok(count) => got += count,
            Err(end) => return (got, end),
        }
    }
    (got, End::Full)
}

/// The same through `ssl`'s methods, after `got` bytes: how many there are then, and whether the peer ended the stream.
unsafe fn ask_to_fill(
    protocol: Protocol,
    buffer: &Owned,
    wants: usize,
    mut got: usize,
) -> Python<(usize, End, bool)> {
    // SAFETY: as in `feed`.
    unsafe {
        loop {
            let length = Owned::new(ffi::PyLong_FromSize_t(wants - got))?;
            let rest = if got == 0 {
                buffer.clone()
            } else {
                // asyncio slices the buffer itself, and so loses what is read into the copy that a bytearray's slice is.
                let view = Owned::new(ffi::PyMemoryView_FromObject(buffer.as_ptr()))?;
                Owned::new(ffi::PySequence_GetSlice(
                    view.as_ptr(),
                    got as ffi::Py_ssize_t,
                    wants as ffi::Py_ssize_t,
                ))?
            };
            let asked = session::ask(protocol, names().read, &[length.as_ptr(), rest.as_ptr()])?;
            let Answer::Done(count) = asked else {
                return Ok((got, End::NoMore, false));
            };
            match ffi::PyLong_AsSsize_t(count.as_ptr()) {
                count if count > 0 => got += count as usize,
                -1 if !ffi::PyErr_Occurred().is_null() => return Err(Raised),
                _ => return Ok((got, End::NoMore, true)),
            }
            if got >= wants {
                return Ok((got, End::Full, false));
            }
        }
    }
}

/// `self._loop.call_soon(self._do_read)`.
unsafe fn again_soon(protocol: Protocol) -> Python<()> {
    // SAFETY: the protocol lives.
    unsafe {
        let method = Owned::new(ffi::PyObject_GetAttr(protocol.object(), names()._do_read))?;
        let loop_ = Owned::new(ffi::PyObject_GetAttr(protocol.object(), names()._loop))?;
        let soon = Owned::new(ffi::PyObject_GetAttr(loop_.as_ptr(), names().call_soon))?;
        call(soon.as_ptr(), &[method.as_ptr()]).map(drop)
    }
}
