//! What a native task holds beside a future's fields.
//!
//! Invariants: `waiter` is what the coroutine yielded and waits for, until the next step; a step is scheduled or the task is
//! an entry of its waiter's callbacks, never both. The coroutine, the context and the name live in the base's storage where its layout
//! is known (`layout().coro`, `.context`, `.name`), since `python -m asyncio ps` reads them there, else here.

use super::registry::Node;
use crate::ffi::slot::clear_slot;
use crate::future::cell::{Cell, FutureRef};
use crate::future::layout::layout;
use crate::recorder::Mark;
use pyo3_ffi as ffi;
use std::ffi::{c_int, c_void};

/// The fields.
#[repr(C)]
pub struct TaskCell {
    /// A task is a future.
    pub future: Cell,
    /// The coroutine, where the base's word is unknown. Read through `TaskRef::coro`.
    pub coro: *mut ffi::PyObject,
    /// The name, likewise: a str; an int `n` stands for `Task-n`; NULL for `number`.
    pub name: *mut ffi::PyObject,
    /// The context of every step, where the base's word is unknown. Read through `TaskRef::context`.
    pub context: *mut ffi::PyObject,
    /// What it waits for; strong.
    pub waiter: *mut ffi::PyObject,
    /// Its place in the list of tasks, where the base's is unknown.
    pub node: Node,
    /// `Task-<number>`, until somebody asks for the name.
    pub number: u64,
    /// Requests to cancel that were not taken back.
    pub cancels: u32,
    /// The next step throws CancelledError.
    pub must_cancel: bool,
    /// Report a pending task that is destroyed.
    pub log_destroy_pending: bool,
    /// Its loop keeps it alive (`kept`).
    pub kept: bool,
    /// What the recorder knows it by; zeroed memory is a stranger.
    pub mark: Mark,
}

/// A native task (or an instance of a subclass) and its fields: a borrowed reference.
#[derive(Clone, Copy)]
pub struct TaskRef {
    object: *mut ffi::PyObject,
    cell: *mut TaskCell,
}

impl TaskRef {
    /// # Safety
    /// `object` is a live `_core.Task` or an instance of a subclass.
    #[inline]
    pub unsafe fn of(object: *mut ffi::PyObject) -> TaskRef {
        TaskRef {
            object,
            // SAFETY: the fields lie inside the instance.
            cell: unsafe { object.byte_add(layout().task_cell).cast() },
        }
    }

    /// The Python object, borrowed.
    #[inline]
    pub fn object(self) -> *mut ffi::PyObject {
        self.object
    }

    /// The task as a future.
    #[inline]
    pub fn future(self) -> FutureRef {
        // SAFETY: a task's fields begin with a future's.
        unsafe { FutureRef::at(self.object, layout().task_cell) }
    }

    /// The fields.
    ///
    /// # Safety
    /// The object lives, and the borrow ends before Python code can run.
    #[inline]
    pub unsafe fn cell<'a>(self) -> &'a mut TaskCell {
        // SAFETY: the caller's contract.
        unsafe { &mut *self.cell }
    }

    /// Where the coroutine is kept.
    #[inline]
    pub fn coro(self) -> *mut *mut ffi::PyObject {
        self.object.wrapping_byte_add(layout().coro).cast()
    }

    /// Where the context is kept.
    #[inline]
    pub fn context(self) -> *mut *mut ffi::PyObject {
        self.object.wrapping_byte_add(layout().context).cast()
    }

    /// Where the name is kept.
    #[inline]
    pub fn name(self) -> *mut *mut ffi::PyObject {
        self.object.wrapping_byte_add(layout().name).cast()
    }

    /// Where the place in the list of tasks is kept.
    #[inline]
    pub fn node(self) -> *mut Node {
        self.object.wrapping_byte_add(layout().node).cast()
    }

    /// Visits what the fields hold, a future's excepted.
    ///
    /// # Safety
    /// Called by the collector.
    pub unsafe fn traverse(self, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
        // SAFETY: the collector runs no Python code while it visits; what is visited is live.
        unsafe {
            let cell = self.cell();
            crate::ffi::visit::each(
                &[cell.coro, cell.name, cell.context, cell.waiter],
                visit,
                arg,
            )
        }
    }

    /// Releases what the fields hold, a future's excepted.
    ///
    /// # Safety
    /// The object lives; any Python code may run.
    #[inline]
    pub unsafe fn clear(self) {
        // SAFETY: each field is emptied before its reference is released; raw pointers, so that no borrow lives meanwhile.
        unsafe {
            clear_slot(self.coro());
            clear_slot(self.name());
            clear_slot(self.context());
            clear_slot(&raw mut (*self.cell).waiter);
        }
    }

    /// Lets go of what it waited for.
    ///
    /// # Safety
    /// The object lives; any Python code may run.
    #[inline]
    pub unsafe fn clear_waiter(self) {
        // SAFETY: as in `clear`.
        unsafe { clear_slot(&raw mut (*self.cell).waiter) }
    }

    /// Notes what it waits for; takes over the reference.
    ///
    /// # Safety
    /// The object lives; any Python code may run.
    #[inline]
    pub unsafe fn set_waiter(self, waiter: *mut ffi::PyObject) {
        // SAFETY: as in `clear`.
        unsafe { crate::ffi::slot::set_slot(&raw mut (*self.cell).waiter, waiter) }
    }

    /// Notes the context of the steps; takes over the reference.
    ///
    /// # Safety
    /// The object lives; any Python code may run.
    #[inline]
    pub unsafe fn set_context(self, context: *mut ffi::PyObject) {
        // SAFETY: as in `clear`.
        unsafe { crate::ffi::slot::set_slot(self.context(), context) }
    }
}
