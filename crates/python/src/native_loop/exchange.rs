//! Changing who waits for a descriptor, in the table and in the kernel. Called by `add_reader` and its kin, and by `sock_*` calls.
//!
//! A call is told once (`EPOLLONESHOT`): when its event came the kernel is silent without being asked, and the next call on the same
//! socket costs one `EPOLL_CTL_MOD`. asyncio adds and removes the descriptor for each call, two system calls and an allocation.
//! Rejected: to leave a descriptor registered level- or edge-triggered between two calls. The number may be closed and opened again
//! meanwhile without a word to the loop, which would then wait for an event that the kernel was never asked for; MOD says ENOENT.

use super::descriptors::{Pair, Slot, Waiter};
use super::kernel::Asked;
use super::{Loop, kernel};
use crate::errors;
use crate::ffi::{Raised, owned::Owned};
use pyo3_ffi as ffi;
use rondeau_driver::{Event, Interest};
use std::io;
use std::os::fd::RawFd;

/// Who was taken out of the table, with its references.
pub struct Gone {
    /// Who waited there before.
    pub old: Waiter,
    /// Who waited for the other direction of a descriptor that was closed without a word, and whose number came back.
    pub stale: Waiter,
    /// The object that was watched, if it is kept no longer. Python code may run when it goes.
    pub file: Option<Owned>,
}

/// Notes `new` (borrowed; the table takes a reference) for one side of `fd` and tells the kernel; returns who is gone. After an error nothing has changed; nobody (`NOBODY`) always comes in, and where the kernel does not
/// take it, `tell` asks again when it reports.
///
/// # Safety
/// The GIL is held and the objects live. No Python code runs.
pub unsafe fn exchange(loop_: Loop, fd: RawFd, write: bool, new: Waiter) -> io::Result<Gone> {
    // SAFETY: the caller's contract.
    unsafe { exchange_file(loop_, fd, write, new, std::ptr::null_mut()) }
}

/// `exchange` for an object whose number `fd` is (borrowed; NULL for none), which the table keeps while a handle waits.
///
/// # Safety
/// As for `exchange`.
pub unsafe fn exchange_file(
    loop_: Loop,
    fd: RawFd,
    write: bool,
    new: Waiter,
    file: *mut ffi::PyObject,
) -> io::Result<Gone> {
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
    let mut wanted = pair.interest();
    let mut stale = Waiter::NOBODY;
    let silent = asked == Interest::ONCE && wanted.is_empty();
    // Who takes another's place asks also for the same: the number may have been closed and opened again, and then the kernel
    // watches nothing, and whoever waits for the other direction waits for a descriptor that is no more.
    let told = if silent || (wanted == asked && !(new.waits() && old.waits())) {
        Ok(Asked::Again)
    } else {
        parts.pace.look();
        match kernel::ask(driver, fd, asked, wanted) {
            Ok(Asked::Anew) if pair.side(!write).waits() => {
                stale = std::mem::replace(pair.side(!write), Waiter::NOBODY);
                wanted = pair.interest();
                kernel::ask(driver, fd, Interest::READ | Interest::WRITE, wanted)
            }
            told => told,
        }
    };
    let interest = if told.is_ok() && !silent {
        wanted
    } else {
        asked
    };
    let told = if new.waits() { told } else { Ok(Asked::Again) };
    let kept = match &told {
        // SAFETY: the caller's objects live.
        Ok(asked) => unsafe {
            ffi::Py_XINCREF(new.object);
            pair.keep(file, matches!(asked, Asked::Anew))
        },
        Err(_) => {
            *pair.side(write) = old;
            if stale.waits() {
                *pair.side(!write) = stale;
            }
            None
        }
    };
    if interest != Interest::NONE {
        *parts.descriptors.entry(fd) = Slot::Handles { pair, interest };
    }
    told.map(|_| Gone {
        old,
        stale,
        file: kept,
    })
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
