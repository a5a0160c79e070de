//! The transports that were written to in this turn and have not sent yet, and when they must.
//!
//! Filled by `write()`, asked by the turn after each callback. A few small answers leave together: sending 16 in a row after
//! reading 16 keeps the kernel's code for each in the cache, which costs 0.92 of sending each at its callback's end (echo, 64
//! connections × 1 KiB), and a header and a body still leave in one send.
//!
//! Here are the transports; their bytes are in `rondeau_driver::unsent`, in the same order, where whoever could overtake them sends
//! them first. What waits is bounded three ways, so that nobody waits for data gone cold: by number, by bytes, and by time. At the
//! turn's end everything leaves.
//! Rejected: waiting for the end of the turn without bounds: 2.7 times the cost at 100 KiB.

use crate::outward;
use pyo3_ffi as ffi;
use rondeau_driver::unsent::{self, Outcome};
use rondeau_driver::{TOGETHER, clock, courier};
use std::os::fd::RawFd;
use std::ptr::{self, NonNull};

pub use rondeau_driver::unsent::Pushed;

/// Transports that may wait together.
const TRANSPORTS: usize = TOGETHER;
/// Bytes that may wait together: about what a first-level cache holds.
const BYTES: usize = 32 * 1024;
/// Nanoseconds that the first of them may wait while other callbacks run.
const NANOS: u64 = 100_000;
/// The clock (24 ns) is read before every so many callbacks.
const LOOK: u32 = 8;
/// So many writes that were sent at once, because nobody is on watch, and would have joined another of their turn,
const MANY: u32 = 64;
/// within so many nanoseconds, and somebody should be: below 3,200 a second a send each costs nothing to speak of.
const SOON: u64 = 20_000_000;

/// See the file's head.
#[derive(Default)]
pub struct Outbox {
    transports: Vec<NonNull<ffi::PyObject>>,
    bytes: usize,
    /// When the first callback after the first write was over, nanoseconds.
    since: u64,
    /// How many callbacks were over since then.
    callbacks: u32,
    /// Something was written in this turn.
    wrote: bool,
    /// Writes that were sent at once for want of a watch, and when they were counted last.
    unwatched: (u32, u64),
    /// Where small buffers are copied together; empty between uses, kept for its memory.
    pub gathered: Vec<u8>,
}

impl Outbox {
    /// Who this is to `unsent`.
    #[inline]
    fn owner(&self) -> usize {
        ptr::from_ref(self).addr()
    }

    /// Hands over what was written to `transport`, which is in the outbox already unless it is `new`.
    ///
    /// # Safety
    /// Where it waits, the bytes live until `take` or `disarm`.
    #[inline]
    pub unsafe fn hand_over(&mut self, fd: RawFd, bytes: &[u8], new: bool) -> Pushed {
        // SAFETY: the caller's contract.
        let pushed = unsafe { unsent::push(self.owner(), fd, bytes, new) };
        match pushed {
            Pushed::Waits => self.bytes += bytes.len(),
            Pushed::Unwatched => self.count_unwatched(),
            Pushed::Full | Pushed::Busy => {}
        }
        pushed
    }

    /// A turn begins.
    #[inline]
    pub fn begin_turn(&mut self) {
        self.wrote = false;
    }

    fn count_unwatched(&mut self) {
        if !std::mem::replace(&mut self.wrote, true) {
            return;
        }
        self.unwatched.0 += 1;
        if self.unwatched.0 == MANY {
            let now = clock::monotonic();
            if now - self.unwatched.1 < SOON && outward::is_complete() {
                courier::watch();
            }
            self.unwatched = (0, now);
        }
    }

    /// What waits is sent, and the buffers may go; `take` tells later what became of it.
    pub fn disarm(&self) {
        unsent::disarm(self.owner());
    }

    /// Whether `transport` was the last that was written to.
    #[inline]
    pub fn is_last(&self, transport: NonNull<ffi::PyObject>) -> bool {
        self.transports.last() == Some(&transport)
    }

    /// Adds a transport, with the reference that it is given.
    #[inline]
    pub fn push(&mut self, transport: NonNull<ffi::PyObject>) {
        self.transports.push(transport);
    }

    /// Whether nothing waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.transports.is_empty()
    }

    /// A callback is over: whether what waits must leave now, though the turn goes on.
    #[inline]
    pub fn is_due(&mut self) -> bool {
        if self.transports.is_empty() {
            return false;
        }
        if self.transports.len() >= TRANSPORTS || self.bytes >= BYTES {
            return true;
        }
        self.callbacks += 1;
        if self.callbacks == 1 {
            self.since = clock::monotonic();
            return false;
        }
        self.callbacks.is_multiple_of(LOOK)
            && clock::monotonic().saturating_sub(self.since) >= NANOS
    }

    /// Takes the transports with their references, in the order in which they were written to, and what became of each one's bytes.
    pub fn take(&mut self) -> (Vec<NonNull<ffi::PyObject>>, [Outcome; TOGETHER]) {
        self.bytes = 0;
        self.callbacks = 0;
        let outcomes = unsent::take(self.owner());
        (std::mem::take(&mut self.transports), outcomes)
    }

    /// Gives an emptied list back, for its memory.
    pub fn give_back(&mut self, mut emptied: Vec<NonNull<ffi::PyObject>>) {
        if self.transports.is_empty() {
            emptied.clear();
            self.transports = emptied;
        }
    }

    /// The transports, borrowed.
    pub fn iter(&self) -> impl Iterator<Item = NonNull<ffi::PyObject>> + '_ {
        self.transports.iter().copied()
    }
}
