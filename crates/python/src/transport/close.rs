//! The end of a connection: `close()`, `abort()`, an error, and the protocol's `connection_lost`.
//!
//! The descriptor is closed in one place, `finish`, after the loop has forgotten its number: no event and no send of this
//! connection can reach whoever gets the number next.

use super::state::{State, Transport, replace};
use super::{interest, write};
use crate::door;
use crate::ffi::{Python, Raised, compat, names::names, owned::Owned};
use crate::handle;
use crate::native_loop::{self, Loop};
use pyo3_ffi as ffi;
use rondeau_driver::{Interest, unsent};
use std::ptr;

/// `close()`: no more is read; what was written is sent, then the connection is lost.
///
/// # Safety
/// The transport is kept alive by the caller.
pub unsafe fn close(transport: Transport) -> Python<()> {
    // SAFETY: each borrow ends before Python runs.
    unsafe {
        if transport.state().closing || transport.event_loop().is_none() {
            return Ok(());
        }
        // First what the callback wrote: only what the kernel does not take keeps the connection. A queue that is stuck already
        // is emptied by `on_writable`, which tells whoever waits for that.
        if !interest::current(transport).contains(Interest::WRITE) {
            write::flush(transport)?;
        }
        if std::mem::replace(&mut transport.state().closing, true) {
            return Ok(());
        }
        let _ = interest::want(transport, Interest::READ, false);
        if transport.state().out.is_empty() {
            transport.state().lost += 1;
            let _ = interest::want(transport, Interest::WRITE, false);
            lose_soon(transport, ffi::Py_None())?;
        }
        Ok(())
    }
}

/// Drops what the kernel does not take and loses the connection, with `exception` (borrowed; None for `abort()`).
///
/// # Safety
/// The transport is kept alive by the caller.
pub unsafe fn force_close(transport: Transport, exception: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: each borrow ends before Python runs; `exception` is the caller's and outlives the call.
    unsafe {
        if transport.state().lost > 0 || transport.event_loop().is_none() {
            return Ok(());
        }
        // What waits in the outbox is what asyncio's `write` had handed to the kernel by now: a last word before abort() arrives.
        if !interest::current(transport).contains(Interest::WRITE) {
            write::flush(transport)?;
            if transport.state().lost > 0 {
                return Ok(());
            }
        }
        drop_output(transport.state());
        transport.state().closing = true;
        let _ = interest::set(transport, Interest::NONE);
        transport.state().lost += 1;
        lose_soon(transport, exception)
    }
}

/// Releases what was never sent. May run Python code.
pub fn drop_output(state: &mut State) {
    if state.in_outbox && !state.loop_.is_null() {
        // SAFETY: a transport's loop is native, and lives as long as the transport refers to it.
        unsafe { Loop::from_object(state.loop_).parts().outbox.disarm() };
    }
    let left: Vec<_> = state.out.take_all().collect();
    for chunk in left {
        chunk.release();
    }
}

unsafe fn lose_soon(transport: Transport, exception: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the loop lives as long as the transport refers to it.
    unsafe {
        let Some(loop_) = transport.event_loop() else {
            return Ok(());
        };
        native_loop::check_open(loop_)?;
        let method = Owned::new(ffi::PyObject_GetAttrString(
            transport.object(),
            c"_call_connection_lost".as_ptr(),
        ))?;
        let state = transport.state();
        let context = if state.one_context {
            state.context
        } else {
            ptr::null_mut()
        };
        handle::call_soon(loop_, method.as_ptr(), &[exception], context)
    }
}

/// The queue of a closing transport is empty: the connection is lost now.
///
/// # Safety
/// The transport is kept alive by the caller.
pub unsafe fn finish_now(transport: Transport) -> Python<()> {
    // SAFETY: the caller's contract.
    unsafe {
        transport.state().lost += 1;
        match finish(transport, ffi::Py_None()) {
            Ok(()) => Ok(()),
            Err(Raised) => super::read::fatal(
                transport,
                c"Fatal error: protocol.connection_lost() call failed.",
            ),
        }
    }
}

/// Tells the protocol, then closes the descriptor and lets go of everything, whatever the protocol does.
///
/// # Safety
/// The transport is kept alive by the caller.
pub unsafe fn finish(transport: Transport, exception: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the protocol is kept alive over its call; each borrow ends before Python runs.
    unsafe {
        let mut told = Ok(());
        if transport.state().connected && !transport.state().protocol.is_null() {
            let protocol = Owned::from_borrowed(transport.state().protocol);
            let args = [protocol.as_ptr(), exception];
            told = Owned::new(ffi::PyObject_VectorcallMethod(
                names().connection_lost,
                args.as_ptr(),
                2,
                ptr::null_mut(),
            ))
            .map(drop);
        }
        let raised = if told.is_err() {
            compat::take_raised()
        } else {
            ptr::null_mut()
        };
        let released = release(transport);
        if !raised.is_null() {
            if released.is_err() {
                ffi::PyErr_Clear();
            }
            compat::set_raised(raised);
            return told;
        }
        released
    }
}

/// The connection is lost while `sendfile` waits: for an empty queue, or with the descriptor, for room. The latter finds out by a try.
unsafe fn tell_sendfile(transport: Transport, borrower: Option<Owned>) -> Python<()> {
    // SAFETY: the references are owned over the calls, and the loop lives as long as the transport refers to it.
    unsafe {
        let waiter = std::mem::replace(&mut transport.state().empty_waiter, ptr::null_mut());
        if !waiter.is_null() {
            let waiter = Owned::from_owned(waiter);
            door::cold(c"set_lost", &[waiter.as_ptr()])?;
        }
        match (borrower, transport.event_loop()) {
            (Some(handle), Some(loop_)) => handle::run(loop_, handle.as_ptr()),
            _ => Ok(()),
        }
    }
}

/// Closes the descriptor and empties the transport.
///
/// # Safety
/// The transport is kept alive by the caller, or is being finalised.
pub unsafe fn release(transport: Transport) -> Python<()> {
    // SAFETY: the number is forgotten before the descriptor is closed, and each field is emptied before its reference goes.
    unsafe {
        super::extra::keep_own_address(transport.state());
        let borrower = interest::borrower(transport);
        interest::forget(transport);
        if let Some(loop_) = transport.event_loop() {
            loop_.parts().pace.look();
        }
        drop_output(transport.state());
        unsent::send_now();
        // What close() raised is kept out of the way of the Python code that runs below.
        let mut raised = ptr::null_mut();
        let fd = std::mem::replace(&mut transport.state().fd, -1);
        let sock = std::mem::replace(&mut transport.state().sock, ptr::null_mut());
        if !sock.is_null() {
            let sock = Owned::from_owned(sock);
            if Owned::new(ffi::PyObject_CallMethodNoArgs(sock.as_ptr(), names().close)).is_err() {
                raised = compat::take_raised();
            }
        } else if fd >= 0 {
            // Linux frees the number even where close(2) fails (close(2), NOTES): it is never retried.
            libc::close(fd);
            unsent::touch();
        }
        let server = std::mem::replace(&mut transport.state().server, ptr::null_mut());
        if !server.is_null() {
            let server = Owned::from_owned(server);
            if door::cold(c"detach", &[server.as_ptr(), transport.object()]).is_err() {
                if raised.is_null() {
                    raised = compat::take_raised();
                } else {
                    ffi::PyErr_Clear();
                }
            }
        }
        if let Err(Raised) = tell_sendfile(transport, borrower) {
            if raised.is_null() {
                raised = compat::take_raised();
            } else {
                ffi::PyErr_Clear();
            }
        }
        replace(&mut transport.state().context, ptr::null_mut());
        replace(&mut transport.state().protocol, ptr::null_mut());
        replace(&mut transport.state().loop_, ptr::null_mut());
        if raised.is_null() {
            return Ok(());
        }
        compat::set_raised(raised);
        Err(Raised)
    }
}
