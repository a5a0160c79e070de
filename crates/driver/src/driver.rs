//! The driver itself: one epoll, one wake, one hot buffer.

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use crate::poll::{Epoll, Events, Interest, WAKE};
use crate::probe::Choice;
use crate::waker::Waker;

/// The size of the one read buffer.
const HOT: usize = 256 * 1024;

/// Watches descriptors and parks the loop's thread.
#[derive(Debug)]
pub struct Driver {
    epoll: Epoll,
    waker: Waker,
    hot: Vec<u8>,
}

impl Driver {
    /// An epoll instance and its wake.
    ///
    /// # Errors
    /// What `epoll_create1(2)` or `eventfd(2)` failed with.
    pub fn new(_choice: Choice) -> io::Result<Driver> {
        let epoll = Epoll::new()?;
        let waker = Waker::new()?;
        epoll.control(
            libc::EPOLL_CTL_ADD,
            waker.fd(),
            Interest::READ | Interest::EDGE,
            WAKE,
        )?;
        Ok(Driver {
            epoll,
            waker,
            hot: Vec::new(),
        })
    }

    /// Watches `fd`, to be reported with `token` (any but `u64::MAX`). Callable from any thread, also during a park.
    ///
    /// # Errors
    /// What `epoll_ctl(2)` failed with: `EEXIST` when it is watched already, `EPERM` for a regular file.
    #[inline]
    pub fn add(&self, fd: RawFd, interest: Interest, token: u64) -> io::Result<()> {
        debug_assert_ne!(token, WAKE);
        self.epoll.control(libc::EPOLL_CTL_ADD, fd, interest, token)
    }

    /// Changes what a watched `fd` is watched for, and its token.
    ///
    /// # Errors
    /// What `epoll_ctl(2)` failed with: `ENOENT` when it is not watched.
    #[inline]
    pub fn modify(&self, fd: RawFd, interest: Interest, token: u64) -> io::Result<()> {
        debug_assert_ne!(token, WAKE);
        self.epoll.control(libc::EPOLL_CTL_MOD, fd, interest, token)
    }

    /// Stops watching `fd`. To be called before it is closed: a duplicate would keep it reported.
    ///
    /// # Errors
    /// What `epoll_ctl(2)` failed with: `ENOENT` when it is not watched.
    #[inline]
    pub fn remove(&self, fd: RawFd) -> io::Result<()> {
        self.epoll
            .control(libc::EPOLL_CTL_DEL, fd, Interest::NONE, 0)
    }

    /// Waits until a descriptor is ready, a wake comes, or `timeout` has passed (`None`: for ever; zero: not at all).
    /// How many reports `events` then holds.
    ///
    /// # Errors
    /// `Interrupted` when a signal handler ran; otherwise a programming error.
    #[inline]
    pub fn park(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<usize> {
        self.epoll.park(events, timeout)
    }

    /// A wake for other threads.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// The epoll descriptor: readable when a park would not wait. For embedding in another loop.
    #[must_use]
    pub fn fd(&self) -> RawFd {
        self.epoll.fd()
    }

    /// The one 256 KiB buffer for reads, allocated at first use and lent until the next call.
    #[inline]
    pub fn hot(&mut self) -> &mut [u8] {
        if self.hot.is_empty() {
            self.hot = vec![0; HOT];
        }
        &mut self.hot
    }
}
