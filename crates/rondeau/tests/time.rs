//! Sleeping and timing out, on a virtual clock: nothing here waits, and every time is exact.

#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use rondeau::{
    Builder, Elapsed, Instant, as_completed, gather, gather_all, select, select_all, sleep,
    sleep_until, spawn, spawn_blocking, timeout, yield_now,
};

fn virtually<F: Future>(future: F) -> F::Output {
    Builder::new()
        .virtual_clock()
        .build()
        .unwrap()
        .block_on(future)
}

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn sleeps_end_in_the_order_of_their_times_and_then_of_their_starts() {
    let log: Rc<RefCell<Vec<(u64, usize)>>> = Rc::default();
    virtually(async {
        let start = Instant::now();
        let tasks: Vec<_> = [3, 1, 2, 1, 3]
            .into_iter()
            .enumerate()
            .map(|(i, n)| {
                let log = Rc::clone(&log);
                spawn(async move {
                    sleep(secs(n)).await;
                    log.borrow_mut().push((start.elapsed().as_secs(), i));
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert_eq!(*log.borrow(), [(1, 1), (1, 3), (2, 2), (3, 0), (3, 4)]);
}

#[test]
fn the_virtual_clock_is_exact_to_the_nanosecond() {
    virtually(async {
        let start = Instant::now();
        sleep(Duration::from_nanos(7)).await;
        assert_eq!(start.elapsed(), Duration::from_nanos(7));
        sleep_until(start + secs(3600)).await;
        assert_eq!(start.elapsed(), secs(3600));
        sleep_until(start).await; // past
        assert_eq!(start.elapsed(), secs(3600));
        assert_eq!(start - Instant::now(), Duration::ZERO);
    });
}

#[test]
fn a_sleep_of_zero_gives_the_others_one_turn() {
    virtually(async {
        let other = spawn(async {});
        let start = Instant::now();
        sleep(Duration::ZERO).await;
        assert!(other.is_finished());
        assert_eq!(start.elapsed(), Duration::ZERO);
    });
}

#[test]
fn timeout_gives_the_value_or_drops_the_future() {
    virtually(async {
        let start = Instant::now();
        let slow = async {
            sleep(secs(10)).await;
            1
        };
        assert_eq!(timeout(secs(5), slow).await, Err(Elapsed));
        assert_eq!(start.elapsed(), secs(5));
        assert_eq!(
            timeout(secs(5), async { sleep(secs(4)).await }).await,
            Ok(())
        );
        assert_eq!(start.elapsed(), secs(9));
        // Ready at once beats a timeout of zero; both due at the same time, the future wins.
        assert_eq!(timeout(Duration::ZERO, async { 3 }).await, Ok(3));
        assert_eq!(timeout(secs(2), sleep(secs(2))).await, Ok(()));
        assert_eq!(timeout(Duration::MAX, async { 4 }).await, Ok(4));
        let error: std::io::Error = timeout(secs(1), pending::<()>()).await.unwrap_err().into();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (std::io::ErrorKind::TimedOut, "the time was up")
        );
    });
}

#[test]
fn a_dropped_sleep_wakes_nobody_and_does_not_hold_the_clock() {
    virtually(async {
        let start = Instant::now();
        for _ in 0..100 {
            let _ = timeout(secs(1000), async { yield_now().await }).await;
        }
        sleep(secs(1)).await;
        assert_eq!(start.elapsed(), secs(1));
    });
}

#[test]
fn a_sleep_may_move_from_task_to_task() {
    virtually(async {
        let start = Instant::now();
        let mut nap = Box::pin(sleep(secs(5)));
        // Asked first with this task's waker, then awaited by another.
        poll_fn(|cx| {
            assert!(nap.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        let task = spawn(nap);
        task.await.unwrap();
        assert_eq!(start.elapsed(), secs(5));
    });
}

#[test]
fn the_clock_stands_still_while_blocking_work_is_under_way() {
    virtually(async {
        let start = Instant::now();
        let (release, released) = std::sync::mpsc::channel();
        let sleeper = spawn(async {
            sleep(secs(100)).await;
        });
        let work = spawn_blocking(move || {
            released.recv().unwrap();
            7
        });
        // This task is always ready for a while, then releases the work; the sleeper must not overtake it.
        for _ in 0..1000 {
            yield_now().await;
        }
        release.send(()).unwrap();
        assert_eq!(work.await.unwrap(), 7);
        assert_eq!(start.elapsed(), Duration::ZERO);
        sleeper.await.unwrap();
        assert_eq!(start.elapsed(), secs(100));
    });
}

#[test]
fn the_clock_goes_on_when_blocking_work_ends_that_nobody_awaits() {
    virtually(async {
        let start = Instant::now();
        for _ in 0..50 {
            drop(spawn_blocking(std::thread::yield_now));
            sleep(secs(1)).await; // stands still until the work is over
        }
        assert_eq!(start.elapsed(), secs(50));
    });
}

#[test]
fn gather_waits_for_the_longest() {
    virtually(async {
        let start = Instant::now();
        let name = String::from("borrowed");
        let (a, b, c) = gather!(
            async {
                sleep(secs(3)).await;
                name.len()
            },
            async { name.as_str() },
            sleep(secs(5)),
        );
        assert_eq!((a, b, c, start.elapsed()), (8, "borrowed", (), secs(5)));
        let (only,) = gather!(async { 1 });
        assert_eq!(only, 1);
    });
}

#[test]
fn gather_asks_a_finished_future_no_more() {
    virtually(async {
        let mut polls = 0;
        let once = poll_fn(|_| {
            polls += 1;
            assert_eq!(polls, 1);
            Poll::Ready(polls)
        });
        let (first, ()) = gather!(once, async {
            yield_now().await;
            yield_now().await;
        });
        assert_eq!(first, 1);
    });
}

#[test]
fn gather_all_polls_only_who_was_woken() {
    const N: usize = 300;
    virtually(async {
        let polls = std::cell::Cell::new(0);
        let counted = |i: usize| {
            let polls = &polls;
            async move {
                let mut nap = pin!(sleep(secs(i as u64 + 1)));
                poll_fn(|cx| {
                    polls.set(polls.get() + 1);
                    nap.as_mut().poll(cx)
                })
                .await;
                i
            }
        };
        let start = Instant::now();
        let values = gather_all((0..N).map(counted)).await;
        assert_eq!(values, (0..N).collect::<Vec<_>>());
        assert_eq!(polls.get(), 2 * N, "once to start and once to end");
        assert_eq!(start.elapsed(), secs(N as u64));
        assert!(
            gather_all(Vec::<std::future::Ready<()>>::new())
                .await
                .is_empty()
        );
    });
}

#[test]
fn as_completed_hands_out_in_the_order_of_completion_and_may_be_left() {
    virtually(async {
        let naps = [30, 10, 20].map(|n| async move {
            sleep(secs(n)).await;
            n
        });
        let mut done = as_completed(naps);
        assert_eq!(done.len(), 3);
        assert_eq!(timeout(secs(5), done.next()).await, Err(Elapsed)); // loses nothing
        assert_eq!(done.next().await, Some((1, 10)));
        assert_eq!(done.next().await, Some((2, 20)));
        let start = Instant::now();
        drop(done);
        assert_eq!(start.elapsed(), Duration::ZERO);
        let mut none = as_completed(Vec::<std::future::Ready<()>>::new());
        assert!(none.is_empty() && none.next().await.is_none());
    });
}

#[test]
fn a_child_that_wakes_itself_does_not_keep_the_loop() {
    virtually(async {
        let greedy = async {
            for _ in 0..100 {
                yield_now().await;
            }
        };
        let other = spawn(async {
            yield_now().await;
            yield_now().await;
        });
        let mut done = as_completed([greedy]);
        for _ in 0..5 {
            assert!(timeout(Duration::ZERO, done.next()).await.is_err());
        }
        assert!(other.is_finished());
        assert_eq!(done.next().await, Some((0, ())));
    });
}

#[test]
fn children_may_be_woken_from_other_threads() {
    rondeau::run(async {
        let values = gather_all((0..20).map(|i| spawn_blocking(move || i * i))).await;
        let values: Vec<i32> = values.into_iter().map(Result::unwrap).collect();
        assert_eq!(values, (0..20).map(|i| i * i).collect::<Vec<_>>());
    });
}

#[test]
fn select_takes_the_first_and_drops_the_rest() {
    virtually(async {
        let start = Instant::now();
        let dish = select! {
            () = sleep(secs(9)) => "too late",
            dish = async { sleep(secs(2)).await; "soup" } => dish,
            never = pending::<&str>() => never,
        };
        assert_eq!((dish, start.elapsed()), ("soup", secs(2)));
        // Of several that are ready, the first in the text.
        let which = select! {
            _ = pending::<()>() => 1,
            _ = async {} => 2,
            _ = async {} => 3,
        };
        assert_eq!(which, 2);
        let (number, value) = select_all([9, 4, 6].map(|n| async move {
            sleep(secs(n)).await;
            n
        }))
        .await;
        assert_eq!((number, value), (1, 4));
        assert_eq!(start.elapsed(), secs(6));
    });
}

#[test]
fn arms_of_select_may_use_the_enclosing_function() {
    async fn first_of(queue: &rondeau::Queue<u8>) -> Result<u8, Elapsed> {
        loop {
            select! {
                item = queue.get() => {
                    if item == 0 {
                        continue;
                    }
                    return Ok(item);
                },
                () = sleep(secs(1)) => return Err(Elapsed),
            }
        }
    }
    virtually(async {
        let queue = rondeau::Queue::unbounded();
        queue.put(0).await;
        queue.put(5).await;
        assert_eq!(first_of(&queue).await, Ok(5));
        assert_eq!(first_of(&queue).await, Err(Elapsed));
    });
}

#[test]
fn a_hundred_thousand_sleeps_at_once() {
    virtually(async {
        let tasks: Vec<_> = (0..100_000_u64)
            .map(|i| spawn(sleep(Duration::from_micros(i * 7919 % 50_000))))
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}
