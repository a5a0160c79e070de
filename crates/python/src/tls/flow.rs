//! Back-pressure on both sides. What the pump asks after each step is only whether something is to be done; doing it, which is rare,
//! is asyncio's own code.

use super::session;
use super::sslproto::{call, sslproto};
use super::state::{Mark, Protocol};
use crate::ffi::{Python, owned::Owned};
use pyo3_ffi as ffi;

/// `_control_app_writing()`: the program is paused at the high mark and resumed at the low one.
///
/// # Safety
/// The protocol lives and is kept alive by the caller.
#[inline]
pub unsafe fn control_app_writing(protocol: Protocol) -> Python<()> {
    // SAFETY: the borrow ends before Python runs.
    unsafe {
        let waiting = session::pending(protocol, true)?;
        let state = protocol.state();
        let size = waiting as f64 + state.backlog_size as f64;
        let paused = state.app_writing_paused != 0;
        let due = if paused {
            size <= state.bounds[Mark::OutgoingLow as usize]
        } else {
            size >= state.bounds[Mark::OutgoingHigh as usize]
        };
        if due {
            return call(sslproto()?.control_app_writing, &[protocol.object()]).map(drop);
        }
        Ok(())
    }
}

/// `_control_ssl_reading()`: the transport below is paused while the program takes nothing.
///
/// # Safety
/// As for `control_app_writing`.
#[inline]
pub unsafe fn control_ssl_reading(protocol: Protocol) -> Python<()> {
    // SAFETY: the borrow ends before Python runs.
    unsafe {
        let size = session::pending(protocol, false)? as f64;
        let state = protocol.state();
        let due = if state.ssl_reading_paused != 0 {
            size <= state.bounds[Mark::IncomingLow as usize]
        } else {
            size >= state.bounds[Mark::IncomingHigh as usize]
        };
        if due {
            return call(sslproto()?.control_ssl_reading, &[protocol.object()]).map(drop);
        }
        Ok(())
    }
}

/// Sets a mark to a number of any kind; what is no number was refused by asyncio's code before it got here, but for programs that
/// set the attribute themselves.
///
/// # Safety
/// `value` lives; Python code may run.
pub unsafe fn set_mark(protocol: Protocol, mark: Mark, value: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the new reference is stored before the old one is released.
    unsafe {
        let mut bound = ffi::PyFloat_AsDouble(value);
        if bound == -1.0 && !ffi::PyErr_Occurred().is_null() {
            if ffi::PyErr_ExceptionMatches(ffi::PyExc_OverflowError) == 0 {
                return Err(crate::ffi::Raised);
            }
            ffi::PyErr_Clear();
            bound = f64::INFINITY;
        }
        let state = protocol.state();
        state.bounds[mark as usize] = bound;
        ffi::Py_INCREF(value);
        let before = std::mem::replace(&mut state.marks[mark as usize], value);
        if !before.is_null() {
            drop(Owned::from_owned(before));
        }
        Ok(())
    }
}
