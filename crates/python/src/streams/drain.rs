//! The writer's `drain` and `wait_closed`.
//!
//! Called by programs. A drain with nothing to wait for ends at its first resumption, with nothing made but itself. Where the
//! protocol is not ours, or replaced its `_drain_helper`, that is awaited, whatever it is.

use super::protocol::{ProtocolRef, initialised};
use super::reader::ReaderRef;
use super::reads::{begin, check_exception, raise_again};
use super::waiter::new_future;
use super::waiting::{ARGUMENT, From, SUBJECT, Step, kind};
use super::writer::WriterRef;
use crate::coroutine::CoroRef;
use crate::errors::keeping_raised;
use crate::ffi::{Python, Raised, answer, args::raise, names::names, owned::Owned};
use crate::future::Purpose;
use crate::recorder;
use crate::transport;
use pyo3_ffi as ffi;
use std::ptr;

kind!(DRAIN, c"drain", c"StreamWriter.drain", drain_step);
kind!(
    WAIT_CLOSED,
    c"wait_closed",
    c"StreamWriter.wait_closed",
    wait_closed_step
);

/// `phase` of a drain: it gave way to the loop, so that a closing transport can tell the protocol.
const YIELDED: u8 = 1;
/// It waits for the protocol.
const WAITS: u8 = 2;

/// `drain()`.
pub unsafe extern "C" fn drain(
    writer: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { answer::object(begin(&DRAIN, writer, 0)) }
}

/// `wait_closed()`.
pub unsafe extern "C" fn wait_closed(
    writer: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { answer::object(begin(&WAIT_CLOSED, writer, 0)) }
}

#[inline]
unsafe fn none() -> Python<Step> {
    // SAFETY: None lives.
    Ok(Step::Done(unsafe { Owned::from_borrowed(ffi::Py_None()) }))
}

unsafe fn drain_step(coro: CoroRef, from: From) -> Python<Step> {
    // SAFETY: called by `resume`; each borrow ends before Python code runs.
    unsafe {
        let writer = WriterRef::from_object(coro.held(SUBJECT));
        match (coro.cell().phase, from) {
            (WAITS, from) => return waited(coro, writer, from),
            (_, From::Exception) => return Err(Raised),
            (YIELDED, _) => {}
            _ => {
                let transport = writer.transport()?;
                check_reader(writer)?;
                if transport::is_closing(transport.as_ptr())? {
                    coro.cell().phase = YIELDED;
                    return Ok(Step::Yield);
                }
            }
        }
        coro.cell().phase = WAITS;
        let protocol = Owned::from_field(writer.get().protocol, "StreamWriter", "_protocol")?;
        match ProtocolRef::plain(protocol.as_ptr()) {
            Some(plain) => help(coro, plain),
            None => Owned::new(ffi::PyObject_CallMethodNoArgs(
                protocol.as_ptr(),
                names()._drain_helper,
            ))
            .map(Step::Await),
        }
    }
}

/// Raises the reader's exception, if there is a reader and it has one.
#[inline]
unsafe fn check_reader(writer: WriterRef) -> Python<()> {
    // SAFETY: the reader is kept alive over the calls.
    unsafe {
        let reader = writer.get().reader;
        if reader.is_null() {
            return Ok(());
        }
        if let Some(plain) = ReaderRef::plain(reader) {
            return check_exception(plain);
        }
        let reader = Owned::from_borrowed(reader);
        let exception = Owned::new(ffi::PyObject_CallMethodNoArgs(
            reader.as_ptr(),
            names().exception,
        ))?;
        if exception.as_ptr() == ffi::Py_None() {
            return Ok(());
        }
        Err(raise_again(exception))
    }
}

/// `_drain_helper()` of a plain protocol, up to its wait.
#[inline]
unsafe fn help(coro: CoroRef, protocol: ProtocolRef) -> Python<Step> {
    // SAFETY: each borrow ends before Python code runs.
    unsafe {
        if protocol.get().lost {
            return Err(raise(ffi::PyExc_ConnectionResetError, "Connection lost"));
        }
        if !protocol.get().paused {
            return none();
        }
        let waiter = new_future(
            protocol.get().loop_,
            protocol.get().direct,
            Purpose::SocketWrite,
        )?;
        if recorder::is_on() {
            recorder::waits_for_peer(waiter.as_ptr(), protocol.get().transport);
        }
        let waiters = protocol.drain_waiters()?;
        let append = Owned::new(ffi::PyObject_GetAttrString(
            waiters.as_ptr(),
            c"append".as_ptr(),
        ))?;
        Owned::new(ffi::PyObject_CallOneArg(append.as_ptr(), waiter.as_ptr()))?;
        coro.hold(ARGUMENT, waiter.clone().into_ptr());
        Ok(Step::Await(waiter))
    }
}

/// The wait for the protocol is over: its waiter is taken off the list again.
unsafe fn waited(coro: CoroRef, writer: WriterRef, from: From) -> Python<Step> {
    // SAFETY: the objects are kept alive; an exception on its way is put aside.
    unsafe {
        let waiter = coro.held(ARGUMENT);
        let mut removed = Ok(());
        if !waiter.is_null() {
            let waiter = Owned::from_borrowed(waiter);
            let protocol = Owned::from_field(writer.get().protocol, "StreamWriter", "_protocol")?;
            let remove = || {
                let Some(plain) = ProtocolRef::plain(protocol.as_ptr()) else {
                    return Ok(());
                };
                let waiters = plain.drain_waiters()?;
                let remove = Owned::new(ffi::PyObject_GetAttrString(
                    waiters.as_ptr(),
                    c"remove".as_ptr(),
                ))?;
                Owned::new(ffi::PyObject_CallOneArg(remove.as_ptr(), waiter.as_ptr())).map(drop)
            };
            if matches!(from, From::Exception) {
                keeping_raised(|| {
                    if remove().is_err() {
                        ffi::PyErr_Clear();
                    }
                });
            } else {
                removed = remove();
            }
        }
        if matches!(from, From::Exception) {
            return Err(Raised);
        }
        removed?;
        none()
    }
}

unsafe fn wait_closed_step(coro: CoroRef, from: From) -> Python<Step> {
    // SAFETY: called by `resume`; the protocol is kept alive over the calls.
    unsafe {
        match from {
            From::Value => return none(),
            From::Exception => return Err(Raised),
            From::Start => {}
        }
        let writer = WriterRef::from_object(coro.held(SUBJECT));
        writer.transport()?;
        let protocol = Owned::from_field(writer.get().protocol, "StreamWriter", "_protocol")?;
        if let Some(plain) = ProtocolRef::plain(protocol.as_ptr()) {
            return initialised(plain)
                .and_then(|()| plain.closed())
                .map(Step::Await);
        }
        let args = [protocol.as_ptr(), writer.object()];
        Owned::new(ffi::PyObject_VectorcallMethod(
            names()._get_close_waiter,
            args.as_ptr(),
            2,
            ptr::null_mut(),
        ))
        .map(Step::Await)
    }
}
