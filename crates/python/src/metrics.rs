//! What a loop counts of itself: turns, waits in the kernel, and how long what is ready has to wait for its turn.
//!
//! Written by the turn alone, on the loop's thread; read by `loop._metrics()`, by the inspection thread and by whoever watches
//! the loop, from any thread and without the GIL: plain stores and loads, each figure right by itself. An `Arc`, so that a reader
//! needs no loop.
//!
//! A turn costs one addition and one test. The clock is read only where the kernel is asked, which is dear anyway: after the
//! answer, and before a wait. Delays are sampled only while somebody has lately asked for them (`watch`): a probe stands for a
//! callback that becomes ready just after another has ended, and is due when all that was ready before it has run.
//! Rejected: a time stamp in each item of the agenda (16 bytes an item for 8, and 24 ns a callback); the length of turns that
//! asked the kernel, which is free, but misses what a task does in the turn after the one that woke it.

use rondeau_core::Beat;
use rondeau_driver::clock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

/// Buckets of the histogram: below 1.024 µs, then four to each doubling, up to half an hour and above.
pub const BUCKETS: usize = 126;
/// Times below two to this, in nanoseconds, are in the first bucket.
const SMALLEST: u32 = 10;

/// The figures. Times are nanoseconds of `rondeau_driver::clock::monotonic`.
pub struct Metrics {
    /// Grows by 2 with each item that begins; odd while the loop waits in the kernel or does not run: a watchdog's `Beat`.
    word: AtomicU64,
    /// Turns that were taken.
    pub turns: AtomicU64,
    /// Times that the kernel was asked.
    pub asks: AtomicU64,
    /// Of these, when nothing was ready, so that the loop waited.
    pub waits: AtomicU64,
    /// Time spent in these waits.
    pub waited: AtomicU64,
    /// Time that the loop ran (`run_forever`), the present run excepted.
    pub ran: AtomicU64,
    /// When the present run began; 0 while the loop does not run.
    pub running_since: AtomicU64,
    /// When the loop last came to or from the kernel.
    pub last_ask: AtomicU64,
    /// The loop waits in the kernel.
    pub parked: AtomicBool,
    /// The kernel's number of the thread that runs the loop, or ran it last.
    pub thread: AtomicU32,
    /// The longest time between two looks at the kernel.
    pub longest: AtomicU64,
    /// How often a sampled delay fell into which bucket.
    pub delays: [AtomicU64; BUCKETS],
    /// Delays are sampled until then; 0: they are not.
    watched_until: AtomicU64,
    /// The probe's start; 0 while there is none. These three are the loop's thread's own.
    probe_since: AtomicU64,
    /// How many items run before the probe's turn.
    probe_ahead: AtomicU64,
    /// Where the next probe starts: any number but 0, changed each time.
    dice: AtomicU64,
}

/// For how long delays are sampled after they were asked for.
const WATCHED_FOR: u64 = 60_000_000_000;

/// Adds to a counter that only this thread writes.
#[inline]
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(more), Relaxed);
}

impl Metrics {
    /// Nothing has happened.
    pub fn new() -> Metrics {
        Metrics {
            word: AtomicU64::new(1),
            turns: AtomicU64::new(0),
            asks: AtomicU64::new(0),
            waits: AtomicU64::new(0),
            waited: AtomicU64::new(0),
            ran: AtomicU64::new(0),
            running_since: AtomicU64::new(0),
            last_ask: AtomicU64::new(0),
            parked: AtomicBool::new(false),
            thread: AtomicU32::new(0),
            longest: AtomicU64::new(0),
            delays: std::array::from_fn(|_| AtomicU64::new(0)),
            watched_until: AtomicU64::new(0),
            probe_since: AtomicU64::new(0),
            probe_ahead: AtomicU64::new(0),
            dice: AtomicU64::new(0x9e37_79b9_7f4a_7c15),
        }
    }

    /// The loop begins to run, in the thread with this number.
    pub fn begin(&self, thread: u32) {
        let now = clock::monotonic();
        self.thread.store(thread, Relaxed);
        self.running_since.store(now, Relaxed);
        self.last_ask.store(now, Relaxed);
        self.probe_since.store(0, Relaxed);
    }

    /// The loop does not run any more.
    pub fn end(&self) {
        self.looked();
        let since = self.running_since.swap(0, Relaxed);
        add(&self.ran, clock::monotonic().saturating_sub(since));
    }

    /// The kernel is about to be asked; `waits` says whether the loop may sleep there.
    #[inline]
    pub fn ask(&self, waits: bool) {
        if waits {
            self.looked();
            self.parked.store(true, Relaxed);
        }
    }

    /// The kernel's answer is here.
    #[inline]
    pub fn answer(&self, waited: bool) {
        add(&self.asks, 1);
        if waited {
            self.parked.store(false, Relaxed);
            add(&self.waits, 1);
            let before = self.last_ask.load(Relaxed);
            let now = clock::monotonic();
            self.last_ask.store(now, Relaxed);
            add(&self.waited, now.saturating_sub(before));
        } else {
            self.looked();
        }
    }

    #[inline]
    fn looked(&self) {
        let now = clock::monotonic();
        let stretch = now.saturating_sub(self.last_ask.load(Relaxed));
        self.last_ask.store(now, Relaxed);
        if stretch > self.longest.load(Relaxed) {
            self.longest.store(stretch, Relaxed);
        }
        let until = self.watched_until.load(Relaxed);
        if until != 0 && until < now {
            self.watched_until.store(0, Relaxed);
            self.probe_since.store(0, Relaxed);
        }
    }

    /// An item begins: a callback, a step, what a socket's readiness leads to.
    #[inline]
    pub fn begin_item(&self) {
        self.word.store(self.word.load(Relaxed) + 2, Relaxed);
    }

    /// The thread is about to let go of the GIL to ask the kernel, or the loop ends: until `resume` nothing holds it up.
    #[inline]
    pub fn rest(&self) {
        self.word.store(self.word.load(Relaxed) | 1, Relaxed);
    }

    /// It has the GIL again.
    #[inline]
    pub fn resume(&self) {
        self.word.store((self.word.load(Relaxed) | 1) + 1, Relaxed);
    }

    /// What a watchdog sees.
    pub fn beat(&self) -> Beat {
        Beat {
            word: self.word.load(Relaxed),
            turns: self.turns.load(Relaxed),
        }
    }

    /// A turn begins.
    #[inline]
    pub fn count_turn(&self) {
        add(&self.turns, 1);
    }

    /// Has delays sampled for the next minute. Any thread may ask.
    pub fn watch(&self) {
        self.watched_until
            .store(clock::monotonic() + WATCHED_FOR, Relaxed);
    }

    /// Whether delays are sampled.
    #[inline]
    pub fn is_watched(&self) -> bool {
        self.watched_until.load(Relaxed) != 0
    }

    /// While delays are sampled: an item has run, and so many are ready.
    pub fn item_ran(&self, ready: usize) {
        let since = self.probe_since.load(Relaxed);
        if since == 0 {
            return self.throw(ready);
        }
        let ahead = self.probe_ahead.load(Relaxed);
        if ahead > 1 {
            self.probe_ahead.store(ahead - 1, Relaxed);
            return;
        }
        self.probe_since.store(0, Relaxed);
        self.count_delay(clock::monotonic().saturating_sub(since));
    }

    /// One time in four a probe starts here.
    fn throw(&self, ready: usize) {
        // xorshift64: so that programs whose turns have a rhythm are sampled at every beat.
        let mut dice = self.dice.load(Relaxed);
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        self.dice.store(dice, Relaxed);
        if dice & 3 != 0 {
            return;
        }
        if ready == 0 {
            self.count_delay(0);
        } else {
            self.probe_ahead.store(ready as u64, Relaxed);
            self.probe_since.store(clock::monotonic(), Relaxed);
        }
    }

    fn count_delay(&self, delay: u64) {
        add(&self.delays[bucket(delay)], 1);
    }

    /// How long the loop ran until now.
    pub fn ran_until_now(&self) -> u64 {
        let since = self.running_since.load(Relaxed);
        let present = if since == 0 {
            0
        } else {
            clock::monotonic().saturating_sub(since)
        };
        self.ran.load(Relaxed) + present
    }

    /// How long it waited until now, the present wait included.
    pub fn waited_until_now(&self) -> u64 {
        let before = self.last_ask.load(Relaxed);
        let present = if self.parked.load(Relaxed) {
            clock::monotonic().saturating_sub(before)
        } else {
            0
        };
        self.waited.load(Relaxed) + present
    }

    /// The buckets that are not empty: (upper bound in nanoseconds, count).
    pub fn delays(&self) -> impl Iterator<Item = (u64, u64)> {
        self.delays
            .iter()
            .enumerate()
            .map(|(index, count)| (upper(index), count.load(Relaxed)))
            .filter(|(_, count)| *count != 0)
    }
}

/// Which bucket a time belongs to.
#[inline]
fn bucket(nanos: u64) -> usize {
    if nanos < 1 << SMALLEST {
        return 0;
    }
    let exponent = 63 - nanos.leading_zeros();
    let quarter = (nanos >> (exponent - 2)) & 3;
    let index = ((exponent - SMALLEST) * 4) as usize + quarter as usize + 1;
    index.min(BUCKETS - 1)
}

/// The least time that is above a bucket.
fn upper(index: usize) -> u64 {
    let Some(above) = index.checked_sub(1) else {
        return 1 << SMALLEST;
    };
    let (exponent, quarter) = (SMALLEST as usize + above / 4, above % 4);
    (4 + quarter as u64 + 1) << (exponent - 2)
}
