//! How other threads reach the loop: a mailbox of wakes and dropped references, and the driver's waker to end its
//! sleep. Shared by the loop, by orphaned tasks (`task/refs.rs`), and for a moment by whoever posts.
//!
//! After the loop's end nobody collects. Then whoever posts (it may have looked just before the end) empties the
//! mailbox itself: either it sees `closed`, or the loop's last collection saw its mail, since each side writes first
//! and looks afterwards, with a full fence between.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use rondeau_core::Inbox;

use crate::task::header::TaskRef;

/// A letter about a task; it carries a counted reference.
pub(crate) enum Mail {
    /// Wake the task.
    Wake(TaskRef),
    /// Drop the reference, at home.
    Drop(TaskRef),
}

pub(crate) struct Mailbox {
    pub(crate) inbox: Inbox<Mail>,
    waker: rondeau_driver::Waker,
    closed: AtomicBool,
    /// Held while a closed mailbox is emptied: the inbox has one reader at a time.
    emptying: Mutex<()>,
}

impl Mailbox {
    pub(crate) fn new(waker: rondeau_driver::Waker) -> Self {
        Mailbox {
            inbox: Inbox::new(),
            waker,
            closed: AtomicBool::new(false),
            emptying: Mutex::new(()),
        }
    }

    /// Posts from any thread.
    pub(crate) fn post(&self, mail: Mail) {
        let asleep = self.inbox.push(mail);
        fence(Ordering::SeqCst);
        if self.closed.load(Ordering::SeqCst) {
            self.empty_closed();
        } else if asleep {
            self.waker.wake();
        }
    }

    /// The loop ends, and all its tasks are orphans already: what lies here is dropped, and so is what still comes.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        self.empty_closed();
    }

    fn empty_closed(&self) {
        let mut letters = Vec::new();
        {
            let _alone = self
                .emptying
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            self.inbox.drain_into(&mut letters);
        }
        for Mail::Wake(task) | Mail::Drop(task) in letters {
            // SAFETY: the letter's reference is given up. The task is an orphan, so this is right on any thread.
            unsafe { task.drop_elsewhere() }
        }
    }
}
