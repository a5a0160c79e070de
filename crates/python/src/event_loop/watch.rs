//! `add_reader`, `remove_reader`, `add_writer`, `remove_writer`, and the private forms that asyncio's own code calls.
//!
//! Called by programs and by the inherited parts of asyncio's loop (datagrams, pipes). The public forms refuse a
//! descriptor that a transport uses; the private ones do not, since transports are their callers.

use crate::ffi::{Python, Raised, answer, args::Args, names::names, owned::Owned};
use crate::file_number::{descriptor, number};
use crate::native_loop::Loop;

use crate::native_loop::descriptors::{Slot, Waiter};
use crate::native_loop::exchange::{exchange, exchange_file, refused};
use crate::native_loop::{check_open, check_process};
use crate::{errors, handle};
use pyo3_ffi as ffi;
use rondeau_driver::Interest;
use std::ptr;

/// Cancels and releases who was taken out of the table; true if there was one.
unsafe fn cancel_old(old: Waiter) -> Python<bool> {
    if !old.waits() {
        return Ok(false);
    }
    // SAFETY: the reference is the table's, now ours. A call that lost its place waits for ever, as one of asyncio's does.
    unsafe {
        let object = Owned::from_owned(old.object);
        if !old.is_call {
            handle::cancel(object.as_ptr())?;
        }
    }
    Ok(true)
}

unsafe fn add(self_: *mut ffi::PyObject, call: Args<'_>, write: bool, name: &str) -> Python<Owned> {
    // SAFETY: CPython's calling convention, on an instance of the type.
    unsafe {
        let loop_ = Loop::from_object(self_);
        check_open(loop_)?;
        check_process(loop_)?;
        call.expect_positional(name, 2, usize::MAX)?;
        let mut context = [ptr::null_mut()];
        call.keywords(name, [names().context], &mut context)?;
        let made = handle::new(loop_, call.positional[1], &call.positional[2..], context[0])?;
        let file = call.positional[0];
        let fd = descriptor(file)?;
        let file = if ffi::PyLong_Check(file) != 0 {
            ptr::null_mut()
        } else {
            file
        };
        match exchange_file(loop_, fd, write, Waiter::handle(made.as_ptr()), file) {
            Ok(gone) => {
                drop(gone.file);
                let other = cancel_old(gone.stale);
                cancel_old(gone.old)?;
                other?
            }
            Err(error) => return Err(refused(loop_, fd, &error)),
        };
        Ok(made)
    }
}

unsafe fn remove(
    self_: *mut ffi::PyObject,
    file: *mut ffi::PyObject,
    write: bool,
) -> Python<Owned> {
    // SAFETY: CPython calls this on an instance of the type.
    unsafe {
        let loop_ = Loop::from_object(self_);
        let mut found = false;
        if !loop_.parts().closed {
            let fd = match number(file) {
                Ok(fd) => fd.unwrap_or(-1),
                // It was closed while it was watched.
                Err(Raised) => match loop_.parts().descriptors.find(file) {
                    Some(fd) => {
                        ffi::PyErr_Clear();
                        fd
                    }
                    None => return Err(Raised),
                },
            };
            if matches!(
                loop_.parts().descriptors.get(fd),
                Some(Slot::Handles { .. })
            ) {
                found = match exchange(loop_, fd, write, Waiter::NOBODY) {
                    Ok(gone) => {
                        drop(gone.file);
                        cancel_old(gone.old)?
                    }
                    Err(error) => return Err(errors::raise_os_error(&error)),
                };
            }
        }
        let answer = if found {
            ffi::Py_True()
        } else {
            ffi::Py_False()
        };
        Ok(Owned::from_borrowed(answer))
    }
}

macro_rules! watch_methods {
    ($add:ident, $remove:ident, $write:literal, $name:literal) => {
        /// Watches a descriptor for one direction and returns the handle.
        pub unsafe extern "C" fn $add(
            self_: *mut ffi::PyObject,
            args: *const *mut ffi::PyObject,
            count: ffi::Py_ssize_t,
            keywords: *mut ffi::PyObject,
        ) -> *mut ffi::PyObject {
            // SAFETY: CPython's calling convention.
            answer::object(unsafe { add(self_, Args::new(args, count, keywords), $write, $name) })
        }

        /// Ends the watch; returns whether there was one.
        pub unsafe extern "C" fn $remove(
            self_: *mut ffi::PyObject,
            file: *mut ffi::PyObject,
        ) -> *mut ffi::PyObject {
            // SAFETY: CPython's calling convention.
            answer::object(unsafe { remove(self_, file, $write) })
        }
    };
}

watch_methods!(add_reader, remove_reader, false, "_add_reader");
watch_methods!(add_writer, remove_writer, true, "_add_writer");

/// `_watched(fd)`: what is watched for the program: 1 reading, 2 writing, 3 both, 0 nothing; asked by reprs.
pub unsafe extern "C" fn watched(
    self_: *mut ffi::PyObject,
    file: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance of the type.
    unsafe {
        let Ok(fd) = number(file) else {
            return ptr::null_mut();
        };
        let fd = fd.unwrap_or(-1);
        let interest = match Loop::from_object(self_).parts().descriptors.get(fd) {
            Some(Slot::Handles { interest, .. } | Slot::Transport { interest, .. }) => *interest,
            _ => Interest::NONE,
        };
        let mask = i32::from(interest.contains(Interest::READ))
            | i32::from(interest.contains(Interest::WRITE)) << 1;
        ffi::PyLong_FromLong(mask.into())
    }
}
