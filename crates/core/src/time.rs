//! A point in time, as a number of nanoseconds.
//!
//! Made by [`crate::Clock`], kept by [`crate::Timers`]. Only the difference of two of the same clock means something.
//! `std::time::Instant` was rejected: no virtual clock can make one.

use std::ops::Add;
use std::time::Duration;

/// Nanoseconds since the clock's own beginning; 584 years fit.
///
/// ```
/// use rondeau_core::Time;
/// use std::time::Duration;
///
/// let start = Time::from_nanos(5);
/// let due = start + Duration::from_nanos(10);
/// assert_eq!(due.until(start), Duration::from_nanos(10));
/// assert_eq!(start.until(due), Duration::ZERO); // already passed
/// assert_eq!(due + Duration::MAX, Time::MAX);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Time(u64);

impl Time {
    /// Never.
    pub const MAX: Time = Time(u64::MAX);

    /// The time so many nanoseconds after the clock's beginning.
    #[inline]
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Time {
        Time(nanos)
    }

    /// Nanoseconds since the clock's beginning.
    #[inline]
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long from `now` to this time; zero when it has passed.
    #[inline]
    #[must_use]
    pub const fn until(self, now: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(now.0))
    }
}

impl Add<Duration> for Time {
    type Output = Time;

    /// Saturates at [`Time::MAX`].
    #[inline]
    fn add(self, pause: Duration) -> Time {
        // Two words instead of the 128 bits of `as_nanos`: this is on the path of every timer.
        let nanos = pause
            .as_secs()
            .checked_mul(1_000_000_000)
            .and_then(|n| n.checked_add(pause.subsec_nanos().into()));
        Time(nanos.map_or(u64::MAX, |nanos| self.0.saturating_add(nanos)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addition_is_exact_and_saturates() {
        let start = Time::from_nanos(7);
        assert_eq!((start + Duration::new(2, 3)).as_nanos(), 2_000_000_010);
        assert_eq!(start + Duration::from_nanos(u64::MAX - 7), Time::MAX);
        assert_eq!(start + Duration::from_secs(u64::MAX), Time::MAX);
        assert_eq!(Time::MAX + Duration::from_nanos(1), Time::MAX);
    }
}
