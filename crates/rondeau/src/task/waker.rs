//! The table of a task's waker. It may be used on any thread: at home it is a plain push to the agenda, elsewhere the
//! wake goes through the mailbox (`refs.rs` tells how the references are counted).

use std::sync::atomic::Ordering;
use std::task::{RawWaker, RawWakerVTable};

use super::header::TaskRef;
use super::refs::{ONE, ORPHAN, POSTED};
use crate::mailbox::Mail;

pub(crate) static TABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop);

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
    // AcqRel even when the bit is set already: what this thread wrote before the wake must reach the poll that the
    // mail on its way brings about, and that poll's thread clears the bit with an acquiring operation.
    // SAFETY: alive by the caller's word.
    let before = unsafe { task.header() }
        .foreign
        .fetch_or(POSTED, Ordering::AcqRel);
    debug_assert!(before & ORPHAN != 0 || before >= ONE || before & super::refs::STAKE != 0);
    // SAFETY: the caller's reference is given up either way.
    unsafe {
        if before & (POSTED | ORPHAN) == 0 {
            task.post(Mail::Wake(task))
        } else {
            task.drop_elsewhere()
        }
    }
}
