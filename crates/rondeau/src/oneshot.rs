//! One value from here to there, once: what asyncio does with a bare future and `set_result`.
//!
//! Both ends may be on different threads, so blocking work gives its result back through it. A mutex, held for a few
//! lines that call nobody (12 ns uncontended); an atomic state machine was not worth its unsafe code.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::task::waker::is_ours;

struct State<T> {
    value: Option<T>,
    waker: Option<Waker>,
    /// One of the two ends is gone.
    parted: bool,
}

fn lock<T>(shared: &Mutex<State<T>>) -> MutexGuard<'_, State<T>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A sender and a receiver for one value.
///
/// # Examples
/// A customer asks for more time, and the waiter goes on:
/// ```
/// use rondeau::oneshot;
/// rondeau::run(async {
///     let (customer, waiter) = oneshot::channel();
///     rondeau::spawn(async move { customer.send("the soup, please") });
///     assert_eq!(waiter.await, Ok("the soup, please"));
/// });
/// ```
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Mutex::new(State {
        value: None,
        waker: None,
        parted: false,
    }));
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

/// Gives the value. Dropped without, the receiver gets [`Dropped`].
pub struct Sender<T>(Arc<Mutex<State<T>>>);

/// A future of the value.
#[must_use = "futures do nothing unless awaited"]
pub struct Receiver<T>(Arc<Mutex<State<T>>>);

/// The sender was dropped without giving a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped;

impl<T> Sender<T> {
    /// Gives the value and wakes the receiver; any thread.
    ///
    /// # Errors
    /// The value, when nobody can receive it any more.
    pub fn send(self, value: T) -> Result<(), T> {
        let mut state = lock(&self.0);
        if state.parted {
            return Err(value);
        }
        state.value = Some(value);
        Ok(()) // the drop of `self` wakes the receiver
    }

    /// Whether the receiver is gone.
    pub fn is_closed(&self) -> bool {
        lock(&self.0).parted
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = lock(&self.0);
        state.parted = true;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Future for Receiver<T> {
    type Output = Result<T, Dropped>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = lock(&self.0);
        if let Some(value) = state.value.take() {
            return Poll::Ready(Ok(value));
        }
        if state.parted {
            return Poll::Ready(Err(Dropped));
        }
        if state
            .waker
            .as_ref()
            .is_some_and(|known| known.will_wake(cx.waker()))
        {
            return Poll::Pending;
        }
        // The former one is dropped without the lock, and one that is not a task's is cloned without it: either may run
        // code of others, also the sender's end.
        if is_ours(cx.waker()) {
            let former = state.waker.replace(cx.waker().clone());
            drop(state);
            drop(former);
            return Poll::Pending;
        }
        drop(state);
        let fresh = cx.waker().clone();
        let mut state = lock(&self.0);
        if state.value.is_some() || state.parted {
            drop(state);
            drop(fresh);
            return self.poll(cx);
        }
        let former = state.waker.replace(fresh);
        drop(state);
        drop(former);
        Poll::Pending
    }
}

impl<T> Receiver<T> {
    /// Ends the wait: what was given and not taken, and from here on nothing is received.
    pub(crate) fn close(&mut self) -> Option<T> {
        let mut state = lock(&self.0);
        state.parted = true;
        state.value.take()
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = lock(&self.0);
        state.parted = true;
        // Dropped after the lock is: either may run code of others.
        let left = (state.value.take(), state.waker.take());
        drop(state);
        drop(left);
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the sender was dropped without giving a value")
    }
}

impl std::error::Error for Dropped {}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("is_closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}
