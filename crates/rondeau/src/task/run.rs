//! What happens to a task at home: spawn, wake, run, cancel, finish. The only place where a state changes, apart from
//! `CLOSED` (`cell.rs`) and the handle's `HANDLE` and `TAKEN` (`join.rs`).
//!
//! The agenda counts no reference: what is in it is not `CLOSED`, and a task that is not closed is kept by the loop's
//! own reference, which `finish` gives up.

use std::future::Future;
use std::mem::ManuallyDrop;
use std::sync::atomic::Ordering;
use std::task::{Context, Waker};

use super::cell;
use super::header::TaskRef;
use super::state::{CANCELLED, CLOSED, FINISHED, HANDLE, RUNNING, SCHEDULED, TAKEN};
use super::waker;
use crate::budget;
use crate::looper::Loop;
use crate::report::report;

/// Makes a task of `future` and puts it in the agenda. The caller owns the handle's reference.
///
/// # Safety
/// At home, on the loop's thread. What `future` and its output borrow must outlive the task: it is `'static`, or the
/// caller sees the task finished and its outcome taken before the borrow ends.
#[inline]
pub(crate) unsafe fn spawn<F: Future>(owner: &Loop, future: F) -> TaskRef {
    let task = cell::allocate(owner, future);
    // SAFETY: new, alive, in no list; at home by the caller's word.
    unsafe {
        owner.tasks.link(task);
        if owner.closing.get() {
            // A destructor spawned while the loop ends, or afterwards: nothing will run any more.
            task.header().state.set(HANDLE);
            task.close(owner);
            if owner.closed.get() {
                // The others were cut loose already. The handle's reference is there.
                owner.tasks.unlink(task);
                task.orphan(owner);
            }
        } else {
            owner.schedule(task);
        }
    }
    task
}

impl TaskRef {
    /// A wake at home.
    ///
    /// # Safety
    /// `is_home` holds, or this is the loop's thread and the loop lives; a counted reference is alive.
    #[inline]
    pub(crate) unsafe fn wake_at_home(self) {
        // SAFETY: alive and at home by the caller's word.
        let header = unsafe { self.header() };
        let state = header.state.get();
        if state & (SCHEDULED | CLOSED) == 0 {
            header.state.set(state | SCHEDULED);
            if state & RUNNING == 0 {
                // SAFETY: this is home, so the owner lives.
                unsafe { (*header.owner.load(Ordering::Relaxed)).schedule(self) };
            }
        }
    }

    /// A wake that came by mail. The reference that travelled with it is dropped.
    ///
    /// # Safety
    /// At home; the caller owns a counted reference and gives it up.
    pub(crate) unsafe fn wake_from_mail(self) {
        // SAFETY: alive, at home.
        unsafe {
            self.header().count.arrived();
            self.wake_at_home();
            self.drop_at_home();
        }
    }

    /// Asks for cancellation.
    ///
    /// # Safety
    /// On the loop's thread, the loop alive or the task closed; a counted reference is alive.
    pub(crate) unsafe fn request_cancel(self) {
        // SAFETY: alive, on the loop's thread; a wake does nothing to a closed task.
        unsafe {
            let state = &self.header().state;
            state.set(state.get() | CANCELLED);
            self.wake_at_home();
        }
    }

    /// Runs a task that the agenda gave out.
    ///
    /// # Safety
    /// At home, the loop entered; the task is `SCHEDULED` and not `CLOSED`.
    #[inline]
    pub(crate) unsafe fn run(self, owner: &Loop) {
        // SAFETY: not closed, so the loop's own reference keeps it alive.
        let header = unsafe { self.header() };
        let state = header.state.get();
        debug_assert!(state & SCHEDULED != 0 && state & (CLOSED | RUNNING) == 0);
        if state & CANCELLED != 0 {
            // SAFETY: at home, alive, the future is there and is not being polled.
            return unsafe { self.close(owner) };
        }
        header.state.set(state & !SCHEDULED | RUNNING);
        budget::refill();
        // The waker that the poll borrows: it counts no reference, since the loop's own outlives the poll.
        // SAFETY: the table is the one for task pointers; `ManuallyDrop` keeps its reference from being given up.
        let lent = ManuallyDrop::new(unsafe { Waker::new(self.into_raw(), &waker::TABLE) });
        // SAFETY: at home, and the task is `RUNNING`: the place holds the future.
        if unsafe { (header.vtable.poll)(self, &mut Context::from_waker(&lent)) } {
            // SAFETY: closed, the outcome is in place.
            unsafe { self.finish(owner) }
        } else {
            let state = header.state.get() & !RUNNING;
            header.state.set(state);
            if state & SCHEDULED != 0 {
                owner.schedule(self);
            }
        }
    }

    /// Drops the future unfinished: the outcome is "cancelled".
    ///
    /// # Safety
    /// At home; the task is neither closed nor running.
    pub(crate) unsafe fn close(self, owner: &Loop) {
        // SAFETY: the future is there and is not being polled.
        unsafe {
            (self.header().vtable.cancel)(self);
            self.finish(owner);
        }
    }

    /// Hands the outcome over and gives up the loop's reference.
    ///
    /// # Safety
    /// At home; the outcome was just put in place.
    #[inline]
    unsafe fn finish(self, owner: &Loop) {
        // SAFETY: the loop's own reference keeps it alive until it is given up below.
        let header = unsafe { self.header() };
        let state = header.state.get() & !(RUNNING | SCHEDULED) | FINISHED;
        header.state.set(state);
        // The joiner and the reporter are other people's code and may panic: they come last.
        if state & HANDLE != 0 {
            let joiner = header.joiner.take();
            // SAFETY: the loop's own reference, given up once: a closed task never comes here again.
            unsafe { self.drop_at_home() };
            if let Some(joiner) = joiner {
                joiner.wake();
            }
        } else {
            header.state.set(state | TAKEN);
            // SAFETY: the outcome is there, `TAKEN` is set, and no handle can ask for it.
            let panic = unsafe { (header.vtable.discard)(self) };
            // SAFETY: as above.
            unsafe { self.drop_at_home() };
            if let Some(panic) = panic {
                report(&owner.reporter, panic);
            }
        }
    }
}
