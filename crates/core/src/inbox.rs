//! Handles from other threads, on their way to the loop.
//!
//! Any thread pushes; the loop's thread drains before each turn and brackets its park with [`Inbox::before_park`] and
//! [`Inbox::after_park`]. A push tells its caller whether the loop sleeps and has to be woken, so a busy loop costs no
//! system call and a sleeping one exactly one.
//!
//! The handles are in a `Mutex<Vec>`, and `state` says what the loop must know without the lock:
//!
//! - `EMPTY`: nothing is pending and the loop is awake.
//! - `PENDING`: something may be pending. Set after the push into the vector, reset before a drain takes the lock; so
//!   whoever pushes too late to be drained sets it again, and at worst it is set with nothing there.
//! - `ASLEEP`: nothing is pending and the loop parks. Only the loop sets it, only from `EMPTY`; the first push after
//!   it replaces it and is the one that wakes.
//!
//! Rejected: a lock-free list (an allocation a push, and a drain in reverse order; push and drain cost 14 ns with the mutex); a wake at
//! every push (a system call of 340 ns each).

use std::sync::PoisonError;

#[cfg(loom)]
use loom::sync::{
    Mutex,
    atomic::{AtomicU8, Ordering},
};
#[cfg(not(loom))]
use std::sync::{
    Mutex,
    atomic::{AtomicU8, Ordering},
};

const EMPTY: u8 = 0;
const PENDING: u8 = 1;
const ASLEEP: u8 = 2;

/// Where other threads leave handles for the loop.
///
/// ```
/// use rondeau_core::{Agenda, Inbox};
///
/// let inbox = Inbox::new();
/// assert!(!inbox.push(1)); // the loop is awake: it will look
/// let mut agenda = Agenda::new();
/// inbox.drain_into(&mut agenda);
/// assert_eq!(agenda.pop(), Some(1));
///
/// assert!(inbox.before_park()); // nothing pending: the loop may park ...
/// assert!(inbox.push(2)); // ... so this push has to wake it,
/// assert!(!inbox.push(3)); // and this one need not
/// inbox.after_park();
/// ```
#[derive(Debug)]
pub struct Inbox<H> {
    state: AtomicU8,
    handles: Mutex<Vec<H>>,
}

impl<H> Inbox<H> {
    /// Empty, with the loop awake.
    #[must_use]
    pub fn new() -> Self {
        Inbox {
            state: AtomicU8::new(EMPTY),
            handles: Mutex::new(Vec::new()),
        }
    }

    /// Leaves a handle; any thread. `true`: the loop sleeps and the caller must wake it.
    #[inline]
    #[must_use = "`true` means that the loop must be woken"]
    pub fn push(&self, handle: H) -> bool {
        self.handles
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(handle);
        self.state.swap(PENDING, Ordering::AcqRel) == ASLEEP
    }

    /// Moves all handles, in the order of their pushes, to the end of `agenda`; the loop's thread.
    #[inline]
    pub fn drain_into(&self, agenda: &mut impl Extend<H>) {
        if self.state.load(Ordering::Relaxed) == PENDING {
            // Before the lock: see the module's text.
            self.state.swap(EMPTY, Ordering::AcqRel);
            agenda.extend(
                self.handles
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .drain(..),
            );
        }
    }

    /// Whether nothing is pending. Of use to the loop's thread only: for others it may change at any time.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.state.load(Ordering::Acquire) != PENDING
    }

    /// To be called by the loop before it parks. `true`: nothing is pending, and the next push will say that the loop
    /// must be woken. `false`: something came meanwhile; drain instead of parking.
    #[inline]
    #[must_use = "`false` means that the loop must not park"]
    pub fn before_park(&self) -> bool {
        self.state
            .compare_exchange(EMPTY, ASLEEP, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// To be called by the loop when it has parked: pushes need not wake it any more.
    #[inline]
    pub fn after_park(&self) {
        // Fails when a push has replaced ASLEEP by PENDING, which then has to stay.
        let _ = self
            .state
            .compare_exchange(ASLEEP, EMPTY, Ordering::AcqRel, Ordering::Acquire);
    }
}

impl<H> Default for Inbox<H> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_push_before_the_park_forbids_it() {
        let inbox = Inbox::new();
        assert!(!inbox.push(1));
        assert!(!inbox.is_empty());
        assert!(!inbox.before_park());
        let mut out = Vec::new();
        inbox.drain_into(&mut out);
        assert_eq!(out, [1]);
        assert!(inbox.is_empty() && inbox.before_park());
    }

    #[test]
    fn one_wake_a_park() {
        let inbox = Inbox::new();
        assert!(inbox.before_park());
        assert_eq!((0..5).filter(|i| inbox.push(*i)).collect::<Vec<_>>(), [0]);
        inbox.after_park();
        assert!(!inbox.push(5));
        let mut out = Vec::new();
        inbox.drain_into(&mut out);
        assert_eq!(out, [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_park_that_ended_by_itself_leaves_nothing_behind() {
        let inbox = Inbox::new();
        assert!(inbox.before_park());
        inbox.after_park();
        assert!(!inbox.push(1));
    }
}
