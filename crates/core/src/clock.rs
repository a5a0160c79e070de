//! The loop's clock: the machine's, one that only moves when told to, or the machine's from where such a one had come to.
//!
//! Read by the owner of the loop once a turn at most (24 ns). An enum and not a trait object or a type parameter: a
//! test chooses the clock at run time, and the branch is free beside the system call.

use rondeau_driver::clock;

use crate::time::Time;

/// Tells the time.
///
/// ```
/// use rondeau_core::{Clock, Time};
///
/// let mut clock = Clock::virtual_at(Time::from_nanos(100));
/// clock.advance_to(Time::from_nanos(250));
/// assert_eq!(clock.now(), Time::from_nanos(250));
/// assert!(!Clock::real().is_virtual());
/// ```
#[derive(Clone, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Real,
    Virtual(Time),
    /// The machine's, and so many nanoseconds more or less.
    Shifted(i64),
}

impl Clock {
    /// The machine's monotonic clock.
    #[must_use]
    pub const fn real() -> Clock {
        Clock(Kind::Real)
    }

    /// A clock that stands still at `start` until it is advanced.
    #[must_use]
    pub const fn virtual_at(start: Time) -> Clock {
        Clock(Kind::Virtual(start))
    }

    /// The time now.
    #[inline]
    #[must_use]
    pub fn now(&self) -> Time {
        match self.0 {
            Kind::Real => Time::from_nanos(clock::monotonic()),
            Kind::Virtual(now) => now,
            Kind::Shifted(by) => Time::from_nanos(clock::monotonic().saturating_add_signed(by)),
        }
    }

    /// Moves a virtual clock forward to `time`; never back. A real clock moves by itself and ignores it.
    pub fn advance_to(&mut self, time: Time) {
        if let Kind::Virtual(now) = &mut self.0 {
            *now = time.max(*now);
        }
    }

    /// The machine's clock, which goes on from this one's time.
    ///
    /// ```
    /// use rondeau_core::{Clock, Time};
    ///
    /// let hour = Time::from_nanos(3_600_000_000_000);
    /// assert!(Clock::virtual_at(hour).to_real().now() >= hour);
    /// ```
    #[must_use]
    pub fn to_real(&self) -> Clock {
        match self.0 {
            Kind::Virtual(now) => Clock(Kind::Shifted(
                now.as_nanos() as i64 - clock::monotonic() as i64,
            )),
            _ => self.clone(),
        }
    }

    /// Whether this clock has to be advanced.
    #[inline]
    #[must_use]
    pub const fn is_virtual(&self) -> bool {
        matches!(self.0, Kind::Virtual(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_clock_goes_back() {
        let real = Clock::real();
        let first = real.now();
        assert!(real.now() >= first);

        let mut clock = Clock::virtual_at(Time::from_nanos(9));
        clock.advance_to(Time::from_nanos(3));
        assert_eq!(clock.now(), Time::from_nanos(9));
    }
}
