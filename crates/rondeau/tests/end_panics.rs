//! A loop's end is finished whoever panics on the way, and nothing that is used later points to a loop that is gone. Under
//! AddressSanitizer (`make asan-rust`) these tests would show the use of freed memory.

#![allow(clippy::unwrap_used, clippy::async_yields_async)]

use std::cell::RefCell;
use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use rondeau::{Builder, JoinHandle, Runtime, run, sleep, spawn, spawn_blocking, yield_now};

/// Panics when dropped.
struct Bomb(&'static str);

impl Drop for Bomb {
    fn drop(&mut self) {
        panic_any(self.0);
    }
}

/// Does something when dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// A waker that panics when it is woken, or when it is dropped.
struct Panics {
    woken: bool,
}

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        if self.woken {
            panic_any("woken");
        }
    }
}

impl Drop for Panics {
    fn drop(&mut self) {
        if !self.woken {
            panic_any("dropped");
        }
    }
}

fn message(outcome: std::thread::Result<()>) -> &'static str {
    outcome.unwrap_err().downcast_ref::<&str>().unwrap()
}

fn dropped(runtime: Runtime) -> &'static str {
    message(catch_unwind(AssertUnwindSafe(|| drop(runtime))))
}

type Kept = Rc<RefCell<Option<Waker>>>;

/// A task that never ends, and its waker.
fn victim() -> (JoinHandle<()>, Kept) {
    let kept = Kept::default();
    let mine = Rc::clone(&kept);
    let task = spawn(poll_fn(move |cx| {
        *mine.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }));
    (task, kept)
}

/// Uses what a loop that is gone has left, in every way.
fn use_up((mut task, kept): (JoinHandle<()>, Kept)) {
    assert!(task.is_finished(), "the end was not finished");
    let waker = kept.borrow_mut().take().unwrap();
    waker.wake_by_ref();
    let theirs = waker.clone();
    std::thread::spawn(move || theirs.wake()).join().unwrap();
    run(async { drop(waker) });
    task.cancel();
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(outcome) = Pin::new(&mut task).poll(&mut cx) else {
        panic!("it is finished")
    };
    assert!(outcome.unwrap_err().is_cancelled());
}

#[test]
fn a_reporter_panics() {
    let runtime = Builder::new()
        .reporter(|_| panic_any("reporter"))
        .build()
        .unwrap();
    let left = runtime.block_on(async {
        let older = victim();
        for _ in 0..3 {
            let bomb = Bomb("bomb");
            drop(spawn(async move {
                let _bomb = bomb;
                pending::<()>().await;
            }));
        }
        let newer = victim();
        yield_now().await;
        [older, newer]
    });
    assert_eq!(dropped(runtime), "reporter");
    left.into_iter().for_each(use_up);
}

#[test]
fn blocking_work_that_never_began_panics_in_its_destructor() {
    let runtime = Builder::new().blocking_threads(1).build().unwrap();
    let left = runtime.block_on(async {
        let (finish, finishes) = std::sync::mpsc::channel::<()>();
        drop(spawn_blocking(move || finishes.recv()));
        for name in ["first", "second"] {
            let bomb = Bomb(name);
            drop(spawn_blocking(move || drop(bomb)));
        }
        let left = victim();
        drop(spawn(async move {
            let _finish = finish;
            pending::<()>().await;
        }));
        yield_now().await;
        left
    });
    assert_eq!(dropped(runtime), "first");
    use_up(left);
}

#[test]
fn wakers_panic_when_woken_and_when_dropped() {
    let runtime = Runtime::new().unwrap();
    let (left, _kept) = runtime.block_on(async {
        let left = victim();
        let mut joined = Vec::new();
        for _ in 0..2 {
            let waker = Waker::from(Arc::new(Panics { woken: true }));
            let mut task = Box::pin(spawn(pending::<()>()));
            assert!(
                task.as_mut()
                    .poll(&mut Context::from_waker(&waker))
                    .is_pending()
            );
            joined.push(task);
        }
        for _ in 0..2 {
            // Only the timers hold it in the end.
            let waker = Waker::from(Arc::new(Panics { woken: false }));
            let mut nap = Box::pin(sleep(Duration::from_secs(1000)));
            assert!(
                nap.as_mut()
                    .poll(&mut Context::from_waker(&waker))
                    .is_pending()
            );
            std::mem::forget((nap, waker.clone()));
            drop(waker);
        }
        yield_now().await;
        (left, joined)
    });
    assert_eq!(dropped(runtime), "woken");
    use_up(left);
}

#[test]
fn a_runtime_that_is_dropped_by_a_panic_does_not_panic_a_second_time() {
    let runtime = Builder::new()
        .reporter(|_| panic_any("reporter"))
        .build()
        .unwrap();
    let bomb = Bomb("bomb");
    let left = runtime.block_on(async {
        let left = victim();
        drop(spawn(async move {
            let _bomb = bomb;
            pending::<()>().await;
        }));
        yield_now().await;
        left
    });
    let outcome = catch_unwind(AssertUnwindSafe(move || {
        let _runtime = runtime;
        panic_any("under way");
    }));
    assert_eq!(message(outcome), "under way");
    use_up(left);
}

#[test]
fn what_is_spawned_on_a_closed_loop_is_cut_loose() {
    let runtime = Builder::new()
        .reporter(|_| panic_any("reporter"))
        .build()
        .unwrap();
    let died = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            drop(spawn(async { panic!("a task") }));
            pending::<()>().await;
        });
    }));
    assert_eq!(message(died), "reporter");
    // It drops what it is given, whose destructor spawns.
    let kept: Rc<RefCell<Vec<JoinHandle<()>>>> = Rc::default();
    for _ in 0..2 {
        let theirs = Rc::clone(&kept);
        let guard = OnDrop(move || theirs.borrow_mut().push(spawn(async {})));
        let refused = catch_unwind(AssertUnwindSafe(|| {
            runtime.block_on(async move {
                let _guard = guard;
            });
        }));
        assert!(refused.is_err());
    }
    assert_eq!(kept.borrow().len(), 2);
    drop(kept.borrow_mut().pop());
    drop(runtime);
    let task = kept.borrow_mut().pop().unwrap();
    task.cancel();
    assert!(run(task).unwrap_err().is_cancelled());
}

#[test]
fn a_reporter_drops_its_own_runtime() {
    let place: Rc<RefCell<Option<Runtime>>> = Rc::default();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let (theirs, log, text) = (
        Rc::clone(&place),
        Rc::clone(&seen),
        String::from("it goes on: "),
    );
    let runtime = Builder::new()
        .reporter(move |error| {
            drop(theirs.borrow_mut().take());
            // What it captured is there, though the runtime that owned it is gone.
            log.borrow_mut().push(format!("{text}{error}"));
        })
        .build()
        .unwrap();
    let (failed, left) = runtime.block_on(async {
        let failed = spawn(async { panic!("a task") });
        let left = victim();
        yield_now().await;
        (failed, left)
    });
    *place.borrow_mut() = Some(runtime);
    drop(failed);
    assert_eq!(*seen.borrow(), ["it goes on: the task panicked: a task"]);
    assert!(place.borrow().is_none());
    use_up(left);
}

#[test]
fn a_handle_whose_reporter_panics_gives_its_task_back() {
    let alive = Arc::new(());
    let runtime = Builder::new()
        .reporter(|_| panic_any("reporter"))
        .build()
        .unwrap();
    let theirs = Arc::clone(&alive);
    let failed = runtime.block_on(async {
        let failed = spawn(async move { panic_any(theirs) });
        yield_now().await;
        failed
    });
    let outcome = catch_unwind(AssertUnwindSafe(move || drop(failed)));
    assert_eq!(message(outcome), "reporter");
    drop(runtime);
    assert_eq!(Arc::strong_count(&alive), 1);
}

/// A payload that panics when it is dropped.
fn panic_with_a_bomb() {
    panic_any(Bomb("payload"));
}

#[test]
fn a_payload_panics_when_it_is_dropped() {
    let runtime = Builder::new()
        .reporter(|_| {})
        .blocking_threads(1)
        .build()
        .unwrap();
    runtime.block_on(async {
        drop(spawn(async { panic_with_a_bomb() }));
        let late = spawn(async { panic_with_a_bomb() });
        yield_now().await;
        drop(late);
        drop(spawn_blocking(panic_with_a_bomb));
        // On one thread they run in order: the panic is there before its handle is dropped.
        let ended = spawn_blocking(panic_with_a_bomb);
        assert_eq!(spawn_blocking(|| 7).await.unwrap(), 7);
        drop(ended);
    });
    drop(runtime);
}

#[test]
fn a_waker_panics_while_blocking_work_ends() {
    let runtime = Builder::new().blocking_threads(1).build().unwrap();
    let value = runtime.block_on(async {
        let (begin, begins) = std::sync::mpsc::channel::<()>();
        let waker = Waker::from(Arc::new(Panics { woken: true }));
        let mut work = Box::pin(spawn_blocking(move || {
            begins.recv().unwrap_err();
        }));
        assert!(
            work.as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
        drop(begin);
        // The thread goes on.
        spawn_blocking(|| 7).await.unwrap()
    });
    assert_eq!(value, 7);
    drop(runtime); // waits for the thread
}

#[test]
fn a_waker_that_panics_costs_the_others_nothing() {
    run(async {
        let event = Rc::new(rondeau::Event::new());
        let waker = Waker::from(Arc::new(Panics { woken: true }));
        let mut first = Box::pin(event.wait());
        assert!(
            first
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
        let theirs = Rc::clone(&event);
        let second = spawn(async move { theirs.wait().await });
        yield_now().await;
        let set = catch_unwind(AssertUnwindSafe(|| event.set()));
        assert_eq!(message(set), "woken");
        second.await.unwrap();
    });
}
