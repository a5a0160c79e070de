//! `loop.keep_tasks`: the loop refers strongly to each task that was made while it was set, until the task ends or the loop is closed.
//!
//! Called where a task is made and where it ends. asyncio refers to tasks weakly: one that waits for what only itself knows goes with
//! the next garbage collection, in the middle of its work.
//!
//! Invariant: an address in the set stands for one reference, which who takes it out releases. The flag in the task spares all
//! others the look into the set. Rejected: links in the task (16 bytes in each, kept or not).

use super::cell::TaskRef;
use crate::future::cell::State;
use crate::native_loop::{Loop, loop_type};
use crate::recorder::ByAddress;
use pyo3_ffi as ffi;
use std::collections::HashSet;

/// The tasks that a loop keeps, by address.
#[derive(Default)]
pub struct Kept(HashSet<usize, ByAddress>);

impl Kept {
    /// The tasks, borrowed.
    pub fn iter(&self) -> impl Iterator<Item = *mut ffi::PyObject> + '_ {
        self.0.iter().map(|address| *address as *mut ffi::PyObject)
    }

    /// The tasks; the references are the caller's.
    pub fn take(&mut self) -> Kept {
        std::mem::take(self)
    }
}

/// The native loop of a task, also one whose `call_soon` is the program's.
///
/// # Safety
/// The task lives.
pub unsafe fn loop_of(task: TaskRef) -> Option<Loop> {
    // SAFETY: the task keeps its loop alive; the type is checked before the layout is relied on.
    unsafe {
        let object = task.future().cell().loop_;
        (!object.is_null() && ffi::PyObject_TypeCheck(object, loop_type()) != 0)
            .then(|| Loop::from_object(object))
    }
}

/// A task was made on a loop that keeps them.
///
/// # Safety
/// Both live.
#[cold]
pub unsafe fn keep(loop_: Loop, task: TaskRef) {
    // SAFETY: no Python code runs; one that has ended already, by an eager start, needs nobody.
    unsafe {
        if task.future().cell().state == State::Pending
            && loop_.parts().kept.0.insert(task.object().addr())
        {
            ffi::Py_INCREF(task.object());
            task.cell().kept = true;
        }
    }
}

/// A kept task has ended.
///
/// # Safety
/// The task lives, by another reference than the loop's.
#[cold]
pub unsafe fn let_go(task: TaskRef) {
    // SAFETY: the reference is not the last one, so that no finalizer runs.
    unsafe {
        task.cell().kept = false;
        if let Some(loop_) = loop_of(task)
            && loop_.parts().kept.0.remove(&task.object().addr())
        {
            ffi::Py_DECREF(task.object());
        }
    }
}
