//! Which tasks exist: what `asyncio.all_tasks()` finds. A list through the tasks themselves, of borrowed references.
//!
//! Up to 3.13 the list is ours (`own.rs`), and `all_tasks.rs` makes asyncio's WeakSet yield it. From 3.14 on it is asyncio's
//! own list in the thread's state (`thread.rs`). Both offer `link` and `unlink`.
//!
//! Invariant: a task is in the list from its first scheduling until it is done or destroyed. It leaves before its memory
//! is freed and before its finalizer runs at the last reference, so nobody finds a task that is gone.
//! Rejected: `WeakSet.add` (525 ns a task); `_register_task` for every task (45 ns).

#[cfg_attr(not(Py_3_14), path = "own.rs")]
#[cfg_attr(Py_3_14, path = "thread.rs")]
pub mod list;

pub use list::{link, unlink};

use crate::future::layout::layout;
use pyo3_ffi as ffi;
use std::ptr;

/// A place in a circular list: CPython's `struct llist_node` (Include/internal/pycore_llist.h). NULL in no list.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Node {
    next: *mut Node,
    prev: *mut Node,
}

/// Where a list begins.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Head(*mut Node);

/// The lists of this process; none where only asyncio knows them. Heads are good until the GIL is given up.
///
/// # Safety
/// The GIL is held.
pub unsafe fn heads() -> Vec<Head> {
    // SAFETY: the caller's contract.
    unsafe { list::heads() }.into_iter().map(Head).collect()
}

/// The first task of a list, borrowed.
///
/// # Safety
/// The head is good.
pub unsafe fn first(head: Head) -> Option<*mut ffi::PyObject> {
    // SAFETY: the caller's contract.
    unsafe { object((*head.0).next, head) }
}

/// The task after this one.
///
/// # Safety
/// The head is good, and the task lives and is in its list.
pub unsafe fn after(head: Head, task: *mut ffi::PyObject) -> Option<*mut ffi::PyObject> {
    // SAFETY: the caller's contract.
    unsafe { object((*task.byte_add(layout().node).cast::<Node>()).next, head) }
}

/// The task before this one.
///
/// # Safety
/// As for `after`.
pub unsafe fn before(head: Head, task: *mut ffi::PyObject) -> Option<*mut ffi::PyObject> {
    // SAFETY: the caller's contract.
    unsafe { object((*task.byte_add(layout().node).cast::<Node>()).prev, head) }
}

/// Whether a task that was in a list still is.
///
/// # Safety
/// The task lives.
pub unsafe fn is_listed(task: *mut ffi::PyObject) -> bool {
    // SAFETY: the caller's contract.
    unsafe {
        !(*task.byte_add(layout().node).cast::<Node>())
            .next
            .is_null()
    }
}

unsafe fn object(node: *mut Node, head: Head) -> Option<*mut ffi::PyObject> {
    // SAFETY: a node that is not the head lies in a task.
    (node != head.0 && !node.is_null()).then(|| unsafe { node.byte_sub(layout().node).cast() })
}

/// Puts a node at the end.
///
/// # Safety
/// The list of `head` is well formed and the node is in none.
#[inline]
unsafe fn insert_last(head: *mut Node, node: *mut Node) {
    // SAFETY: the caller's contract.
    unsafe {
        let last = (*head).prev;
        *node = Node {
            next: head,
            prev: last,
        };
        (*last).next = node;
        (*head).prev = node;
    }
}

/// Takes a node out of its list, where it is in one.
///
/// # Safety
/// The node is a live task's.
#[inline]
unsafe fn remove(node: *mut Node) {
    // SAFETY: the neighbours of a node in a list are live.
    unsafe {
        let Node { next, prev } = *node;
        if !next.is_null() {
            (*prev).next = next;
            (*next).prev = prev;
            *node = Node {
                next: ptr::null_mut(),
                prev: ptr::null_mut(),
            };
        }
    }
}
