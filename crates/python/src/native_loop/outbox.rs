//! The transports that were written to in this turn and have not sent yet, and when they must.
//!
//! Filled by `write()`, asked by the turn after each callback. A few small answers leave together: sending 16 in a row after
//! reading 16 keeps the kernel's code for each in the cache, which costs 0.92 of sending each at its callback's end (echo, 64
//! connections × 1 KiB), and a header and a body still leave in one send.
//!
//! What waits is bounded three ways, so that nobody waits for more than one of somebody else's long callbacks, nor for data
//! gone cold: by number, by bytes, and by time. At the turn's end everything leaves.
//! Rejected: waiting for the end of the turn without bounds: 2.7 times the cost at 100 KiB.

use pyo3_ffi as ffi;
use rondeau_driver::{TOGETHER, clock};
use std::ptr::NonNull;

/// Transports that may wait together.
const TRANSPORTS: usize = TOGETHER;
/// Bytes that may wait together: about what a first-level cache holds.
const BYTES: usize = 32 * 1024;
/// Nanoseconds that the first of them may wait while other callbacks run.
const NANOS: u64 = 100_000;
/// The clock (24 ns) is read before every so many callbacks.
const LOOK: u32 = 8;

/// See the file's head.
#[derive(Default)]
pub struct Outbox {
    transports: Vec<NonNull<ffi::PyObject>>,
    bytes: usize,
    /// When the first callback after the first write was over, nanoseconds.
    since: u64,
    /// How many callbacks were over since then.
    callbacks: u32,
    /// Where small buffers are copied together; empty between uses, kept for its memory.
    pub gathered: Vec<u8>,
}

impl Outbox {
    /// Adds a transport, with the reference that it is given.
    #[inline]
    pub fn push(&mut self, transport: NonNull<ffi::PyObject>) {
        self.transports.push(transport);
    }

    /// Notes that so many bytes more wait.
    #[inline]
    pub fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
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
        self.callbacks % LOOK == 0 && clock::monotonic().saturating_sub(self.since) >= NANOS
    }

    /// Takes the transports with their references, in the order in which they were written to.
    pub fn take(&mut self) -> Vec<NonNull<ffi::PyObject>> {
        self.bytes = 0;
        self.callbacks = 0;
        std::mem::take(&mut self.transports)
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
