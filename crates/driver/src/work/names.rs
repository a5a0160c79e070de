//! Single calls on names.

use super::{Made, answered, done, made, op};
use crate::op::{Op, SharedFd};
use std::ffi::CString;
use std::os::fd::AsRawFd;

fn at(follow: bool) -> i32 {
    if follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW }
}

/// `link(2)`; of a symbolic link itself where `follow` is false.
#[must_use]
pub fn link(from: CString, to: CString, follow: bool) -> Op {
    let flags = if follow { libc::AT_SYMLINK_FOLLOW } else { 0 };
    op(move || {
        let cwd = libc::AT_FDCWD;
        // SAFETY: both are C strings.
        done(|| unsafe { libc::linkat(cwd, from.as_ptr(), cwd, to.as_ptr(), flags).into() })
    })
}

/// `symlink(2)`.
#[must_use]
pub fn symlink(target: CString, name: CString) -> Op {
    // SAFETY: both are C strings.
    op(move || done(|| unsafe { libc::symlink(target.as_ptr(), name.as_ptr()).into() }))
}

/// `readlink(2)`: gives [`Made::Bytes`].
#[must_use]
pub fn read_link(name: CString) -> Op {
    op(move || {
        let mut target: Vec<u8> = Vec::with_capacity(256);
        loop {
            let room = target.capacity();
            // SAFETY: the kernel writes at most `room` bytes.
            let call = || unsafe {
                libc::readlink(name.as_ptr(), target.as_mut_ptr().cast(), room) as i64
            };
            let len = answered(call)? as usize;
            if len < room {
                // SAFETY: so many were written.
                unsafe { target.set_len(len) };
                return Ok(made(Made::Bytes(target)));
            }
            target.reserve(room * 2); // perhaps cut off
        }
    })
}

/// `chmod(2)`; of a link itself where `follow` is false, which most file systems refuse (`EOPNOTSUPP`).
#[must_use]
pub fn change_mode(name: CString, mode: u32, follow: bool) -> Op {
    op(move || {
        // SAFETY: it is a C string.
        done(|| unsafe { libc::fchmodat(libc::AT_FDCWD, name.as_ptr(), mode, at(follow)).into() })
    })
}

/// `chown(2)`; `u32::MAX` leaves the user or group as it is.
#[must_use]
pub fn change_owner(name: CString, user: u32, group: u32, follow: bool) -> Op {
    op(move || {
        // SAFETY: it is a C string.
        done(|| unsafe {
            libc::fchownat(libc::AT_FDCWD, name.as_ptr(), user, group, at(follow)).into()
        })
    })
}

/// `utimensat(2)`: access and modification time in nanoseconds of the epoch; None is now.
#[must_use]
pub fn set_times(name: CString, times: Option<(i64, i64)>, follow: bool) -> Op {
    op(move || {
        let stamp = |nanos: i64| libc::timespec {
            tv_sec: nanos.div_euclid(1_000_000_000),
            tv_nsec: nanos.rem_euclid(1_000_000_000),
        };
        let stamps = times.map(|(accessed, modified)| [stamp(accessed), stamp(modified)]);
        let stamps = stamps
            .as_ref()
            .map_or(std::ptr::null(), |both| both.as_ptr());
        // SAFETY: a C string, and two times or none.
        done(|| unsafe {
            libc::utimensat(libc::AT_FDCWD, name.as_ptr(), stamps, at(follow)).into()
        })
    })
}

/// `truncate(2)`.
#[must_use]
pub fn truncate(name: CString, len: i64) -> Op {
    // SAFETY: it is a C string.
    op(move || done(|| unsafe { libc::truncate64(name.as_ptr(), len).into() }))
}

/// `ftruncate(2)`.
#[must_use]
pub fn truncate_open(fd: SharedFd, len: i64) -> Op {
    // SAFETY: no pointers are passed.
    op(move || done(|| unsafe { libc::ftruncate64(fd.as_raw_fd(), len).into() }))
}

/// `faccessat(2)`, with the effective ids where `effective`.
#[must_use]
pub fn access(name: CString, mode: i32, effective: bool, follow: bool) -> Op {
    let flags = at(follow) | if effective { libc::AT_EACCESS } else { 0 };
    op(move || {
        // SAFETY: it is a C string.
        done(|| unsafe { libc::faccessat(libc::AT_FDCWD, name.as_ptr(), mode, flags).into() })
    })
}
