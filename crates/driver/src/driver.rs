//! The driver itself: one epoll, one wake, one hot buffer, and the files' back end.
//!
//! Owned by a face's loop. `add`, `modify`, `remove`, `waker` and `park` take `&self` and touch nothing but the kernel,
//! so other threads may register descriptors while the loop's thread parks; everything about files takes `&mut self`
//! and belongs to the loop's thread. The driver may move between runs of the loop, not during one.
//!
//! After a `fork`, epoll, eventfd and ring are shared with the parent: the child must let the driver be (dropping it
//! is safe and touches no operation) and make its own.

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use crate::files::Files;
use crate::fork::Process;
use crate::op::{Done, Op, OpId};
use crate::poll::{Epoll, Events, Interest, WAKE};
use crate::probe::{Backend, Choice};
use crate::together::{Outcomes, Together};
use crate::waker::Waker;

/// The size of the one read buffer.
const HOT: usize = 256 * 1024;

/// Watches descriptors, carries out operations on files, and parks the loop's thread.
///
/// Dropping it cancels what is in flight and waits for it, since the kernel may be writing to the buffers.
pub struct Driver {
    files: Files, // first: what it lands may still signal the wake
    epoll: Epoll,
    waker: Waker,
    hot: Vec<u8>,
    together: Together,
    process: Process,
}

impl Driver {
    /// An epoll instance and its wake; the files' back end is made at their first operation.
    ///
    /// # Errors
    /// What `epoll_create1(2)` or `eventfd(2)` failed with; with [`Choice::Uring`], that io_uring is refused and why.
    pub fn new(choice: Choice) -> io::Result<Driver> {
        let epoll = Epoll::new()?;
        let waker = Waker::new()?;
        epoll.control(
            libc::EPOLL_CTL_ADD,
            waker.fd(),
            Interest::READ | Interest::EDGE,
            WAKE,
        )?;
        let files = Files::new(choice, waker.clone())?;
        Ok(Driver {
            files,
            epoll,
            waker,
            hot: Vec::new(),
            together: Together::new(choice),
            process: Process::this(),
        })
    }

    /// Whether this process is a fork of the one that made the driver, and must let it be: epoll and wake are the parent's as well.
    #[inline]
    #[must_use]
    pub fn is_forked(&self) -> bool {
        !self.process.is_this()
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
    /// What `epoll_ctl(2)` failed with: `ENOENT` when it is not watched. In a forked child nothing is done: what is watched is the parent's.
    #[inline]
    pub fn remove(&self, fd: RawFd) -> io::Result<()> {
        if self.is_forked() {
            return Ok(());
        }
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

    /// Queues a one-shot operation. It begins at the next [`Driver::flush`] (threads begin at once) and ends in
    /// [`Driver::reap`]. The loop's thread only.
    ///
    /// ```
    /// use rondeau_driver::{Choice, Driver, Events, Op, Output};
    ///
    /// let mut driver = Driver::new(Choice::Auto)?;
    /// let path = c"/etc/hostname".into();
    /// let id = driver.submit(Op::Open { path, flags: libc::O_RDONLY, mode: 0 }, 7);
    /// driver.flush();
    /// let done = loop {
    ///     if let Some(done) = driver.reap() {
    ///         break done;
    ///     }
    ///     driver.park(&mut Events::new(), None)?;
    /// };
    /// assert_eq!((done.id, done.waiter), (id, 7));
    /// assert!(matches!(done.result, Ok(Output::Fd(_)) | Err(_)));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn submit(&mut self, op: Op, waiter: u64) -> OpId {
        self.files.submit(op, waiter)
    }

    /// Gives the kernel what is queued, in one system call. To be called before a park; free when nothing is queued.
    #[inline]
    pub fn flush(&mut self) {
        self.files.flush();
    }

    /// Asks the kernel to end an operation early. Its completion still comes, with `ECANCELED` or with its result;
    /// an id that is not in flight is nobody's.
    pub fn cancel(&mut self, id: OpId) {
        self.files.cancel(id);
    }

    /// The next operation that has ended. To be called after each park, until it returns `None`: what is left lying
    /// does not end the next park.
    #[inline]
    pub fn reap(&mut self) -> Option<Done> {
        self.files.reap()
    }

    /// Operations whose completion is still to be reaped.
    #[inline]
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.files.in_flight()
    }

    /// What serves files, and why.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.files.backend()
    }

    /// The one 256 KiB buffer for reads, allocated at first use and lent until the next call.
    #[inline]
    pub fn hot(&mut self) -> &mut [u8] {
        if self.hot.is_empty() {
            self.hot = vec![0; HOT];
        }
        &mut self.hot
    }

    /// The same buffer, out of the driver's hands until [`Driver::take_back`]: for whoever looks at what was read while code runs that may
    /// ask for [`Driver::hot`], which then makes another.
    #[inline]
    #[must_use]
    pub fn lend(&mut self) -> Vec<u8> {
        self.hot();
        std::mem::take(&mut self.hot)
    }

    /// Takes the buffer back that [`Driver::lend`] gave.
    #[inline]
    pub fn take_back(&mut self, hot: Vec<u8>) {
        self.hot = hot;
    }

    /// Sends to each of at most [`TOGETHER`](crate::TOGETHER) non-blocking sockets, in one system call where io_uring allows it. The loop's thread
    /// only.
    ///
    /// ```
    /// use rondeau_driver::{Choice, Driver, socket};
    /// use std::os::fd::AsRawFd;
    ///
    /// let mut driver = Driver::new(Choice::Auto)?;
    /// let (one, two) = (socket::pair()?, socket::pair()?);
    /// let sent = driver.send_together(&[(one.0.as_raw_fd(), b"soup"), (two.0.as_raw_fd(), b"roast")]);
    /// assert_eq!((sent.get(0)?, sent.get(1)?), (4, 5));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn send_together(&mut self, messages: &[(RawFd, &[u8])]) -> Outcomes {
        self.together.send(messages)
    }
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver")
            .field("fd", &self.fd())
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}
