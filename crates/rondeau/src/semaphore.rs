//! `Semaphore`: a number of permits, given out in order.
//!
//! A released permit goes straight to whoever waits first, so `free` is above zero only while nobody waits.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::budget;
use crate::line::{self, Left, Line, Ticket};

/// Limits how many tasks of one loop do something at once. Fair: who waited first goes first.
///
/// # Examples
/// ```
/// use std::rc::Rc;
/// rondeau::run(async {
///     let burners = Rc::new(rondeau::Semaphore::new(2));
///     let pots = (0..5).map(|_| async {
///         let _burner = burners.acquire().await;
///         rondeau::yield_now().await; // at most two cook at once
///     });
///     rondeau::gather_all(pots).await;
///     assert_eq!(burners.available(), 2);
/// });
/// ```
pub struct Semaphore {
    free: Cell<usize>,
    line: RefCell<Line<(), ()>>,
}

impl Semaphore {
    /// A semaphore with so many permits.
    pub fn new(permits: usize) -> Self {
        Semaphore {
            free: Cell::new(permits),
            line: RefCell::default(),
        }
    }

    /// How many permits are free.
    pub fn available(&self) -> usize {
        self.free.get()
    }

    /// Takes a permit, waiting for one if need be. It is given back when the [`Permit`] is dropped.
    pub fn acquire(&self) -> Acquire<'_> {
        Acquire {
            semaphore: self,
            ticket: None,
        }
    }

    /// Takes a permit if one is free.
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        self.free.set(self.free.get().checked_sub(1)?);
        Some(Permit { semaphore: self })
    }

    /// Adds a permit, which may be more than there were at first.
    pub fn release(&self) {
        let served = self.line.borrow_mut().serve(());
        match served {
            Ok((waker, ())) => waker.wake(),
            Err(()) => self.free.set(self.free.get() + 1),
        }
    }
}

/// A permit of a [`Semaphore`], given back on drop.
#[must_use = "a permit that is dropped at once limits nothing"]
pub struct Permit<'a> {
    semaphore: &'a Semaphore,
}

impl Permit<'_> {
    /// Keeps the permit for good: the semaphore has one fewer.
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.semaphore.release();
    }
}

/// The future of [`Semaphore::acquire`].
#[must_use = "futures do nothing unless awaited"]
pub struct Acquire<'a> {
    semaphore: &'a Semaphore,
    ticket: Option<Ticket>,
}

impl<'a> Future for Acquire<'a> {
    type Output = Permit<'a>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Permit<'a>> {
        let semaphore = self.semaphore;
        if let Some(ticket) = &self.ticket {
            if line::collect(|| semaphore.line.borrow_mut(), ticket, cx.waker()).is_none() {
                return Poll::Pending;
            }
            self.ticket = None;
            return Poll::Ready(Permit { semaphore });
        }
        ready!(budget::poll(cx));
        if let Some(permit) = semaphore.try_acquire() {
            budget::spend(1);
            return Poll::Ready(permit);
        }
        // Cloned with nothing borrowed; whoever's code that ran may have given a permit back.
        let waker = cx.waker().clone();
        if let Some(permit) = semaphore.try_acquire() {
            return Poll::Ready(permit);
        }
        self.ticket = Some(semaphore.line.borrow_mut().join(waker, ()));
        Poll::Pending
    }
}

impl Drop for Acquire<'_> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else {
            return;
        };
        let left = self.semaphore.line.borrow_mut().leave(ticket);
        if let Left::Served(()) = left {
            self.semaphore.release();
        }
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("available", &self.available())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permit")
    }
}
