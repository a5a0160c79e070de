//! Which tasks exist: what `asyncio.all_tasks()` finds. A list through the tasks themselves, of borrowed references.
//!
//! Up to 3.13 the list is ours, and `all_tasks.rs` makes asyncio's WeakSet yield it. From 3.14 on it is asyncio's own list in
//! the thread's state, whose node `probe` found in the base's storage; where it did not, asyncio's functions are called.
//!
//! Invariant: a task is in the list from its first scheduling until it is done or destroyed. It leaves before its finalizer
//! runs, so nobody finds a task whose last reference is gone.
//! Rejected: `WeakSet.add` (525 ns a task); `_register_task` for every task (45 ns).

use super::cell::{TaskCell, TaskRef};
use crate::ffi::{Python, compat, gil::GilCell, owned::Owned};
use crate::future::door::door;
use crate::future::layout::layout;
use pyo3_ffi as ffi;
use std::mem::offset_of;
use std::ptr;

/// A place in a circular list: CPython's `struct llist_node` (Include/internal/pycore_llist.h).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Node {
    next: *mut Node,
    prev: *mut Node,
}

/// The head of our own list, up to 3.13.
static HEAD: GilCell<Node> = GilCell::new(Node { next: ptr::null_mut(), prev: ptr::null_mut() });

/// The last thread that made a task, and the head of its list, from 3.14 on. A thread's head lies inside its state, so a
/// state at a reused address has its head at the same place.
static THREAD: GilCell<(*mut ffi::PyThreadState, *mut Node)> = GilCell::new((ptr::null_mut(), ptr::null_mut()));

/// Whether the base's node is used.
static IN_BASE: GilCell<bool> = GilCell::new(false);

/// Starts our own list, or notes that `layout().node` is the base's.
///
/// # Safety
/// Called during import.
pub unsafe fn open(in_base: bool) {
    // SAFETY: the import runs alone.
    unsafe {
        *IN_BASE.get() = in_base;
        let head: *mut Node = HEAD.get();
        *head = Node { next: head, prev: head };
    }
}

#[inline]
unsafe fn insert_last(head: *mut Node, node: *mut Node) {
    // SAFETY: the caller's list is well formed and the node is in none.
    unsafe {
        let last = (*head).prev;
        *node = Node { next: head, prev: last };
        (*last).next = node;
        (*head).prev = node;
    }
}

/// Puts the task into the list.
///
/// # Safety
/// The task lives.
#[inline]
pub unsafe fn link(task: TaskRef) -> Python<()> {
    // SAFETY: list operations run no Python code; the task leaves before it is freed.
    unsafe {
        if compat::TASKS_IN_THREAD_STATE {
            return link_in_thread(task);
        }
        let node = task.node();
        if (*node).next.is_null() {
            insert_last(HEAD.get(), node);
        }
        Ok(())
    }
}

#[inline]
unsafe fn link_in_thread(task: TaskRef) -> Python<()> {
    // SAFETY: as in `link`; the head belongs to this thread, which holds the GIL.
    unsafe {
        if !*IN_BASE.get() {
            return call(door().register_task, task.object());
        }
        let node = task.node();
        if !(*node).next.is_null() {
            return Ok(());
        }
        let state = ffi::PyThreadState_Get();
        let (known, head) = *THREAD.get();
        if known == state {
            insert_last(head, node);
            return Ok(());
        }
        call(door().register_task, task.object())?;
        // It was put last, so what follows it is the head.
        *THREAD.get() = (state, (*node).next);
        Ok(())
    }
}

/// Takes the task out of the list, where it is in it.
///
/// # Safety
/// The task lives.
#[inline]
pub unsafe fn unlink(task: TaskRef) {
    // SAFETY: the neighbours of a node in a list are live.
    unsafe {
        if compat::TASKS_IN_THREAD_STATE && !*IN_BASE.get() {
            return unregister(task);
        }
        let node = task.node();
        let Node { next, prev } = *node;
        if !next.is_null() {
            (*prev).next = next;
            (*next).prev = prev;
            *node = Node { next: ptr::null_mut(), prev: ptr::null_mut() };
        }
    }
}

#[cold]
unsafe fn unregister(task: TaskRef) {
    // SAFETY: a task that is being freed is kept alive for the call; an exception that is set is kept.
    unsafe {
        let raised = compat::take_raised();
        let count = ffi::Py_REFCNT(task.object());
        if count == 0 {
            compat::set_refcount(task.object(), 1);
        }
        if call(door().unregister_task, task.object()).is_err() {
            ffi::PyErr_Clear();
        }
        if count == 0 {
            compat::set_refcount(task.object(), 0);
        }
        compat::set_raised(raised);
    }
}

unsafe fn call(function: *mut ffi::PyObject, task: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the function exists in this version; the task lives.
    unsafe { Owned::new(ffi::PyObject_CallOneArg(function, task)).map(drop) }
}

/// All tasks of our own list.
///
/// # Safety
/// The GIL is held; up to 3.13.
pub unsafe fn all() -> Vec<Owned> {
    let mut tasks = Vec::new();
    // SAFETY: every node in the list is a live task's field; nothing runs while the list is walked.
    unsafe {
        let head: *mut Node = HEAD.get();
        let mut node = (*head).next;
        while node != head {
            let object = node.byte_sub(layout().task_cell + offset_of!(TaskCell, node));
            tasks.push(Owned::from_borrowed(object.cast()));
            node = (*node).next;
        }
    }
    tasks
}
