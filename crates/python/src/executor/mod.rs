//! The default executor's queue and threads: what `loop.run_in_executor(None, f)` goes through.
//!
//! `rondeau.executor.ThreadPool` is a `concurrent.futures.ThreadPoolExecutor` whose queue is native: a job goes to a thread by one
//! push and one futex, and comes back as one item of the loop's agenda, without a `concurrent.futures.Future`, a condition and two callbacks
//! between. The threads are Python's own `threading.Thread`s, since programs see them (names, thread locals, profilers, join at exit); what
//! they run is `queue.rs`.
//!
//! Invariants: the queue's lock is never held while waiting for the GIL, so whoever holds the GIL may take it; jobs are made, run and
//! dropped under the GIL.

mod job;
mod queue;

pub use job::{is_job, run_alarm};

use crate::ffi::Python;
use pyo3_ffi as ffi;

/// How many items wait for a thread of a pool, and how many of its threads for an item; None where its queue is not native.
///
/// # Safety
/// The object lives.
pub unsafe fn waiting(pool: *mut ffi::PyObject) -> Option<(usize, usize)> {
    // SAFETY: the caller's contract.
    unsafe {
        let queue = ffi::PyObject_GetAttrString(pool, c"_work_queue".as_ptr());
        match crate::ffi::owned::Owned::new(queue) {
            Ok(queue) => queue::lengths(queue.as_ptr()),
            Err(_) => {
                ffi::PyErr_Clear();
                None
            }
        }
    }
}

/// Makes the types and adds the queue's to the module.
pub fn init(module: *mut ffi::PyObject) -> Python<()> {
    job::init()?;
    queue::init(module)
}
