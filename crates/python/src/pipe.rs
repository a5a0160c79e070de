//! What a pipe holds, as one bytes object. Called by the pipe transports of `python/rondeau/_pipes.py`, once for each event.
//!
//! The driver's hot buffer takes what is there, and the object is made of just that length; asyncio makes one of 256 KiB for
//! each read and cuts it. Rejected: to ask the kernel first how much there is (`FIONREAD`), for an object of that length. While one
//! reads, the other end writes on: reads became smaller, and a GiB was 1.5 times dearer.

use crate::errors;
use crate::ffi::{Python, Raised, args::Args, owned::Owned, types::fast};
use crate::native_loop::Loop;
use pyo3_ffi as ffi;
use rondeau_driver::pipe;
use std::os::fd::RawFd;
use std::{io, ptr};

/// A read of so many bytes shows a writer that goes on meanwhile: it is worth one more.
const BUSY: usize = 32 * 1024;

/// The loop's method that reads from a pipe.
pub const READ: ffi::PyMethodDef = fast(
    c"_read_pipe",
    read_pipe,
    c"_read_pipe($self, fd, most, again, /)\n--\n\nWhat can be read of `fd`, at most so many bytes; None for nothing yet.",
);

unsafe extern "C" fn read_pipe(
    self_: *mut ffi::PyObject,
    args: *mut *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention.
    unsafe {
        read(
            Loop::from_object(self_),
            Args::new(args, count, ptr::null_mut()),
        )
    }
    .map_or(ptr::null_mut(), Owned::into_ptr)
}

unsafe fn read(loop_: Loop, call: Args<'_>) -> Python<Owned> {
    // SAFETY: the arguments live for the call; the bytes are copied before Python runs.
    unsafe {
        call.expect_positional("_read_pipe", 3, 3)?;
        let again = call.positional[2] == ffi::Py_True();
        let fd = ffi::PyLong_AsLong(call.positional[0]);
        let most = ffi::PyLong_AsSsize_t(call.positional[1]);
        if !ffi::PyErr_Occurred().is_null() {
            return Err(Raised);
        }
        let fd = RawFd::try_from(fd).unwrap_or(-1);
        let most = usize::try_from(most).unwrap_or(0);
        if loop_.parts().parked {
            // Another thread's call: the driver is the loop's thread's, which will be told itself.
            return Ok(Owned::from_borrowed(ffi::Py_None()));
        }
        let Some(driver) = loop_.driver_mut() else {
            return Err(errors::raise_os_error(&io::Error::from_raw_os_error(
                libc::EBADF,
            )));
        };
        let hot = driver.hot();
        let room = most.min(hot.len());
        let mut filled = 0;
        loop {
            match pipe::read(fd, &mut hot[filled..room]) {
                Ok(count) => {
                    filled += count;
                    if !again || count < BUSY || room - filled < BUSY {
                        break;
                    }
                }
                // What was read comes first; an error comes again.
                Err(_) if filled > 0 => break,
                Err(error) if errors::is_passing(&error) => {
                    return Ok(Owned::from_borrowed(ffi::Py_None()));
                }
                Err(error) => return Err(errors::raise_os_error(&error)),
            }
        }
        Owned::new(ffi::PyBytes_FromStringAndSize(
            hot.as_ptr().cast(),
            filled as ffi::Py_ssize_t,
        ))
    }
}
