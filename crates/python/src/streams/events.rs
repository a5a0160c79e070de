//! What a transport tells the native protocol: data, the end, the loss of the connection, and that writing is to pause.
//!
//! Called by transports, as any protocol's methods are; by native ones straight (`receive`), unless a method of it was replaced.

use super::door::assertion;
use super::feed;
use super::protocol::{ProtocolRef, close_with, initialised, is_done};
use super::reader::{ReaderRef, debug_of, set};
use crate::door::cold;
use crate::ffi::{Python, Raised, answer, names::names, owned::Owned};
use pyo3_ffi as ffi;
use std::ffi::CStr;
use std::ptr;

/// What a transport received, not empty, as if by `data_received`. None: the method must be called, since it may be another.
///
/// # Safety
/// `object` is live and stays so.
#[inline]
pub unsafe fn receive(object: *mut ffi::PyObject, data: &[u8]) -> Option<Python<()>> {
    // SAFETY: the reader is kept alive; `data` is copied before Python code runs.
    unsafe {
        let protocol = ProtocolRef::plain(object)?;
        let reader = match protocol.reader() {
            Ok(Some(reader)) => reader,
            Ok(None) => return Some(Ok(())),
            Err(Raised) => return Some(Err(Raised)),
        };
        // A reader that is not plain gets an object, through its own method.
        ReaderRef::plain(reader.as_ptr()).map(|plain| feed::feed(plain, data))
    }
}

/// `data_received(data)`.
pub unsafe extern "C" fn data_received(
    object: *mut ffi::PyObject,
    data: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    answer::none(unsafe {
        match ProtocolRef::from_object(object).reader() {
            Ok(None) => Ok(()),
            Ok(Some(reader)) => match ReaderRef::plain(reader.as_ptr()) {
                Some(plain) => feed::feed_object(plain, data),
                None => Owned::new(ffi::PyObject_CallMethodOneArg(
                    reader.as_ptr(),
                    names().feed_data,
                    data,
                ))
                .map(drop),
            },
            Err(Raised) => Err(Raised),
        }
    })
}

unsafe fn feed_eof(reader: &Owned) -> Python<()> {
    // SAFETY: the reader is kept alive by the caller.
    unsafe {
        match ReaderRef::plain(reader.as_ptr()) {
            Some(plain) => feed::feed_eof(plain),
            None => Owned::new(ffi::PyObject_CallMethodNoArgs(
                reader.as_ptr(),
                names().feed_eof,
            ))
            .map(drop),
        }
    }
}

/// `eof_received()`: true, so that the transport stays open for writing; not under TLS, which has no half-closed state.
pub unsafe extern "C" fn eof_received(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    unsafe {
        let protocol = ProtocolRef::from_object(object);
        let fed = match protocol.reader() {
            Ok(Some(reader)) => feed_eof(&reader),
            other => other.map(drop),
        };
        answer::truth(fed.map(|()| !protocol.get().over_ssl))
    }
}

/// `connection_lost(exc)`.
pub unsafe extern "C" fn connection_lost(
    object: *mut ffi::PyObject,
    exception: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    answer::none(unsafe { lose(ProtocolRef::from_object(object), exception) })
}

unsafe fn lose(protocol: ProtocolRef, exception: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: objects are kept alive over the calls; each borrow ends before Python code runs.
    unsafe {
        let with = (exception != ffi::Py_None()).then(|| Owned::from_borrowed(exception));
        if let Some(reader) = protocol.reader()? {
            match (&with, ReaderRef::plain(reader.as_ptr())) {
                (None, _) => feed_eof(&reader)?,
                (Some(with), Some(plain)) => feed::set_exception(plain, with.as_ptr())?,
                (Some(with), None) => drop(Owned::new(ffi::PyObject_CallMethodOneArg(
                    reader.as_ptr(),
                    names().set_exception,
                    with.as_ptr(),
                ))?),
            }
        }
        if !protocol.get().closed.is_null() {
            close_with(protocol, with.as_ref())?;
        } else if let Some(with) = &with {
            set(&raw mut protocol.get().lost_with, with.clone().into_ptr());
        }
        protocol.get().lost = true;
        if protocol.get().paused {
            wake_drains(protocol, with.as_ref())?;
        }
        for slot in [
            &raw mut protocol.get().reader,
            &raw mut protocol.get().writer,
            &raw mut protocol.get().task,
            &raw mut protocol.get().transport,
        ] {
            set(slot, ptr::null_mut());
        }
        Ok(())
    }
}

/// Ends what waits in `drain`.
unsafe fn wake_drains(protocol: ProtocolRef, exception: Option<&Owned>) -> Python<()> {
    // SAFETY: the waiters are kept alive by the tuple.
    unsafe {
        let waiters = protocol.get().drain_waiters;
        if waiters.is_null() {
            return Ok(());
        }
        let waiters = Owned::new(ffi::PySequence_Tuple(waiters))?;
        for index in 0..ffi::PyTuple_GET_SIZE(waiters.as_ptr()) {
            let waiter = Owned::from_borrowed(ffi::PyTuple_GET_ITEM(waiters.as_ptr(), index));
            if !is_done(&waiter)? {
                feed::end(&waiter, exception.map_or(ptr::null_mut(), Owned::as_ptr))?;
            }
        }
        Ok(())
    }
}

unsafe fn log(protocol: ProtocolRef, what: &CStr) -> Python<()> {
    // SAFETY: the loop is kept alive over the call.
    unsafe {
        let loop_ = Owned::from_field(protocol.get().loop_, "StreamReaderProtocol", "_loop")?;
        if debug_of(loop_.as_ptr())? {
            let what = Owned::new(ffi::PyUnicode_FromString(what.as_ptr()))?;
            cold(c"log_flow", &[protocol.object(), what.as_ptr()])?;
        }
        Ok(())
    }
}

/// `pause_writing()`.
pub unsafe extern "C" fn pause_writing(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    answer::none(unsafe {
        let protocol = ProtocolRef::from_object(object);
        (|| {
            initialised(protocol)?;
            if protocol.get().paused {
                assertion("")?;
            }
            protocol.get().paused = true;
            log(protocol, c"pauses")
        })()
    })
}

/// `resume_writing()`.
pub unsafe extern "C" fn resume_writing(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    answer::none(unsafe {
        let protocol = ProtocolRef::from_object(object);
        (|| {
            initialised(protocol)?;
            if !protocol.get().paused {
                assertion("")?;
            }
            protocol.get().paused = false;
            log(protocol, c"resumes")?;
            wake_drains(protocol, None)
        })()
    })
}
