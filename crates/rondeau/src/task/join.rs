//! `JoinHandle`, the spawner's end of a task, and `JoinError`, the ways in which a task gives no value.
//!
//! The handle is `!Send` (it reads the outcome where the task wrote it, without a lock), so everything here happens on
//! the loop's thread; but perhaps while the loop is not entered, or after its end.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use super::header::{TaskRef, gone};
use super::state::{FINISHED, HANDLE, TAKEN};
use super::waker::is_ours;
use crate::panics::First;
use crate::report::{Reporter, report, report_to_stderr};

/// Awaits a spawned task's outcome: `Ok(value)`, or a [`JoinError`] when it was cancelled or panicked.
///
/// Dropping it lets the task run on, detached. To end a task, call [`cancel`](Self::cancel).
///
/// # Examples
/// ```
/// use std::time::Duration;
/// rondeau::run(async {
///     let task = rondeau::spawn(async { rondeau::sleep(Duration::from_secs(3600)).await });
///     task.cancel();
///     assert!(task.await.unwrap_err().is_cancelled());
/// });
/// ```
///
/// It stays on its loop's thread:
/// ```compile_fail,E0277
/// fn needs_send<T: Send>(_: T) {}
/// rondeau::run(async { needs_send(rondeau::spawn(async {})) });
/// ```
#[must_use = "a handle that is dropped detaches its task; write `drop(spawn(..))` or `_ =` if that is meant"]
pub struct JoinHandle<T> {
    task: TaskRef,
    /// Owns a `T`, and is neither `Send` nor `Sync`.
    holds: PhantomData<(*const (), T)>,
}

impl<T> Unpin for JoinHandle<T> {}

impl<T> JoinHandle<T> {
    /// # Safety
    /// `task` has `T` as its output and `HANDLE` set, and the caller passes on the reference counted for the handle.
    pub(crate) unsafe fn new(task: TaskRef) -> Self {
        JoinHandle {
            task,
            holds: PhantomData,
        }
    }

    fn state(&self) -> u8 {
        // SAFETY: the handle's reference is alive, and this is the loop's thread.
        unsafe { self.task.header() }.state.get()
    }

    /// Whether the outcome is there: an `await` would not wait.
    ///
    /// ```
    /// rondeau::run(async {
    ///     let task = rondeau::spawn(async {});
    ///     assert!(!task.is_finished()); // it has not run yet
    ///     rondeau::yield_now().await;
    ///     assert!(task.is_finished());
    /// });
    /// ```
    pub fn is_finished(&self) -> bool {
        self.state() & FINISHED != 0
    }

    /// Asks the task to end: in the next turn its future is dropped where it stands (its destructors run), and the
    /// outcome is a [`JoinError`] with [`is_cancelled`](JoinError::is_cancelled). Without effect on a task that has
    /// finished. A task may cancel itself; it ends at its next `await` that waits.
    pub fn cancel(&self) {
        // SAFETY: the handle's reference is alive, and this is the loop's thread. If the loop is gone, it closed the
        // task before it went.
        unsafe { self.task.request_cancel() }
    }

    /// Moves the outcome out. The caller has seen `FINISHED`.
    fn take(&mut self) -> Result<T, JoinError> {
        let state = self.state();
        assert!(
            state & TAKEN == 0,
            "a JoinHandle was polled after it had given its outcome"
        );
        // SAFETY: `FINISHED` and not `TAKEN`: the place holds the outcome, of this type since `new`. Setting `TAKEN`
        // makes this the only time it is moved out.
        unsafe {
            let header = self.task.header();
            header.state.set(state | TAKEN);
            (header.vtable.outcome)(self.task)
                .cast::<Result<T, JoinError>>()
                .read()
        }
    }

    /// The outcome, if it is there. For `block_on`, which looks after each turn.
    pub(crate) fn try_take(&mut self) -> Option<Result<T, JoinError>> {
        self.is_finished().then(|| self.take())
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.is_finished() {
            return Poll::Ready(self.take());
        }
        // SAFETY: the handle's reference is alive, and this is the loop's thread.
        let header = unsafe { self.task.header() };
        // SAFETY: as above.
        if !unsafe { self.task.is_home() } {
            // SAFETY: not finished, so the loop lives.
            unsafe { (*header.owner.load(Ordering::Relaxed)).must_be_here("this task") }
        }
        match header.joiner.take() {
            None if is_ours(cx.waker()) => header.joiner.set(Some(cx.waker().clone())),
            Some(known) if known.will_wake(cx.waker()) => header.joiner.set(Some(known)),
            known => {
                // Both may run code of others, which may end the loop and so the task.
                let waker = cx.waker().clone();
                drop(known);
                if self.is_finished() {
                    return Poll::Ready(self.take());
                }
                header.joiner.set(Some(waker));
            }
        }
        Poll::Pending
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        // SAFETY: the handle's reference is alive until the last line, and this is the loop's thread.
        unsafe {
            let header = self.task.header();
            let joiner = header.joiner.take();
            let state = header.state.get() & !HANDLE;
            header.state.set(state);
            if joiner.is_some() || state & (FINISHED | TAKEN) == FINISHED {
                self.drop_rest(joiner);
            } else {
                self.task.drop_by_handle();
            }
        }
    }
}

impl<T> JoinHandle<T> {
    /// The handle's end where something is left: who awaits it, an outcome that nobody took. Code of others runs, which
    /// may panic; the reference is given up all the same.
    ///
    /// # Safety
    /// `HANDLE` is no longer set, and the handle's reference is given up here.
    #[cold]
    unsafe fn drop_rest(&self, joiner: Option<Waker>) {
        let mut foreign = First::default();
        foreign.call(|| drop(joiner));
        // SAFETY: the handle's reference is alive until `drop_by_handle`, and this is the loop's thread. The outcome is
        // taken once, since `TAKEN` is set.
        unsafe {
            let header = self.task.header();
            let state = header.state.get();
            if state & (FINISHED | TAKEN) == FINISHED {
                header.state.set(state | TAKEN);
                if let Some(panic) = (header.vtable.discard)(self.task) {
                    let owner = header.owner.load(Ordering::Relaxed);
                    // If not gone, the loop lives: it makes its tasks orphans before it goes. It may go meanwhile.
                    let reporter: Reporter = if owner == gone() {
                        Rc::new(report_to_stderr)
                    } else {
                        Rc::clone(&(*owner).reporter)
                    };
                    foreign.call(|| report(&reporter, panic));
                    foreign.call(|| drop(reporter));
                }
            }
            self.task.drop_by_handle();
        }
        foreign.resume();
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle")
            .field("is_finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}

/// Why a task gave no value: it was cancelled, or it panicked.
///
/// ```
/// rondeau::run(async {
///     let error = rondeau::spawn(async { panic!("burnt the soup") }).await.unwrap_err();
///     assert!(error.is_panic());
///     assert_eq!(error.to_string(), "the task panicked: burnt the soup");
/// });
/// ```
pub struct JoinError(Option<Box<Panic>>);

struct Panic {
    message: Option<String>,
    /// In a mutex that is never locked: it makes the error `Sync`, so that `?` turns it into any boxed error.
    payload: Mutex<Box<dyn Any + Send>>,
}

impl JoinError {
    pub(crate) fn cancelled() -> Self {
        JoinError(None)
    }

    #[cold]
    pub(crate) fn panicked(payload: Box<dyn Any + Send>) -> Self {
        let message = match payload.downcast_ref::<&'static str>() {
            Some(text) => Some((*text).to_owned()),
            None => payload.downcast_ref::<String>().cloned(),
        };
        JoinError(Some(Box::new(Panic {
            message,
            payload: Mutex::new(payload),
        })))
    }

    /// Whether the task was dropped unfinished, by [`JoinHandle::cancel`] or at the loop's end.
    pub fn is_cancelled(&self) -> bool {
        self.0.is_none()
    }

    /// Whether the task panicked.
    pub fn is_panic(&self) -> bool {
        self.0.is_some()
    }

    /// The panic's payload, for [`std::panic::resume_unwind`]; `None` when the task was cancelled.
    pub fn into_panic(self) -> Option<Box<dyn Any + Send>> {
        self.0.map(|panic| {
            panic
                .payload
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner)
        })
    }

    /// The panic's message; `None` when the task was cancelled, or when the payload is no text.
    pub fn message(&self) -> Option<&str> {
        self.0.as_ref()?.message.as_deref()
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.0, self.message()) {
            (None, _) => f.write_str("the task was cancelled"),
            (Some(_), Some(message)) => write!(f, "the task panicked: {message}"),
            (Some(_), None) => f.write_str("the task panicked"),
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinError({self})")
    }
}

impl std::error::Error for JoinError {}
