//! Each state a task can be in, met by each thing that can happen to it.

#![allow(clippy::unwrap_used)]

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use rondeau::{Runtime, oneshot, run, spawn, yield_now};

/// Notes its drop.
struct Dropped(&'static str, Rc<RefCell<Vec<&'static str>>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.1.borrow_mut().push(self.0);
    }
}

/// A future that gives its waker away at each poll, counts the polls, and is ready when it is told to.
#[derive(Default)]
struct Probe {
    polls: Cell<usize>,
    waker: RefCell<Option<Waker>>,
    ready: Cell<bool>,
}

impl Probe {
    async fn wait(self: Rc<Self>) -> usize {
        poll_fn(|cx| {
            self.polls.set(self.polls.get() + 1);
            *self.waker.borrow_mut() = Some(cx.waker().clone());
            if self.ready.get() {
                Poll::Ready(self.polls.get())
            } else {
                Poll::Pending
            }
        })
        .await
    }

    fn waker(&self) -> Waker {
        self.waker.borrow().clone().expect("it was polled")
    }
}

#[test]
fn a_wake_polls_once_however_often_it_comes() {
    run(async {
        let probe = Rc::new(Probe::default());
        let task = spawn(Rc::clone(&probe).wait());
        yield_now().await;
        assert_eq!(probe.polls.get(), 1);
        let waker = probe.waker();
        waker.wake_by_ref();
        let clone = waker.clone();
        clone.wake();
        waker.wake();
        yield_now().await;
        assert_eq!(probe.polls.get(), 2);
        yield_now().await;
        assert_eq!(probe.polls.get(), 2, "nobody woke it again");
        probe.ready.set(true);
        probe.waker().wake();
        assert_eq!(task.await.unwrap(), 3);
    });
}

#[test]
fn a_wake_during_the_poll_polls_again_in_the_next_turn() {
    run(async {
        let polls = Rc::new(Cell::new(0));
        let seen = Rc::clone(&polls);
        let task = spawn(poll_fn(move |cx| {
            seen.set(seen.get() + 1);
            for _ in 0..3 {
                cx.waker().wake_by_ref();
            }
            if seen.get() == 3 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        }));
        yield_now().await;
        assert_eq!(polls.get(), 1);
        yield_now().await;
        assert_eq!(polls.get(), 2);
        task.await.unwrap();
        assert_eq!(polls.get(), 3);
    });
}

#[test]
fn a_wake_in_the_completing_poll_and_after_it_does_nothing() {
    run(async {
        let (sender, receiver) = oneshot::channel();
        let sender = Cell::new(Some(sender));
        let task = spawn(poll_fn(move |cx| {
            cx.waker().wake_by_ref();
            sender.take().unwrap().send(cx.waker().clone()).unwrap();
            Poll::Ready(5)
        }));
        let waker = receiver.await.unwrap();
        waker.wake_by_ref();
        yield_now().await;
        assert_eq!(task.await.unwrap(), 5);
        waker.wake_by_ref(); // the handle is gone, the waker keeps the memory
        drop(waker.clone());
        waker.wake();
    });
}

#[test]
fn cancelled_before_its_first_poll_it_never_runs_and_is_dropped() {
    run(async {
        let drops = Rc::default();
        let guard = Dropped("future", Rc::clone(&drops));
        let task = spawn(async move {
            let _guard = guard;
            unreachable!("it was cancelled");
        });
        task.cancel();
        assert!(!task.is_finished());
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(*drops.borrow(), ["future"]);
    });
}

#[test]
fn cancelled_while_it_waits_it_is_dropped_where_it_stands() {
    run(async {
        let drops = Rc::default();
        let (outer, inner) = (
            Dropped("outer", Rc::clone(&drops)),
            Dropped("inner", Rc::clone(&drops)),
        );
        let task = spawn(async move {
            let _outer = outer;
            async move {
                let _inner = inner;
                pending::<()>().await;
            }
            .await;
        });
        yield_now().await;
        task.cancel();
        task.cancel();
        assert!(drops.borrow().is_empty(), "not before its turn");
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(*drops.borrow(), ["inner", "outer"]);
    });
}

#[test]
fn cancelled_by_itself_it_ends_at_its_next_await() {
    run(async {
        let handle: Rc<RefCell<Option<rondeau::JoinHandle<()>>>> = Rc::default();
        let own = Rc::clone(&handle);
        let reached = Rc::new(Cell::new(0));
        let mark = Rc::clone(&reached);
        let task = spawn(async move {
            own.borrow().as_ref().unwrap().cancel();
            mark.set(1);
            yield_now().await;
            mark.set(2);
        });
        *handle.borrow_mut() = Some(task);
        yield_now().await;
        yield_now().await;
        let task = handle.borrow_mut().take().unwrap();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(reached.get(), 1);
    });
}

#[test]
fn cancelled_after_the_end_it_keeps_its_value() {
    run(async {
        let task = spawn(async { String::from("done") });
        yield_now().await;
        assert!(task.is_finished());
        task.cancel();
        assert_eq!(task.await.unwrap(), "done");
    });
}

#[test]
fn the_handle_dropped_at_any_time_detaches() {
    run(async {
        let drops = Rc::default();
        let value = |name| Dropped(name, Rc::clone(&drops));
        // Before the first poll.
        let first = value("first");
        drop(spawn(async move { first }));
        assert!(drops.borrow().is_empty());
        // After the end: the value goes with the handle.
        let second = value("second");
        let task = spawn(async move { second });
        yield_now().await;
        assert_eq!(*drops.borrow(), ["first"]);
        assert!(task.is_finished());
        drop(task);
        assert_eq!(*drops.borrow(), ["first", "second"]);
        // By the task itself, while it runs.
        let handle: Rc<RefCell<Option<rondeau::JoinHandle<Dropped>>>> = Rc::default();
        let (own, third) = (Rc::clone(&handle), value("third"));
        *handle.borrow_mut() = Some(spawn(async move {
            own.borrow_mut().take();
            third
        }));
        yield_now().await;
        assert_eq!(*drops.borrow(), ["first", "second", "third"]);
    });
}

#[test]
fn the_future_is_dropped_before_the_joiner_goes_on() {
    run(async {
        let drops = Rc::default();
        let guard = Dropped("future", Rc::clone(&drops));
        let mut polled = false;
        // A future that holds its guard until it is dropped itself, unlike an async block.
        let task = spawn(poll_fn(move |cx| {
            let _ = &guard;
            if std::mem::replace(&mut polled, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        }));
        task.await.unwrap();
        assert_eq!(*drops.borrow(), ["future"]);
    });
}

#[test]
fn a_nested_run_says_so_and_the_outer_one_goes_on() {
    let value = run(async {
        let nested = catch_unwind(|| run(async {})).unwrap_err();
        let message = nested.downcast_ref::<&str>().copied().map(str::to_owned);
        let message = message
            .or_else(|| nested.downcast_ref::<String>().cloned())
            .unwrap();
        assert!(
            message.contains("already running on this thread"),
            "{message}"
        );
        yield_now().await;
        3
    });
    assert_eq!(value, 3);
}

#[test]
fn outside_a_loop_spawn_and_sleep_say_so() {
    for attempt in [
        || drop(spawn(async {})),
        || drop(rondeau::sleep(std::time::Duration::ZERO)),
    ] {
        let payload = catch_unwind(attempt).unwrap_err();
        assert!(
            payload
                .downcast_ref::<&str>()
                .unwrap()
                .contains("no loop runs on this thread")
        );
    }
}

#[test]
fn the_root_may_borrow() {
    let mut list = vec![1];
    let text = String::from("borrowed");
    let slice = run(async {
        yield_now().await;
        list.push(2);
        &text[..4]
    });
    assert_eq!((slice, list.as_slice()), ("borr", &[1, 2][..]));
}

#[test]
fn a_handle_asked_again_after_its_value_panics() {
    run(async {
        let mut task = spawn(async { 1 });
        assert_eq!((&mut task).await.unwrap(), 1);
        let again = catch_unwind(AssertUnwindSafe(|| {
            let _ = Pin::new(&mut task).poll(&mut Context::from_waker(Waker::noop()));
        }));
        assert!(again.is_err());
    });
}

#[test]
fn the_last_waiter_on_a_handle_is_the_one_woken() {
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let (finish, finished) = oneshot::channel();
        let mut task = spawn(async move { finished.await.unwrap() });
        // Asked once with a waker of nobody's, then by this task.
        let _ = Pin::new(&mut task).poll(&mut Context::from_waker(Waker::noop()));
        drop(spawn(async move { finish.send(9).unwrap() }));
        assert_eq!(task.await.unwrap(), 9);
    });
}

#[test]
fn aligned_and_empty_and_large_futures_have_room() {
    #[repr(align(128))]
    struct Aligned(u8);
    run(async {
        let aligned = Aligned(3);
        let task = spawn(async move {
            let here = &aligned;
            yield_now().await;
            assert_eq!(std::ptr::from_ref(here) as usize % 128, 0);
            here.0
        });
        assert_eq!(task.await.unwrap(), 3);
        spawn(async {}).await.unwrap();
        let large = [7_u8; 100_000];
        let sum = spawn(async move {
            yield_now().await;
            large.iter().map(|b| u64::from(*b)).sum::<u64>()
        });
        assert_eq!(sum.await.unwrap(), 700_000);
        // An outcome larger and more aligned than its future.
        let value = spawn(async { (Aligned(1), [1_u64; 64]) }).await.unwrap();
        assert_eq!((value.0.0, value.1.iter().sum::<u64>()), (1, 64));
    });
}
