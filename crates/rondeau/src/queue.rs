//! `Queue`: asyncio's queue, bounded or unbounded, first in, first out.
//!
//! Both lines hand over (`line.rs`). So while a getter waits there is no item inside, while a putter waits the queue is
//! full, and items, getters and putters are each served strictly in order.

use std::cell::{RefCell, RefMut};
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use crate::budget;
use crate::line::{self, Left, Line, Ticket};
use crate::panics::wake_all;
use crate::task::waker::is_ours;

/// A queue between tasks of one loop, with asyncio's operations.
///
/// Tasks share it by reference (within [`gather!`](crate::gather)) or in an `Rc` (with [`spawn`](crate::spawn)). It is
/// fair: whoever waited first is served first, and nobody who comes later can take an item that was promised.
///
/// # Examples
/// ```
/// use rondeau::Queue;
/// rondeau::run(async {
///     let queue = Queue::bounded(1);
///     let produce = async {
///         for dish in ["soup", "roast", "salad"] {
///             queue.put(dish).await; // waits while the queue is full
///         }
///     };
///     let consume = async {
///         for _ in 0..3 {
///             println!("{} is served", queue.get().await); // waits while it is empty
///             queue.task_done();
///         }
///     };
///     rondeau::gather!(produce, consume, queue.join());
/// });
/// ```
pub struct Queue<T>(RefCell<State<T>>);

struct State<T> {
    items: VecDeque<T>,
    limit: usize,
    getters: Line<(), T>,
    putters: Line<T, ()>,
    unfinished: usize,
    joiners: Line<(), ()>,
}

/// The queue holds nothing that is not promised to a waiting task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueEmpty;

/// The queue is full; the item comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct QueueFull<T>(pub T);

impl<T> State<T> {
    /// Adds an item that counts as unfinished work.
    fn put(&mut self, item: T) -> Option<Waker> {
        self.unfinished += 1;
        match self.getters.serve(item) {
            Ok((waker, ())) => Some(waker),
            Err(item) => {
                self.items.push_back(item);
                None
            }
        }
    }

    fn get(&mut self) -> Option<(T, Option<Waker>)> {
        let item = self.items.pop_front()?;
        let mut wake = None;
        if self.putters.waiting() > 0 && self.items.len() < self.limit {
            if let Ok((waker, next)) = self.putters.serve(()) {
                self.unfinished += 1;
                self.items.push_back(next);
                wake = Some(waker);
            }
        }
        Some((item, wake))
    }
}

impl<T> Queue<T> {
    /// A queue that holds at most `capacity` items.
    ///
    /// # Panics
    /// When `capacity` is 0.
    pub fn bounded(capacity: usize) -> Self {
        assert!(capacity > 0, "a queue needs room for at least one item");
        Queue(RefCell::new(State {
            items: VecDeque::new(),
            limit: capacity,
            getters: Line::default(),
            putters: Line::default(),
            unfinished: 0,
            joiners: Line::default(),
        }))
    }

    /// A queue without a limit: [`put`](Self::put) never waits.
    pub fn unbounded() -> Self {
        Self::bounded(usize::MAX)
    }

    /// How many items are inside. One that was handed to a waiting getter no longer counts.
    pub fn len(&self) -> usize {
        self.0.borrow().items.len()
    }

    /// Whether no item is inside: [`get`](Self::get) would wait.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether [`put`](Self::put) would wait.
    pub fn is_full(&self) -> bool {
        let state = self.0.borrow();
        state.items.len() >= state.limit
    }

    /// The limit; `None` when there is none.
    pub fn capacity(&self) -> Option<usize> {
        let limit = self.0.borrow().limit;
        (limit != usize::MAX).then_some(limit)
    }

    /// Takes the oldest item, waiting for one if need be. Dropped while it waits, it takes nothing.
    pub fn get(&self) -> Get<'_, T> {
        Get {
            queue: self,
            ticket: None,
        }
    }

    /// Takes the oldest item.
    ///
    /// # Errors
    /// [`QueueEmpty`] when there is none.
    pub fn get_nowait(&self) -> Result<T, QueueEmpty> {
        let (item, wake) = self.0.borrow_mut().get().ok_or(QueueEmpty)?;
        if let Some(waker) = wake {
            waker.wake();
        }
        Ok(item)
    }

    /// Adds an item, waiting for room if need be. Dropped while it waits, it adds nothing.
    pub fn put(&self, item: T) -> Put<'_, T> {
        Put {
            queue: self,
            stage: PutStage::Item(item),
        }
    }

    /// Adds an item.
    ///
    /// # Errors
    /// [`QueueFull`] with the item when there is no room.
    pub fn put_nowait(&self, item: T) -> Result<(), QueueFull<T>> {
        let mut state = self.0.borrow_mut();
        if state.items.len() >= state.limit {
            return Err(QueueFull(item));
        }
        let wake = state.put(item);
        drop(state);
        if let Some(waker) = wake {
            waker.wake();
        }
        Ok(())
    }

    /// Says that the work on one item taken from the queue is done, for [`join`](Self::join).
    ///
    /// # Panics
    /// When called more often than items were put.
    pub fn task_done(&self) {
        let mut state = self.0.borrow_mut();
        assert!(state.unfinished > 0, "task_done() called too many times");
        state.unfinished -= 1;
        if state.unfinished == 0 {
            let mut wake = Vec::with_capacity(state.joiners.waiting());
            while let Ok((waker, ())) = state.joiners.serve(()) {
                wake.push(waker);
            }
            drop(state);
            wake_all(wake);
        }
    }

    /// Waits until [`task_done`](Self::task_done) was called for every item that was put.
    pub fn join(&self) -> Join<'_, T> {
        Join {
            queue: self,
            ticket: None,
        }
    }
}

/// The future of [`Queue::get`].
#[must_use = "futures do nothing unless awaited"]
pub struct Get<'a, T> {
    queue: &'a Queue<T>,
    ticket: Option<Ticket>,
}

impl<T> Unpin for Get<'_, T> {}

impl<T> Future for Get<'_, T> {
    type Output = T;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let queue = self.queue;
        if let Some(ticket) = &self.ticket {
            let getters = || RefMut::map(queue.0.borrow_mut(), |state| &mut state.getters);
            let Some(item) = line::collect(getters, ticket, cx.waker()) else {
                return Poll::Pending;
            };
            self.ticket = None;
            return Poll::Ready(item);
        }
        let mut state = queue.0.borrow_mut();
        if !state.items.is_empty() {
            ready!(budget::poll(cx));
            budget::spend(1);
        }
        if let Some((item, wake)) = state.get() {
            drop(state);
            if let Some(waker) = wake {
                waker.wake();
            }
            return Poll::Ready(item);
        }
        if is_ours(cx.waker()) {
            self.ticket = Some(state.getters.join(cx.waker().clone(), ()));
            return Poll::Pending;
        }
        drop(state);
        self.join_with(cx.waker().clone(), cx)
    }
}

impl<T> Get<'_, T> {
    /// With a waker of somebody else's, which was cloned with nothing borrowed: that may have put something.
    #[cold]
    fn join_with(&mut self, waker: Waker, cx: &mut Context<'_>) -> Poll<T> {
        let mut state = self.queue.0.borrow_mut();
        if state.items.is_empty() {
            self.ticket = Some(state.getters.join(waker, ()));
            return Poll::Pending;
        }
        drop(state);
        drop(waker);
        Pin::new(self).poll(cx)
    }
}

impl<T> Drop for Get<'_, T> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else {
            return;
        };
        let mut state = self.queue.0.borrow_mut();
        match state.getters.leave(ticket) {
            // The item was handed over, but nobody is there to take it: to the next in line, or back to the front.
            Left::Served(item) => match state.getters.serve(item) {
                Ok((waker, ())) => {
                    drop(state);
                    waker.wake();
                }
                Err(item) => state.items.push_front(item),
            },
            left => {
                drop(state);
                drop(left);
            }
        }
    }
}

/// The future of [`Queue::put`].
#[must_use = "futures do nothing unless awaited"]
pub struct Put<'a, T> {
    queue: &'a Queue<T>,
    stage: PutStage<T>,
}

enum PutStage<T> {
    Item(T),
    Waiting(Ticket),
    Done,
}

impl<T> Unpin for Put<'_, T> {}

impl<T> Future for Put<'_, T> {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let queue = self.queue;
        match &self.stage {
            PutStage::Item(_) => {}
            PutStage::Waiting(ticket) => {
                let putters = || RefMut::map(queue.0.borrow_mut(), |state| &mut state.putters);
                if line::collect(putters, ticket, cx.waker()).is_none() {
                    return Poll::Pending;
                }
                self.stage = PutStage::Done;
                return Poll::Ready(());
            }
            PutStage::Done => panic!("a put was polled after it had finished"),
        }
        let mut state = queue.0.borrow_mut();
        if state.getters.waiting() == 0 && state.limit != usize::MAX {
            // (Without a limit a put never waits, and a getter that is served has to run before it waits again.)
            ready!(budget::poll(cx));
            budget::spend(1);
        }
        let mut fresh = None;
        if state.items.len() >= state.limit {
            if !is_ours(cx.waker()) {
                // Cloned with nothing borrowed; whoever's code that ran may have taken something.
                drop(state);
                fresh = Some(cx.waker().clone());
                state = queue.0.borrow_mut();
            }
            if state.items.len() >= state.limit {
                let waker = fresh.unwrap_or_else(|| cx.waker().clone());
                let joined = match std::mem::replace(&mut self.stage, PutStage::Done) {
                    PutStage::Item(item) => state.putters.join(waker, item),
                    _ => unreachable!("seen above"),
                };
                self.stage = PutStage::Waiting(joined);
                return Poll::Pending;
            }
        }
        let wake = match std::mem::replace(&mut self.stage, PutStage::Done) {
            PutStage::Item(item) => state.put(item),
            _ => unreachable!("seen above"),
        };
        drop(state);
        drop(fresh);
        if let Some(waker) = wake {
            waker.wake();
        }
        Poll::Ready(())
    }
}

impl<T> Drop for Put<'_, T> {
    fn drop(&mut self) {
        if let PutStage::Waiting(ticket) = std::mem::replace(&mut self.stage, PutStage::Done) {
            let left = self.queue.0.borrow_mut().putters.leave(ticket);
            // The item, if it is still there, and the waker are dropped here, after the borrow: they may use the queue.
            drop(left);
        }
    }
}

/// The future of [`Queue::join`].
#[must_use = "futures do nothing unless awaited"]
pub struct Join<'a, T> {
    queue: &'a Queue<T>,
    ticket: Option<Ticket>,
}

impl<T> Future for Join<'_, T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let queue = self.queue;
        if let Some(ticket) = &self.ticket {
            let joiners = || RefMut::map(queue.0.borrow_mut(), |state| &mut state.joiners);
            if line::collect(joiners, ticket, cx.waker()).is_none() {
                return Poll::Pending;
            }
            self.ticket = None;
        } else if queue.0.borrow().unfinished > 0 {
            // Cloned with nothing borrowed; whoever's code that ran may have done the work.
            let waker = cx.waker().clone();
            let mut state = queue.0.borrow_mut();
            if state.unfinished > 0 {
                self.ticket = Some(state.joiners.join(waker, ()));
                return Poll::Pending;
            }
            drop(state);
            drop(waker);
        } else {
            ready!(budget::poll(cx));
            budget::spend(1);
        }
        Poll::Ready(())
    }
}

impl<T> Drop for Join<'_, T> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let left = self.queue.0.borrow_mut().joiners.leave(ticket);
            drop(left);
        }
    }
}

impl fmt::Display for QueueEmpty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the queue is empty")
    }
}

impl std::error::Error for QueueEmpty {}

impl<T> fmt::Debug for QueueFull<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QueueFull(..)")
    }
}

impl<T> fmt::Display for QueueFull<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the queue is full")
    }
}

impl<T> std::error::Error for QueueFull<T> {}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}
