//! The wake from another thread: one `eventfd(2)` shared by all clones.
//!
//! Made by [`crate::Driver`]; used by the faces' cross-thread calls, by the pool's threads and by the ring, which
//! signals its completions on the same descriptor. The eventfd is registered edge-triggered, so each write wakes the
//! loop once and nobody ever reads it: a `read` a wake (190 ns) is saved. The counter would overflow after 2^64 - 2
//! writes; at a billion a second that is 584 years.
//!
//! Rejected: a self-pipe (two descriptors, and it can fill up); a level-triggered eventfd (that read).

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use crate::errno::check;

/// Wakes the loop out of [`crate::Driver::park`], or lets its next park return at once. May be used from any thread,
/// and after the driver is gone (it then does nothing).
///
/// ```
/// use rondeau_driver::{Choice, Driver, Events};
///
/// let driver = Driver::new(Choice::Auto)?;
/// let waker = driver.waker();
/// std::thread::spawn(move || waker.wake());
/// let mut events = Events::new();
/// driver.park(&mut events, None)?; // returns because of the wake
/// assert!(events.woken() && events.is_empty());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Waker {
    fd: Arc<OwnedFd>,
}

impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: `eventfd` takes no pointers.
        let fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        // SAFETY: the kernel has just returned this descriptor and nobody else knows it.
        let fd = Arc::new(unsafe { OwnedFd::from_raw_fd(fd) });
        Ok(Waker { fd })
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// One write to the eventfd. Wakes that come before the next park are one wake. Async-signal-safe.
    #[inline]
    pub fn wake(&self) {
        let one = 1_u64;
        // SAFETY: the buffer is the 8 bytes of `one`. The only possible failure is EAGAIN at a full counter, when a
        // wake is pending anyway.
        unsafe { libc::write(self.fd.as_raw_fd(), (&raw const one).cast(), 8) };
    }

    /// Forgets the wakes so far, for a descriptor that is polled by level.
    pub(crate) fn clear(&self) {
        let mut count = 0_u64;
        // SAFETY: the kernel writes the 8 bytes of `count`; at zero it fails with EAGAIN, which is as good.
        unsafe { libc::read(self.fd.as_raw_fd(), (&raw mut count).cast(), 8) };
    }
}
