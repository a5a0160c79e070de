//! The two clocks the loop reads, an exact one and a cheap one, and the processor's counter for what is stamped very often.
//!
//! Called by `rondeau_core::Clock` and `rondeau_core::Pace`; the counter by recorders. Both clocks count nanoseconds from the same point in the past
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

/// The processor's time stamp counter, where the kernel itself keeps time by it (then it runs at one rate on all cores), else
/// the exact clock. 12 ns where the clock costs 35.
///
/// ```
/// use rondeau_driver::clock::Ticks;
/// let ticks = Ticks::start();
/// let then = ticks.now();
/// assert!(ticks.scale().nanos(ticks.now()) >= ticks.scale().nanos(then));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Ticks {
    counts: bool,
    at: u64,
    nanos: u64,
}

/// How many nanoseconds a tick is, as measured since `Ticks::start`.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    at: u64,
    ratio: f64,
}

impl Ticks {
    /// Chooses the counter and notes when.
    #[must_use]
    pub fn start() -> Ticks {
        let counts = has_counter();
        Ticks {
            counts,
            at: read_ticks(counts),
            nanos: monotonic(),
        }
    }

    /// The counter.
    #[inline]
    #[must_use]
    pub fn now(&self) -> u64 {
        read_ticks(self.counts)
    }

    /// `CLOCK_MONOTONIC` at the start, in nanoseconds.
    #[must_use]
    pub fn started(&self) -> u64 {
        self.nanos
    }

    /// What a tick is, measured against the exact clock from the start until now.
    #[must_use]
    pub fn scale(&self) -> Scale {
        let ratio = if self.counts {
            // Short stretches measure badly: 2 ms against a reading's 50 ns is 1 in 40,000.
            let mut nanos = monotonic();
            while nanos - self.nanos < 2_000_000 {
                std::hint::spin_loop();
                nanos = monotonic();
            }
            (nanos - self.nanos) as f64 / (read_ticks(true) - self.at) as f64
        } else {
            1.0
        };
        Scale { at: self.at, ratio }
    }
}

impl Scale {
    /// Nanoseconds from the start to this tick; 0 for one before it.
    #[must_use]
    pub fn nanos(&self, tick: u64) -> u64 {
        (tick.saturating_sub(self.at) as f64 * self.ratio) as u64
    }
}

#[cfg(target_arch = "x86_64")]
fn has_counter() -> bool {
    // "tsc" says that the kernel found the counter invariant and in step on all cores, and trusts it.
    std::fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource")
        .is_ok_and(|source| source.trim() == "tsc")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_counter() -> bool {
    false
}

#[inline]
fn read_ticks(counts: bool) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if counts {
        // SAFETY: every x86-64 processor has the instruction, and the kernel keeps time by it.
        return unsafe { std::arch::x86_64::_rdtsc() };
    }
    let _ = counts;
    monotonic()
}
