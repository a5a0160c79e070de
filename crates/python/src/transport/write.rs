//! From the protocol to the socket. Called by `write()` and its kin, at each callback's end, and when a socket has room again.
//!
//! What a callback writes leaves in one vectored send when the callback ends, or at once when more than 64 KiB wait:
//! two writes a request (header, body) cost 0.4–0.5 of two sends. Flushing at the end of the whole turn was 2.7 times
//! worse at 100 KiB: the data has gone cold. Outside a turn, and to whoever asks for the queue's size, it leaves at once, so
//! that no program sees a byte held back that the kernel would have taken.

use super::state::{Chunk, Transport};
use super::{close, flow, interest, read};
use crate::event_loop::state::Loop;
use crate::ffi::{
    Python, Raised,
    args::raise,
    compat,
    owned::Owned,
};
use crate::{door, errors};
use pyo3_ffi as ffi;
use rondeau_driver::{FLUSH_AT_ONCE, Flush, Interest, socket};
use std::io;
use std::ptr::{self, NonNull};

/// After this many writes to a lost connection asyncio logs a warning for each (`asyncio.constants`).
const LOG_AFTER: u32 = 5;

/// Accepts `data` and sees to it that it leaves.
///
/// # Safety
/// The transport lives and is kept alive by the caller; `data` lives.
pub unsafe fn write(transport: Transport, data: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the caller's contract; each borrow ends before Python runs.
    unsafe {
        let Some(chunk) = checked(transport, data)? else { return Ok(()) };
        transport.state().out.push(chunk);
        leave(transport)
    }
}

/// Accepts several at once.
///
/// # Safety
/// As for `write`.
pub unsafe fn write_all(transport: Transport, list: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the caller's contract.
    unsafe {
        let iterator = Owned::new(ffi::PyObject_GetIter(list))?;
        loop {
            let next = ffi::PyIter_Next(iterator.as_ptr());
            if next.is_null() {
                if !ffi::PyErr_Occurred().is_null() {
                    return Err(Raised);
                }
                break;
            }
            let data = Owned::from_owned(next);
            if let Some(chunk) = checked(transport, data.as_ptr())? {
                transport.state().out.push(chunk);
            }
        }
        if transport.state().out.is_empty() { Ok(()) } else { leave(transport) }
    }
}

/// The checks of asyncio's `write`, in its order; None where there is nothing to send.
unsafe fn checked(transport: Transport, data: *mut ffi::PyObject) -> Python<Option<Chunk>> {
    // SAFETY: the caller's contract.
    unsafe {
        let exact = ffi::PyBytes_CheckExact(data) != 0;
        if !exact && !is_bytes_like(data) {
            let kind = Owned::new(ffi::PyType_GetName(ffi::Py_TYPE(data)))?;
            ffi::PyErr_Format(
                ffi::PyExc_TypeError,
                c"data argument must be a bytes-like object, not %R".as_ptr(),
                kind.as_ptr(),
            );
            return Err(Raised);
        }
        let state = transport.state();
        if state.eof {
            return Err(raise(ffi::PyExc_RuntimeError, "Cannot call write() after write_eof()"));
        }
        if !state.empty_waiter.is_null() {
            return Err(raise(ffi::PyExc_RuntimeError, "unable to write; sendfile is in progress"));
        }
        // A bytearray or a view may change after the call: what is queued is a copy.
        let bytes = if exact { Owned::from_borrowed(data) } else { Owned::new(ffi::PyBytes_FromObject(data))? };
        if ffi::PyBytes_Size(bytes.as_ptr()) == 0 {
            return Ok(None);
        }
        let state = transport.state();
        if state.lost > 0 {
            if state.lost >= LOG_AFTER {
                door::cold(c"lost_write", &[])?;
            }
            transport.state().lost += 1;
            return Ok(None);
        }
        Ok(Some(Chunk::new(bytes.into_ptr())))
    }
}

unsafe fn is_bytes_like(data: *mut ffi::PyObject) -> bool {
    // SAFETY: `data` lives.
    unsafe {
        ffi::PyBytes_Check(data) != 0
            || ffi::PyByteArray_Check(data) != 0
            || ffi::Py_TYPE(data) == &raw mut ffi::PyMemoryView_Type
    }
}

/// Decides when the queue leaves: it is stuck already, at once, or at the callback's end.
unsafe fn leave(transport: Transport) -> Python<()> {
    // SAFETY: no Python code runs before the last line of each way.
    unsafe {
        let Some(loop_) = transport.event_loop() else { return Ok(()) };
        let stuck = interest::current(transport).contains(Interest::WRITE);
        if stuck {
            return flow::maybe_pause(transport);
        }
        if !loop_.parts().in_turn || transport.state().out.pending() > FLUSH_AT_ONCE {
            return flush(transport);
        }
        if !std::mem::replace(&mut transport.state().dirty, true) {
            ffi::Py_INCREF(transport.object());
            loop_.parts().dirty.push(NonNull::new_unchecked(transport.object()));
        }
        Ok(())
    }
}

/// Sends what is queued; what the kernel does not take waits for room. Err only for what must leave the loop.
///
/// # Safety
/// The transport is kept alive by the caller.
pub unsafe fn flush(transport: Transport) -> Python<()> {
    // SAFETY: the list of sent buffers is taken out of the loop while they are released, since that may run Python code.
    unsafe {
        let Some(loop_) = transport.event_loop() else { return Ok(()) };
        let state = transport.state();
        if state.fd < 0 || state.out.is_empty() {
            return Ok(());
        }
        let mut sent = std::mem::take(&mut loop_.parts().sent);
        let outcome = state.out.flush(state.fd, &mut sent);
        for chunk in sent.drain(..) {
            chunk.release();
        }
        loop_.parts().sent = sent;
        match outcome {
            Ok(Flush::Done) => Ok(()),
            Ok(Flush::Blocked) => {
                if let Err(error) = interest::want(transport, Interest::WRITE, true) {
                    return failed(transport, &error);
                }
                flow::maybe_pause(transport)
            }
            Err(error) => failed(transport, &error),
        }
    }
}

unsafe fn failed(transport: Transport, error: &io::Error) -> Python<()> {
    errors::raise_os_error(error);
    // SAFETY: the exception is set.
    unsafe { read::fatal(transport, c"Fatal write error on socket transport") }
}

/// Sends what the last callback wrote. `done` is what that callback came to and is returned, unless sending fails worse.
///
/// # Safety
/// The loop lives.
pub unsafe fn flush_dirty(loop_: Loop, done: Python<()>) -> Python<()> {
    // SAFETY: transports are taken off the list one by one; an exception on its way out is put aside meanwhile.
    unsafe {
        let raised = if done.is_err() { compat::take_raised() } else { ptr::null_mut() };
        let mut outcome = Ok(());
        while let Some(object) = loop_.parts().dirty.pop() {
            let object = Owned::from_owned(object.as_ptr());
            let transport = Transport::from_object(object.as_ptr());
            transport.state().dirty = false;
            if outcome.is_ok() {
                outcome = flush(transport);
            }
        }
        if raised.is_null() {
            return outcome;
        }
        if outcome.is_err() {
            ffi::PyErr_Clear();
        }
        compat::set_raised(raised);
        done
    }
}

/// The socket has room again.
///
/// # Safety
/// The transport is kept alive by the caller.
pub unsafe fn on_writable(transport: Transport) -> Python<()> {
    // SAFETY: each borrow ends before Python runs.
    unsafe {
        flush(transport)?;
        let state = transport.state();
        if state.fd < 0 || state.lost > 0 {
            return Ok(());
        }
        flow::maybe_resume(transport)?;
        if !transport.state().out.is_empty() {
            return Ok(());
        }
        let _ = interest::want(transport, Interest::WRITE, false);
        let waiter = transport.state().empty_waiter;
        if !waiter.is_null() {
            door::cold(c"set_result", &[waiter])?;
        }
        let state = transport.state();
        if state.closing {
            return close::finish_now(transport);
        }
        if state.eof {
            let _ = socket::shutdown(state.fd, socket::How::Write);
        }
        Ok(())
    }
}

/// `write_eof()`: nothing more will be written; the peer is told when the queue is empty.
///
/// # Safety
/// The transport is kept alive by the caller.
pub unsafe fn write_eof(transport: Transport) -> Python<()> {
    // SAFETY: each borrow ends before Python runs.
    unsafe {
        if transport.state().closing || std::mem::replace(&mut transport.state().eof, true) {
            return Ok(());
        }
        flush(transport)?;
        let state = transport.state();
        if state.fd >= 0 && state.out.is_empty() {
            socket::shutdown(state.fd, socket::How::Write).map_err(|error| errors::raise_os_error(&error))?;
        }
        Ok(())
    }
}

