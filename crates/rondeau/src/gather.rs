//! `gather!`: several futures at once within one task.
//!
//! A tuple of futures becomes one that polls all that are not done whenever the task is woken. That is the cheapest
//! for a handful; for many there is `gather_all`, which polls only those that were woken (`completed.rs`).

use std::future::{Future, IntoFuture, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// Awaits several futures at once, in the same task, and gives their values as a tuple, in order.
///
/// Takes 1 to 12 futures, which may borrow from around them and need not be `'static`. They start in order. For a
/// number that is not known beforehand there is [`gather_all`](crate::gather_all); for futures that go on by themselves, [`spawn`](crate::spawn).
///
/// # Examples
/// ```
/// use std::time::Duration;
/// let (a, b) = rondeau::run(async {
///     let name = String::from("soup");
///     rondeau::gather!(
///         async { name.len() },
///         async { rondeau::sleep(Duration::from_millis(1)).await; name.clone() },
///     )
/// });
/// assert_eq!((a, b.as_str()), (4, "soup"));
/// ```
#[macro_export]
macro_rules! gather {
    ($($future:expr),+ $(,)?) => {
        $crate::Gather::gather(($($future,)+)).await
    };
}

/// A tuple of futures that can be awaited at once; what [`gather!`](crate::gather!) calls.
///
/// ```
/// use rondeau::Gather;
/// let both = rondeau::run((async { 1 }, async { "two" }).gather());
/// assert_eq!(both, (1, "two"));
/// ```
pub trait Gather {
    /// The tuple of their values.
    type Output;

    /// Awaits them all.
    fn gather(self) -> impl Future<Output = Self::Output>;
}

macro_rules! tuples {
    ($($future:ident $value:ident),+) => {
        impl<$($future: IntoFuture),+> Gather for ($($future,)+) {
            type Output = ($($future::Output,)+);

            #[allow(non_snake_case, reason = "the type's name serves for its value")]
            async fn gather(self) -> Self::Output {
                let ($($future,)+) = self;
                $(
                    let mut $future = pin!($future.into_future());
                    let mut $value = None;
                )+
                poll_fn(|cx| {
                    let mut done = true;
                    $(
                        if $value.is_none() {
                            match $future.as_mut().poll(cx) {
                                Poll::Ready(value) => $value = Some(value),
                                Poll::Pending => done = false,
                            }
                        }
                    )+
                    if done { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
                ($($value.take().expect("all were ready"),)+)
            }
        }
    };
}

tuples!(A a);
tuples!(A a, B b);
tuples!(A a, B b, C c);
tuples!(A a, B b, C c, D d);
tuples!(A a, B b, C c, D d, E e);
tuples!(A a, B b, C c, D d, E e, F f);
tuples!(A a, B b, C c, D d, E e, F f, G g);
tuples!(A a, B b, C c, D d, E e, F f, G g, H h);
tuples!(A a, B b, C c, D d, E e, F f, G g, H h, I i);
tuples!(A a, B b, C c, D d, E e, F f, G g, H h, I i, J j);
tuples!(A a, B b, C c, D d, E e, F f, G g, H h, I i, J j, K k);
tuples!(A a, B b, C c, D d, E e, F f, G g, H h, I i, J j, K k, L l);
