//! The blocking form of each operation, for the pool's threads.
//!
//! Answers in the kernel's own way, a count or an errno negated, so that one reading ([`Flight::finish`]) serves both
//! back ends.

use std::os::fd::{AsRawFd, RawFd};

use crate::errno::Errno;
use crate::op::{Flight, HERE, Op, Output, Work};

/// The most that one read or write may ask for (`read(2)`): more would not fit the answer.
pub(crate) const AT_MOST: usize = 0x7fff_f000;

/// Carries the operation out on this thread.
pub(crate) fn perform(flight: &mut Flight) -> i32 {
    let at_cwd = libc::AT_FDCWD;
    let answer = match &mut flight.op {
        Op::Open { path, flags, mode } => {
            // SAFETY: `path` is a C string that lives through the call.
            unsafe { libc::open(path.as_ptr(), *flags | libc::O_CLOEXEC, *mode) as isize }
        }
        Op::Read { fd, buf, offset } => {
            let spare = buf.spare_capacity_mut();
            let (to, len) = (spare.as_mut_ptr().cast(), spare.len().min(AT_MOST));
            // SAFETY: the kernel writes at most `len` bytes, all inside the spare capacity.
            unsafe {
                match named(*offset) {
                    Some(at) => libc::pread64(fd.as_raw_fd(), to, len, at),
                    None => libc::read(fd.as_raw_fd(), to, len),
                }
            }
        }
        Op::ReadInto { fd, to, offset } => {
            let (start, len) = (to.start().cast(), to.len().min(AT_MOST));
            // SAFETY: the kernel writes at most `len` bytes; who made the operation keeps them.
            unsafe {
                match named(*offset) {
                    Some(at) => libc::pread64(fd.as_raw_fd(), start, len, at),
                    None => libc::read(fd.as_raw_fd(), start, len),
                }
            }
        }
        Op::Writev { fd, parts, offset } => {
            let (from, count) = (parts.as_ptr(), parts.count() as i32);
            // SAFETY: so many pieces, which who made the operation keeps.
            unsafe {
                match named(*offset) {
                    Some(at) => libc::pwritev64(fd.as_raw_fd(), from, count, at),
                    None => libc::writev(fd.as_raw_fd(), from, count),
                }
            }
        }
        Op::Work(work) => {
            let work = std::mem::replace(work, Work::new(|| Ok(Output::Unit)));
            return match work.run() {
                Ok(output) => {
                    flight.made = Some(output);
                    0
                }
                Err(errno) => -errno.raw(),
            };
        }
        Op::Write { fd, buf, offset } => {
            let bytes = buf.as_slice();
            let (from, len) = (bytes.as_ptr().cast(), bytes.len().min(AT_MOST));
            // SAFETY: the kernel reads `len` bytes, all inside `bytes`.
            unsafe {
                match named(*offset) {
                    Some(at) => libc::pwrite64(fd.as_raw_fd(), from, len, at),
                    None => libc::write(fd.as_raw_fd(), from, len),
                }
            }
        }
        Op::Fsync { fd, data_only } => {
            let call = if *data_only {
                libc::fdatasync
            } else {
                libc::fsync
            };
            // SAFETY: no pointers are passed.
            unsafe { call(fd.as_raw_fd()) as isize }
        }
        Op::Statx {
            dir,
            path,
            flags,
            mask,
        } => {
            let dir = dir.as_ref().map_or(at_cwd, AsRawFd::as_raw_fd);
            // SAFETY: `path` is a C string; `stat` has room for the one element that the kernel fills.
            unsafe {
                libc::statx(dir, path.as_ptr(), *flags, *mask, flight.stat.as_mut_ptr()) as isize
            }
        }
        Op::Close(fd) => {
            // SAFETY: the operation owns this descriptor; `Flight::finish` forgets it without closing it again.
            unsafe { libc::close(fd.as_raw_fd()) as isize }
        }
        Op::Unlink { path } => {
            // SAFETY: `path` is a C string that lives through the call.
            unsafe { libc::unlink(path.as_ptr()) as isize }
        }
        Op::Rename { from, to } => {
            // SAFETY: both are C strings that live through the call.
            unsafe { libc::rename(from.as_ptr(), to.as_ptr()) as isize }
        }
    };
    if answer < 0 {
        -Errno::last().raw()
    } else {
        answer as i32
    }
}

/// The offset that a system call is given; None: it uses the descriptor's own position.
fn named(offset: Option<u64>) -> Option<i64> {
    offset.filter(|at| *at != HERE).map(|at| at as i64)
}

/// What a stream operation (no offset) may have to wait for: the descriptor and the `poll(2)` event.
pub(crate) fn waits_for(op: &Op) -> Option<(RawFd, i16)> {
    match op {
        Op::Read {
            fd, offset: None, ..
        }
        | Op::ReadInto {
            fd, offset: None, ..
        } => Some((fd.as_raw_fd(), libc::POLLIN)),
        Op::Write {
            fd, offset: None, ..
        }
        | Op::Writev {
            fd, offset: None, ..
        } => Some((fd.as_raw_fd(), libc::POLLOUT)),
        _ => None,
    }
}
