//! `Queue`: asyncio's queue, bounded or unbounded, first in, first out.
//!
//! Both lines hand over (`line.rs`). So while a getter waits there is no item inside, while a putter waits the queue is
//! full, and items, getters and putters are each served strictly in order.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::line::{Left, Line, Ticket};

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
            wake.into_iter().for_each(Waker::wake);
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
        let mut state = self.queue.0.borrow_mut();
        if let Some(ticket) = &self.ticket {
            let Some(item) = state.getters.collect(ticket, cx.waker()) else {
                return Poll::Pending;
            };
            drop(state);
            self.ticket = None;
            return Poll::Ready(item);
        }
        match state.get() {
            Some((item, wake)) => {
                drop(state);
                if let Some(waker) = wake {
                    waker.wake();
                }
                Poll::Ready(item)
            }
            None => {
                let ticket = state.getters.join(cx.waker(), ());
                drop(state);
                self.ticket = Some(ticket);
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for Get<'_, T> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else {
            return;
        };
        let mut state = self.queue.0.borrow_mut();
        if let Left::Served(item) = state.getters.leave(ticket) {
            // The item was handed over, but nobody is there to take it: to the next in line, or back to the front.
            match state.getters.serve(item) {
                Ok((waker, ())) => {
                    drop(state);
                    waker.wake();
                }
                Err(item) => state.items.push_front(item),
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
        let mut state = queue.0.borrow_mut();
        match std::mem::replace(&mut self.stage, PutStage::Done) {
            PutStage::Item(item) if state.items.len() < state.limit => {
                let wake = state.put(item);
                drop(state);
                if let Some(waker) = wake {
                    waker.wake();
                }
                Poll::Ready(())
            }
            PutStage::Item(item) => {
                self.stage = PutStage::Waiting(state.putters.join(cx.waker(), item));
                Poll::Pending
            }
            PutStage::Waiting(ticket) => match state.putters.collect(&ticket, cx.waker()) {
                Some(()) => Poll::Ready(()),
                None => {
                    self.stage = PutStage::Waiting(ticket);
                    Poll::Pending
                }
            },
            PutStage::Done => panic!("a put was polled after it had finished"),
        }
    }
}

impl<T> Drop for Put<'_, T> {
    fn drop(&mut self) {
        if let PutStage::Waiting(ticket) = std::mem::replace(&mut self.stage, PutStage::Done) {
            let left = self.queue.0.borrow_mut().putters.leave(ticket);
            // The item, if it is still there, is dropped here, after the borrow: its destructor may use the queue.
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
        let mut state = queue.0.borrow_mut();
        if let Some(ticket) = &self.ticket {
            if state.joiners.collect(ticket, cx.waker()).is_none() {
                return Poll::Pending;
            }
            self.ticket = None;
        } else if state.unfinished > 0 {
            self.ticket = Some(state.joiners.join(cx.waker(), ()));
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

impl<T> Drop for Join<'_, T> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.queue.0.borrow_mut().joiners.leave(ticket);
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
