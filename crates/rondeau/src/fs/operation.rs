//! One operation of the driver as a future, and the loop's table of those that are under way.
//!
//! Everything in `fs/` and `stdio.rs` waits through here. An operation begins when it is made, since what it does to a file
//! must not depend on who polls it, and it owns what the kernel reads or writes. A dropped future asks the kernel to end the
//! operation and leaves the rest to the table: the result (a buffer, an opened file) is freed when it comes.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use rondeau_driver::{Done, Op, OpId};

use crate::looper::{self, Loop};

/// Where the waiter of an operation is.
enum Place {
    /// Nobody's: free, or about to be.
    Free,
    /// Its future waits (or was not polled yet).
    Waiting(Option<Waker>),
    /// It has ended; its future has not looked.
    Ended(Done),
    /// Its future was dropped.
    Abandoned,
}

/// The operations of a loop, by the number that the driver hands back.
#[derive(Default)]
pub(crate) struct Table {
    places: Vec<Place>,
    free: Vec<usize>,
}

impl Table {
    fn board(&mut self) -> usize {
        let place = Place::Waiting(None);
        match self.free.pop() {
            Some(number) => {
                self.places[number] = place;
                number
            }
            None => {
                self.places.push(place);
                self.places.len() - 1
            }
        }
    }

    /// Takes out who waits: the loop ends, and nobody is woken any more.
    pub(crate) fn give_back(&mut self, wakers: &mut Vec<Waker>) {
        wakers.extend(self.places.iter_mut().filter_map(|place| match place {
            Place::Waiting(waker) => waker.take(),
            _ => None,
        }));
    }

    fn leave(&mut self, number: usize) -> Place {
        self.free.push(number);
        std::mem::replace(&mut self.places[number], Place::Free)
    }

    /// An operation has ended. Whom to wake, and what nobody waits for; both for after the borrow.
    fn land(&mut self, done: Done) -> (Option<Waker>, Option<Done>) {
        let number = done.waiter as usize;
        match &mut self.places[number] {
            Place::Waiting(waker) => {
                let waker = waker.take();
                self.places[number] = Place::Ended(done);
                (waker, None)
            }
            Place::Abandoned => {
                self.leave(number);
                (None, Some(done))
            }
            Place::Free | Place::Ended(_) => unreachable!("the driver reports each operation once"),
        }
    }
}

impl Loop {
    /// Gives the kernel what was begun since the last time. Before a park.
    #[inline]
    pub(crate) fn begin_operations(&self) {
        if self.begun.replace(false) {
            self.driver.borrow_mut().flush();
        }
    }

    /// Whether an operation is under way.
    #[inline]
    pub(crate) fn has_operations(&self) -> bool {
        self.driver.borrow().in_flight() > 0
    }

    /// Hands out what has ended. After a park.
    pub(crate) fn end_operations(&self) {
        loop {
            let Some(done) = self.driver.borrow_mut().reap() else {
                return;
            };
            let (waker, unwanted) = self.operations.borrow_mut().land(done);
            drop(unwanted);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

/// An operation that was begun. Resolves to how it ended.
#[must_use = "the operation goes on by itself, but nobody learns how it ended"]
pub(crate) struct Operation {
    owner: Rc<Loop>,
    number: usize,
    id: OpId,
    ended: bool,
}

impl Operation {
    /// Begins it.
    ///
    /// # Panics
    /// When no loop runs on this thread.
    #[track_caller]
    pub(crate) fn begin(op: Op) -> Operation {
        let owner = looper::current();
        let number = owner.operations.borrow_mut().board();
        let id = owner.driver.borrow_mut().submit(op, number as u64);
        owner.begun.set(true);
        Operation {
            owner,
            number,
            id,
            ended: false,
        }
    }
}

impl Future for Operation {
    type Output = io::Result<Done>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Done>> {
        assert!(!self.ended, "an operation is polled after its end");
        let mut table = self.owner.operations.borrow_mut();
        if let Place::Waiting(known) = &mut table.places[self.number] {
            let own = known
                .as_ref()
                .is_some_and(|known| known.will_wake(cx.waker()));
            drop(table);
            if !self.owner.is_here() {
                self.owner.elsewhere("what is under way on this file")?;
            }
            if !own {
                self.wake_by(cx.waker());
            }
            return Poll::Pending;
        }
        let Place::Ended(done) = table.leave(self.number) else {
            unreachable!("a future that lives was not abandoned");
        };
        drop(table);
        self.ended = true;
        Poll::Ready(Ok(done))
    }
}

impl Operation {
    /// Has another one woken. Clone and drop of a waker may run code of others: nothing is borrowed then.
    fn wake_by(&self, waker: &Waker) {
        let fresh = waker.clone();
        let mut table = self.owner.operations.borrow_mut();
        let former = match &mut table.places[self.number] {
            Place::Waiting(known) => known.replace(fresh),
            _ => Some(fresh),
        };
        drop(table);
        drop(former);
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let mut table = self.owner.operations.borrow_mut();
        let left = match &table.places[self.number] {
            Place::Ended(_) => table.leave(self.number),
            _ => std::mem::replace(&mut table.places[self.number], Place::Abandoned),
        };
        drop(table);
        drop(left); // a waker or a result, whose destructors may do anything
        self.owner.driver.borrow_mut().cancel(self.id);
        self.owner.begun.set(true);
    }
}

/// The table's cell in the loop.
pub(crate) type Operations = RefCell<Table>;
