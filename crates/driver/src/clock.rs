//! The two clocks the loop reads: an exact one and a cheap one.
//!
//! Called by `rondeau_core::Clock` and `rondeau_core::Pace`. Both count nanoseconds from the same point in the past
//! (usually boot) and never go back (`clock_gettime(2)`), so their values may be compared.
//!
//! `std::time::Instant` was rejected: it cannot be built from or turned into a number, which a virtual clock needs,
//! and the exact reading costs the same 24 ns either way.

#[inline]
fn read(id: libc::clockid_t) -> u64 {
    let mut ts = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `ts` is a valid timespec that the call fills; both ids used here exist since Linux 2.6.32, so it cannot fail.
    unsafe { libc::clock_gettime(id, &mut ts) };
    ts.tv_sec as u64 * 1_000_000_000 + ts.tv_nsec as u64
}

/// Nanoseconds of `CLOCK_MONOTONIC`.
///
/// ```
/// let a = rondeau_driver::clock::monotonic();
/// assert!(rondeau_driver::clock::monotonic() >= a);
/// ```
#[inline]
#[must_use]
pub fn monotonic() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

/// Nanoseconds of `CLOCK_MONOTONIC_COARSE`: advances once a kernel tick (1–4 ms), costs about 5 ns.
///
/// ```
/// use rondeau_driver::clock;
/// assert!(clock::coarse() <= clock::monotonic());
/// ```
#[inline]
#[must_use]
pub fn coarse() -> u64 {
    read(libc::CLOCK_MONOTONIC_COARSE)
}
