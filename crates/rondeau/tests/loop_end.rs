//! When a loop ends, every task is dropped, whatever its destructors do; nothing is leaked and nothing touched twice.

#![allow(clippy::unwrap_used, clippy::async_yields_async)]

use std::cell::RefCell;
use std::future::{Future, pending, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use rondeau::{
    Event, Queue, Runtime, Sleep, TcpListener, oneshot, run, sleep, spawn, spawn_blocking,
    yield_now,
};

type Log = Rc<RefCell<Vec<String>>>;

/// Does something when dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn all_tasks_are_dropped_whatever_they_wait_for() {
    let alive = Rc::new(());
    run(async {
        let queue: Rc<Queue<u8>> = Rc::new(Queue::bounded(1));
        let event = Rc::new(Event::new());
        for i in 0..60_u8 {
            let (alive, queue, event) = (Rc::clone(&alive), Rc::clone(&queue), Rc::clone(&event));
            drop(spawn(async move {
                let _alive = alive;
                match i % 6 {
                    0 => sleep(Duration::from_secs(1000)).await,
                    1 => queue.put(i).await,
                    2 => event.wait().await,
                    3 => pending::<()>().await,
                    4 => drop(
                        TcpListener::bind("127.0.0.1:0")
                            .await
                            .unwrap()
                            .accept()
                            .await,
                    ),
                    _ => loop {
                        yield_now().await;
                    },
                }
                if i % 6 != 1 {
                    unreachable!("nobody ends task {i}");
                }
                pending::<()>().await
            }));
        }
        yield_now().await;
        yield_now().await;
    });
    assert_eq!(Rc::strong_count(&alive), 1);
}

#[test]
fn destructors_may_spawn_and_what_they_spawn_is_cancelled() {
    let log: Log = Rc::default();
    let handles = Rc::new(RefCell::new(Vec::new()));
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let (log, handles) = (Rc::clone(&log), Rc::clone(&handles));
        drop(spawn(async move {
            let _guard = OnDrop(move || {
                log.borrow_mut().push("first".into());
                let inner = Rc::clone(&log);
                handles.borrow_mut().push(spawn(async move {
                    let _second = OnDrop(|| {
                        inner
                            .borrow_mut()
                            .push("never made: it is not polled".into())
                    });
                    pending::<()>().await;
                }));
            });
            pending::<()>().await;
        }));
        yield_now().await;
    });
    drop(runtime);
    assert_eq!(*log.borrow(), ["first"]);
    let handle = handles.borrow_mut().pop().unwrap();
    assert!(handle.is_finished());
    assert!(run(handle).unwrap_err().is_cancelled());
}

#[test]
fn destructors_may_wake_each_other_and_themselves_and_cancel() {
    let wakers: Rc<RefCell<Vec<Waker>>> = Rc::default();
    let handles: Rc<RefCell<Vec<rondeau::JoinHandle<()>>>> = Rc::default();
    let count = Rc::new(());
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        for _ in 0..10 {
            let (all, others, count) = (Rc::clone(&wakers), Rc::clone(&handles), Rc::clone(&count));
            let task = spawn(async move {
                let theirs = Rc::clone(&all);
                let _guard = OnDrop(move || {
                    let _count = &count;
                    for waker in theirs.borrow().iter() {
                        waker.wake_by_ref();
                    }
                    for handle in others.borrow().iter() {
                        handle.cancel();
                    }
                    others.borrow_mut().pop();
                });
                poll_fn(|cx| {
                    all.borrow_mut().push(cx.waker().clone());
                    Poll::<()>::Pending
                })
                .await;
            });
            handles.borrow_mut().push(task);
        }
        yield_now().await;
        assert_eq!(wakers.borrow().len(), 10);
    });
    drop(runtime);
    assert_eq!(Rc::strong_count(&count), 1);
    assert!(handles.borrow().is_empty());
    for waker in wakers.take() {
        waker.wake();
    }
}

#[test]
fn handles_outlive_their_loop() {
    let runtime = Runtime::new().unwrap();
    let (finished, unfinished, unawaited) = runtime.block_on(async {
        let finished = spawn(async { String::from("value") });
        let unawaited = spawn(async { String::from("dropped with its handle") });
        let unfinished = spawn(pending::<u8>());
        yield_now().await;
        (finished, unfinished, unawaited)
    });
    drop(runtime);
    unfinished.cancel();
    assert!(finished.is_finished() && unfinished.is_finished());
    assert_eq!(run(finished).unwrap(), "value");
    assert!(run(unfinished).unwrap_err().is_cancelled());
    drop(unawaited);
}

#[test]
fn sleeps_and_sockets_outlive_their_loop() {
    let (timer, listener): (Sleep, TcpListener) = run(async {
        let mut timer = sleep(Duration::from_secs(1000));
        poll_fn(|cx| {
            assert!(
                std::pin::Pin::new(&mut timer)
                    .as_mut()
                    .poll(cx)
                    .is_pending()
            );
            Poll::Ready(())
        })
        .await;
        (timer, TcpListener::bind("127.0.0.1:0").await.unwrap())
    });
    run(async {
        // In another loop, whose timers and sockets have the same numbers: they must not be hit.
        let own = spawn(sleep(Duration::from_millis(1)));
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        yield_now().await;
        drop(timer);
        drop(listener);
        own.await.unwrap();
        let addr = server.local_addr().unwrap();
        let (accepted, connected) =
            rondeau::gather!(server.accept(), rondeau::TcpStream::connect(addr));
        accepted.unwrap();
        connected.unwrap();
    });
}

#[test]
fn started_blocking_work_is_waited_for_and_the_rest_is_dropped() {
    let (started, starts) = std::sync::mpsc::channel();
    let (finish, finishes) = std::sync::mpsc::channel::<()>();
    let (done, dones) = std::sync::mpsc::channel();
    let runtime = rondeau::Builder::new().blocking_threads(1).build().unwrap();
    let waiting = runtime.block_on(async {
        drop(spawn_blocking(move || {
            started.send(()).unwrap();
            finishes.recv().unwrap_err(); // until the task that holds the sender is dropped
            done.send(()).unwrap();
        }));
        drop(spawn(async move {
            let _finish = finish;
            pending::<()>().await;
        }));
        starts.recv().unwrap();
        spawn_blocking(|| unreachable!("the only thread is taken"))
    });
    drop(runtime);
    dones.try_recv().expect("the end waited for the work");
    assert!(run(waiting).unwrap_err().is_cancelled());
}

#[test]
fn a_runtime_dropped_within_anothers_task_ends_in_its_own_name() {
    let log: Log = Rc::default();
    let inner = Runtime::new().unwrap();
    let seen = Rc::clone(&log);
    inner.block_on(async {
        drop(spawn(async move {
            let _guard = OnDrop(|| {
                // Spawns on the loop that ends, not on the outer one.
                let born_dead = spawn(async {});
                seen.borrow_mut()
                    .push(format!("finished: {}", born_dead.is_finished()));
            });
            pending::<()>().await;
        }));
        yield_now().await;
    });
    run(async {
        let other = spawn(async { 1 });
        drop(inner);
        assert_eq!(other.await.unwrap(), 1);
    });
    assert_eq!(*log.borrow(), ["finished: true"]);
}

#[test]
fn a_waker_that_panics_ends_the_loop_and_not_the_borrows() {
    struct Panics;
    impl std::task::Wake for Panics {
        fn wake(self: std::sync::Arc<Self>) {
            panic!("a waker of someone else's");
        }
    }
    let drops: Log = Rc::default();
    let runtime = Runtime::new().unwrap();
    let borrowed = String::from("borrowed");
    let kept = RefCell::new(None);
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        runtime.block_on(async {
            let text = &borrowed;
            let _guard = OnDrop(|| drops.borrow_mut().push(text.clone()));
            let mut task = spawn(yield_now());
            let panics = Waker::from(std::sync::Arc::new(Panics));
            let mut cx = std::task::Context::from_waker(&panics);
            assert!(std::pin::Pin::new(&mut task).poll(&mut cx).is_pending());
            *kept.borrow_mut() = Some(task); // without its handle the wake would not come
            pending::<()>().await;
        });
    }));
    assert!(outcome.is_err());
    assert_eq!(*drops.borrow(), ["borrowed"], "dropped before run returned");
    let later =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(async {})));
    assert!(later.is_err(), "such a loop is not used again");
}

#[test]
fn a_thousand_loops_leave_no_descriptor() {
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    run(async {});
    // Other tests of this process open some meanwhile; a leak would show a thousandfold.
    let before = open();
    for _ in 0..1000 {
        run(async {
            let (sender, receiver) = oneshot::channel();
            drop(spawn(async move { sender.send(1) }));
            receiver.await.unwrap();
        });
    }
    assert!(open() < before + 500);
}
