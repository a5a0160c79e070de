//! What the kernel is asked to report for a transport. Called when reading starts, pauses or ends, and when output is stuck.
//!
//! A connection that only reads is registered once and never re-armed. The loop owns a reference to the transport while
//! it is registered.

use super::state::Transport;
use crate::ffi::{Python, owned::Owned};
use crate::native_loop::{
    descriptors::{Slot, Waiter},
    exchange::exchange,
    kernel,
};
use crate::{errors, handle};
use pyo3_ffi as ffi;
use rondeau_driver::Interest;
use std::io;
use std::ptr::NonNull;

/// What the kernel is asked for now.
///
/// # Safety
/// The GIL is held.
pub unsafe fn current(transport: Transport) -> Interest {
    // SAFETY: no Python code runs.
    unsafe {
        let Some(loop_) = transport.event_loop() else {
            return Interest::NONE;
        };
        match loop_.parts().descriptors.get(transport.state().fd) {
            Some(Slot::Transport { object, interest }) if object.as_ptr() == transport.object() => {
                *interest
            }
            _ => Interest::NONE,
        }
    }
}

/// Asks for `wanted` from now on. The caller keeps the transport alive.
///
/// # Safety
/// The GIL is held.
pub unsafe fn set(transport: Transport, wanted: Interest) -> io::Result<()> {
    // SAFETY: no Python code runs: the caller's reference outlives the one that may be released here.
    unsafe {
        let fd = transport.state().fd;
        let Some(loop_) = transport.event_loop() else {
            return Ok(());
        };
        if fd < 0 || loop_.parts().closed {
            return Ok(());
        }
        // Lent to `sendfile`, or the number is somebody else's by now: nothing to ask.
        let asked = match loop_.parts().descriptors.get(fd) {
            Some(Slot::Transport { object, interest }) if object.as_ptr() == transport.object() => {
                *interest
            }
            _ => return Ok(()),
        };
        if wanted == asked {
            return Ok(());
        }
        let Some(driver) = loop_.driver() else {
            return Ok(());
        };
        kernel::ask(driver, fd, asked, wanted)?;
        loop_.parts().pace.look();
        let object = transport.object();
        *loop_.parts().descriptors.entry(fd) = Slot::Transport {
            object: NonNull::new_unchecked(object),
            interest: wanted,
        };
        if asked.is_empty() {
            ffi::Py_INCREF(object);
        } else if wanted.is_empty() {
            ffi::Py_DECREF(object);
        }
        Ok(())
    }
}

/// Starts or ends one direction.
///
/// # Safety
/// As for `set`.
pub unsafe fn want(transport: Transport, direction: Interest, on: bool) -> io::Result<()> {
    // SAFETY: the caller's contract.
    unsafe {
        let asked = current(transport);
        set(
            transport,
            if on {
                asked | direction
            } else {
                asked.without(direction)
            },
        )
    }
}

/// Takes the descriptor's number before its first registration, so that `add_reader` refuses it. Who still waits there waits
/// for a descriptor that was closed without a word to the loop, and is let go.
///
/// # Safety
/// The GIL is held and the caller keeps the transport alive; Python code may run.
pub unsafe fn claim(transport: Transport) -> Python<()> {
    // SAFETY: the slot is the transport's before anything is released.
    unsafe {
        let fd = transport.state().fd;
        let Some(loop_) = transport.event_loop() else {
            return Ok(());
        };
        if fd < 0 || loop_.parts().closed {
            return Ok(());
        }
        let slot = loop_.parts().descriptors.entry(fd);
        if let Slot::Transport { object, .. } = slot
            && object.as_ptr() == transport.object()
        {
            return Ok(());
        }
        let before = std::mem::replace(
            slot,
            Slot::Transport {
                object: NonNull::new_unchecked(transport.object()),
                interest: Interest::NONE,
            },
        );
        let (Slot::Handles { interest, .. } | Slot::Transport { interest, .. }) = &before else {
            return Ok(());
        };
        if let Some(driver) = loop_.driver() {
            let _ = kernel::ask(driver, fd, *interest, Interest::NONE);
        }
        let held = before
            .held()
            .map(|object| (!object.is_null()).then(|| Owned::from_owned(object)));
        let mut done = Ok(());
        if let Slot::Handles { pair, .. } = &before {
            for waiter in [pair.reader, pair.writer] {
                if waiter.waits() && !waiter.is_call && done.is_ok() {
                    done = handle::cancel(waiter.object);
                }
            }
        }
        errors::keeping_raised(|| drop(held));
        done
    }
}

/// The handle by which `sendfile`, which has the descriptor, waits for room: taken out of the table.
///
/// # Safety
/// The GIL is held.
pub unsafe fn borrower(transport: Transport) -> Option<Owned> {
    // SAFETY: the loop lives as long as the transport refers to it; the table's reference is handed on.
    unsafe {
        let loop_ = transport.event_loop().filter(|_| transport.state().lent)?;
        let fd = transport.state().fd;
        match loop_.parts().descriptors.get(fd) {
            Some(Slot::Handles { pair, .. }) if pair.writer.waits() && !pair.writer.is_call => {}
            _ => return None,
        }
        let gone = exchange(loop_, fd, true, Waiter::NOBODY).ok()?;
        (!gone.old.object.is_null()).then(|| Owned::from_owned(gone.old.object))
    }
}

/// Gives the number back, before the descriptor is closed. The caller keeps the transport alive.
///
/// # Safety
/// The GIL is held.
pub unsafe fn forget(transport: Transport) {
    // SAFETY: no Python code runs.
    unsafe {
        let _ = set(transport, Interest::NONE);
        let fd = transport.state().fd;
        if let Some(loop_) = transport.event_loop()
            && let Some(slot) = loop_.parts().descriptors.get(fd)
            && let Slot::Transport { object, .. } = slot
            && object.as_ptr() == transport.object()
        {
            *slot = Slot::Empty;
        }
    }
}
