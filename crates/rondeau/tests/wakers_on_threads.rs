//! A waker may be cloned, used and dropped on any thread, at any time of its task's life and of its loop's.

#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::task::{Poll, Waker};
use std::thread;

use rondeau::{Runtime, oneshot, run, spawn, yield_now};

/// A task's waker, taken out at its first poll; the task ends when `ready` says so.
async fn give_waker(to: oneshot::Sender<Waker>, ready: Arc<AtomicUsize>) {
    let mut to = Some(to);
    poll_fn(|cx| {
        if let Some(to) = to.take() {
            to.send(cx.waker().clone()).unwrap();
        }
        if ready.load(Ordering::Relaxed) > 0 {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

#[test]
fn a_wake_from_another_thread_ends_the_loops_sleep() {
    run(async {
        let (to, waker) = oneshot::channel();
        let ready = Arc::new(AtomicUsize::new(0));
        let task = spawn(give_waker(to, Arc::clone(&ready)));
        let waker = waker.await.unwrap();
        let thread = thread::spawn(move || {
            ready.store(1, Ordering::Relaxed); // published by the wake
            waker.wake();
        });
        task.await.unwrap();
        thread.join().unwrap();
    });
}

#[test]
fn a_wake_by_reference_and_a_clone_work_as_well() {
    run(async {
        let (to, waker) = oneshot::channel();
        let ready = Arc::new(AtomicUsize::new(0));
        let task = spawn(give_waker(to, Arc::clone(&ready)));
        let waker = waker.await.unwrap();
        thread::spawn(move || {
            let clones: Vec<Waker> = (0..10).map(|_| waker.clone()).collect();
            drop(waker);
            ready.store(1, Ordering::Relaxed);
            clones.iter().for_each(Waker::wake_by_ref);
            clones.iter().for_each(Waker::wake_by_ref);
        });
        task.await.unwrap();
    });
}

#[test]
fn after_completion_a_waker_elsewhere_is_harmless_and_frees_the_task_at_home() {
    run(async {
        let (to, waker) = oneshot::channel();
        let task = spawn(give_waker(to, Arc::new(AtomicUsize::new(1))));
        let waker = waker.await.unwrap();
        task.await.unwrap();
        let second = waker.clone();
        thread::spawn(move || {
            waker.wake_by_ref();
            let third = waker.clone();
            waker.wake();
            drop(third);
        })
        .join()
        .unwrap();
        yield_now().await;
        second.wake_by_ref();
    });
}

#[test]
fn references_made_here_may_end_there_and_the_reverse() {
    run(async {
        let (to, waker) = oneshot::channel();
        let ready = Arc::new(AtomicUsize::new(0));
        let task = spawn(give_waker(to, Arc::clone(&ready)));
        let waker = waker.await.unwrap();
        let (send, receive) = mpsc::channel();
        let made_here: Vec<Waker> = (0..5).map(|_| waker.clone()).collect();
        thread::spawn(move || {
            drop(made_here); // counted at home, dropped here: sent home
            for _ in 0..5 {
                send.send(waker.clone()).unwrap(); // counted here
            }
        })
        .join()
        .unwrap();
        let made_there: Vec<Waker> = receive.iter().collect();
        ready.store(1, Ordering::Relaxed);
        made_there[0].wake_by_ref();
        task.await.unwrap();
        drop(made_there); // the last ones of all, dropped at home
    });
}

#[test]
fn the_last_references_may_all_be_elsewhere() {
    run(async {
        for wake in [false, true] {
            let (to, waker) = oneshot::channel();
            let task = spawn(give_waker(to, Arc::new(AtomicUsize::new(1))));
            let waker = waker.await.unwrap();
            task.await.unwrap();
            let there = thread::spawn(move || {
                let clones = [waker.clone(), waker.clone(), waker];
                clones
                    .into_iter()
                    .for_each(|waker| if wake { waker.wake() } else { drop(waker) });
            });
            there.join().unwrap();
            yield_now().await; // the mail is collected
        }
    });
}

#[test]
fn wakers_outlive_their_loop() {
    let runtime = Runtime::new().unwrap();
    let waker = runtime.block_on(async {
        let (to, waker) = oneshot::channel();
        drop(spawn(give_waker(to, Arc::default())));
        waker.await.unwrap()
    });
    let elsewhere = waker.clone();
    drop(runtime);
    waker.wake_by_ref();
    let clone = waker.clone();
    let there = thread::spawn(move || {
        elsewhere.wake_by_ref();
        let clone = elsewhere.clone();
        elsewhere.wake();
        clone.wake();
    });
    drop(clone);
    waker.wake();
    there.join().unwrap();
    // The same address may now be another loop's; nothing above belongs to it.
    run(yield_now());
}

#[test]
fn mail_on_its_way_when_the_loop_ends_is_dropped() {
    for _ in 0..20 {
        let runtime = Runtime::new().unwrap();
        let waker = runtime.block_on(async {
            let (to, waker) = oneshot::channel();
            drop(spawn(give_waker(to, Arc::default())));
            waker.await.unwrap()
        });
        let start = Arc::new(Barrier::new(3));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (waker, start) = (waker.clone(), Arc::clone(&start));
                thread::spawn(move || {
                    start.wait();
                    for _ in 0..200 {
                        waker.wake_by_ref();
                        drop(waker.clone());
                    }
                })
            })
            .collect();
        drop(waker);
        start.wait();
        drop(runtime);
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    }
}

#[test]
fn many_threads_wake_many_tasks_and_no_wake_is_lost() {
    const TASKS: usize = 50;
    const WAKES: usize = 400;
    run(async {
        let mut tasks = Vec::new();
        let mut threads = Vec::new();
        for _ in 0..TASKS {
            let done = Arc::new(AtomicUsize::new(0));
            let (to, waker) = oneshot::channel();
            let (mut to, seen) = (Some(to), Arc::clone(&done));
            let polls = Cell::new(0);
            tasks.push(spawn(poll_fn(move |cx| {
                polls.set(polls.get() + 1);
                if let Some(to) = to.take() {
                    to.send(cx.waker().clone()).unwrap();
                }
                if seen.load(Ordering::Relaxed) == WAKES {
                    Poll::Ready(polls.get())
                } else {
                    Poll::Pending
                }
            })));
            let waker = waker.await.unwrap();
            threads.push((waker, done));
        }
        let threads: Vec<_> = threads
            .chunks(TASKS / 5)
            .map(|chunk| {
                let chunk = chunk.to_vec();
                thread::spawn(move || {
                    for _ in 0..WAKES {
                        for (waker, done) in &chunk {
                            done.fetch_add(1, Ordering::Relaxed);
                            waker.wake_by_ref();
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            assert!(task.await.unwrap() <= WAKES + 1);
        }
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn between_two_runs_a_wake_waits_for_the_next() {
    let runtime = Runtime::new().unwrap();
    let (waker, task, ready) = runtime.block_on(async {
        let (to, waker) = oneshot::channel();
        let ready = Arc::new(AtomicUsize::new(0));
        let task = spawn(give_waker(to, Arc::clone(&ready)));
        (waker.await.unwrap(), task, ready)
    });
    ready.store(1, Ordering::Relaxed);
    waker.wake(); // on the loop's thread, but the loop is not entered
    runtime.block_on(task).unwrap();
}

#[test]
fn one_loops_wakers_in_anothers_tasks() {
    let outer = Runtime::new().unwrap();
    let (waker, task, ready) = outer.block_on(async {
        let (to, waker) = oneshot::channel();
        let ready = Arc::new(AtomicUsize::new(0));
        let task = spawn(give_waker(to, Arc::clone(&ready)));
        (waker.await.unwrap(), task, ready)
    });
    let polls = Rc::new(Cell::new(0));
    run(async {
        ready.store(1, Ordering::Relaxed);
        let clone = waker.clone();
        clone.wake();
        polls.set(1);
    });
    drop(waker);
    outer.block_on(task).unwrap();
    assert_eq!(polls.get(), 1);
}
