//! Tasks: futures that the loop runs by itself. `header.rs` has the rules that make the unsafe code here sound;
//! `state.rs` the bits, `count.rs` and `refs.rs` the references, `cell.rs` the memory, `run.rs` what happens at home, `waker.rs` what may
//! happen anywhere, `join.rs` the handle.

pub(crate) mod cell;
pub(crate) mod count;
pub(crate) mod header;
pub(crate) mod join;
pub(crate) mod list;
pub(crate) mod refs;
pub(crate) mod run;
pub(crate) mod state;
pub(crate) mod waker;

pub use join::{JoinError, JoinHandle};

use std::future::Future;

use crate::looper;

/// Starts a task on the loop that runs on this thread and returns at once.
///
/// The task runs from the next turn on, concurrently with the one that spawned it, whether or not its handle is
/// awaited. It stays on this thread, so neither the future nor its output need be `Send`. Dropping the handle detaches
/// the task; [`JoinHandle::cancel`] ends it. What still runs when the loop ends is dropped.
///
/// A panic in the task ends that task only. Whoever awaits the handle gets it as a [`JoinError`]; when nobody can, it
/// is reported (see [`Builder::reporter`](crate::Builder::reporter)).
///
/// # Panics
/// When no loop runs on this thread.
///
/// # Examples
/// ```
/// use std::rc::Rc;
/// let sum = rondeau::run(async {
///     let shared = Rc::new(20); // not Send
///     let theirs = Rc::clone(&shared);
///     let task = rondeau::spawn(async move { *theirs + 1 });
///     task.await.unwrap() + *shared
/// });
/// assert_eq!(sum, 41);
/// ```
#[inline]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    looper::with_current(|owner| {
        // SAFETY: `owner` is the current loop, so this is its thread; the future is `'static`. The handle takes the
        // reference made for it, and its type is the future's output.
        unsafe { JoinHandle::new(run::spawn(owner, future)) }
    })
}
