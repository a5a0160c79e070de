//! A budget for each poll of a task, so that one whose operations are always ready gives the others their turn.
//!
//! What is done at once, without waiting, costs some of it ([`spend`]). When it is used up, the next such operation wakes
//! its task and says that it must wait, having done nothing: the task goes on in the next turn of the loop, and the
//! kernel and the timers are looked at in between. The budget is full again then, also within the same poll: a task of
//! several branches gives each of them one, and an executor within a task that polls over and over does not spin for ever.
//!
//! One cell a thread, without a destructor: to spend is a load, a subtraction and a store. What waits by nature (an
//! operation on a file, blocking work, a yield) costs nothing.

use std::cell::Cell;
use std::task::{Context, Poll};

/// What a poll may spend: a queue's item, a permit and the like cost one, a socket's call by what it moved.
const FULL: i32 = 128;
/// A transfer costs one, and one more for so many bytes, as a power of two: a megabyte ends the turn.
const BYTES: u32 = 13;
/// A connection that is accepted: two system calls and what is allocated for it.
pub(crate) const CONNECTION: i32 = 8;

thread_local! {
    static LEFT: Cell<i32> = const { Cell::new(FULL) };
}

/// A task is about to be polled.
#[inline]
pub(crate) fn refill() {
    LEFT.set(FULL);
}

#[inline]
pub(crate) fn is_left() -> bool {
    LEFT.get() > 0
}

/// Ready while something is left. To be asked before an operation that is ready is carried out.
#[inline]
pub(crate) fn poll(cx: &mut Context<'_>) -> Poll<()> {
    if is_left() {
        Poll::Ready(())
    } else {
        used_up(cx)
    }
}

/// Something was done without waiting.
#[inline]
pub(crate) fn spend(cost: i32) {
    LEFT.set(LEFT.get() - cost);
}

/// What moving so many bytes costs.
#[inline]
pub(crate) fn of_bytes(count: usize) -> i32 {
    1 + (count >> BYTES).min(FULL as usize) as i32
}

#[cold]
fn used_up(cx: &mut Context<'_>) -> Poll<()> {
    refill();
    cx.waker().wake_by_ref();
    Poll::Pending
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    #[test]
    fn each_budget_ends_once_and_is_full_again() {
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..3 {
            refill();
            for _ in 0..FULL {
                assert!(poll(&mut cx).is_ready());
                spend(1);
            }
            assert!(poll(&mut cx).is_pending());
            assert!(poll(&mut cx).is_ready());
        }
    }

    #[test]
    fn a_transfer_costs_by_its_size_and_never_more_than_a_turn() {
        assert_eq!(of_bytes(0), 1);
        assert_eq!(of_bytes(8 * 1024), 2);
        assert_eq!(of_bytes(1 << 20), 1 + FULL);
        assert_eq!(of_bytes(usize::MAX), 1 + FULL);
    }
}
