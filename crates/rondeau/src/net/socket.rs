//! A registered socket: what the kernel said of it, who waits for it, and the loop of "try, and wait when it would
//! block" under every operation.
//!
//! It is registered once, for both directions and edge-triggered (`epoll(7)`): an event means "try again", and what it
//! said is kept until a call would block. So a connection costs one `epoll_ctl` in its life, and a read that follows
//! an event no second look at the kernel. A read or write that moves fewer bytes than it could has emptied (or filled)
//! the kernel's buffer: the next one waits without trying. Not so once the peer has closed, because its end of file
//! was announced already and no further edge would come; nor behind an urgent mark, at which the kernel ends a read
//! (`tcp(7)`) although more is there.
//!
//! Rejected: re-arming with EPOLLONESHOT (one more system call a wait); level-triggered interest changes (two).

use std::cell::{Cell, RefCell, RefMut};
use std::future::Future;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use rondeau_driver::{Interest, Readiness};

use crate::budget;
use crate::line::{self, Line, Ticket};
use crate::looper::{self, Loop};
use crate::task::waker::is_ours;

/// One direction of a socket.
pub(crate) struct Direction {
    /// A call may succeed. Begins true: trying costs less than waiting for the first event.
    ready: Cell<bool>,
    /// Why it stays ready after a call that moved less than it could: `ENDED`, `MARKED`.
    stays: Cell<u8>,
    /// Who waits; nearly always one task.
    waiter: Cell<Option<Waker>>,
    /// Who polled by hand last. Apart from the others: a poll that is given up takes nobody's place.
    #[cfg(any(feature = "futures-io", feature = "tokio-io"))]
    polled: Cell<Option<Waker>>,
    /// Further ones. Made when there is a second one: an idle connection keeps 112 bytes less without.
    others: RefCell<Option<Box<Line<(), ()>>>>,
}

/// The peer has closed, or there is an error to collect.
const ENDED: u8 = 1;
/// There is an urgent mark, which ends a read before the bytes behind it.
const MARKED: u8 = 2;

/// What is known of a socket's readiness. The loop's table and the socket share it.
pub(crate) struct Ready {
    pub(crate) read: Direction,
    pub(crate) write: Direction,
}

impl Direction {
    fn new(ready: bool) -> Self {
        Direction {
            ready: Cell::new(ready),
            stays: Cell::new(0),
            waiter: Cell::new(None),
            #[cfg(any(feature = "futures-io", feature = "tokio-io"))]
            polled: Cell::new(None),
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
        self.ready.set(self.stays.get() != 0);
    }

    #[inline]
    fn announce(&self) {
        self.ready.set(true);
        if let Some(waker) = self.waiter.take() {
            waker.wake();
        }
        #[cfg(any(feature = "futures-io", feature = "tokio-io"))]
        if let Some(waker) = self.polled.take() {
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
        let left = self
            .others
            .borrow_mut()
            .as_mut()
            .map(|others| others.leave(ticket));
        drop(left);
    }

    /// The further waiters.
    fn others(&self) -> RefMut<'_, Line<(), ()>> {
        RefMut::map(self.others.borrow_mut(), |others| {
            &mut **others.get_or_insert_default()
        })
    }

    /// Takes out who waits.
    fn give_back(&self, wakers: &mut Vec<Waker>) {
        wakers.extend(self.waiter.take());
        #[cfg(any(feature = "futures-io", feature = "tokio-io"))]
        wakers.extend(self.polled.take());
        if let Some(others) = self.others.borrow_mut().as_mut() {
            others.give_back(wakers);
        }
    }

    /// Notes who polled by hand.
    #[cfg(any(feature = "futures-io", feature = "tokio-io"))]
    fn wait_polled(&self, waker: &Waker) {
        let known = self.polled.take();
        if known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            return self.polled.set(known);
        }
        let fresh = waker.clone();
        let unneeded = self.polled.replace(Some(fresh));
        drop((known, unneeded));
    }

    /// Notes who is to be woken. The one place for it is usually free or the caller's own.
    #[inline]
    fn wait(&self, waker: &Waker, ticket: &mut Option<Ticket>) {
        if let Some(held) = ticket {
            if line::collect(|| self.others(), held, waker).is_none() {
                return;
            }
            *ticket = None;
        }
        match self.waiter.take() {
            None if is_ours(waker) => self.waiter.set(Some(waker.clone())),
            Some(known) if known.will_wake(waker) => self.waiter.set(Some(known)),
            known => {
                self.waiter.set(known);
                // Cloned with nothing taken or borrowed: that may run code of others.
                let fresh = waker.clone();
                match self.waiter.take() {
                    None => self.waiter.set(Some(fresh)),
                    known => {
                        self.waiter.set(known);
                        *ticket = Some(self.others().join(fresh, ()));
                    }
                }
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
        let ended = if readiness.read_closed() { ENDED } else { 0 };
        let marked = if readiness.urgent() { MARKED } else { 0 };
        // A mark that a later report does not name is passed; the end stays.
        self.read
            .stays
            .set(self.read.stays.get() & ENDED | ended | marked);
        if readiness.hangup() || readiness.error() {
            self.write.stays.set(ENDED);
        }
        if readiness.readable() {
            self.read.announce();
        }
        if readiness.writable() {
            self.write.announce();
        }
    }

    /// Takes out who waits: the loop ends.
    pub(crate) fn give_back(&self, wakers: &mut Vec<Waker>) {
        self.read.give_back(wakers);
        self.write.give_back(wakers);
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
        let interest = Interest::READ | Interest::WRITE | Interest::URGENT | Interest::EDGE;
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
    /// through here, the last one that polled, beside those of [`call`](Self::call); for the traits that are polled by hand.
    #[cfg(any(feature = "futures-io", feature = "tokio-io"))]
    pub(crate) fn poll_call<T>(
        &self,
        direction: &Direction,
        cx: &mut Context<'_>,
        call: impl FnMut(RawFd) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        if let Some(not_now) = self.look_first(cx) {
            return not_now;
        }
        match self.attempt(direction, call) {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                direction.wait_polled(cx.waker());
                Poll::Pending
            }
        }
    }

    /// What keeps a call from being tried here and now: another loop, or a budget that is used up.
    #[inline]
    fn look_first<T>(&self, cx: &mut Context<'_>) -> Option<Poll<io::Result<T>>> {
        if self.owner.is_here() && budget::is_left() {
            return None;
        }
        self.not_now(cx)
    }

    #[cold]
    fn not_now<T>(&self, cx: &mut Context<'_>) -> Option<Poll<io::Result<T>>> {
        if let Err(error) = self.owner.elsewhere("this socket") {
            return Some(Poll::Ready(Err(error)));
        }
        budget::poll(cx).is_pending().then_some(Poll::Pending)
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
        if let Some(not_now) = this.socket.look_first(cx) {
            return not_now;
        }
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
