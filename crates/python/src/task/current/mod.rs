//! Which task runs: what `asyncio.current_task()` answers.
//!
//! Up to 3.13 that is a dict entry (`dict.rs`), from 3.14 on a word of the thread's state (`thread.rs`); both offer `announce`
//! before a native step, `retire` after it, and `settle` before anything else can look.
//!
//! Rejected: asyncio's `_enter_task` and `_leave_task` round every step: 50 ns. Steps that are called as Python
//! callables, on any loop, do use them (`entered`).

#[cfg_attr(not(Py_3_14), path = "dict.rs")]
#[cfg_attr(Py_3_14, path = "thread.rs")]
pub mod announcement;

pub use announcement::{
    Suspended, announce, apart, get, resume, retire, settle, settle_before, suspend,
};

use super::cell::TaskRef;
use crate::ffi::{Python, Raised, args::raise, compat, owned::Owned};
use crate::future::door::door;
use crate::recorder;
use pyo3_ffi as ffi;
use std::ptr;

/// Runs a step between asyncio's own `_enter_task` and `_leave_task`: for steps that are called as Python callables.
///
/// # Safety
/// The task lives and stays alive.
pub unsafe fn entered(task: TaskRef, what: impl FnOnce(TaskRef) -> Python<()>) -> Python<()> {
    // SAFETY: loop and task are live; an exception of the step is kept while the task leaves.
    unsafe {
        if task.future().cell().loop_.is_null() {
            return Err(raise(ffi::PyExc_RuntimeError, "uninitialized Task object"));
        }
        let loop_ = Owned::from_borrowed(task.future().cell().loop_);
        let args = [loop_.as_ptr(), task.object()];
        Owned::new(ffi::PyObject_Vectorcall(
            door().enter_task,
            args.as_ptr(),
            2,
            ptr::null_mut(),
        ))?;
        let begun = if recorder::is_on() {
            recorder::enter(task)
        } else {
            None
        };
        let done = what(task);
        recorder::leave(task, begun);
        let raised = if done.is_err() {
            compat::take_raised()
        } else {
            ptr::null_mut()
        };
        let left = Owned::new(ffi::PyObject_Vectorcall(
            door().leave_task,
            args.as_ptr(),
            2,
            ptr::null_mut(),
        ));
        if raised.is_null() {
            return left.map(drop);
        }
        if left.is_err() {
            let second = compat::take_raised();
            ffi::PyException_SetContext(second, raised);
            compat::set_raised(second);
        } else {
            compat::set_raised(raised);
        }
        Err(Raised)
    }
}
