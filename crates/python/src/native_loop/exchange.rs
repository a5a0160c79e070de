//! Changing who waits for a descriptor, in the table and in the kernel. Called by `add_reader` and its kin, and by `sock_*` calls.
//!
//! A call is told once (`EPOLLONESHOT`): when its event came the kernel is silent without being asked, and the next call on the same
//! socket costs one `EPOLL_CTL_MOD`. asyncio adds and removes the descriptor for each call, two system calls and an allocation.
//! Rejected: to leave a descriptor registered level- or edge-triggered between two calls. The number may be closed and opened again
//! meanwhile without a word to the loop, which would then wait for an event that the kernel was never asked for; MOD says ENOENT.

use super::descriptors::{Pair, Slot, Waiter};
use super::{Loop, kernel};
use crate::errors;
use crate::ffi::{Raised, owned::Owned};
use pyo3_ffi as ffi;
use rondeau_driver::{Event, Interest};
use std::io;
use std::os::fd::RawFd;

/// Notes `new` (borrowed; the table takes a reference) for one side of `fd` and tells the kernel; returns who waited there before,
/// with the table's reference. After an error nothing has changed; nobody (`NOBODY`) always comes in, and where the kernel does not
/// take it, `tell` asks again when it reports.
///
/// # Safety
/// The GIL is held and the objects live. No Python code runs.
pub unsafe fn exchange(loop_: Loop, fd: RawFd, write: bool, new: Waiter) -> io::Result<Waiter> {
    // SAFETY: the loop lives; nothing here runs Python code.
    let (parts, driver) = unsafe { (loop_.parts(), loop_.driver()) };
    let Some(driver) = driver else {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    };
    // The table grows only for a number that the kernel knows.
    let before = parts.descriptors.get(fd).map(std::mem::take);
    let (mut pair, asked) = match before.unwrap_or_default() {
        Slot::Handles { pair, interest } => (pair, interest),
        Slot::Empty => (Pair::empty(), Interest::NONE),
        transport @ Slot::Transport { .. } => {
            *parts.descriptors.entry(fd) = transport;
            return Err(io::Error::from_raw_os_error(libc::EBUSY));
        }
    };
    let old = std::mem::replace(pair.side(write), new);
    let wanted = pair.interest();
    let silent = asked == Interest::ONCE && wanted.is_empty();
    let told = if wanted == asked || silent {
        Ok(())
    } else {
        parts.pace.look();
        kernel::ask(driver, fd, asked, wanted)
    };
    let interest = if told.is_ok() && !silent {
        wanted
    } else {
        asked
    };
    let told = if new.waits() { told } else { Ok(()) };
    match &told {
        // SAFETY: the caller's object lives.
        Ok(()) => unsafe { ffi::Py_XINCREF(new.object) },
        Err(_) => *pair.side(write) = old,
    }
    if interest != Interest::NONE {
        *parts.descriptors.entry(fd) = Slot::Handles { pair, interest };
    }
    told.map(|()| old)
}

/// Raises what `exchange` failed with. A transport that is closing has its descriptor still, until its last bytes are sent.
///
/// # Safety
/// The GIL is held and the loop lives.
#[cold]
pub unsafe fn refused(loop_: Loop, fd: RawFd, error: &io::Error) -> Raised {
    // SAFETY: the transport is kept alive while it is named; the format has one %d and one %R.
    unsafe {
        if let Some(Slot::Transport { object, .. }) = loop_.parts().descriptors.get(fd) {
            let transport = Owned::from_borrowed(object.as_ptr());
            ffi::PyErr_Format(
                ffi::PyExc_RuntimeError,
                c"File descriptor %d is used by transport %R".as_ptr(),
                fd,
                transport.as_ptr(),
            );
            return Raised;
        }
    }
    errors::raise_os_error(error)
}

/// Puts on the agenda who waited for what an event reports of a descriptor. A call is told once: who else waits there is asked for
/// again.
///
/// # Safety
/// The GIL is held and the loop lives. No Python code runs.
#[inline]
pub unsafe fn tell(loop_: Loop, fd: RawFd, event: Event) {
    // SAFETY: the loop lives; queueing runs no Python code.
    unsafe {
        let parts = loop_.parts();
        let Some(Slot::Handles { pair, interest }) = parts.descriptors.get(fd) else {
            return;
        };
        let readable = event.readiness.readable() && pair.reader.waits();
        let writable = event.readiness.writable() && pair.writer.waits();
        if interest.contains(Interest::ONCE) {
            *interest = Interest::ONCE;
            let left = match (readable, writable) {
                (false, true) if pair.reader.waits() => Interest::READ,
                (true, false) if pair.writer.waits() => Interest::WRITE,
                _ => Interest::NONE,
            };
            // A number that was closed is nobody's: who waits for it waits for ever, as with `add_reader`.
            if left != Interest::NONE
                && let Some(driver) = loop_.driver()
                && kernel::ask(driver, fd, Interest::ONCE, left | Interest::ONCE).is_ok()
            {
                *interest = left | Interest::ONCE;
            }
        } else if *interest != pair.interest()
            && let Some(driver) = loop_.driver()
            && kernel::ask(driver, fd, *interest, pair.interest()).is_ok()
        {
            *interest = pair.interest();
        }
        if readable {
            parts.agenda.push(pair.reader.ready());
        }
        if writable {
            parts.agenda.push(pair.writer.ready());
        }
    }
}
