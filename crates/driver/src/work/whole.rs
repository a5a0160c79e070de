//! Whole files in one piece of work.

use super::{Made, answered, made, op};
use crate::errno::Errno;
use crate::lent::Lent;
use crate::op::{Buf, Op, Output};
use crate::perform::AT_MOST;
use std::ffi::CString;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

/// More than this is left to the caller, who reads it where it is to be in the end: a copy from here to there would be the loop's.
const ONE_JOB: usize = 256 * 1024;

fn open(path: &CString, flags: i32, mode: u32) -> Result<OwnedFd, Errno> {
    // SAFETY: it is a C string; what the kernel returned is a new descriptor that nobody else knows.
    unsafe {
        let fd = answered(|| libc::open64(path.as_ptr(), flags | libc::O_CLOEXEC, mode).into())?;
        Ok(OwnedFd::from_raw_fd(fd as i32))
    }
}

fn stat(fd: &OwnedFd) -> Result<libc::stat64, Errno> {
    // SAFETY: a stat is integers, for which all zeros is a value; the kernel fills it.
    unsafe {
        let mut stat: libc::stat64 = std::mem::zeroed();
        answered(|| libc::fstat64(fd.as_raw_fd(), &raw mut stat).into())?;
        Ok(stat)
    }
}

fn read_more(fd: &OwnedFd, bytes: &mut Vec<u8>) -> Result<usize, Errno> {
    let spare = bytes.spare_capacity_mut();
    let (to, room) = (spare.as_mut_ptr(), spare.len());
    // SAFETY: the kernel writes at most `room` bytes into the spare capacity, and says how many.
    unsafe {
        let got = answered(|| libc::read(fd.as_raw_fd(), to.cast(), room) as i64)? as usize;
        bytes.set_len(bytes.len() + got);
        Ok(got)
    }
}

fn write_all(fd: &OwnedFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        let len = bytes.len().min(AT_MOST);
        // SAFETY: the kernel reads `len` bytes of the slice.
        let put =
            answered(|| unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), len) as i64 })?;
        bytes = &bytes[put as usize..];
    }
    Ok(())
}

/// Closes a file that was written to: some file systems report a failed write only here.
fn close(fd: OwnedFd) -> Result<(), Errno> {
    use std::os::fd::IntoRawFd;
    // SAFETY: the descriptor is given up before; close(2) frees the number also where it fails, so it is called once.
    if unsafe { libc::close(fd.into_raw_fd()) } < 0 && Errno::last().raw() != libc::EINTR {
        return Err(Errno::last());
    }
    Ok(())
}

/// Reads a whole file: gives [`Made::Bytes`], or [`Made::Begun`] for one that is larger than 256 KiB, with nothing read where the file
/// says so itself.
#[must_use]
pub fn read_whole(path: CString) -> Op {
    op(move || {
        let fd = open(&path, libc::O_RDONLY, 0)?;
        let size = stat(&fd)?.st_size.max(0) as u64;
        if size > ONE_JOB as u64 {
            let head = Vec::new();
            return Ok(made(Made::Begun { head, fd, size }));
        }
        // One byte more than there should be finds the end with the same read; /proc says 0 for what is not empty.
        let room = if size == 0 { 4096 } else { size as usize + 1 };
        let mut bytes = Vec::with_capacity(room);
        loop {
            if bytes.len() == bytes.capacity() {
                if bytes.len() >= ONE_JOB {
                    return Ok(made(Made::Begun {
                        head: bytes,
                        fd,
                        size,
                    }));
                }
                bytes.reserve(bytes.len());
            }
            if read_more(&fd, &mut bytes)? == 0 {
                return Ok(made(Made::Bytes(bytes)));
            }
        }
    })
}

/// Opens with `flags` and `mode`, writes all of `bytes`, closes.
///
/// # Safety
/// As for [`Lent::new`]: the bytes stay until the operation was reaped.
#[must_use]
pub unsafe fn write_whole(path: CString, flags: i32, mode: u32, bytes: Lent) -> Op {
    let bytes = Buf::Lent(bytes);
    op(move || {
        let fd = open(&path, flags, mode)?;
        write_all(&fd, bytes.as_slice())?;
        close(fd)?;
        Ok(Output::Unit)
    })
}

/// How [`write_atomic`] replaces a file.
#[derive(Clone, Copy, Debug)]
pub struct Replace {
    /// Wait until file and directory are on the disk.
    pub sync: bool,
    /// The permissions; None: those of the file that is replaced, with its owner as far as that is allowed, or 0600.
    pub mode: Option<u32>,
}

/// Makes `bytes` the content of a file, whole or not at all: a file beside it is written, synced and renamed, then the directory
/// is synced. What fails leaves the old file as it was, and no other.
///
/// # Safety
/// As for [`Lent::new`].
#[must_use]
pub unsafe fn write_atomic(path: CString, bytes: Lent, how: Replace) -> Op {
    replace(path, Buf::Lent(bytes), how)
}

/// [`write_atomic`] of bytes that the operation owns.
#[must_use]
pub fn write_atomic_owned(path: CString, bytes: Vec<u8>, how: Replace) -> Op {
    replace(path, Buf::from(bytes), how)
}

fn replace(path: CString, bytes: Buf, how: Replace) -> Op {
    op(move || {
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL;
        let mut tried = 0;
        let (folder, beside, fd) = loop {
            let (folder, beside) = beside(&path)?;
            match open(&beside, flags, 0o600) {
                // Left by a process of the same number that was killed: in a container there are few numbers.
                Err(Errno(libc::EEXIST)) if tried < 1000 => tried += 1,
                opened => break (folder, beside, opened?),
            }
        };
        let filled = fill(&path, &beside, fd, bytes.as_slice(), how);
        if filled.is_err() {
            // SAFETY: it is a C string. The first failure is the one to tell of.
            unsafe { libc::unlink(beside.as_ptr()) };
            return filled.map(|()| Output::Unit);
        }
        if how.sync {
            let folder = open(&folder, libc::O_RDONLY | libc::O_DIRECTORY, 0)?;
            // SAFETY: no pointers are passed.
            answered(|| unsafe { libc::fsync(folder.as_raw_fd()).into() })?;
        }
        Ok(Output::Unit)
    })
}

fn fill(
    path: &CString,
    beside: &CString,
    fd: OwnedFd,
    bytes: &[u8],
    how: Replace,
) -> Result<(), Errno> {
    write_all(&fd, bytes)?;
    let mode = match how.mode {
        Some(mode) => Some(mode),
        None => match old(path)? {
            Some(old) => Some(old.st_mode & keep_owner(&fd, &old)?),
            None => None,
        },
    };
    // SAFETY: no pointers but C strings are passed.
    unsafe {
        if let Some(mode) = mode {
            answered(|| libc::fchmod(fd.as_raw_fd(), mode & 0o7777).into())?;
        }
        if how.sync {
            answered(|| libc::fsync(fd.as_raw_fd()).into())?;
        }
        close(fd)?;
        answered(|| libc::rename(beside.as_ptr(), path.as_ptr()).into())?;
    }
    Ok(())
}

/// Gives the new file the old one's owner and group, each where that is allowed. Gives the bits of the mode that may be kept:
/// what runs as its owner must not run as another.
fn keep_owner(fd: &OwnedFd, old: &libc::stat64) -> Result<u32, Errno> {
    let new = stat(fd)?;
    let mut kept = 0o7777;
    if new.st_gid != old.st_gid && !given(fd, u32::MAX, old.st_gid) {
        kept &= !libc::S_ISGID;
    }
    if new.st_uid != old.st_uid && !given(fd, old.st_uid, u32::MAX) {
        kept &= !libc::S_ISUID;
    }
    Ok(kept)
}

fn given(fd: &OwnedFd, owner: u32, group: u32) -> bool {
    // SAFETY: no pointers are passed; u32::MAX is -1, "as it is".
    answered(|| unsafe { libc::fchown(fd.as_raw_fd(), owner, group).into() }).is_ok()
}

fn old(path: &CString) -> Result<Option<libc::stat64>, Errno> {
    // SAFETY: a C string, and room for one stat, which all zeros is a value of.
    let told = unsafe {
        let mut stat: libc::stat64 = std::mem::zeroed();
        answered(|| libc::stat64(path.as_ptr(), &raw mut stat).into()).map(|_| stat)
    };
    match told {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno(libc::ENOENT)) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// The directory of a path, and a name in it that nobody else uses.
fn beside(path: &CString) -> Result<(CString, CString), Errno> {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let bytes = path.as_bytes();
    let cut = bytes
        .iter()
        .rposition(|byte| *byte == b'/')
        .map_or(0, |at| at + 1);
    let (folder, name) = bytes.split_at(cut);
    if matches!(name, b"" | b"." | b"..") {
        return Err(Errno(libc::EISDIR));
    }
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let tail = format!(".{}-{number}", std::process::id());
    let kept = &name[..name.len().min(255 - 1 - tail.len())];
    let hidden = [folder, b".", kept, tail.as_bytes()].concat();
    let folder = if folder.is_empty() { b"." } else { folder };
    let checked = |bytes: Vec<u8>| CString::new(bytes).map_err(|_| Errno(libc::EINVAL));
    Ok((checked(folder.to_vec())?, checked(hidden)?))
}

/// Copies the bytes of a file into another, made with `mode` or emptied (`copy_file_range(2)`, which shares blocks where the file system
/// can, or reads and writes): gives how many as [`Made::Number`]. Holes stay holes. Without a mode it gets the source's, also where it
/// was there before, if it is ours to change.
#[must_use]
pub fn copy(from: CString, to: CString, mode: Option<u32>) -> Op {
    op(move || {
        let source = open(&from, libc::O_RDONLY, 0)?;
        let known = stat(&source)?;
        if known.st_mode & libc::S_IFMT == libc::S_IFDIR {
            return Err(Errno(libc::EISDIR));
        }
        let made_with = mode.unwrap_or(known.st_mode & 0o777);
        let target = open(&to, libc::O_WRONLY | libc::O_CREAT, made_with)?;
        let there = stat(&target)?;
        if (there.st_dev, there.st_ino) == (known.st_dev, known.st_ino) {
            return Err(Errno(libc::EINVAL)); // or the emptying would lose it
        }
        // SAFETY: no pointers are passed.
        let empty = || unsafe { libc::ftruncate64(target.as_raw_fd(), 0).into() };
        let plain = there.st_mode & libc::S_IFMT == libc::S_IFREG;
        if plain {
            answered(empty)?;
        }
        let holes =
            known.st_mode & libc::S_IFMT == libc::S_IFREG && known.st_blocks * 512 < known.st_size;
        let copied = match plain && holes {
            true => pour_data(&source, &target)?,
            false => pour(&source, &target, u64::MAX)?,
        };
        if plain && mode.is_none() {
            // SAFETY: no pointers are passed.
            let give =
                || unsafe { libc::fchmod(target.as_raw_fd(), known.st_mode & 0o7777).into() };
            match answered(give) {
                Ok(_) | Err(Errno(libc::EPERM)) => {}
                Err(errno) => return Err(errno),
            }
        }
        close(target)?;
        Ok(made(Made::Number(copied)))
    })
}

fn sought(fd: &OwnedFd, at: i64, whence: i32) -> Result<i64, Errno> {
    // SAFETY: no pointers are passed.
    answered(|| unsafe { libc::lseek64(fd.as_raw_fd(), at, whence) })
}

/// What lies between a file's holes, each piece to its place (`SEEK_DATA` of lseek(2)); where a file system knows no holes it says
/// that all of it is data.
fn pour_data(source: &OwnedFd, target: &OwnedFd) -> Result<u64, Errno> {
    let mut at = 0;
    loop {
        let begins = match sought(source, at, libc::SEEK_DATA) {
            Err(Errno(libc::ENXIO)) => break, // There is none behind this.
            begins => begins?,
        };
        let ends = sought(source, begins, libc::SEEK_HOLE)?;
        sought(source, begins, libc::SEEK_SET)?;
        sought(target, begins, libc::SEEK_SET)?;
        let size = (ends - begins) as u64;
        at = ends;
        if pour(source, target, size)? < size {
            break; // It was cut short meanwhile.
        }
    }
    let size = stat(source)?.st_size;
    // SAFETY: no pointers are passed.
    answered(|| unsafe { libc::ftruncate64(target.as_raw_fd(), size).into() })?;
    Ok(size as u64)
}

/// Up to so many bytes, from where the files stand.
fn pour(source: &OwnedFd, target: &OwnedFd, most: u64) -> Result<u64, Errno> {
    let (from, to) = (source.as_raw_fd(), target.as_raw_fd());
    let mut copied = 0_u64;
    while copied < most {
        let null = std::ptr::null_mut();
        let len = (most - copied).min(1 << 30) as usize;
        // SAFETY: NULL offsets mean the files' own positions.
        match answered(|| unsafe { libc::copy_file_range(from, null, to, null, len, 0) as i64 }) {
            // 0 is the end, or a file like those of /proc, which says so at its beginning.
            Ok(0) if copied > 0 => return Ok(copied),
            Ok(count) if count > 0 => copied += count as u64,
            Ok(_) => break,
            Err(Errno(
                libc::EXDEV
                | libc::EINVAL
                | libc::ENOSYS
                | libc::EOPNOTSUPP
                | libc::EBADF
                | libc::EPERM,
            )) => break,
            Err(errno) => return Err(errno),
        }
    }
    let mut piece = Vec::new();
    while copied < most {
        piece.clear();
        piece.reserve_exact((most - copied).min(ONE_JOB as u64) as usize);
        let got = read_more(source, &mut piece)?.min((most - copied) as usize);
        if got == 0 {
            break;
        }
        write_all(target, &piece[..got])?;
        copied += got as u64;
    }
    Ok(copied)
}
