//! What files are in the kernel's terms: how they are opened, what is known of them, whether they have a position.
//!
//! Used by the faces to build an [`Op`] and to read its output, so that no flag of `open(2)` or `statx(2)` is named above
//! this crate.

use std::ffi::CString;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::errno::Errno;
use crate::op::{Op, SharedFd};

/// What a file is opened for, in the words of `std::fs::OpenOptions`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Access {
    /// To read.
    pub read: bool,
    /// To write.
    pub write: bool,
    /// To write at the end, wherever it is then (`O_APPEND`).
    pub append: bool,
    /// Emptied first (`O_TRUNC`).
    pub truncate: bool,
    /// Made if it is not there (`O_CREAT`).
    pub create: bool,
    /// Made; an error if it is there (`O_EXCL`).
    pub create_new: bool,
}

impl Access {
    /// The flags of `open(2)`.
    ///
    /// # Errors
    /// `EINVAL` for what contradicts itself: nothing to open it for, making or emptying what is not written to, emptying what
    /// is appended to.
    ///
    /// ```
    /// use rondeau_driver::file::Access;
    ///
    /// assert_eq!(Access { read: true, ..Access::default() }.flags(), Ok(0));
    /// assert!(Access { read: true, create: true, ..Access::default() }.flags().is_err());
    /// ```
    pub fn flags(self) -> Result<i32, Errno> {
        let writes = self.write || self.append;
        let makes = self.create || self.create_new;
        let only_reads = self.read && !self.truncate && !makes;
        let empties_and_appends = self.append && self.truncate && !self.create_new;
        if !(writes || only_reads) || empties_and_appends {
            return Err(Errno(libc::EINVAL));
        }
        let mut flags = match (self.read, writes) {
            (true, true) => libc::O_RDWR,
            (false, true) => libc::O_WRONLY,
            _ => libc::O_RDONLY,
        };
        if self.append {
            flags |= libc::O_APPEND;
        }
        if makes {
            flags |= libc::O_CREAT;
        }
        if self.create_new {
            flags |= libc::O_EXCL;
        } else if self.truncate {
            flags |= libc::O_TRUNC;
        }
        Ok(flags)
    }
}

/// Further flags of `open(2)` without those that decide about reading and writing.
#[must_use]
pub fn without_access(flags: i32) -> i32 {
    flags & !libc::O_ACCMODE
}

/// Opens a directory, to have its entries written to the disk by an [`Op::Fsync`].
#[must_use]
pub fn open_directory(path: CString) -> Op {
    Op::Open {
        path,
        flags: libc::O_RDONLY | libc::O_DIRECTORY,
        mode: 0,
    }
}

/// Asks what is known of a path; of a symbolic link itself where `follow` is false.
#[must_use]
pub fn stat_of(path: CString, follow: bool) -> Op {
    Op::Statx {
        dir: None,
        path,
        flags: if follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW },
        mask: libc::STATX_BASIC_STATS | libc::STATX_BTIME,
    }
}

/// Asks what is known of an opened file.
#[must_use]
pub fn stat_of_open(fd: SharedFd) -> Op {
    Op::Statx {
        dir: Some(fd),
        path: CString::default(),
        flags: libc::AT_EMPTY_PATH,
        mask: libc::STATX_BASIC_STATS | libc::STATX_BTIME,
    }
}

/// Whether the descriptor has a position to read and write at: a pipe, a socket or a terminal has none (`lseek(2)`).
#[must_use]
pub fn is_seekable(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: no pointers are passed.
    unsafe { libc::lseek64(fd.as_raw_fd(), 0, libc::SEEK_CUR) >= 0 }
}

/// What is known of a file (`statx(2)`).
#[derive(Clone)]
pub struct Stat(Box<libc::statx>);

impl Stat {
    /// From an operation's output.
    #[must_use]
    pub fn new(raw: Box<libc::statx>) -> Self {
        Stat(raw)
    }

    /// All that the kernel told.
    #[must_use]
    pub fn raw(&self) -> &libc::statx {
        &self.0
    }

    fn is_of(&self, kind: libc::mode_t) -> bool {
        libc::mode_t::from(self.0.stx_mode) & libc::S_IFMT == kind
    }

    /// Whether it is a regular file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.is_of(libc::S_IFREG)
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        self.is_of(libc::S_IFDIR)
    }

    /// Whether it is a symbolic link.
    #[must_use]
    pub fn is_symlink(&self) -> bool {
        self.is_of(libc::S_IFLNK)
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.stx_size
    }

    /// Whether that is 0.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Type and permissions, as `st_mode` has them.
    #[must_use]
    pub fn mode(&self) -> u32 {
        u32::from(self.0.stx_mode)
    }

    /// When its bytes were last changed.
    #[must_use]
    pub fn modified(&self) -> SystemTime {
        time(self.0.stx_mtime)
    }

    /// When it was last read, as far as the file system keeps that.
    #[must_use]
    pub fn accessed(&self) -> SystemTime {
        time(self.0.stx_atime)
    }

    /// When it was made; None where the file system does not keep that.
    #[must_use]
    pub fn created(&self) -> Option<SystemTime> {
        (self.0.stx_mask & libc::STATX_BTIME != 0).then(|| time(self.0.stx_btime))
    }
}

fn time(stamp: libc::statx_timestamp) -> SystemTime {
    let part = Duration::from_nanos(u64::from(stamp.tv_nsec));
    let whole = Duration::from_secs(stamp.tv_sec.unsigned_abs());
    let second = if stamp.tv_sec < 0 {
        UNIX_EPOCH - whole
    } else {
        UNIX_EPOCH + whole
    };
    second + part
}

impl std::fmt::Debug for Stat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stat")
            .field("mode", &format_args!("{:o}", self.mode()))
            .field("len", &self.len())
            .field("modified", &self.modified())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_those_of_the_standard_library() {
        let none = Access::default();
        let write = Access {
            write: true,
            ..none
        };
        let flags = |access: Access| access.flags().map_err(Errno::raw);
        assert_eq!(flags(none), Err(libc::EINVAL));
        assert_eq!(flags(write), Ok(libc::O_WRONLY));
        assert_eq!(
            flags(Access {
                create: true,
                truncate: true,
                read: true,
                ..write
            }),
            Ok(libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC)
        );
        assert_eq!(
            flags(Access {
                append: true,
                create: true,
                ..none
            }),
            Ok(libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT)
        );
        assert_eq!(
            flags(Access {
                append: true,
                truncate: true,
                ..none
            }),
            Err(libc::EINVAL)
        );
        assert_eq!(
            flags(Access {
                create_new: true,
                truncate: true,
                ..write
            }),
            Ok(libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL)
        );
    }

    #[test]
    fn times_before_the_epoch() {
        // SAFETY: a timestamp is integers, for which all bits zero is a value.
        let mut stamp: libc::statx_timestamp = unsafe { std::mem::zeroed() };
        (stamp.tv_sec, stamp.tv_nsec) = (-2, 500_000_000);
        assert_eq!(time(stamp), UNIX_EPOCH - Duration::from_millis(1500));
    }
}
