//! From the protocol to the socket. Called by `write()` and its kin, by the turn, and when a socket has room again.
//!
//! What a callback writes to one transport leaves in one send, and a few transports' small output together: the loop's outbox
//! says when (`native_loop/outbox.rs`). Two writes a request (header, body) cost 0.4–0.5 of two sends. It waits only where nobody can
//! tell, else `write()` sends (`may_wait`), and it waits where whoever could overtake it sends it first (`rondeau_driver::unsent`).

use super::outgoing::send_outbox;
use super::state::{State, Transport};
use super::{close, flow, interest, read};
use crate::ffi::{Python, Raised, args::raise, compat, names::names, owned::Owned};
use crate::native_loop::{Loop, chunk::Chunk, is_forked, outbox::Pushed};
use crate::{door, errors, running};
use pyo3_ffi as ffi;
use rondeau_driver::{FLUSH_AT_ONCE, Flush, Interest, socket, unsent};
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
        check_type(data)?;
        check_open(transport, "write", "write")?;
        let chunk = queueable(data)?;
        if chunk.as_ref().is_empty() {
            chunk.release();
            return Ok(());
        }
        if lost(transport)? {
            chunk.release();
            return Ok(());
        }
        let piece: *const [u8] = chunk.as_ref();
        transport.state().out.push(chunk);
        // The chunk is in the queue, which is emptied by nobody before the outbox has been taken back.
        leave(transport, &[&*piece])
    }
}

/// `write` for what is known to be a socket transport.
///
/// # Safety
/// `object` is a live socket transport that the caller keeps alive; `data` lives.
pub unsafe fn write_to(object: *mut ffi::PyObject, data: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the caller's contract.
    unsafe { write(Transport::from_object(object), data) }
}

/// Accepts several at once: all of them, or none where one is no bytes-like object.
///
/// # Safety
/// As for `write`.
pub unsafe fn write_all(transport: Transport, list: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the caller's contract; each borrow ends before Python runs.
    unsafe {
        let (named, busy) = if compat::WRITELINES_STANDS_ALONE {
            ("writelines", "writelines")
        } else {
            ("write", "write")
        };
        check_open(transport, named, busy)?;
        let items = Owned::new(ffi::PySequence_Tuple(list))?;
        let mut chunks = Vec::new();
        for index in 0..ffi::PyTuple_GET_SIZE(items.as_ptr()) {
            let item = ffi::PyTuple_GET_ITEM(items.as_ptr(), index);
            match check_type(item).and_then(|()| queueable(item)) {
                Ok(chunk) => chunks.push(chunk),
                Err(Raised) => {
                    for chunk in chunks {
                        chunk.release();
                    }
                    return Err(Raised);
                }
            }
        }
        let nothing = chunks.iter().all(|chunk| chunk.as_ref().is_empty());
        if nothing || lost(transport)? {
            for chunk in chunks {
                chunk.release();
            }
            return Ok(());
        }
        let mut pieces: Vec<&[u8]> = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            let piece: *const [u8] = chunk.as_ref();
            if piece.is_empty() {
                chunk.release();
            } else {
                transport.state().out.push(chunk);
                pieces.push(&*piece);
            }
        }
        leave(transport, &pieces)
    }
}

#[inline]
unsafe fn check_type(data: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: `data` lives.
    unsafe {
        if ffi::PyBytes_CheckExact(data) != 0 || is_bytes_like(data) {
            return Ok(());
        }
        let kind = Owned::new(ffi::PyType_GetName(ffi::Py_TYPE(data)))?;
        ffi::PyErr_Format(
            ffi::PyExc_TypeError,
            compat::NOT_BYTES.as_ptr(),
            kind.as_ptr(),
        );
        Err(Raised)
    }
}

/// Fails where nothing may be written any more, or not now.
#[inline]
unsafe fn check_open(transport: Transport, function: &str, busy: &str) -> Python<()> {
    // SAFETY: the borrow ends before Python runs.
    unsafe {
        let state = transport.state();
        if state.eof {
            let message = format!("Cannot call {function}() after write_eof()");
            return Err(raise(ffi::PyExc_RuntimeError, &message));
        }
        if !state.empty_waiter.is_null() {
            let message = format!("unable to {busy}; sendfile is in progress");
            return Err(raise(ffi::PyExc_RuntimeError, &message));
        }
        Ok(())
    }
}

/// What is queued for `data`: itself where it cannot change, else a copy, since a bytearray or a view may change after the call.
#[inline]
unsafe fn queueable(data: *mut ffi::PyObject) -> Python<Chunk> {
    // SAFETY: `data` lives.
    let bytes = unsafe {
        if ffi::PyBytes_CheckExact(data) != 0 {
            Owned::from_borrowed(data)
        } else {
            Owned::new(ffi::PyBytes_FromObject(data))?
        }
    };
    Ok(Chunk::new(bytes.into_ptr()))
}

/// Whether the connection is lost; counts the attempt and warns from the fifth on, as asyncio does.
#[inline]
unsafe fn lost(transport: Transport) -> Python<bool> {
    // SAFETY: the borrow ends before Python runs.
    unsafe {
        let before = transport.state().lost;
        if before == 0 {
            return Ok(false);
        }
        if before >= LOG_AFTER {
            door::cold(c"lost_write", &[])?;
        }
        transport.state().lost += 1;
        Ok(true)
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

/// Decides when the queue leaves, of which `pieces` were added just now: it is stuck already, at once, or with the outbox.
#[inline]
unsafe fn leave(transport: Transport, pieces: &[&[u8]]) -> Python<()> {
    // SAFETY: no Python code runs before the last line of each way. The queue keeps what is handed over, and is not touched while
    // `in_outbox` says so but after `Outbox::take` or `disarm`.
    unsafe {
        let Some(loop_) = transport.event_loop() else {
            return Ok(());
        };
        let interest = interest::current(transport);
        if interest.contains(Interest::WRITE) {
            return flow::maybe_pause(transport);
        }
        let object = NonNull::new_unchecked(transport.object());
        let state = transport.state();
        let outbox = &mut loop_.parts().outbox;
        if !may_wait(loop_, state, interest) || (state.in_outbox && !outbox.is_last(object)) {
            return flush(transport);
        }
        for (index, piece) in pieces.iter().enumerate() {
            let mut pushed = outbox.hand_over(state.fd, piece, !state.in_outbox);
            if pushed == Pushed::Full && index == 0 && !state.in_outbox {
                // More than leave together: those before go first.
                send_outbox(loop_, Ok(()))?;
                pushed = outbox.hand_over(state.fd, piece, true);
            }
            if pushed != Pushed::Waits {
                return flush(transport);
            }
            if !std::mem::replace(&mut state.in_outbox, true) {
                ffi::Py_INCREF(object.as_ptr());
                outbox.push(object);
            }
        }
        Ok(())
    }
}

/// Whether what was written may wait: what the kernel says to it does not depend on anything that the program can have done or learnt
/// since the loop asked it. Where a descriptor was closed or a message read meanwhile, or the connection has something to tell, `write()`
/// sends, so that its errors and its back-pressure come inside it.
#[inline]
unsafe fn may_wait(loop_: Loop, state: &State, interest: Interest) -> bool {
    // SAFETY: no Python code runs.
    unsafe {
        let parts = loop_.parts();
        parts.in_turn
            && interest.contains(Interest::READ)
            && !(state.readable | state.writable)
            && parts.touched == unsent::touched()
            && state.out.pending() <= FLUSH_AT_ONCE.min(state.high)
            && parts.thread == running::this_thread()
    }
}

/// Sends what is queued; what the kernel does not take waits for room. Err only for what must leave the loop.
///
/// # Safety
/// The transport is kept alive by the caller.
pub unsafe fn flush(transport: Transport) -> Python<()> {
    // SAFETY: the list of sent buffers is taken out of the loop while they are released, since that may run Python code.
    unsafe {
        let Some(loop_) = transport.event_loop() else {
            return Ok(());
        };
        if transport.state().in_outbox {
            return send_outbox(loop_, Ok(())); // With the others, in the order of the writes.
        }
        let state = transport.state();
        // In a fork, what is queued is the parent's to send.
        if state.fd < 0 || state.out.is_empty() || is_forked(loop_) {
            return Ok(());
        }
        if state.is_stale() {
            return failed(transport, &io::Error::from_raw_os_error(libc::EBADF));
        }
        unsent::send_now();
        loop_.parts().pace.look();
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

/// A send failed: the connection is lost, and whoever waits for an empty queue is told.
///
/// # Safety
/// The transport is kept alive by the caller.
pub unsafe fn failed(transport: Transport, error: &io::Error) -> Python<()> {
    // SAFETY: the waiter is kept alive; the exception is set where `fatal` takes it.
    unsafe {
        let waiter = transport.state().empty_waiter;
        let waiter = (!waiter.is_null()).then(|| Owned::from_borrowed(waiter));
        close::drop_output(transport.state()); // Nothing of it is tried again.
        errors::raise_os_error(error);
        read::fatal(transport, c"Fatal write error on socket transport")?;
        if let Some(waiter) = waiter {
            errors::raise_os_error(error);
            let exception = Owned::new(compat::take_raised())?;
            let over = Owned::new(ffi::PyObject_CallMethodNoArgs(
                waiter.as_ptr(),
                names().done,
            ))?;
            if over.as_ptr() == ffi::Py_False() {
                let args = [waiter.as_ptr(), exception.as_ptr()];
                Owned::new(ffi::PyObject_VectorcallMethod(
                    names().set_exception,
                    args.as_ptr(),
                    2,
                    ptr::null_mut(),
                ))?;
            }
        }
        Ok(())
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
            let _ = shut_down(state);
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
        if let Some(loop_) = transport.event_loop() {
            loop_.parts().pace.look();
        }
        let state = transport.state();
        if state.fd >= 0 && state.out.is_empty() {
            shut_down(state).map_err(|error| errors::raise_os_error(&error))?;
        }
        Ok(())
    }
}

unsafe fn shut_down(state: &State) -> io::Result<()> {
    // SAFETY: the GIL is held.
    if unsafe { state.is_stale() } {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    unsent::send_now();
    let done = socket::shutdown(state.fd, socket::How::Write);
    unsent::touch();
    done
}
