//! `Event`: a flag that tasks wait for.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::budget;
use crate::line::{self, Line, Ticket};
use crate::panics::wake_all;

/// A flag between tasks of one loop: [`wait`](Self::wait) waits until it is set.
///
/// # Examples
/// ```
/// rondeau::run(async {
///     let dinner = rondeau::Event::new();
///     rondeau::gather!(
///         async {
///             dinner.wait().await;
///             println!("to the table");
///         },
///         async { dinner.set() },
///     );
///     assert!(dinner.is_set());
/// });
/// ```
#[derive(Default)]
pub struct Event {
    set: Cell<bool>,
    line: RefCell<Line<(), ()>>,
}

impl Event {
    /// An event that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        self.set.get()
    }

    /// Sets it and wakes everyone who waits: they go on even if it is cleared before they run.
    pub fn set(&self) {
        self.set.set(true);
        let mut line = self.line.borrow_mut();
        let mut wake = Vec::with_capacity(line.waiting());
        while let Ok((waker, ())) = line.serve(()) {
            wake.push(waker);
        }
        drop(line);
        wake_all(wake);
    }

    /// Resets it: who waits from now on waits for the next [`set`](Self::set).
    pub fn clear(&self) {
        self.set.set(false);
    }

    /// Waits until it is set; returns at once if it is.
    pub fn wait(&self) -> Wait<'_> {
        Wait {
            event: self,
            ticket: None,
        }
    }
}

/// The future of [`Event::wait`].
#[must_use = "futures do nothing unless awaited"]
pub struct Wait<'a> {
    event: &'a Event,
    ticket: Option<Ticket>,
}

impl Future for Wait<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let event = self.event;
        if let Some(ticket) = &self.ticket {
            if line::collect(|| event.line.borrow_mut(), ticket, cx.waker()).is_none() {
                return Poll::Pending;
            }
            self.ticket = None;
        } else if !event.is_set() {
            // Cloned with nothing borrowed; whoever's code that ran may have set it.
            let waker = cx.waker().clone();
            if !event.is_set() {
                self.ticket = Some(event.line.borrow_mut().join(waker, ()));
                return Poll::Pending;
            }
        } else {
            ready!(budget::poll(cx));
            budget::spend(1);
        }
        Poll::Ready(())
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let left = self.event.line.borrow_mut().leave(ticket);
            drop(left);
        }
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("is_set", &self.is_set())
            .finish_non_exhaustive()
    }
}
