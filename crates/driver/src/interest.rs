//! What to watch a descriptor for, and what the kernel reported of it: the words of `epoll_ctl(2)`.
//!
//! Given to [`crate::Driver::add`] and found in [`crate::Events`].

use std::fmt;
use std::ops::BitOr;

/// What a descriptor is watched for. Errors and hang-ups are reported whatever is asked.
///
/// ```
/// use rondeau_driver::Interest;
///
/// let both = Interest::READ | Interest::WRITE;
/// assert!(both.contains(Interest::READ) && !Interest::READ.contains(both));
/// assert!(Interest::NONE.is_empty());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Interest(u32);

impl Interest {
    /// Nothing but errors and hang-ups.
    pub const NONE: Interest = Interest(0);
    /// There is something to read, or the peer closed its side (`EPOLLIN | EPOLLRDHUP`).
    pub const READ: Interest = Interest((libc::EPOLLIN | libc::EPOLLRDHUP) as u32);
    /// A write would be taken (`EPOLLOUT`).
    pub const WRITE: Interest = Interest(libc::EPOLLOUT as u32);
    /// Report changes and not states (`EPOLLET`).
    pub const EDGE: Interest = Interest(libc::EPOLLET as u32);
    /// There is an urgent mark in what is to be read (`EPOLLPRI`). Alone: not asked for reading.
    pub const URGENT: Interest = Interest(libc::EPOLLPRI as u32);
    /// Report once, then nothing (errors neither) until [`crate::Driver::modify`] asks again (`EPOLLONESHOT`). Alone: registered, and
    /// not asked for anything.
    pub const ONCE: Interest = Interest(libc::EPOLLONESHOT as u32);

    #[inline]
    pub(crate) const fn bits(self) -> u32 {
        self.0
    }

    /// Whether all of `other` is in here.
    #[inline]
    #[must_use]
    pub const fn contains(self, other: Interest) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether neither reading nor writing is asked for.
    #[inline]
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 & (Self::READ.0 | Self::WRITE.0) == 0
    }

    /// This without `other`.
    #[inline]
    #[must_use]
    pub const fn without(self, other: Interest) -> Interest {
        Interest(self.0 & !other.0)
    }
}

impl BitOr for Interest {
    type Output = Interest;
    #[inline]
    fn bitor(self, other: Interest) -> Interest {
        Interest(self.0 | other.0)
    }
}

impl fmt::Debug for Interest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Self::READ, "READ"),
            (Self::WRITE, "WRITE"),
            (Self::URGENT, "URGENT"),
            (Self::EDGE, "EDGE"),
            (Self::ONCE, "ONCE"),
        ];
        let set: Vec<&str> = names
            .iter()
            .filter(|(bit, _)| self.contains(*bit))
            .map(|(_, name)| *name)
            .collect();
        write!(f, "Interest({})", set.join(" | "))
    }
}

/// What the kernel reported of a descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Readiness(u32);

impl Readiness {
    #[inline]
    pub(crate) const fn from_bits(bits: u32) -> Readiness {
        Readiness(bits)
    }

    /// What is ready by another's word, such as a selector's that a program put before the driver.
    #[must_use]
    pub const fn of(readable: bool, writable: bool) -> Readiness {
        let read = if readable { libc::EPOLLIN } else { 0 };
        let write = if writable { libc::EPOLLOUT } else { 0 };
        Readiness((read | write) as u32)
    }

    const fn any(self, bits: i32) -> bool {
        self.0 & bits as u32 != 0
    }

    /// A read will not block: data, end of file, or an error to collect.
    #[inline]
    #[must_use]
    pub const fn readable(self) -> bool {
        self.any(libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR)
    }

    /// A write will not block: room, or an error to collect.
    #[inline]
    #[must_use]
    pub const fn writable(self) -> bool {
        self.any(libc::EPOLLOUT | libc::EPOLLHUP | libc::EPOLLERR)
    }

    /// Reads will find the end of file or an error once what is buffered was read (`EPOLLRDHUP`, `EPOLLHUP` or
    /// `EPOLLERR`): with [`Interest::EDGE`], no further report says so.
    #[inline]
    #[must_use]
    pub const fn read_closed(self) -> bool {
        self.any(libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR)
    }

    /// There is an urgent mark, at which a read ends although more may be there (`EPOLLPRI`).
    #[inline]
    #[must_use]
    pub const fn urgent(self) -> bool {
        self.any(libc::EPOLLPRI)
    }

    /// Both directions are closed (`EPOLLHUP`).
    #[inline]
    #[must_use]
    pub const fn hangup(self) -> bool {
        self.any(libc::EPOLLHUP)
    }

    /// An error is waiting: [`crate::socket::take_error`] (`EPOLLERR`).
    #[inline]
    #[must_use]
    pub const fn error(self) -> bool {
        self.any(libc::EPOLLERR)
    }
}

/// One report: whose, and what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// What [`crate::Driver::add`] was given.
    pub token: u64,
    /// What the kernel reported.
    pub readiness: Readiness,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edge_alone_asks_for_nothing() {
        assert!(Interest::EDGE.is_empty());
        assert_eq!(
            (Interest::READ | Interest::WRITE).without(Interest::READ),
            Interest::WRITE
        );
        assert_eq!(
            format!("{:?}", Interest::READ | Interest::EDGE),
            "Interest(READ | EDGE)"
        );
    }
}
