//! `spawn_blocking`: the assistants. A loop's own bounded pool of threads, started when there is work and nobody idle.
//!
//! A result goes back through a oneshot, whose waker takes the mailbox home. At the loop's end, work that has not
//! started is dropped (its handle says "cancelled"), and work that has is waited for, as asyncio.run does: a file that
//! is half written gets written. An end without waiting was rejected; whoever wants one can leave the process.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use crate::looper;
use crate::oneshot::{self, Receiver};
use crate::panics::drop_quietly;
use crate::task::JoinError;

/// How long an idle thread stays.
const KEEP: Duration = Duration::from_secs(10);

pub(crate) type Work = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    queue: VecDeque<Work>,
    idle: usize,
    /// Threads that are running or idle.
    threads: usize,
    /// Work that was accepted and has not given its result yet.
    pending: usize,
    closed: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    work: Condvar,
    /// A thread has ended.
    ended: Condvar,
    /// With a virtual clock: woken whenever some work is over, since the clock may stand still for its sake.
    nudge: Option<rondeau_driver::Waker>,
}

pub(crate) struct Pool {
    shared: Arc<Shared>,
    limit: usize,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    pub(crate) fn new(limit: usize, nudge: Option<rondeau_driver::Waker>) -> Self {
        let shared = Shared {
            nudge,
            ..Shared::default()
        };
        Pool {
            shared: Arc::new(shared),
            limit,
        }
    }

    /// Whether some work has not given its result yet.
    pub(crate) fn busy(&self) -> bool {
        self.shared.lock().pending > 0
    }

    fn push(&self, work: Work) {
        let mut state = self.shared.lock();
        if state.closed {
            return; // dropped: the handle says "cancelled"
        }
        state.queue.push_back(work);
        state.pending += 1;
        if state.idle >= state.queue.len() {
            self.shared.work.notify_one();
        } else if state.threads < self.limit {
            state.threads += 1;
            drop(state);
            let shared = Arc::clone(&self.shared);
            let started = thread::Builder::new()
                .name("rondeau-blocking".into())
                .spawn(move || shared.serve());
            if let Err(error) = started {
                let mut state = self.shared.lock();
                state.threads -= 1;
                if state.threads == 0 {
                    // With another thread at work, the queue gets served; with none it never would.
                    let unserved = state.queue.pop_back();
                    state.pending -= 1;
                    drop(state);
                    drop(unserved);
                    panic!("no thread can be started for blocking work: {error}");
                }
            }
        }
    }

    /// No work starts from here on; what has not started is for the caller to drop.
    pub(crate) fn close(&self) -> VecDeque<Work> {
        let mut state = self.shared.lock();
        state.closed = true;
        let unstarted = std::mem::take(&mut state.queue);
        drop(state);
        self.shared.work.notify_all();
        unstarted
    }

    /// Waits for the work that has started. After `close`.
    pub(crate) fn wait(&self) {
        let mut state = self.shared.lock();
        while state.threads > 0 {
            state = self
                .shared
                .ended
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Shared {
    /// What each thread does.
    fn serve(&self) {
        let mut state = self.lock();
        loop {
            if let Some(work) = state.queue.pop_front() {
                drop(state);
                // What panics here is a waker of others, or a destructor. The thread goes on: it is waited for.
                if let Err(payload) = catch_unwind(AssertUnwindSafe(work)) {
                    drop_quietly(payload);
                }
                state = self.lock();
                state.pending -= 1;
                if let Some(nudge) = &self.nudge {
                    nudge.wake();
                }
                continue;
            }
            if state.closed {
                break;
            }
            state.idle += 1;
            let (woken, timed_out) = self
                .work
                .wait_timeout(state, KEEP)
                .unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if timed_out.timed_out() && state.queue.is_empty() {
                break;
            }
        }
        state.threads -= 1;
        drop(state);
        self.ended.notify_all();
    }
}

/// Runs `work`, which may block, on a thread of the loop's pool, and returns at once with a handle to await.
///
/// The work starts whether or not the handle is awaited, and cannot be cancelled once it has started. When the loop
/// ends, work that has started is waited for. The pool has 32 threads at most
/// ([`Builder::blocking_threads`](crate::Builder::blocking_threads)); further work waits in line.
///
/// # Panics
/// When no loop runs on this thread, or when the first thread cannot be started.
///
/// # Examples
/// ```
/// let text = rondeau::run(async {
///     rondeau::spawn_blocking(|| std::fs::read_to_string("/proc/self/comm")).await.unwrap()
/// });
/// assert!(text.is_ok());
/// ```
pub fn spawn_blocking<F, T>(work: F) -> BlockingHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let (sender, receiver) = oneshot::channel();
    let work = move || {
        let outcome = catch_unwind(AssertUnwindSafe(work)).map_err(JoinError::panicked);
        if let Err(unread) = sender.send(outcome) {
            // Nobody awaits it, and its destructor may panic.
            drop_quietly(unread);
        }
    };
    looper::with_current(|owner| owner.pool.push(Box::new(work)));
    BlockingHandle(receiver)
}

/// Awaits the value of blocking work: `Ok(value)`, or a [`JoinError`] when it panicked or the loop ended before it
/// started. Made by [`spawn_blocking`]; dropping it lets the work go on.
#[must_use = "the work runs anyway, but its value is lost"]
pub struct BlockingHandle<T>(Receiver<Result<T, JoinError>>);

impl<T> Future for BlockingHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(cx)
            .map(|outcome| outcome.unwrap_or_else(|_| Err(JoinError::cancelled())))
    }
}

impl<T> Drop for BlockingHandle<T> {
    fn drop(&mut self) {
        // As where the handle is dropped before the work ends.
        drop_quietly(self.0.close());
    }
}

impl<T> fmt::Debug for BlockingHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingHandle").finish_non_exhaustive()
    }
}
