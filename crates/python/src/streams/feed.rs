//! What comes into a reader: data, the end, an error; who is woken by it; and when the transport must stop and go on.
//!
//! Called by the protocol, by native transports (straight, through `protocol::receive`) and by programs that feed a reader by hand.
//! The order is asyncio's: the buffer, the waiter, then the transport.

use super::door::assertion;
use super::reader::{ReaderRef, set};
use crate::ffi::{Python, Raised, names::names, owned::Owned};
use crate::future::cell::State;
use crate::future::layout::layout;
use crate::future::outcome;
use crate::transport;
use pyo3_ffi as ffi;
use std::ptr;

/// `feed_data(data)` of what a transport received; not empty.
///
/// # Safety
/// The reader lives, is kept alive and plain; `data` does not lie in its buffer.
#[inline]
pub unsafe fn feed(reader: ReaderRef, data: &[u8]) -> Python<()> {
    // SAFETY: the slice is not used after the first call.
    unsafe {
        check_open(reader)?;
        reader.get().buffer.push(data)?;
        after(reader)
    }
}

/// `feed_data(data)` of an object.
///
/// # Safety
/// As for `feed`; `data` is live.
pub unsafe fn feed_object(reader: ReaderRef, data: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the object's bytes are copied before Python code runs.
    unsafe {
        check_open(reader)?;
        if ffi::PyBytes_CheckExact(data) != 0 {
            if ffi::Py_SIZE(data) == 0 {
                return Ok(());
            }
            reader.get().buffer.push_chunk(data)?;
            return after(reader);
        }
        match ffi::PyObject_IsTrue(data) {
            -1 => return Err(Raised),
            0 => return Ok(()),
            _ => {}
        }
        if ffi::PyObject_CheckBuffer(data) != 0 {
            let copy = Owned::new(ffi::PyBytes_FromObject(data))?;
            if ffi::Py_SIZE(copy.as_ptr()) != 0 {
                reader.get().buffer.push_chunk(copy.as_ptr())?;
            }
            return after(reader);
        }
        // Integers, or what is none: bytearray.extend says what it makes of them.
        let array = reader.get().buffer.share()?;
        let extend = Owned::new(ffi::PyObject_GetAttrString(
            array.as_ptr(),
            c"extend".as_ptr(),
        ))?;
        Owned::new(ffi::PyObject_CallOneArg(extend.as_ptr(), data))?;
        after(reader)
    }
}

#[inline]
unsafe fn check_open(reader: ReaderRef) -> Python<()> {
    // SAFETY: the borrow ends in the condition.
    if unsafe { reader.get().eof } {
        return assertion("feed_data after feed_eof");
    }
    Ok(())
}

/// Data came: wakes who waits and stops the transport above twice the limit.
#[inline]
unsafe fn after(reader: ReaderRef) -> Python<()> {
    // SAFETY: each borrow ends before Python code runs.
    unsafe {
        wake(reader)?;
        let fields = reader.get();
        if fields.paused || fields.transport.is_null() || fields.buffer.len() <= 2 * fields.most {
            return Ok(());
        }
        pause(reader)
    }
}

#[cold]
unsafe fn pause(reader: ReaderRef) -> Python<()> {
    // SAFETY: the transport is kept alive over the call.
    unsafe {
        let transport = Owned::from_borrowed(reader.get().transport);
        if transport::pause_reading(transport.as_ptr()).is_ok() {
            reader.get().paused = true;
            return Ok(());
        }
        if ffi::PyErr_ExceptionMatches(ffi::PyExc_NotImplementedError) == 0 {
            return Err(Raised);
        }
        // It cannot be paused: all data is buffered, and it is not asked again.
        ffi::PyErr_Clear();
        set(&raw mut reader.get().transport, ptr::null_mut());
        Ok(())
    }
}

/// `_maybe_resume_transport()`.
///
/// # Safety
/// The reader is kept alive.
#[inline]
pub unsafe fn maybe_resume(reader: ReaderRef) -> Python<()> {
    // SAFETY: the borrow ends before Python code runs.
    unsafe {
        let fields = reader.get();
        if !fields.paused || fields.buffer.len() > fields.most {
            return Ok(());
        }
        resume(reader)
    }
}

/// Lets a paused transport go on.
///
/// # Safety
/// The reader is kept alive and is paused.
#[cold]
pub unsafe fn resume(reader: ReaderRef) -> Python<()> {
    // SAFETY: the transport is kept alive over the call.
    unsafe {
        reader.get().paused = false;
        let transport = reader.get().transport;
        let transport = Owned::from_borrowed(if transport.is_null() {
            ffi::Py_None()
        } else {
            transport
        });
        transport::resume_reading(transport.as_ptr())
    }
}

/// `feed_eof()`.
///
/// # Safety
/// The reader is kept alive.
pub unsafe fn feed_eof(reader: ReaderRef) -> Python<()> {
    // SAFETY: the borrow ends before Python code runs.
    unsafe {
        reader.get().eof = true;
        wake(reader)
    }
}

/// `_wakeup_waiter()`.
///
/// # Safety
/// The reader is kept alive.
#[inline]
pub unsafe fn wake(reader: ReaderRef) -> Python<()> {
    // SAFETY: the reference is ours once taken.
    unsafe {
        let waiter = std::mem::replace(&mut reader.get().waiter, ptr::null_mut());
        if waiter.is_null() {
            return Ok(());
        }
        finish(&Owned::from_owned(waiter), ptr::null_mut())
    }
}

/// `set_exception(exc)`.
///
/// # Safety
/// The reader is kept alive; `exception` is live.
pub unsafe fn set_exception(reader: ReaderRef, exception: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the exception is kept alive; the waiter's reference is ours once taken.
    unsafe {
        let exception = Owned::from_borrowed(exception);
        let stored = if exception.as_ptr() == ffi::Py_None() {
            ptr::null_mut()
        } else {
            exception.clone().into_ptr()
        };
        set(&raw mut reader.get().exception, stored);
        let waiter = std::mem::replace(&mut reader.get().waiter, ptr::null_mut());
        if waiter.is_null() {
            return Ok(());
        }
        finish(&Owned::from_owned(waiter), exception.as_ptr())
    }
}

/// Ends a waiter that was not cancelled: with None, or with `exception` where it is not NULL.
///
/// # Safety
/// The objects live.
#[inline]
pub unsafe fn finish(waiter: &Owned, exception: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the type tells which functions apply; the waiter is kept alive by the caller.
    unsafe {
        let cancelled = match layout().exact(waiter.as_ptr()) {
            Some(future) => future.cell().state == State::Cancelled,
            None => is_cancelled(waiter)?,
        };
        if cancelled {
            return Ok(());
        }
        end(waiter, exception)
    }
}

#[cold]
unsafe fn is_cancelled(waiter: &Owned) -> Python<bool> {
    // SAFETY: the waiter lives.
    unsafe {
        let cancelled = Owned::new(ffi::PyObject_CallMethodNoArgs(
            waiter.as_ptr(),
            names().cancelled,
        ))?;
        match ffi::PyObject_IsTrue(cancelled.as_ptr()) {
            -1 => Err(Raised),
            truth => Ok(truth == 1),
        }
    }
}

/// `future.set_result(None)`, or `set_exception(exception)` where it is not NULL.
///
/// # Safety
/// The objects live.
#[inline]
pub unsafe fn end(future: &Owned, exception: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the type tells which functions apply; the future is kept alive by the caller.
    unsafe {
        if let Some(native) = layout().exact(future.as_ptr()) {
            return if exception.is_null() {
                outcome::set_result(native, ffi::Py_None())
            } else {
                outcome::set_exception(native, exception)
            };
        }
        let (name, value) = if exception.is_null() {
            (names().set_result, ffi::Py_None())
        } else {
            (names().set_exception, exception)
        };
        Owned::new(ffi::PyObject_CallMethodOneArg(future.as_ptr(), name, value)).map(drop)
    }
}
