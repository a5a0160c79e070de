//! Memory that somebody else keeps for an operation: a Python object's bytes, a borrowed buffer.
//!
//! Made by a face that cannot give the driver ownership, since letting go of the memory needs more than a drop (a lock, an
//! interpreter). The contract is the one that the driver keeps for itself: nothing is freed or used otherwise until the
//! operation's completion was reaped, cancelled or not; what the driver was dropped with is leaked.
//!
//! Rejected: a `Box<dyn AsRef<[u8]>>` for each read and write (an allocation an operation, and a drop on the wrong thread).

use std::fmt;

/// A stretch of memory that outlives its operation.
pub struct Lent {
    start: *mut u8,
    len: usize,
}

// SAFETY: the memory is only touched by the kernel; who made it vouches that it stays until the completion was reaped.
unsafe impl Send for Lent {}
// SAFETY: as above; a shared reference gives the address alone, or the bytes to be written, which nobody frees meanwhile.
unsafe impl Sync for Lent {}

impl Lent {
    /// `len` bytes from `start` on.
    ///
    /// # Safety
    /// They stay valid, to be written for an [`Op::ReadInto`](crate::Op::ReadInto), until [`crate::Driver::reap`] has returned the operation;
    /// for ever, where the driver is dropped before.
    #[must_use]
    pub unsafe fn new(start: *mut u8, len: usize) -> Lent {
        Lent { start, len }
    }

    /// Where it begins.
    #[must_use]
    pub fn start(&self) -> *mut u8 {
        self.start
    }

    /// How many bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether that is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: `new`'s caller vouches for the memory.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}

impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lent({} bytes)", self.len)
    }
}

/// Several such stretches, to be written in order by one call (at most `IOV_MAX`, 1024).
pub struct LentParts(Box<[libc::iovec]>);

// SAFETY: as for `Lent`.
unsafe impl Send for LentParts {}
// SAFETY: as for `Lent`.
unsafe impl Sync for LentParts {}

impl LentParts {
    /// The most that one operation takes.
    pub const MOST: usize = 1024;

    /// At most [`LentParts::MOST`] of `parts`.
    #[must_use]
    pub fn new(parts: impl IntoIterator<Item = Lent>) -> LentParts {
        LentParts(
            parts
                .into_iter()
                .take(Self::MOST)
                .map(|part| libc::iovec {
                    iov_base: part.start.cast(),
                    iov_len: part.len,
                })
                .collect(),
        )
    }

    pub(crate) fn as_ptr(&self) -> *const libc::iovec {
        self.0.as_ptr()
    }

    pub(crate) fn count(&self) -> u32 {
        self.0.len() as u32
    }
}

impl fmt::Debug for LentParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LentParts({})", self.0.len())
    }
}
