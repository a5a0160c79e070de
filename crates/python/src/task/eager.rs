//! `eager_start=True` (3.12+): the first step runs inside `create_task`.

use super::cell::TaskRef;
use super::{registry, step};
use crate::ffi::slot::clear_slot;
use crate::ffi::{Python, Raised, compat, owned::Owned};
use crate::future::cell::State;
use crate::future::door::door;
use crate::recorder;
use pyo3_ffi as ffi;
use std::ptr;

unsafe fn swap_current(loop_: &Owned, task: *mut ffi::PyObject) -> Python<Owned> {
    let args = [loop_.as_ptr(), task];
    // SAFETY: the function exists wherever eager starts do; the arguments live.
    unsafe {
        Owned::new(ffi::PyObject_Vectorcall(
            door().swap_current_task,
            args.as_ptr(),
            2,
            ptr::null_mut(),
        ))
    }
}

/// Runs the first step as the current task and gives that place back to who had it.
///
/// # Safety
/// The task is initialised and its loop runs.
#[cold]
pub unsafe fn start(task: TaskRef) -> Python<()> {
    // SAFETY: no borrow lives while Python code runs; loop and context are kept alive by references of our own.
    unsafe {
        let loop_ = Owned::from_borrowed(task.future().cell().loop_);
        let context = Owned::from_borrowed(*task.context());
        let previous = swap_current(&loop_, task.object())?;
        let begun = if recorder::is_on() {
            recorder::enter(task)
        } else {
            None
        };
        let done = in_context(task, &context);
        recorder::leave(task, begun);
        let raised = if done.is_err() {
            compat::take_raised()
        } else {
            ptr::null_mut()
        };
        let back = swap_current(&loop_, previous.as_ptr());
        if task.future().cell().state != State::Pending {
            clear_slot(task.coro());
        }
        if !raised.is_null() {
            if back.is_err() {
                ffi::PyErr_Clear();
            }
            if compat::STRICT_INIT {
                task.cell().log_destroy_pending = false;
            }
            compat::set_raised(raised);
            return Err(Raised);
        }
        back.map(drop)
    }
}

unsafe fn in_context(task: TaskRef, context: &Owned) -> Python<()> {
    // SAFETY: the context is live.
    unsafe {
        registry::link(task)?;
        if ffi::PyContext_Enter(context.as_ptr()) != 0 {
            return Err(Raised);
        }
        let done = step::step(task, None);
        let raised = if done.is_err() {
            compat::take_raised()
        } else {
            ptr::null_mut()
        };
        let left = ffi::PyContext_Exit(context.as_ptr());
        if !raised.is_null() {
            if left != 0 {
                ffi::PyErr_Clear();
            }
            compat::set_raised(raised);
            return Err(Raised);
        }
        if left != 0 { Err(Raised) } else { Ok(()) }
    }
}
