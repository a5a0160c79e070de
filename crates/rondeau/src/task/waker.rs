//! The table of a task's waker. It may be used on any thread: at home it is a plain push to the agenda, elsewhere the
//! wake goes through the mailbox (`refs.rs` tells how the references are counted).

use std::task::{RawWaker, RawWakerVTable, Waker};

use super::header::TaskRef;
use crate::mailbox::Mail;

pub(crate) static TABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop);

/// Whether it is the waker of a task of ours: its clone, its drop and its wake run no code of others, so that they may
/// happen while something is borrowed.
#[inline]
pub(crate) fn is_ours(waker: &Waker) -> bool {
    std::ptr::eq(waker.vtable(), &TABLE)
}

/// # Safety
/// As all four: called by `Waker` with data made by `TaskRef::into_raw` that stands for a counted reference.
unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: the waker that is cloned keeps the task alive.
    unsafe {
        let task = TaskRef::from_raw(data);
        if task.is_home() {
            task.hold_at_home()
        } else {
            task.hold_elsewhere()
        }
    }
    RawWaker::new(data, &TABLE)
}

unsafe fn wake(data: *const ()) {
    // SAFETY: the waker's reference is alive, and given up here: dropped at home, or moved into the mail.
    unsafe {
        let task = TaskRef::from_raw(data);
        if task.is_home() {
            task.wake_at_home();
            task.drop_at_home();
        } else {
            wake_elsewhere(task);
        }
    }
}

unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: the waker's reference is alive and stays so.
    unsafe {
        let task = TaskRef::from_raw(data);
        if task.is_home() {
            task.wake_at_home();
        } else {
            task.hold_elsewhere();
            wake_elsewhere(task);
        }
    }
}

unsafe fn drop(data: *const ()) {
    // SAFETY: the waker's reference is given up.
    unsafe {
        let task = TaskRef::from_raw(data);
        if task.is_home() {
            task.drop_at_home()
        } else {
            task.drop_elsewhere()
        }
    }
}

/// # Safety
/// The caller owns a counted reference and gives it up.
#[cold]
unsafe fn wake_elsewhere(task: TaskRef) {
    // SAFETY: alive by the caller's word, whose reference is given up either way: it travels in the mail, or is dropped.
    unsafe {
        if task.header().count.post() {
            task.post(Mail::Wake(task))
        } else {
            task.drop_elsewhere()
        }
    }
}
