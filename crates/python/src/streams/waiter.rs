//! The future on which a read waits for data: how it is made, and what is done after the wait.

use super::door::assertion;
use super::feed::resume as resume_transport;
use super::reader::{self, ReaderRef};
use super::waiting::{From, Step};
use crate::ffi::{Python, Raised, names::names, owned::Owned};
use crate::future::{self, Purpose};
use crate::native_loop::Loop;
use crate::recorder;
use pyo3_ffi as ffi;
use std::ffi::CStr;
use std::ptr;

/// The waiter of a read named `function`: what asyncio's `_wait_for_data` does before it awaits.
#[inline]
pub unsafe fn wait(reader: ReaderRef, function: &CStr) -> Python<Step> {
    // SAFETY: each borrow ends before Python code runs.
    unsafe {
        if !reader.get().waiter.is_null() {
            return Err(somebody_waits(function));
        }
        if reader.get().eof {
            assertion("_wait_for_data after EOF")?;
        }
        if reader.get().paused {
            // Waiting while it is paused would be for ever.
            resume_transport(reader)?;
        }
        let waiter = new_future(reader.get().loop_, reader.get().direct, Purpose::SocketRead)?;
        if recorder::is_on() {
            recorder::waits_for_peer(waiter.as_ptr(), reader.get().transport);
        }
        reader::set(&raw mut reader.get().waiter, waiter.clone().into_ptr());
        Ok(Step::Await(waiter))
    }
}

#[cold]
unsafe fn somebody_waits(function: &CStr) -> Raised {
    // SAFETY: one %s, one C string.
    unsafe {
        ffi::PyErr_Format(
            ffi::PyExc_RuntimeError,
            c"%s() called while another coroutine is already waiting for incoming data".as_ptr(),
            function.as_ptr(),
        );
    }
    Raised
}

/// `loop.create_future()`.
///
/// # Safety
/// The loop is NULL or lives; `direct` says that it is a native one.
#[inline]
pub unsafe fn new_future(
    loop_: *mut ffi::PyObject,
    direct: bool,
    purpose: Purpose,
) -> Python<Owned> {
    // SAFETY: the caller's contract.
    unsafe {
        if direct {
            return Owned::new(future::new_for(Loop::from_object(loop_), purpose));
        }
        let loop_ = Owned::from_field(loop_, "StreamReader", "_loop")?;
        Owned::new(ffi::PyObject_CallMethodNoArgs(
            loop_.as_ptr(),
            names().create_future,
        ))
    }
}

/// After the wait: nobody waits any more. Err where the wait raised.
#[inline]
pub unsafe fn waited(reader: ReaderRef, from: &From) -> Python<()> {
    // SAFETY: the waiter's reference is ours once taken.
    unsafe {
        match from {
            From::Start => {}
            From::Value => reader::set(&raw mut reader.get().waiter, ptr::null_mut()),
            From::Exception => {
                crate::errors::keeping_raised(|| {
                    reader::set(&raw mut reader.get().waiter, ptr::null_mut());
                });
                return Err(Raised);
            }
        }
        Ok(())
    }
}
