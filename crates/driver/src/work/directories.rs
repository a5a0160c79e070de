//! Directories: made, removed, listed.

use super::{Made, done, made, op};
use crate::errno::Errno;
use crate::op::Op;
use std::ffi::{CStr, CString};

/// An entry of a directory, as `readdir(3)` gives it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name.
    pub name: Vec<u8>,
    /// `DT_REG`, `DT_DIR`, `DT_LNK`, …; `DT_UNKNOWN` where the file system does not say.
    pub kind: u8,
    /// Its number.
    pub inode: u64,
}

/// `mkdir(2)`.
#[must_use]
pub fn make_directory(name: CString, mode: u32) -> Op {
    // SAFETY: it is a C string.
    op(move || done(|| unsafe { libc::mkdir(name.as_ptr(), mode).into() }))
}

/// `rmdir(2)`.
#[must_use]
pub fn remove_directory(name: CString) -> Op {
    // SAFETY: it is a C string.
    op(move || done(|| unsafe { libc::rmdir(name.as_ptr()).into() }))
}

struct Stream(*mut libc::DIR);

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: opened by `list`, closed here alone.
        unsafe { libc::closedir(self.0) };
    }
}

/// All entries of a directory without `.` and `..`, in the file system's order: gives [`Made::Entries`].
#[must_use]
pub fn list(name: CString) -> Op {
    op(move || {
        // SAFETY: it is a C string; the stream is closed by its drop.
        let stream = unsafe { libc::opendir(name.as_ptr()) };
        if stream.is_null() {
            return Err(Errno::last());
        }
        let stream = Stream(stream);
        let mut entries = Vec::new();
        loop {
            // SAFETY: readdir reports an error by errno alone; the entry lives until the next call.
            let entry = unsafe {
                *libc::__errno_location() = 0;
                libc::readdir64(stream.0)
            };
            if entry.is_null() {
                return match Errno::last() {
                    Errno(0) => Ok(made(Made::Entries(entries))),
                    errno => Err(errno),
                };
            }
            // SAFETY: as above; the name ends in NUL.
            let (name, kind, inode) = unsafe {
                let name = CStr::from_ptr((&raw const (*entry).d_name).cast());
                (name.to_bytes(), (*entry).d_type, (*entry).d_ino)
            };
            if name != b"." && name != b".." {
                entries.push(Entry {
                    name: name.to_vec(),
                    kind,
                    inode,
                });
            }
        }
    })
}
