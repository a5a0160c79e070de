//! Our own list of tasks, up to 3.13.

use super::{Node, insert_last, remove};
use crate::ffi::{Python, gil::GilCell, owned::Owned};
use crate::future::layout::layout;
use crate::task::cell::{TaskCell, TaskRef};
use std::mem::offset_of;
use std::ptr;

static HEAD: GilCell<Node> = GilCell::new(Node {
    next: ptr::null_mut(),
    prev: ptr::null_mut(),
});

/// Starts the list.
///
/// # Safety
/// Called once, during import.
pub unsafe fn open() {
    // SAFETY: the import runs alone.
    unsafe {
        let head: *mut Node = HEAD.get();
        *head = Node {
            next: head,
            prev: head,
        };
    }
}

/// The list.
pub unsafe fn heads() -> Vec<*mut Node> {
    // SAFETY: the caller holds the GIL.
    vec![unsafe { HEAD.get() }]
}

/// Puts the task into the list.
///
/// # Safety
/// The task lives.
#[inline]
pub unsafe fn link(task: TaskRef) -> Python<()> {
    // SAFETY: list operations run no Python code; the task leaves before it is freed.
    unsafe {
        let node = task.node();
        if (*node).next.is_null() {
            insert_last(HEAD.get(), node);
        }
    }
    Ok(())
}

/// Takes the task out of the list, where it is in it.
///
/// # Safety
/// The task lives.
#[inline]
pub unsafe fn unlink(task: TaskRef) {
    // SAFETY: the caller's contract.
    unsafe { remove(task.node()) }
}

/// All tasks in the list.
///
/// # Safety
/// The GIL is held.
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
