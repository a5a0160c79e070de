//! What happens when the time of a native object has come: an item of the timers or of the agenda that is no handle.
//!
//! Called by the turn. A timer puts it on the agenda when it is due, as asyncio's timer handles go; so what it wakes runs one
//! turn later, in asyncio's order.

use crate::ffi::{Python, Raised, owned::Owned};
use crate::future::cell::{FutureRef, State};
use crate::future::layout::layout;
use crate::future::outcome;
use crate::native_loop::Loop;
use crate::{as_completed, executor, observer, run_threadsafe, timeout};
use pyo3_ffi as ffi;

/// Runs an alarm. Err only for what must leave the loop.
///
/// # Safety
/// Called by the turn; takes over the reference.
#[inline]
pub unsafe fn run(loop_: Loop, object: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the reference is ours; the type says what it is.
    unsafe {
        let object = Owned::from_owned(object);
        let done = if ffi::Py_TYPE(object.as_ptr()) == layout().future {
            wake(FutureRef::at(object.as_ptr(), layout().future_cell))
        } else if executor::is_job(object.as_ptr()) {
            executor::run_alarm(object.as_ptr())
        } else if as_completed::is_iterator(object.as_ptr()) {
            as_completed::run_alarm(object.as_ptr())
        } else if run_threadsafe::is_submission(object.as_ptr()) {
            run_threadsafe::run_alarm(object.as_ptr())
        } else {
            debug_assert!(timeout::is_timeout(object.as_ptr()));
            timeout::run_alarm(loop_, object.as_ptr())
        };
        match done {
            Ok(()) => Ok(()),
            Err(Raised) => observer::failed(loop_),
        }
    }
}

/// Ends a sleep's or a wait's future, unless it was cancelled.
#[inline]
unsafe fn wake(future: FutureRef) -> Python<()> {
    // SAFETY: the caller keeps it alive.
    unsafe {
        if future.cell().state != State::Pending {
            return Ok(());
        }
        outcome::set_result(future, ffi::Py_None())
    }
}
