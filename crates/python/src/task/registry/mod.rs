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

use std::ptr;

/// A place in a circular list: CPython's `struct llist_node` (Include/internal/pycore_llist.h). NULL in no list.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Node {
    next: *mut Node,
    prev: *mut Node,
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
