//! `sleep`, `sleep_until`, `timeout`, and the `Instant` they count in, on the loop's clock.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::ops::{Add, Sub};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, RawWakerVTable, Waker, ready};
use std::time::Duration;

use rondeau_core::{Time, TimerKey};

use crate::budget;
use crate::looper::{self, Loop};

/// A point in time on the loop's clock, which may be a virtual one ([`Builder::virtual_clock`](crate::Builder)).
///
/// Instants of different loops have nothing to do with each other.
///
/// ```
/// use rondeau::Instant;
/// use std::time::Duration;
/// rondeau::run(async {
///     let start = Instant::now();
///     rondeau::sleep_until(start + Duration::from_millis(2)).await;
///     assert!(start.elapsed() >= Duration::from_millis(2));
/// });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Instant(Time);

impl Instant {
    /// The time now.
    ///
    /// # Panics
    /// When no loop runs on this thread.
    pub fn now() -> Self {
        Instant(looper::with_current(Loop::now))
    }

    /// How long ago this was; zero if it is still to come.
    ///
    /// # Panics
    /// When no loop runs on this thread.
    pub fn elapsed(self) -> Duration {
        Self::now() - self
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    /// Saturates in 584 years.
    fn add(self, duration: Duration) -> Instant {
        Instant(self.0 + duration)
    }
}

impl Sub for Instant {
    type Output = Duration;

    /// How long `earlier` was before; zero if it was not.
    fn sub(self, earlier: Instant) -> Duration {
        self.0.until(earlier.0)
    }
}

/// Waits for at least `duration`, exact to what the kernel's timer gives (about 50 µs); the time counts from the call.
/// A sleep of zero gives every other ready task one turn, as [`yield_now`](crate::yield_now) does.
///
/// # Panics
/// When no loop runs on this thread. The await, on another loop than this one.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// rondeau::run(async {
///     rondeau::sleep(Duration::from_millis(1)).await;
/// });
/// ```
#[inline]
pub fn sleep(duration: Duration) -> Sleep {
    let owner = looper::current();
    // Zero is due at once, and yields because a sleep that is due still registers: see `poll`.
    let due = if duration.is_zero() {
        owner.fired.get()
    } else {
        owner.now() + duration
    };
    Sleep {
        owner,
        due,
        stage: Stage::New,
    }
}

/// Waits until `deadline`; returns at once if it has passed.
///
/// # Panics
/// When no loop runs on this thread.
pub fn sleep_until(deadline: Instant) -> Sleep {
    let owner = looper::current();
    let stage = if deadline.0 <= owner.now() {
        Stage::Done
    } else {
        Stage::New
    };
    Sleep {
        owner,
        due: deadline.0,
        stage,
    }
}

/// The future of [`sleep`] and [`sleep_until`]. Dropping it frees its timer at once.
#[must_use = "futures do nothing unless awaited"]
pub struct Sleep {
    owner: Rc<Loop>,
    due: Time,
    stage: Stage,
}

enum Stage {
    New,
    /// Gives the other tasks one turn.
    Yielding,
    /// In the timers. They hold a clone of the waker; these two tell whether another poll brings a different one.
    Registered(TimerKey, *const (), &'static RawWakerVTable),
    Done,
}

impl Sleep {
    fn register(&mut self, waker: &Waker) {
        // Cloned with nothing borrowed: that may run code of others.
        let fresh = waker.clone();
        if self.owner.closing.get() {
            return; // a destructor sleeps while the loop ends: nothing will wake it
        }
        let key = self.owner.timers.borrow_mut().insert(self.due, fresh);
        self.stage = Stage::Registered(key, waker.data(), waker.vtable());
    }
}

impl Sleep {
    #[cold]
    fn register_again(&mut self, key: TimerKey, waker: &Waker) {
        let former = self.owner.timers.borrow_mut().cancel(key);
        self.stage = Stage::New;
        self.register(waker);
        drop(former);
    }
}

impl Future for Sleep {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.stage {
            Stage::Registered(..) | Stage::New if self.due > self.owner.fired.get() => {}
            Stage::New => {
                self.stage = Stage::Yielding;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            // It had passed at the call.
            Stage::Done => {
                ready!(budget::poll(cx));
                budget::spend(1);
                return Poll::Ready(());
            }
            // What is due up to `fired` was taken out of the timers before any task ran.
            _ => {
                self.stage = Stage::Done;
                return Poll::Ready(());
            }
        }
        if !self.owner.is_here() {
            self.owner.must_be_here("this sleep");
        }
        match self.stage {
            Stage::Registered(_, data, vtable)
                if data == cx.waker().data() && std::ptr::eq(vtable, cx.waker().vtable()) => {}
            Stage::Registered(key, ..) => self.register_again(key, cx.waker()),
            _ => self.register(cx.waker()),
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    #[inline]
    fn drop(&mut self) {
        if let Stage::Registered(key, ..) = self.stage {
            let waker = self.owner.timers.borrow_mut().cancel(key);
            drop(waker);
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep")
            .field("due", &self.due)
            .finish_non_exhaustive()
    }
}

/// Awaits `future` for `duration` at most, counted from the call, and drops it then.
///
/// The future is asked first: if it is ready it wins, even when the time is up. (Unless its task has used up its budget for
/// this turn, as the crate's text tells.)
///
/// # Errors
/// [`Elapsed`] when the time was up first.
///
/// # Panics
/// When no loop runs on this thread.
///
/// # Examples
/// ```
/// use rondeau::{sleep, timeout};
/// use std::time::Duration;
/// rondeau::run(async {
///     let slow = sleep(Duration::from_secs(3600));
///     assert!(timeout(Duration::from_millis(1), slow).await.is_err());
///     assert_eq!(timeout(Duration::from_secs(1), async { 7 }).await, Ok(7));
/// });
/// ```
pub fn timeout<F: IntoFuture>(
    duration: Duration,
    future: F,
) -> impl Future<Output = Result<F::Output, Elapsed>> {
    let alarm = sleep(duration);
    let future = future.into_future();
    async move {
        let mut future = pin!(future);
        let mut alarm = pin!(alarm);
        std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(value) => Poll::Ready(Ok(value)),
            Poll::Pending => alarm.as_mut().poll(cx).map(|()| Err(Elapsed)),
        })
        .await
    }
}

/// The time given to [`timeout`] was up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time was up")
    }
}

impl std::error::Error for Elapsed {}

impl From<Elapsed> for std::io::Error {
    fn from(elapsed: Elapsed) -> Self {
        std::io::Error::new(std::io::ErrorKind::TimedOut, elapsed)
    }
}
