//! When to ask the kernel.
//!
//! The owner of the loop asks [`Pace::decide`] once a turn. Asking the kernel at every turn costs 165–330 ns, which
//! triples the price of a callback, so while work is ready it is asked every 64 turns only, or as soon as the coarse
//! clock has ticked since the last time (1–4 ms, `CONFIG_HZ`): a loop of slow callbacks does not starve its sockets.
//! The coarse clock costs 5 ns and is read every fourth turn.
//!
//! Where the owner did something that sockets may answer to at once, such as sending, it says so by [`Pace::look`], and
//! the kernel is asked at the next turn: programs with both ends of a connection in one loop count on that.
//!
//! `Skip` also means that no timer need be looked at: a timer is late by 64 turns or one tick at most.

use rondeau_driver::clock;
use std::time::Duration;

use crate::time::Time;

/// Turns without asking the kernel, at most, while work is ready.
const TURNS: u32 = 64;
/// The coarse clock is read when the count of turns is a multiple of this.
const LOOK: u32 = 4;

/// What the loop does before its next turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Park {
    /// Neither asks the kernel nor looks at the timers.
    Skip,
    /// Asks the kernel without waiting.
    Poll,
    /// Waits for the kernel, so long at most.
    Until(Duration),
    /// Waits for the kernel.
    Forever,
}

/// Counts turns between two looks at the kernel.
///
/// ```
/// use rondeau_core::{Pace, Park, Time};
/// use std::time::Duration;
///
/// let mut pace = Pace::new();
/// let now = || Time::from_nanos(100);
/// assert_eq!(pace.decide(false, None, now), Park::Forever);
/// assert_eq!(pace.decide(false, Some(Time::from_nanos(130)), now), Park::Until(Duration::from_nanos(30)));
/// assert_eq!(pace.decide(true, None, now), Park::Skip);
/// ```
#[derive(Clone, Debug)]
pub struct Pace {
    turns: u32,
    tick: u64,
    coarse: fn() -> u64,
}

impl Pace {
    /// With the machine's coarse clock.
    #[must_use]
    pub fn new() -> Pace {
        Pace::with_coarse(clock::coarse)
    }

    /// With another coarse clock: a number that changes at each tick. For tests and simulations.
    #[must_use]
    pub fn with_coarse(coarse: fn() -> u64) -> Pace {
        Pace {
            turns: 0,
            tick: coarse(),
            coarse,
        }
    }

    /// Has the next [`Pace::decide`] ask the kernel, whatever is ready.
    ///
    /// ```
    /// use rondeau_core::{Pace, Park, Time};
    ///
    /// let mut pace = Pace::new();
    /// pace.look();
    /// assert_eq!(pace.decide(true, None, || Time::from_nanos(100)), Park::Poll);
    /// ```
    #[inline]
    pub fn look(&mut self) {
        self.turns = TURNS - 1;
    }

    /// What to do before the next turn. `ready`: the agenda has something; `next_due`: the first timer; `now` is
    /// called only when the answer depends on it.
    #[inline]
    pub fn decide(
        &mut self,
        ready: bool,
        next_due: Option<Time>,
        now: impl FnOnce() -> Time,
    ) -> Park {
        if ready {
            self.turns += 1;
            if !self.turns.is_multiple_of(LOOK) {
                return Park::Skip;
            }
            let tick = (self.coarse)();
            if self.turns < TURNS && tick == self.tick {
                return Park::Skip;
            }
            self.tick = tick;
            self.turns = 0;
            return Park::Poll;
        }
        self.turns = 0;
        match next_due {
            None => Park::Forever,
            Some(due) => match due.until(now()) {
                Duration::ZERO => Park::Poll,
                pause => Park::Until(pause),
            },
        }
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self::new()
    }
}
