//! Back-pressure: the protocol is paused above the high-water mark and resumed at the low one.
//!
//! Called after each send that left something behind, and when a stuck queue moved.

use super::state::Transport;
use super::write;
use crate::door;
use crate::ffi::{Python, Raised, args::raise, compat, names::names, owned::Owned};
use pyo3_ffi as ffi;
use std::ffi::CStr;

/// `asyncio.transports._FlowControlMixin`'s default high-water mark, in bytes.
pub const HIGH: usize = 64 * 1024;
/// Its low-water mark.
pub const LOW: usize = HIGH / 4;

/// Pauses the protocol if too much is pending.
///
/// # Safety
/// The transport is kept alive by the caller.
#[inline]
pub unsafe fn maybe_pause(transport: Transport) -> Python<()> {
    // SAFETY: the borrow ends before Python runs.
    unsafe {
        let state = transport.state();
        if state.protocol_paused || state.out.pending() <= state.high {
            return Ok(());
        }
        state.protocol_paused = true;
        tell(
            transport,
            names().pause_writing,
            c"protocol.pause_writing() failed",
        )
    }
}

/// Resumes it if enough has left.
///
/// # Safety
/// The transport is kept alive by the caller.
#[inline]
pub unsafe fn maybe_resume(transport: Transport) -> Python<()> {
    // SAFETY: the borrow ends before Python runs.
    unsafe {
        let state = transport.state();
        if !state.protocol_paused || state.out.pending() > state.low {
            return Ok(());
        }
        state.protocol_paused = false;
        tell(
            transport,
            names().resume_writing,
            c"protocol.resume_writing() failed",
        )
    }
}

unsafe fn tell(transport: Transport, method: *mut ffi::PyObject, message: &CStr) -> Python<()> {
    // SAFETY: the protocol is kept alive over the call; what it raised is taken before Python runs again.
    unsafe {
        let protocol = transport.state().protocol;
        if protocol.is_null() {
            return Ok(());
        }
        let protocol = Owned::from_borrowed(protocol);
        if Owned::new(ffi::PyObject_CallMethodNoArgs(protocol.as_ptr(), method)).is_ok() {
            return Ok(());
        }
        if crate::errors::leaves_the_loop() {
            return Err(Raised);
        }
        let exception = Owned::new(compat::take_raised())?;
        let message = Owned::new(ffi::PyUnicode_FromString(message.as_ptr()))?;
        door::cold(
            c"flow_failed",
            &[transport.object(), exception.as_ptr(), message.as_ptr()],
        )?;
        Ok(())
    }
}

/// Sets the marks as `set_write_buffer_limits(high, low)` does; absent ones follow from the other.
///
/// # Safety
/// The transport is kept alive by the caller.
pub unsafe fn set_limits(
    transport: Transport,
    high: Option<isize>,
    low: Option<isize>,
) -> Python<()> {
    let high = high.unwrap_or_else(|| low.map_or(HIGH as isize, |low| low.saturating_mul(4)));
    let low = low.unwrap_or(high.div_euclid(4));
    if !(high >= low && low >= 0) {
        let message = format!("high ({high}) must be >= low ({low}) must be >= 0");
        // SAFETY: ValueError is live.
        return Err(unsafe { raise(ffi::PyExc_ValueError, &message) });
    }
    // SAFETY: the borrow ends before Python runs.
    unsafe {
        if transport.state().in_outbox {
            write::flush(transport)?; // What the kernel takes is not pending.
        }
        transport.state().high = high as usize;
        transport.state().low = low as usize;
        maybe_pause(transport)
    }
}
