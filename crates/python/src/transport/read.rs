//! From the socket to the protocol. Called by the turn when a transport's readiness gets its turn.
//!
//! The driver's one hot buffer takes what the kernel has; the protocol gets it as bytes of just that length
//! (a `BufferedProtocol`'s own buffer is filled directly).

use super::state::Transport;
use super::{close, consumer, interest, write};
use crate::door;
use crate::ffi::{Python, Raised, compat, names::names, owned::Owned};
use crate::native_loop::{Loop, is_forked};
use pyo3_ffi as ffi;
use rondeau_driver::{Interest, Readiness, socket};
use std::ffi::CStr;
use std::{io, ptr};

/// Notes what an event reported; true if the transport must be put on the agenda.
///
/// # Safety
/// `object` is a live transport.
#[inline]
pub unsafe fn note_readiness(object: *mut ffi::PyObject, readiness: Readiness) -> bool {
    // SAFETY: no Python code runs.
    unsafe {
        let state = Transport::from_object(object).state();
        state.readable |= readiness.readable();
        state.writable |= readiness.writable();
        !std::mem::replace(&mut state.queued, true)
    }
}

/// Gives the transport its turn, in its own context, as a reader's handle has one. Err only for what must leave the loop.
///
/// # Safety
/// `object` is a live transport that the caller keeps alive.
pub unsafe fn on_ready(loop_: Loop, object: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the caller's contract; each borrow of the state ends before Python runs.
    unsafe {
        let transport = Transport::from_object(object);
        let state = transport.state();
        state.queued = false;
        let readable = std::mem::take(&mut state.readable);
        let writable = std::mem::take(&mut state.writable);
        if state.fd < 0 || is_forked(loop_) {
            return Ok(());
        }
        if state.is_stale() {
            return failed(transport, &io::Error::from_raw_os_error(libc::EBADF));
        }
        let mut context = own_context(transport)?;
        if ffi::PyContext_Enter(context.as_ptr()) != 0 {
            if loop_.parts().suspended.is_empty() {
                return fatal(transport, c"Fatal error on socket transport");
            }
            // A callback of this transport runs the loop within itself: what comes meanwhile is told in a copy.
            ffi::PyErr_Clear();
            context = Owned::new(ffi::PyContext_Copy(context.as_ptr()))?;
            if ffi::PyContext_Enter(context.as_ptr()) != 0 {
                return Err(Raised);
            }
        }
        let mut done = Ok(());
        if readable && interest::current(transport).contains(Interest::READ) {
            done = if transport.state().closing || transport.state().paused {
                // The kernel did not take it when it was told to report no more.
                let _ = interest::want(transport, Interest::READ, false);
                Ok(())
            } else {
                read(loop_, transport)
            };
        }
        if done.is_ok() && writable && interest::current(transport).contains(Interest::WRITE) {
            done = write::on_writable(transport);
        }
        ffi::PyContext_Exit(context.as_ptr());
        done
    }
}

unsafe fn read(loop_: Loop, transport: Transport) -> Python<()> {
    // SAFETY: as in `on_ready`.
    unsafe {
        if transport.state().consumer != 0 {
            return read_for_consumer(loop_, transport);
        }
        if transport.state().buffered {
            return read_into(transport);
        }
        let fd = transport.state().fd;
        let Some(driver) = loop_.driver_mut() else {
            return Ok(());
        };
        let hot = driver.hot();
        match socket::recv(fd, hot) {
            Ok(0) => end_of_stream(transport),
            Ok(count) => hand_over(transport, &hot[..count]),
            Err(error) => failed(transport, &error),
        }
    }
}

/// `data_received(bytes)`.
#[inline]
unsafe fn hand_over(transport: Transport, data: &[u8]) -> Python<()> {
    // SAFETY: the bytes are copied before Python runs.
    unsafe {
        let data = Owned::new(ffi::PyBytes_FromStringAndSize(
            data.as_ptr().cast(),
            data.len() as ffi::Py_ssize_t,
        ));
        let Ok(data) = data else {
            return lost(transport);
        };
        call(
            transport,
            c"Fatal error: protocol.data_received() call failed.",
            |protocol| {
                let args = [protocol, data.as_ptr()];
                ffi::PyObject_VectorcallMethod(
                    names().data_received,
                    args.as_ptr(),
                    2,
                    ptr::null_mut(),
                )
            },
        )
        .map(drop)
    }
}

/// The consumer gets a slice of the driver's buffer, which is out of the driver's hands meanwhile: the program's code may run.
unsafe fn read_for_consumer(loop_: Loop, transport: Transport) -> Python<()> {
    // SAFETY: as in `on_ready`.
    unsafe {
        let Some(driver) = loop_.driver_mut() else {
            return Ok(());
        };
        let mut lent = driver.lend();
        let done = match socket::recv(transport.state().fd, &mut lent) {
            Ok(0) => end_of_stream(transport),
            Ok(count) => consume(transport, &lent[..count])
                .unwrap_or_else(|| hand_over(transport, &lent[..count])),
            Err(error) => failed(transport, &error),
        };
        if let Some(driver) = loop_.driver_mut() {
            driver.take_back(lent);
        }
        done
    }
}

/// Gives the protocol's consumer what was received. None: the protocol's own method is to be called.
#[inline]
unsafe fn consume(transport: Transport, data: &[u8]) -> Option<Python<()>> {
    // SAFETY: the protocol is kept alive, since who is woken may replace it.
    unsafe {
        let consumer = consumer::get(transport.state().consumer);
        let protocol = Owned::from_borrowed(transport.state().protocol);
        let done = (consumer.feed)(protocol.as_ptr(), data)?;
        Some(done.or_else(|Raised| fatal(transport, consumer.failed)))
    }
}

unsafe fn read_into(transport: Transport) -> Python<()> {
    // SAFETY: as in `on_ready`; the view keeps the protocol's buffer in place until it is released.
    unsafe {
        let asked = call(
            transport,
            c"Fatal error: protocol.get_buffer() call failed.",
            |protocol| {
                let hint = Owned::new(ffi::PyLong_FromLong(-1));
                let Ok(hint) = hint else {
                    return ptr::null_mut();
                };
                let args = [protocol, hint.as_ptr()];
                let buffer = ffi::PyObject_VectorcallMethod(
                    names().get_buffer,
                    args.as_ptr(),
                    2,
                    ptr::null_mut(),
                );
                let Ok(buffer) = Owned::new(buffer) else {
                    return ptr::null_mut();
                };
                match ffi::PyObject_Size(buffer.as_ptr()) {
                    -1 => return ptr::null_mut(),
                    0 => {
                        crate::ffi::args::raise(
                            ffi::PyExc_RuntimeError,
                            "get_buffer() returned an empty buffer",
                        );
                        return ptr::null_mut();
                    }
                    _ => {}
                }
                buffer.into_ptr()
            },
        )?;
        let Some(buffer) = asked else { return Ok(()) };
        let mut view: ffi::Py_buffer = std::mem::zeroed();
        if ffi::PyObject_GetBuffer(buffer.as_ptr(), &mut view, ffi::PyBUF_WRITABLE) != 0 {
            return fatal(
                transport,
                c"Fatal error: protocol.get_buffer() call failed.",
            );
        }
        let fd = transport.state().fd;
        // A buffer of no bytes may be at no address.
        let target = if view.len == 0 {
            &mut [][..]
        } else {
            std::slice::from_raw_parts_mut(view.buf.cast::<u8>(), view.len as usize)
        };
        let got = if transport.state().is_stale() {
            Err(io::Error::from_raw_os_error(libc::EBADF))
        } else {
            socket::recv(fd, target)
        };
        ffi::PyBuffer_Release(&mut view);
        let count = match got {
            Ok(0) => return end_of_stream(transport),
            Ok(count) => Owned::new(ffi::PyLong_FromSize_t(count)),
            Err(error) => return failed(transport, &error),
        };
        let Ok(count) = count else {
            return lost(transport);
        };
        call(
            transport,
            c"Fatal error: protocol.buffer_updated() call failed.",
            |protocol| {
                let args = [protocol, count.as_ptr()];
                ffi::PyObject_VectorcallMethod(
                    names().buffer_updated,
                    args.as_ptr(),
                    2,
                    ptr::null_mut(),
                )
            },
        )
        .map(drop)
    }
}

unsafe fn end_of_stream(transport: Transport) -> Python<()> {
    // SAFETY: as in `on_ready`.
    unsafe {
        let asked = call(
            transport,
            c"Fatal error: protocol.eof_received() call failed.",
            |protocol| ffi::PyObject_CallMethodNoArgs(protocol, names().eof_received),
        )?;
        let Some(keep_open) = asked else {
            return Ok(());
        };
        match ffi::PyObject_IsTrue(keep_open.as_ptr()) {
            // Half-closed by the peer: there is nothing more to read, and the kernel would report the end again and again.
            1 => {
                let _ = interest::want(transport, Interest::READ, false);
                Ok(())
            }
            0 => close::close(transport),
            _ => fatal(
                transport,
                c"Fatal error: protocol.eof_received() call failed.",
            ),
        }
    }
}

/// What came cannot be handed over, for lack of memory: the connection ends, or what comes next would close the gap unseen.
#[cold]
unsafe fn lost(transport: Transport) -> Python<()> {
    // SAFETY: the exception is set.
    unsafe { fatal(transport, c"Fatal read error on socket transport") }
}

unsafe fn failed(transport: Transport, error: &io::Error) -> Python<()> {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(()),
        _ => {
            crate::errors::raise_os_error(error);
            // SAFETY: the exception is set.
            unsafe { fatal(transport, c"Fatal read error on socket transport") }
        }
    }
}

/// Calls the protocol. A failure ends the transport: None. Err only for what must leave the loop.
#[inline]
unsafe fn call(
    transport: Transport,
    message: &CStr,
    function: impl FnOnce(*mut ffi::PyObject) -> *mut ffi::PyObject,
) -> Python<Option<Owned>> {
    // SAFETY: the protocol is kept alive over the call, since it may replace itself.
    unsafe {
        let protocol = transport.state().protocol;
        if protocol.is_null() {
            // Lost while the protocol was asked for its buffer.
            return Ok(None);
        }
        let protocol = Owned::from_borrowed(protocol);
        let result = function(protocol.as_ptr());
        if result.is_null() {
            return fatal(transport, message).map(|()| None);
        }
        Ok(Some(Owned::from_owned(result)))
    }
}

/// The context that this transport's callbacks share, copied from the listener's at their first.
unsafe fn own_context(transport: Transport) -> Python<Owned> {
    // SAFETY: the new context is stored before the shared one is released.
    unsafe {
        if !transport.state().own_context {
            let copy = Owned::new(ffi::PyContext_Copy(transport.state().context))?;
            transport.state().own_context = true;
            super::state::replace(&mut transport.state().context, copy.into_ptr());
        }
        Ok(Owned::from_borrowed(transport.state().context))
    }
}

/// The current exception ends the transport and is reported; KeyboardInterrupt and SystemExit leave the loop.
///
/// # Safety
/// An exception is set; the transport lives.
#[cold]
pub unsafe fn fatal(transport: Transport, message: &CStr) -> Python<()> {
    // SAFETY: the exception is taken before Python runs.
    unsafe {
        if crate::errors::leaves_the_loop() {
            return Err(Raised);
        }
        let exception = Owned::new(compat::take_raised())?;
        let message = Owned::new(ffi::PyUnicode_FromString(message.as_ptr()))?;
        door::cold(
            c"fatal_error",
            &[transport.object(), exception.as_ptr(), message.as_ptr()],
        )?;
        Ok(())
    }
}
