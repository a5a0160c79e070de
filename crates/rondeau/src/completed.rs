//! Many futures of one type within one task: `as_completed`, and on it `gather_all` and `select_all`.
//!
//! Each child has a waker of its own, which notes its number and wakes the task; so a wake polls the children that
//! were woken and no others, and ten thousand sleeps cost what they cost one by one. The wakers may travel to other
//! threads; all of it is safe code (two allocations a child).

use std::fmt;
use std::future::{Future, IntoFuture, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Which children were woken since they were polled, and who is to know.
struct Woken {
    numbers: Vec<usize>,
    parent: Option<Waker>,
}

struct Child {
    number: usize,
    noted: AtomicBool,
    woken: Arc<Mutex<Woken>>,
}

fn lock(woken: &Mutex<Woken>) -> MutexGuard<'_, Woken> {
    woken.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Wake for Child {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // AcqRel: what this thread wrote comes before the poll that clears the note.
        if !self.noted.swap(true, Ordering::AcqRel) {
            let mut woken = lock(&self.woken);
            woken.numbers.push(self.number);
            let parent = woken.parent.take();
            drop(woken);
            if let Some(parent) = parent {
                parent.wake();
            }
        }
    }
}

struct Slot<F> {
    future: Pin<Box<F>>,
    child: Arc<Child>,
    waker: Waker,
}

/// Futures that run at once in one task and are handed out as they are done. Made by [`as_completed`].
#[must_use = "futures do nothing unless awaited"]
pub struct AsCompleted<F> {
    slots: Vec<Option<Slot<F>>>,
    /// The numbers to poll, the next one last.
    turn: Vec<usize>,
    woken: Arc<Mutex<Woken>>,
    left: usize,
}

/// Runs all futures of `futures` at once, within this task, and hands their values out in the order in which they are
/// done, each with the future's number. What is left when it is dropped is dropped with it.
///
/// # Examples
/// ```
/// use rondeau::{as_completed, sleep};
/// use std::time::Duration;
/// let runtime = rondeau::Builder::new().virtual_clock().build().unwrap();
/// let order = runtime.block_on(async {
///     let mut dishes = as_completed([30, 10, 20].map(|minutes| async move {
///         sleep(Duration::from_secs(60 * minutes)).await;
///         minutes
///     }));
///     let mut order = Vec::new();
///     while let Some((number, minutes)) = dishes.next().await {
///         order.push((number, minutes));
///     }
///     order
/// });
/// assert_eq!(order, [(1, 10), (2, 20), (0, 30)]);
/// ```
pub fn as_completed<I>(futures: I) -> AsCompleted<<I::Item as IntoFuture>::IntoFuture>
where
    I: IntoIterator,
    I::Item: IntoFuture,
{
    let woken = Arc::new(Mutex::new(Woken {
        numbers: Vec::new(),
        parent: None,
    }));
    let slots: Vec<_> = futures
        .into_iter()
        .enumerate()
        .map(|(number, future)| {
            let child = Arc::new(Child {
                number,
                noted: AtomicBool::new(true),
                woken: Arc::clone(&woken),
            });
            let waker = Waker::from(Arc::clone(&child));
            Some(Slot {
                future: Box::pin(future.into_future()),
                child,
                waker,
            })
        })
        .collect();
    let left = slots.len();
    AsCompleted {
        turn: (0..left).rev().collect(),
        slots,
        woken,
        left,
    }
}

impl<F: Future> AsCompleted<F> {
    /// Awaits the next one that is done; `None` when all were handed out. Dropping this future loses nothing.
    pub async fn next(&mut self) -> Option<(usize, F::Output)> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// How many were not handed out yet.
    pub fn len(&self) -> usize {
        self.left
    }

    /// Whether all were handed out.
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<(usize, F::Output)>> {
        let mut collected = false;
        while self.left > 0 {
            if self.turn.is_empty() {
                // What is woken from here on wakes the task: a child that wakes itself over and over gets its next
                // poll in the next turn of the loop.
                let mut woken = lock(&self.woken);
                if collected || woken.numbers.is_empty() {
                    let idle = woken.numbers.is_empty();
                    drop(woken);
                    if !idle || !self.wait(cx.waker()) {
                        cx.waker().wake_by_ref();
                    }
                    return Poll::Pending;
                }
                self.turn.append(&mut woken.numbers);
                self.turn.reverse();
                collected = true;
            }
            let Some(number) = self.turn.pop() else {
                continue;
            };
            let Some(slot) = &mut self.slots[number] else {
                continue;
            };
            slot.child.noted.swap(false, Ordering::AcqRel);
            if let Poll::Ready(value) = slot
                .future
                .as_mut()
                .poll(&mut Context::from_waker(&slot.waker))
            {
                self.left -= 1;
                let slot = self.slots[number].take();
                drop(slot);
                return Poll::Ready(Some((number, value)));
            }
        }
        Poll::Ready(None)
    }

    /// Has `waker` woken with the next child; `false` where one was woken meanwhile. Clone and drop of a waker may run code
    /// of others, which may wake a child: nothing is locked then.
    fn wait(&self, waker: &Waker) -> bool {
        let fresh = waker.clone();
        let mut woken = lock(&self.woken);
        let idle = woken.numbers.is_empty();
        let unneeded = if idle {
            woken.parent.replace(fresh)
        } else {
            Some(fresh)
        };
        drop(woken);
        drop(unneeded);
        idle
    }
}

/// Awaits all futures of `futures` at once, within this task, and gives their values in the order of the futures.
///
/// They may borrow from around them. See [`gather!`](crate::gather!) for a handful of different types.
///
/// # Examples
/// ```
/// let squares = rondeau::run(rondeau::gather_all((1..4).map(|n| async move { n * n })));
/// assert_eq!(squares, [1, 4, 9]);
/// ```
pub async fn gather_all<I>(futures: I) -> Vec<<I::Item as IntoFuture>::Output>
where
    I: IntoIterator,
    I::Item: IntoFuture,
{
    let mut running = as_completed(futures);
    let mut values: Vec<_> = (0..running.len()).map(|_| None).collect();
    while let Some((number, value)) = running.next().await {
        values[number] = Some(value);
    }
    values
        .into_iter()
        .map(|value| value.expect("all were handed out"))
        .collect()
}

/// Awaits whichever of `futures` is done first and gives its number and value; the others are dropped.
///
/// To go on with the others, use [`as_completed`] and ask for the next one. Of futures that are ready at the first
/// look, the first wins.
///
/// # Panics
/// When there are no futures.
///
/// # Examples
/// ```
/// use std::future;
/// let futures: [future::Ready<&str>; 2] = [future::ready("hare"), future::ready("tortoise")];
/// assert_eq!(rondeau::run(rondeau::select_all(futures)), (0, "hare"));
/// ```
pub async fn select_all<I>(futures: I) -> (usize, <I::Item as IntoFuture>::Output)
where
    I: IntoIterator,
    I::Item: IntoFuture,
{
    as_completed(futures)
        .next()
        .await
        .expect("select_all needs at least one future")
}

impl<F> fmt::Debug for AsCompleted<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}
