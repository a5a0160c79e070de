//! From the program to records: called by the transport's `write`, and by asyncio's code as `_do_write` and `_process_outgoing`.
//!
//! The way of most writes: OpenSSL encrypts into a bytes object of the right size, which goes to the transport below as it is and leaves with
//! what else the callback writes. Several pieces of one `writelines` that fit one record become one. While something waits (a handshake, a
//! transport that is full, a record that OpenSSL wrote of itself), everything goes asyncio's way, through `_outgoing`, so that the order holds.

use super::app_transport;
use super::fatal::fatal;
use super::flow;
use super::lent::{self, RECORD, Sink};
use super::session::{self, Answer, Direct};
use super::sslproto::{call, method, sslproto};
use super::state::Protocol;
use crate::ffi::{Python, Raised, names::names, owned::Owned};
use crate::transport;
use pyo3_ffi as ffi;

/// `write(data)`: `data` is a bytes, bytearray or memoryview that is not empty.
///
/// # Safety
/// All live and are kept alive by the caller.
pub unsafe fn write(protocol: Protocol, data: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the caller's contract.
    unsafe {
        if let Some(direct) = straight(protocol)?
            && let Some(view) = View::of(data)
        {
            return send(protocol, direct, &[view.slice()]);
        }
        write_slowly(protocol, data)
    }
}

/// `writelines(items)`: the tuple's items are of any type.
///
/// # Safety
/// As for `write`.
pub unsafe fn write_all(protocol: Protocol, items: &Owned) -> Python<()> {
    // SAFETY: as in `write`; the views keep what they show in place.
    unsafe {
        let slowly = || {
            let own = sslproto()?.write_appdata;
            call(own, &[protocol.object(), items.as_ptr()]).map(drop)
        };
        let Some(direct) = straight(protocol)? else {
            return slowly();
        };
        let count = ffi::PyTuple_GET_SIZE(items.as_ptr());
        let mut views = Vec::with_capacity(count as usize);
        for index in 0..count {
            match View::of(ffi::PyTuple_GET_ITEM(items.as_ptr(), index)) {
                Some(view) => views.push(view),
                None => return slowly(),
            }
        }
        let mut slices: Vec<&[u8]> = views.iter().map(View::slice).collect();
        let total = slices.iter().map(|slice| slice.len()).sum::<usize>();
        let mut together = Vec::new();
        if slices.len() > 1 && total <= RECORD {
            together.reserve_exact(total);
            slices
                .iter()
                .for_each(|slice| together.extend_from_slice(slice));
            slices.clear();
            slices.push(&together);
        }
        slices.retain(|slice| !slice.is_empty());
        send(protocol, direct, &slices)
    }
}

/// The session, if records can go straight to the transport now.
unsafe fn straight(protocol: Protocol) -> Python<Option<Direct>> {
    // SAFETY: the borrow ends before Python runs.
    unsafe {
        let known = sslproto()?;
        let state = protocol.state();
        if state.state != known.wrapped || state.ssl_writing_paused != 0 {
            return Ok(None);
        }
        let Some(direct) = Direct::of(protocol) else {
            return Ok(None);
        };
        let free = direct.pending(state.outgoing_bio) == 0 && !has_backlog(protocol)?;
        Ok(free.then_some(direct))
    }
}

/// Encrypts and passes on. What OpenSSL refuses goes into the backlog, from where it is tried again through `ssl`'s methods.
unsafe fn send(protocol: Protocol, direct: Direct, slices: &[&[u8]]) -> Python<()> {
    // SAFETY: as in `write`; OpenSSL only reads the slices.
    unsafe {
        let total = slices.iter().map(|slice| slice.len()).sum::<usize>();
        let done = (|| {
            let mut sink = Sink::for_plaintext(total, slices.len())?;
            let mut taken = 0;
            lent::writing_to(direct.functions, direct.ssl, &mut sink, || {
                for slice in slices {
                    let (start, mut count) = (slice.as_ptr().cast(), 0);
                    if (direct.functions.write)(direct.ssl, start, slice.len(), &mut count) != 1 {
                        break;
                    }
                    taken += 1;
                }
            });
            let records = sink.finish()?;
            if taken < slices.len() {
                // What was written keeps its place before what comes now.
                if let Some(records) = &records {
                    let bio = protocol.kept("_outgoing", |state| state.outgoing)?;
                    method(names().write, &[bio.as_ptr(), records.as_ptr()])?;
                }
                for slice in &slices[taken..] {
                    put_back(protocol, slice)?;
                }
                return do_write(protocol);
            }
            if let Some(records) = records {
                pass_on(protocol, &records)?;
            }
            flow::control_app_writing(protocol)
        })();
        done.or_else(|Raised| fatal(protocol))
    }
}

unsafe fn put_back(protocol: Protocol, slice: &[u8]) -> Python<()> {
    // SAFETY: the bytes are copied; the backlog is kept alive over the call.
    unsafe {
        let bytes = Owned::new(ffi::PyBytes_FromStringAndSize(
            slice.as_ptr().cast(),
            slice.len() as ffi::Py_ssize_t,
        ))?;
        let backlog = protocol.kept("_write_backlog", |state| state.backlog)?;
        method(names().append, &[backlog.as_ptr(), bytes.as_ptr()])?;
        protocol.state().backlog_size += slice.len() as ffi::Py_ssize_t;
        Ok(())
    }
}

/// asyncio's way: into the backlog, then `_do_write`.
unsafe fn write_slowly(protocol: Protocol, data: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: as in `write`.
    unsafe {
        let items = Owned::new(ffi::PyTuple_Pack(1, data))?;
        call(
            sslproto()?.write_appdata,
            &[protocol.object(), items.as_ptr()],
        )
        .map(drop)
    }
}

/// Whether something waits to be encrypted.
///
/// # Safety
/// The protocol lives.
pub unsafe fn has_backlog(protocol: Protocol) -> Python<bool> {
    // SAFETY: a deque's length runs no Python code.
    unsafe {
        let backlog = protocol.state().backlog;
        if backlog.is_null() {
            return Ok(false);
        }
        match ffi::PyObject_Size(backlog) {
            -1 => Err(Raised),
            length => Ok(length > 0),
        }
    }
}

/// `_do_write()`: encrypts the backlog through `ssl`'s methods, then passes on what came of it.
///
/// # Safety
/// The protocol lives and is kept alive by the caller.
pub unsafe fn do_write(protocol: Protocol) -> Python<()> {
    // SAFETY: each borrow ends before Python runs; each object is kept alive over the calls.
    unsafe {
        while has_backlog(protocol)? {
            let backlog = protocol.kept("_write_backlog", |state| state.backlog)?;
            let data = Owned::new(ffi::PySequence_GetItem(backlog.as_ptr(), 0))?;
            let asked = session::ask(protocol, names().write, &[data.as_ptr()])?;
            let Answer::Done(count) = asked else { break };
            let count = ffi::PyLong_AsSsize_t(count.as_ptr());
            let length = ffi::PyObject_Size(data.as_ptr());
            if (count == -1 || length == -1) && !ffi::PyErr_Occurred().is_null() {
                return Err(Raised);
            }
            let (done, left) = if count < length {
                let rest = ffi::PySequence_GetSlice(data.as_ptr(), count, length);
                (count, Some(Owned::new(rest)?))
            } else {
                (length, None)
            };
            let stored = match left {
                Some(left) => ffi::PySequence_SetItem(backlog.as_ptr(), 0, left.as_ptr()),
                None => ffi::PySequence_DelItem(backlog.as_ptr(), 0),
            };
            if stored != 0 {
                return Err(Raised);
            }
            protocol.state().backlog_size -= done;
        }
        process_outgoing(protocol)
    }
}

/// `_process_outgoing()`: passes on what lies in `_outgoing`, unless the transport is full.
///
/// # Safety
/// As for `do_write`.
pub unsafe fn process_outgoing(protocol: Protocol) -> Python<()> {
    // SAFETY: as in `do_write`.
    unsafe {
        let state = protocol.state();
        let nothing =
            Direct::of(protocol).is_some_and(|direct| direct.pending(state.outgoing_bio) == 0);
        if state.ssl_writing_paused == 0 && !nothing {
            let bio = protocol.kept("_outgoing", |state| state.outgoing)?;
            let records = method(names().read, &[bio.as_ptr()])?;
            if ffi::PyObject_Size(records.as_ptr()) > 0 {
                pass_on(protocol, &records)?;
            }
        }
        flow::control_app_writing(protocol)
    }
}

/// `self._transport.write(records)`.
unsafe fn pass_on(protocol: Protocol, records: &Owned) -> Python<()> {
    // SAFETY: the transport is kept alive over the call.
    unsafe {
        let below = protocol.state().transport;
        let below = if below.is_null() {
            ffi::Py_None()
        } else {
            below
        };
        let below = Owned::from_borrowed(below);
        if transport::is_socket_transport(below.as_ptr()) {
            return transport::write_to(below.as_ptr(), records.as_ptr());
        }
        if app_transport::is_transport(below.as_ptr()) {
            return app_transport::write_to(below.as_ptr(), records.as_ptr());
        }
        method(names().write, &[below.as_ptr(), records.as_ptr()]).map(drop)
    }
}

/// What a bytes-like object shows, kept in place.
struct View(ffi::Py_buffer);

impl View {
    /// The bytes of a bytes, bytearray or memoryview; None for another type, and where its bytes do not lie in a row.
    unsafe fn of(data: *mut ffi::PyObject) -> Option<View> {
        // SAFETY: `data` lives; a view that was got is released when this is dropped.
        unsafe {
            let known = ffi::PyBytes_CheckExact(data) != 0
                || ffi::PyByteArray_CheckExact(data) != 0
                || ffi::Py_TYPE(data) == &raw mut ffi::PyMemoryView_Type;
            if !known {
                return None;
            }
            let mut view: ffi::Py_buffer = std::mem::zeroed();
            if ffi::PyObject_GetBuffer(data, &mut view, ffi::PyBUF_SIMPLE) != 0 {
                ffi::PyErr_Clear();
                return None;
            }
            Some(View(view))
        }
    }

    fn slice(&self) -> &[u8] {
        if self.0.len == 0 {
            return &[];
        }
        // SAFETY: the view holds `len` bytes in place for as long as it lives.
        unsafe { std::slice::from_raw_parts(self.0.buf.cast::<u8>(), self.0.len as usize) }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // SAFETY: got once, released once.
        unsafe { ffi::PyBuffer_Release(&mut self.0) }
    }
}
