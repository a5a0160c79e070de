//! A registered socket: what the kernel said of it, who waits for it, and the loop of "try, and wait when it would
//! block" under every operation.
//!
//! It is registered once, for both directions and edge-triggered (`epoll(7)`): an event means "try again", and what it
//! said is kept until a call would block. So a connection costs one `epoll_ctl` in its life, and a read that follows
//! an event no second look at the kernel. A read or write that moves fewer bytes than it could has emptied (or filled)
//! the kernel's buffer: the next one waits without trying. Not so once the peer has closed, because its end of file
//! was announced already and no further edge would come.
//!
//! Rejected: re-arming with EPOLLONESHOT (one more system call a wait); level-triggered interest changes (two).

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use rondeau_driver::{Interest, Readiness};

use crate::line::{Line, Ticket};
use crate::looper::{self, Loop};

/// One direction of a socket.
pub(crate) struct Direction {
    /// A call may succeed. Begins true: trying costs less than waiting for the first event.
    ready: Cell<bool>,
    /// It stays ready: the peer has closed, or there is an error to collect.
    ended: Cell<bool>,
    /// Who waits; nearly always one task.
    waiter: Cell<Option<Waker>>,
    /// Further ones. Made when there is a second one: an idle connection keeps 112 bytes less without.
    others: RefCell<Option<Box<Line<(), ()>>>>,
}

/// What is known of a socket's readiness. The loop's table and the socket share it.
pub(crate) struct Ready {
    pub(crate) read: Direction,
    pub(crate) write: Direction,
}

impl Direction {
    fn new(ready: bool) -> Self {
        Direction {
            ready: Cell::new(ready),
            ended: Cell::new(false),
            waiter: Cell::new(None),
            others: RefCell::default(),
        }
    }

    #[inline]
    fn is_ready(&self) -> bool {
        self.ready.get()
    }

    /// The call would have blocked, or moved less than it could.
    #[inline]
    pub(crate) fn exhausted(&self) {
        self.ready.set(self.ended.get());
    }

    #[inline]
    fn announce(&self) {
        self.ready.set(true);
        if let Some(waker) = self.waiter.take() {
            waker.wake();
        }
        while let Some(waker) = self.serve_another() {
            waker.wake();
        }
    }

    #[inline]
    fn serve_another(&self) -> Option<Waker> {
        let served = self.others.borrow_mut().as_mut()?.serve(());
        served.ok().map(|(waker, ())| waker)
    }

    /// Gives up a place among the further waiters.
    fn leave(&self, ticket: Ticket) {
        if let Some(others) = self.others.borrow_mut().as_mut() {
            others.leave(ticket);
        }
    }

    /// Notes who is to be woken. The one place for it is usually free or the caller's own.
    #[inline]
    fn wait(&self, waker: &Waker, ticket: &mut Option<Ticket>) {
        if let (Some(ticket), Some(others)) = (&ticket, self.others.borrow_mut().as_mut()) {
            if others.collect(ticket, waker).is_none() {
                return;
            }
        }
        *ticket = None;
        match self.waiter.take() {
            None => self.waiter.set(Some(waker.clone())),
            Some(known) => {
                if !known.will_wake(waker) {
                    *ticket = Some(
                        self.others
                            .borrow_mut()
                            .get_or_insert_default()
                            .join(waker, ()),
                    );
                }
                self.waiter.set(Some(known));
            }
        }
    }
}

impl Ready {
    /// `now`: the first call may be tried without waiting.
    pub(crate) fn new(now: bool) -> Self {
        Ready {
            read: Direction::new(now),
            write: Direction::new(now),
        }
    }

    /// An event came.
    #[inline]
    pub(crate) fn report(&self, readiness: Readiness) {
        if readiness.read_closed() {
            self.read.ended.set(true);
        }
        if readiness.hangup() || readiness.error() {
            self.write.ended.set(true);
        }
        if readiness.readable() {
            self.read.announce();
        }
        if readiness.writable() {
            self.write.announce();
        }
    }
}

/// A socket of a loop. Closed on drop.
pub(crate) struct Socket {
    // `drop` below unregisters it before it closes.
    fd: OwnedFd,
    ready: Rc<Ready>,
    token: u64,
    owner: Rc<Loop>,
}

impl Socket {
    /// Registers a non-blocking socket with the current loop. `connecting`: it cannot be written to yet.
    pub(crate) fn new(fd: OwnedFd, connecting: bool) -> io::Result<Self> {
        let owner = looper::current();
        if owner.closing.get() {
            return Err(io::Error::other("the loop is ending"));
        }
        let ready = Rc::new(Ready::new(!connecting));
        let token = owner.sockets.borrow_mut().insert(Rc::clone(&ready));
        let interest = Interest::READ | Interest::WRITE | Interest::EDGE;
        let added = owner.driver.borrow().add(fd.as_raw_fd(), interest, token);
        if let Err(error) = added {
            owner.sockets.borrow_mut().remove(token);
            return Err(error);
        }
        Ok(Socket {
            fd,
            ready,
            token,
            owner,
        })
    }

    #[inline]
    pub(crate) fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    pub(crate) fn reading(&self) -> &Direction {
        &self.ready.read
    }

    pub(crate) fn writing(&self) -> &Direction {
        &self.ready.write
    }

    /// Tries `call` now and whenever the socket gets ready, until it does not block. One waiter a direction is woken
    /// through here, the last one that polled; for the traits that are polled by hand.
    #[cfg(any(feature = "futures-io", feature = "tokio-io"))]
    pub(crate) fn poll_call<T>(
        &self,
        direction: &Direction,
        cx: &mut Context<'_>,
        call: impl FnMut(RawFd) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        match self.attempt(direction, call) {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                let former = direction.waiter.replace(Some(cx.waker().clone()));
                drop(former);
                Poll::Pending
            }
        }
    }

    /// As long as the direction is ready, tries `call`; `None` when it would block.
    #[inline]
    fn attempt<T>(
        &self,
        direction: &Direction,
        mut call: impl FnMut(RawFd) -> io::Result<T>,
    ) -> Option<io::Result<T>> {
        while direction.is_ready() {
            match call(self.fd()) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    // Even at the end: nothing would ever clear it otherwise, and the task would spin.
                    direction.ready.set(false);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                outcome => return Some(outcome),
            }
        }
        None
    }

    /// As [`poll_call`](Self::poll_call), as a future, for any number of waiters.
    #[inline]
    pub(crate) fn call<'a, T, C>(&'a self, direction: &'a Direction, call: C) -> Call<'a, C>
    where
        C: FnMut(RawFd) -> io::Result<T> + Unpin,
    {
        Call {
            socket: self,
            direction,
            call,
            ticket: None,
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let ready = self.owner.sockets.borrow_mut().remove(self.token);
        drop(ready);
        // Before the descriptor closes: a duplicate of it would keep the registration alive. If it fails there is none.
        let _ = self.owner.driver.borrow().remove(self.fd());
    }
}

/// The future of [`Socket::call`].
pub(crate) struct Call<'a, C> {
    socket: &'a Socket,
    direction: &'a Direction,
    call: C,
    ticket: Option<Ticket>,
}

impl<T, C> Future for Call<'_, C>
where
    C: FnMut(RawFd) -> io::Result<T> + Unpin,
{
    type Output = io::Result<T>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let this = &mut *self;
        match this.socket.attempt(this.direction, &mut this.call) {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                this.direction.wait(cx.waker(), &mut this.ticket);
                Poll::Pending
            }
        }
    }
}

impl<C> Drop for Call<'_, C> {
    #[inline]
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.direction.leave(ticket);
        }
    }
}
