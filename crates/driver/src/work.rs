//! What a thread of the pool does for files, as [`Op`]s: calls that the ring has no operation for, and several calls in a row.
//!
//! Used by the faces. `names` are single calls on names, `directories` list, `whole` reads, writes and copies whole files: an open, a
//! read and a close on one thread, against three operations and three turns of the loop.
//! mkdir, link and symlink have ring operations since Linux 5.15, which the kernel always gives to a thread of its own: nothing is won.

mod directories;
mod names;
mod whole;

pub use directories::{Entry, list, make_directory, remove_directory};
pub use names::{
    access, change_mode, change_owner, link, read_link, set_times, symlink, truncate, truncate_open,
};
pub use whole::{Replace, copy, read_whole, write_atomic, write_atomic_owned, write_whole};

use crate::errno::Errno;
use crate::op::{Op, Output, Work};
use std::os::fd::OwnedFd;

/// What such work made, in [`Output::Made`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Made {
    /// A number.
    Number(u64),
    /// Bytes: a file's, or a link's target.
    Bytes(Vec<u8>),
    /// A file that is larger than what one job reads: its beginning, the file behind that, and how long it is said to be.
    Begun {
        /// What was read.
        head: Vec<u8>,
        /// To go on with.
        fd: OwnedFd,
        /// The length of the whole.
        size: u64,
    },
    /// What a directory holds.
    Entries(Vec<Entry>),
}

fn op(run: impl FnOnce() -> Result<Output, Errno> + Send + 'static) -> Op {
    Op::Work(Work::new(run))
}

fn made(made: Made) -> Output {
    Output::Made(Box::new(made))
}

/// Calls until it is not interrupted, and reads the answer of a call that returns -1 on failure.
fn answered(mut call: impl FnMut() -> i64) -> Result<i64, Errno> {
    loop {
        let answer = call();
        if answer >= 0 {
            return Ok(answer);
        }
        let errno = Errno::last();
        if errno.raw() != libc::EINTR {
            return Err(errno);
        }
    }
}

fn done(call: impl FnMut() -> i64) -> Result<Output, Errno> {
    answered(call).map(|_| Output::Unit)
}
