//! References to a task: who adds one, who drops one, and what the last one does. The counting itself is in `count.rs`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::count::Dropped;
use super::header::{TaskRef, gone};
use crate::looper::Loop;
use crate::mailbox::{Mail, Mailbox};

impl TaskRef {
    /// Adds a reference, at home.
    ///
    /// # Safety
    /// At home; a counted reference is alive.
    #[inline]
    pub(crate) unsafe fn hold_at_home(self) {
        // SAFETY: alive by the caller's word.
        unsafe { self.header() }.count.hold_at_home();
    }

    /// Drops a reference, at home. The last one frees the task.
    ///
    /// # Safety
    /// At home; the caller owns a counted reference and gives it up.
    #[inline]
    pub(crate) unsafe fn drop_at_home(self) {
        // SAFETY: the caller's reference keeps it alive until the count says otherwise.
        if unsafe { self.header() }.count.drop_at_home() {
            // SAFETY: that was the last one, so nobody else can reach it: it can leave the list and be freed. This is
            // home, so the owner lives.
            unsafe {
                (*self.header().owner.load(Ordering::Relaxed))
                    .tasks
                    .unlink(self);
                (self.header().vtable.free)(self);
            }
        }
    }

    /// Adds a reference, on any thread.
    ///
    /// # Safety
    /// A counted reference is alive.
    pub(crate) unsafe fn hold_elsewhere(self) {
        // SAFETY: alive by the caller's word.
        unsafe { self.header() }.count.hold_elsewhere();
    }

    /// Drops a reference, on any thread.
    ///
    /// # Safety
    /// The caller owns a counted reference and gives it up.
    pub(crate) unsafe fn drop_elsewhere(self) {
        // Read before the drop: afterwards the task may be gone at any moment.
        // SAFETY: the caller's reference keeps it alive until the count says otherwise.
        let mailbox = unsafe { self.header() }.mailbox;
        // SAFETY: as above.
        let dropped = unsafe { self.header() }.count.drop_elsewhere();
        match dropped {
            Dropped::Kept => {}
            // SAFETY: the reference was not dropped, and moves into the mail.
            Dropped::SendHome => unsafe { self.post(Mail::Drop(self)) },
            // SAFETY: the last reference to an orphan: it is in no list, and its outcome was dropped by whoever had the
            // handle. Its share in the mailbox goes after it.
            Dropped::Last => unsafe {
                (self.header().vtable.free)(self);
                Arc::decrement_strong_count(mailbox);
            },
        }
    }

    /// Sends mail about this task home. A counted reference travels in it.
    ///
    /// # Safety
    /// The caller owns a counted reference and gives it up.
    #[cold]
    pub(crate) unsafe fn post(self, mail: Mail) {
        // SAFETY: the caller's reference is alive, so the mailbox is too: the loop holds it, or the orphan does. The
        // clone keeps it while it is used, since the reference is gone as soon as the mail is in.
        let mailbox = unsafe {
            let mailbox: *const Mailbox = self.header().mailbox;
            Arc::increment_strong_count(mailbox);
            Arc::from_raw(mailbox)
        };
        mailbox.post(mail);
    }

    /// Cuts the task loose from a loop that ends. It gets a share in the mailbox, which it may outlive the loop by.
    ///
    /// # Safety
    /// At home; the task is closed and unlinked; at least one reference exists.
    pub(crate) unsafe fn orphan(self, owner: &Loop) {
        // SAFETY: alive by the caller's word.
        let header = unsafe { self.header() };
        let share = Arc::into_raw(Arc::clone(&owner.mailbox));
        debug_assert_eq!(share, header.mailbox);
        header.owner.store(gone(), Ordering::Relaxed);
        header.count.orphan();
    }

    /// Drops the handle's reference: home's thread, but the loop may not be entered, or be gone.
    ///
    /// # Safety
    /// On the loop's thread; the caller owns a counted reference and gives it up.
    pub(crate) unsafe fn drop_by_handle(self) {
        // SAFETY: the caller's reference keeps it alive.
        if unsafe { self.header() }.count.is_orphan() {
            // SAFETY: as the caller's.
            unsafe { self.drop_elsewhere() }
        } else {
            // SAFETY: not an orphan, so the loop lives, and this is its thread: as good as home.
            unsafe { self.drop_at_home() }
        }
    }
}
