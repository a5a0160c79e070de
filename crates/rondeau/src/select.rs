//! `select!` and `select`: whichever of several futures is done first.

use std::future::{Future, IntoFuture, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// Which of two futures was first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Either<L, R> {
    /// The first one, with its value.
    Left(L),
    /// The second one, with its value.
    Right(R),
}

/// Awaits whichever of two futures is done first, and drops the other. If both are ready, the left one wins.
///
/// # Examples
/// ```
/// use rondeau::{Either, select, sleep};
/// use std::time::Duration;
/// rondeau::run(async {
///     let first = select(sleep(Duration::from_secs(3600)), async { "quick" }).await;
///     assert_eq!(first, Either::Right("quick"));
/// });
/// ```
pub async fn select<L: IntoFuture, R: IntoFuture>(
    left: L,
    right: R,
) -> Either<L::Output, R::Output> {
    let mut left = pin!(left.into_future());
    let mut right = pin!(right.into_future());
    poll_fn(|cx| match left.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Either::Left(value)),
        Poll::Pending => right.as_mut().poll(cx).map(Either::Right),
    })
    .await
}

/// Awaits whichever future is done first, drops the others, and goes on with that one's arm.
///
/// Each arm is `pattern = future => expression`; the pattern must always match. The futures are asked in the order in
/// which they are written, so the first of those that are ready wins; put the one that matters most (a shutdown) first.
/// For futures of one type in any number there is [`select_all`](crate::select_all).
///
/// # Examples
/// ```
/// use rondeau::{Queue, sleep};
/// use std::time::Duration;
/// rondeau::run(async {
///     let orders = Queue::unbounded();
///     orders.put("soup").await;
///     let served = rondeau::select! {
///         _ = sleep(Duration::from_secs(3600)) => None,
///         dish = orders.get() => Some(dish),
///     };
///     assert_eq!(served, Some("soup"));
/// });
/// ```
#[macro_export]
macro_rules! select {
    ($pattern:pat = $future:expr => $arm:expr $(,)?) => {{
        let $pattern = $future.await;
        $arm
    }};
    ($($pattern:pat = $future:expr => $arm:expr),+ $(,)?) => {
        match $crate::__select_futures!($($future),+).await {
            out => $crate::__select_arms!(out; $($pattern => $arm),+),
        }
    };
}

/// Nests the futures of [`select!`](crate::select!) to the right.
#[doc(hidden)]
#[macro_export]
macro_rules! __select_futures {
    ($last:expr) => { $last };
    ($first:expr, $($rest:expr),+) => { $crate::select($first, $crate::__select_futures!($($rest),+)) };
}

/// Unfolds the nested outcome of [`select!`](crate::select!).
#[doc(hidden)]
#[macro_export]
macro_rules! __select_arms {
    ($out:expr; $pattern:pat => $arm:expr) => {{
        let $pattern = $out;
        $arm
    }};
    ($out:expr; $pattern:pat => $arm:expr, $($patterns:pat => $arms:expr),+) => {
        match $out {
            $crate::Either::Left($pattern) => $arm,
            $crate::Either::Right(rest) => $crate::__select_arms!(rest; $($patterns => $arms),+),
        }
    };
}
