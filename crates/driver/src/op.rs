//! A one-shot operation on files, as data: what it is, what it owns, what its result means.
//!
//! The faces build an [`Op`] and give it to [`crate::Driver::submit`]; both back ends match on it. A new operation
//! touches three places, and the compiler names them: this file, its io_uring form (`encode.rs`) and its blocking
//! system call (`perform.rs`).
//!
//! An operation owns all the kernel reads or writes (buffers, paths) and shares its descriptor, until its completion
//! has come: no buffer is freed under the kernel and no descriptor number is reused meanwhile. Cancelling only asks.
//!
//! Rejected: borrowed buffers (a dropped future would free them under the kernel); bare descriptor numbers (closing a
//! file while a write is queued would send it to whatever is opened next).

use std::any::Any;
use std::ffi::CString;
use std::fmt;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::sync::Arc;

use crate::errno::Errno;
use crate::lent::{Lent, LentParts};

/// A descriptor shared by its owner and the operations in flight on it; the last one to let go closes it.
pub type SharedFd = Arc<OwnedFd>;

/// The offset that stands for a file's own position (`IORING_FEAT_RW_CUR_POS`, Linux 5.6).
pub const HERE: u64 = u64::MAX;

/// What is to be done. Paths are relative to the working directory at the time it is done.
///
/// Where an `offset` is `None`, the file's own position is used and moved, as pipes and terminals need; the
/// descriptor should then be a blocking one (a non-blocking one may answer `EAGAIN`). [`HERE`] is the same of a file,
/// which nobody has to wait for: a large transfer is a kernel thread's, as it is where an offset is given.
#[derive(Debug)]
#[non_exhaustive]
pub enum Op {
    /// `open(2)`, always close-on-exec. Gives [`Output::Fd`].
    Open {
        /// Which file.
        path: CString,
        /// `O_RDONLY`, `O_CREAT` and so on.
        flags: i32,
        /// The permissions of a created file.
        mode: u32,
    },
    /// `pread(2)` into the spare capacity of `buf`, which must have some; its length grows by what was read. Gives
    /// [`Output::Count`], 0 at the end of file.
    Read {
        /// Where from.
        fd: SharedFd,
        /// Where to.
        buf: Vec<u8>,
        /// At which byte of the file.
        offset: Option<u64>,
    },
    /// The same into memory that somebody else keeps.
    ReadInto {
        /// Where from.
        fd: SharedFd,
        /// Where to; the kernel fills it from its beginning.
        to: Lent,
        /// At which byte of the file.
        offset: Option<u64>,
    },
    /// `pwrite(2)`. Gives [`Output::Count`], which may be less than there was.
    Write {
        /// Where to.
        fd: SharedFd,
        /// What.
        buf: Buf,
        /// At which byte of the file.
        offset: Option<u64>,
    },
    /// `pwritev(2)`: the same of several pieces.
    Writev {
        /// Where to.
        fd: SharedFd,
        /// What.
        parts: LentParts,
        /// At which byte of the file.
        offset: Option<u64>,
    },
    /// `fsync(2)`, or `fdatasync(2)`.
    Fsync {
        /// Which file.
        fd: SharedFd,
        /// Leave out the times (`fdatasync`).
        data_only: bool,
    },
    /// `statx(2)`. Gives [`Output::Statx`].
    Statx {
        /// Where `path` begins; `None`: the working directory.
        dir: Option<SharedFd>,
        /// Which file; empty, with `AT_EMPTY_PATH`: `dir` itself.
        path: CString,
        /// `AT_SYMLINK_NOFOLLOW` and so on.
        flags: i32,
        /// What is asked for: `STATX_BASIC_STATS` and so on.
        mask: u32,
    },
    /// `close(2)`. The descriptor is closed whatever comes back, also when cancelled.
    Close(OwnedFd),
    /// `unlink(2)`.
    Unlink {
        /// Which name.
        path: CString,
    },
    /// `rename(2)`.
    Rename {
        /// The old name.
        from: CString,
        /// The new name.
        to: CString,
    },
    /// Anything else that blocks, always on one of the pool's threads: what the ring has no operation for, or what takes several
    /// calls in a row that no other work needs to come between. Cancelled before it began, it never runs; after that it runs to its end.
    Work(Work),
}

/// What an [`Op::Work`] does.
pub struct Work(Box<dyn FnOnce() -> Result<Output, Errno> + Send>);

// SAFETY: a shared reference to it can do nothing: what is inside is only reached by value.
unsafe impl Sync for Work {}

impl Work {
    /// `run` is called once, on a thread of the pool. A panic in it is `EFAULT`.
    pub fn new(run: impl FnOnce() -> Result<Output, Errno> + Send + 'static) -> Work {
        Work(Box::new(run))
    }

    pub(crate) fn run(self) -> Result<Output, Errno> {
        let run = std::panic::AssertUnwindSafe(self.0);
        std::panic::catch_unwind(run).unwrap_or_else(|payload| {
            drop_quietly(payload);
            Err(Errno(libc::EFAULT))
        })
    }
}

/// Drops what others made, whose destructor may panic: thread and operation come to their end all the same.
fn drop_quietly<T>(value: T) {
    let quiet = std::panic::AssertUnwindSafe(|| drop(value));
    if let Err(payload) = std::panic::catch_unwind(quiet) {
        std::mem::forget(payload);
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Work")
    }
}

/// Bytes to be written, with whatever keeps them alive.
#[non_exhaustive]
pub enum Buf {
    /// Owned bytes.
    Vec(Vec<u8>),
    /// Owned bytes from the given one on: what is left of those that were written in part.
    Rest(Vec<u8>, usize),
    /// Bytes that live for ever.
    Static(&'static [u8]),
    /// Bytes of an owner that gives the same ones each time (a Python `bytes`, an `Arc<[u8]>`).
    Owner(Box<dyn AsRef<[u8]> + Send + Sync>),
    /// Bytes that somebody else keeps.
    Lent(Lent),
}

impl Buf {
    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Buf::Vec(bytes) => bytes,
            Buf::Rest(bytes, from) => &bytes[*from..],
            Buf::Static(bytes) => bytes,
            Buf::Owner(owner) => (**owner).as_ref(),
            Buf::Lent(lent) => lent.as_slice(),
        }
    }

    /// What is left of owned or everlasting bytes when the first `count` were written. Nothing is moved: a pipe takes
    /// 64 KiB at a time, and moving a hundred megabytes for each would take longer than writing them.
    ///
    /// # Panics
    /// With fewer bytes than `count`, or where they are somebody else's.
    #[must_use]
    pub fn behind(self, count: usize) -> Buf {
        assert!(count <= self.as_slice().len(), "so much was not written");
        match self {
            Buf::Vec(bytes) => Buf::Rest(bytes, count),
            Buf::Rest(bytes, from) => Buf::Rest(bytes, from + count),
            Buf::Static(bytes) => Buf::Static(&bytes[count..]),
            Buf::Owner(_) | Buf::Lent(_) => panic!("these bytes are somebody else's"),
        }
    }
}

impl From<Vec<u8>> for Buf {
    fn from(bytes: Vec<u8>) -> Buf {
        Buf::Vec(bytes)
    }
}

impl fmt::Debug for Buf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buf({} bytes)", self.as_slice().len())
    }
}

/// Names an operation in flight.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct OpId(pub(crate) u64);

/// What an operation that went well gave.
#[derive(Debug)]
#[non_exhaustive]
pub enum Output {
    /// Nothing but that it went well.
    Unit,
    /// Bytes read or written.
    Count(usize),
    /// The opened file.
    Fd(OwnedFd),
    /// What is known of a file; `stx_mask` says which fields count.
    Statx(Box<libc::statx>),
    /// What an [`Op::Work`] made.
    Made(Box<dyn Any + Send + Sync>),
}

/// An operation that has ended.
#[derive(Debug)]
pub struct Done {
    /// What [`crate::Driver::submit`] returned.
    pub id: OpId,
    /// What [`crate::Driver::submit`] was given.
    pub waiter: u64,
    /// How it went; `ECANCELED` when a cancel came in time.
    pub result: Result<Output, Errno>,
    /// The buffer of a read or write, back at its owner.
    pub buf: Option<Buf>,
}

impl Done {
    /// The buffer of a read (or of a write from a `Vec`).
    #[must_use]
    pub fn into_vec(self) -> Option<Vec<u8>> {
        if let Some(Buf::Vec(bytes)) = self.buf {
            Some(bytes)
        } else {
            None
        }
    }
}

/// An operation with what it needs until its completion: the unit that the back ends keep.
pub(crate) struct Flight {
    pub(crate) id: OpId,
    pub(crate) waiter: u64,
    pub(crate) op: Op,
    /// Where a statx writes to; on the heap, so that the flight may be moved. Capacity one, length zero.
    pub(crate) stat: Vec<libc::statx>,
    /// What an [`Op::Work`] gave, once it has run.
    pub(crate) made: Option<Output>,
}

impl Flight {
    pub(crate) fn new(id: OpId, waiter: u64, op: Op) -> Self {
        let stat = Vec::with_capacity(usize::from(matches!(op, Op::Statx { .. })));
        Flight {
            id,
            waiter,
            op,
            stat,
            made: None,
        }
    }

    /// Reads the kernel's answer: a count or descriptor, or an errno negated.
    ///
    /// # Safety
    /// `result` must be the answer to this very operation, carried out on these very buffers: a read is believed to
    /// have filled as many bytes as it says, an open to have made that descriptor, a close to have closed its own.
    pub(crate) unsafe fn finish(mut self, result: i32) -> Done {
        let errno = (result < 0).then_some(Errno(-result));
        let mut buf = None;
        let mut output = Output::Unit;
        match self.op {
            Op::Open { .. } if errno.is_none() => {
                // SAFETY: the caller vouches that the kernel made this descriptor for this operation.
                output = Output::Fd(unsafe { OwnedFd::from_raw_fd(result) });
            }
            Op::Read { buf: mut bytes, .. } => {
                let count = result.max(0) as usize;
                let len = bytes.len() + count;
                assert!(
                    len <= bytes.capacity(),
                    "the kernel was given the spare capacity only"
                );
                // SAFETY: the caller vouches that the kernel filled `count` bytes after the old length.
                unsafe { bytes.set_len(len) };
                (buf, output) = (Some(Buf::Vec(bytes)), Output::Count(count));
            }
            Op::ReadInto { .. } | Op::Writev { .. } => {
                output = Output::Count(result.max(0) as usize);
            }
            Op::Work(_) if errno.is_none() => {
                output = self.made.take().unwrap_or(Output::Unit);
            }
            Op::Write { buf: bytes, .. } => {
                (buf, output) = (Some(bytes), Output::Count(result.max(0) as usize));
            }
            Op::Statx { .. } if errno.is_none() => {
                // SAFETY: the caller vouches that the kernel filled the one element there is room for.
                unsafe { self.stat.set_len(1) };
                output = Output::Statx(Box::new(self.stat[0]));
            }
            // Cancelled before it began; what it was to do is dropped undone.
            Op::Work(work) => drop_quietly(work),
            // Cancelled before it began, a close leaves the descriptor open; dropping it closes it. In all other
            // cases the number is free, also after an error (close(2)), and must not be closed a second time.
            Op::Close(fd) if result != -libc::ECANCELED => drop(fd.into_raw_fd()),
            _ => {}
        }
        let result = errno.map_or(Ok(output), Err);
        Done {
            id: self.id,
            waiter: self.waiter,
            result,
            buf,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_bytes_is_where_it_was() {
        let bytes: Vec<u8> = (0..100).collect();
        let start = bytes.as_ptr();
        let rest = Buf::from(bytes).behind(30).behind(0).behind(20);
        assert_eq!((rest.as_slice()[0], rest.as_slice().len()), (50, 50));
        assert_eq!(
            rest.as_slice().as_ptr(),
            start.wrapping_add(50),
            "nothing was moved"
        );
        assert!(rest.behind(50).as_slice().is_empty());
        assert_eq!(Buf::Static(b"soup").behind(2).as_slice(), b"up");
    }

    #[test]
    fn work_that_panics_as_it_is_dropped_is_only_undone() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                std::panic::panic_any(7);
            }
        }
        let bomb = Bomb;
        let work = Work::new(move || {
            drop(bomb);
            Ok(Output::Unit)
        });
        let flight = Flight::new(OpId(1), 2, Op::Work(work));
        // SAFETY: never begun, which is what ECANCELED says.
        let done = unsafe { flight.finish(-libc::ECANCELED) };
        assert_eq!(done.result.unwrap_err(), Errno(libc::ECANCELED));
        let payload = Bomb;
        let work = Work::new(move || std::panic::panic_any(payload));
        assert_eq!(work.run().unwrap_err(), Errno(libc::EFAULT));
    }
}
