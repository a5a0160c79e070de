//! Waiting until descriptors are ready: epoll, and the buffer of its reports.
//!
//! [`crate::Driver`] registers and parks through `Epoll`; the faces read [`Events`]. Level-triggered by default: a
//! descriptor is registered once and never re-armed (`epoll(7)`; `EPOLLONESHOT` cost 2–13 % more CPU a request).
//! [`Interest::EDGE`] is there for owners that drain to `EAGAIN` and want one report a change.
//!
//! Invariant: the token `u64::MAX` is the driver's own wake and never reaches a caller.

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::errno::{Errno, check};
pub use crate::interest::{Event, Interest, Readiness};

/// The token of the wake, refused for others.
pub(crate) const WAKE: u64 = u64::MAX;

/// The buffer that [`crate::Driver::park`] fills, to be used again and again.
pub struct Events {
    raw: Vec<libc::epoll_event>,
    woken: bool,
}

impl Events {
    /// Room for 256 reports a park; with more ready, level-triggered epoll hands out the others at the next one.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(256)
    }

    /// Room for `capacity` reports (at least one).
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Events {
            raw: Vec::with_capacity(capacity.clamp(1, 1 << 16)),
            woken: false,
        }
    }

    /// The reports of the last park, in the kernel's order.
    #[inline]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Event> + '_ {
        self.raw.iter().map(event)
    }

    /// The report at `index`, for owners that cannot keep a borrow while they serve it.
    #[inline]
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Event> {
        self.raw.get(index).map(event)
    }

    /// How many reports there are; the wake is not one of them.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.raw.len()
    }

    /// Whether there are none.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// Whether a [`crate::Waker`] (or a finished operation) ended the last park.
    #[inline]
    #[must_use]
    pub fn woken(&self) -> bool {
        self.woken
    }

    /// Forgets the reports.
    #[inline]
    pub fn clear(&mut self) {
        self.raw.clear();
        self.woken = false;
    }
}

#[inline]
fn event(raw: &libc::epoll_event) -> Event {
    Event {
        token: raw.u64,
        readiness: Readiness::from_bits(raw.events),
    }
}

impl Default for Events {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The epoll instance. All methods but `park` may be called from any thread, also while another one parks.
#[derive(Debug)]
pub(crate) struct Epoll {
    fd: OwnedFd,
}

/// Set once `epoll_pwait2` (Linux 5.11) was refused, by the kernel (ENOSYS) or by a container's filter (EPERM).
static ONLY_MILLISECONDS: AtomicBool = AtomicBool::new(false);

impl Epoll {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the kernel has just returned this descriptor and nobody else knows it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Epoll { fd })
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    pub(crate) fn control(
        &self,
        operation: i32,
        fd: RawFd,
        interest: Interest,
        token: u64,
    ) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: interest.bits(),
            u64: token,
        };
        // SAFETY: `event` is a valid epoll_event that the kernel reads during the call.
        check(unsafe { libc::epoll_ctl(self.fd(), operation, fd, &mut event) })?;
        Ok(())
    }

    pub(crate) fn park(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<usize> {
        events.clear();
        let room = events.raw.capacity() as i32;
        let found = match timeout {
            None => self.wait(events, room, -1),
            Some(Duration::ZERO) => self.wait(events, room, 0),
            Some(timeout) => self.wait_precisely(events, room, timeout),
        };
        let found = check(found)? as usize;
        // SAFETY: the kernel has filled the first `found` of `room` elements, which all fit the capacity.
        unsafe { events.raw.set_len(found) };
        if let Some(wake) = events.raw.iter().position(|e| e.u64 == WAKE) {
            events.raw.remove(wake);
            events.woken = true;
        }
        Ok(events.raw.len())
    }

    fn wait(&self, events: &mut Events, room: i32, milliseconds: i32) -> i32 {
        // SAFETY: `raw` has capacity for `room` elements, which the kernel writes only up to.
        unsafe { libc::epoll_wait(self.fd(), events.raw.as_mut_ptr(), room, milliseconds) }
    }

    fn wait_precisely(&self, events: &mut Events, room: i32, timeout: Duration) -> i32 {
        if !ONLY_MILLISECONDS.load(Ordering::Relaxed) {
            // A timespec beyond the kernel's range is EINVAL; a century is as good as for ever.
            let seconds = timeout.as_secs().min(100 * 365 * 86_400) as libc::time_t;
            let ts = libc::timespec {
                tv_sec: seconds,
                tv_nsec: timeout.subsec_nanos() as libc::c_long,
            };
            let no_mask = std::ptr::null::<libc::sigset_t>();
            // SAFETY: `raw` has capacity for `room` elements; `ts` outlives the call; a null mask is allowed
            // (epoll_wait(2)), with the size that the kernel's signal set has.
            let found = unsafe {
                libc::syscall(
                    libc::SYS_epoll_pwait2,
                    self.fd(),
                    events.raw.as_mut_ptr(),
                    room,
                    &ts,
                    no_mask,
                    8_usize,
                )
            };
            if found >= 0 || !matches!(Errno::last().0, libc::ENOSYS | libc::EPERM) {
                return found as i32;
            }
            ONLY_MILLISECONDS.store(true, Ordering::Relaxed);
        }
        self.wait(events, room, milliseconds_up(timeout))
    }
}

/// Rounded up, so that a timer is never looked at before it is due and the loop does not spin for the rest.
fn milliseconds_up(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_are_rounded_up_and_saturate() {
        assert_eq!(milliseconds_up(Duration::from_nanos(1)), 1);
        assert_eq!(milliseconds_up(Duration::from_millis(2)), 2);
        assert_eq!(milliseconds_up(Duration::from_nanos(2_000_001)), 3);
        assert_eq!(milliseconds_up(Duration::MAX), i32::MAX);
    }
}
