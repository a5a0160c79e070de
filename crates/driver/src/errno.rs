//! What a raw system call returned, as `io::Result` or as a bare [`Errno`].
//!
//! Called by every module of this crate that names a system call. A result is turned into an `io::Error` here and
//! nowhere else, so no call can forget to read `errno` before something else overwrites it.

use std::fmt;
use std::io;

/// The number a system call failed with, as `errno(3)` lists them.
///
/// ```
/// use rondeau_driver::Errno;
///
/// assert_eq!(Errno(2), Errno::from_raw(2));
/// assert_eq!(std::io::Error::from(Errno(2)).kind(), std::io::ErrorKind::NotFound);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(pub i32);

impl Errno {
    /// The error with this number.
    #[must_use]
    pub const fn from_raw(number: i32) -> Self {
        Errno(number)
    }

    /// The number, as in `errno.h`.
    #[must_use]
    pub const fn raw(self) -> i32 {
        self.0
    }

    /// What the calling thread's last failed system call left behind.
    #[must_use]
    pub fn last() -> Self {
        // SAFETY: `__errno_location` returns a valid pointer to this thread's own errno, for as long as it runs.
        Errno(unsafe { *libc::__errno_location() })
    }
}

impl From<Errno> for io::Error {
    fn from(errno: Errno) -> Self {
        io::Error::from_raw_os_error(errno.0)
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Errno({}: {})", self.0, io::Error::from(*self))
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        io::Error::from(*self).fmt(f)
    }
}

impl std::error::Error for Errno {}

/// The result of a call that returns -1 on failure.
#[inline]
pub(crate) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// The same for a call that returns a length.
#[inline]
pub(crate) fn check_len(result: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}
