//! Who runs when: turns, fairness, and the order in which waiting tasks are served.

#![allow(clippy::unwrap_used)]

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use rondeau::{
    Event, Lock, Queue, QueueEmpty, QueueFull, Semaphore, gather, run, spawn, yield_now,
};

type Log = Rc<RefCell<Vec<String>>>;

#[test]
fn tasks_run_in_the_order_of_their_spawns_one_poll_a_turn() {
    let log: Log = Rc::default();
    run(async {
        let tasks: Vec<_> = (0..3)
            .map(|i| {
                let log = Rc::clone(&log);
                spawn(async move {
                    for turn in 0..3 {
                        log.borrow_mut().push(format!("{i}.{turn}"));
                        yield_now().await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert_eq!(
        log.borrow().join(" "),
        "0.0 1.0 2.0 0.1 1.1 2.1 0.2 1.2 2.2"
    );
}

#[test]
fn what_a_task_wakes_runs_in_the_next_turn() {
    run(async {
        let turns = Rc::new(Cell::new(0));
        let counter = Rc::clone(&turns);
        drop(spawn(async move {
            loop {
                counter.set(counter.get() + 1);
                yield_now().await;
            }
        }));
        // A chain of spawns: each link runs one turn later.
        fn chain(left: u32, turns: Rc<Cell<u32>>) -> std::pin::Pin<Box<dyn Future<Output = u32>>> {
            Box::pin(async move {
                if left == 0 {
                    turns.get()
                } else {
                    spawn(chain(left - 1, turns)).await.unwrap()
                }
            })
        }
        yield_now().await;
        let before = turns.get();
        let at_the_end = chain(5, Rc::clone(&turns)).await;
        assert_eq!(at_the_end - before, 5);
    });
}

#[test]
fn a_queue_hands_items_to_getters_in_the_order_of_their_arrival() {
    let log: Log = Rc::default();
    run(async {
        let queue = Rc::new(Queue::unbounded());
        let getters: Vec<_> = (0..3)
            .map(|i| {
                let (queue, log) = (Rc::clone(&queue), Rc::clone(&log));
                spawn(async move {
                    let item: u32 = queue.get().await;
                    log.borrow_mut().push(format!("{i} got {item}"));
                })
            })
            .collect();
        yield_now().await;
        queue.put_nowait(10).unwrap();
        queue.put_nowait(11).unwrap();
        // Both are promised: a latecomer does not get in between the wake and the run.
        assert_eq!(queue.get_nowait(), Err(QueueEmpty));
        assert!(queue.is_empty());
        queue.put(12).await;
        for getter in getters {
            getter.await.unwrap();
        }
    });
    assert_eq!(log.borrow().join(", "), "0 got 10, 1 got 11, 2 got 12");
}

#[test]
fn a_bounded_queue_takes_from_putters_in_the_order_of_their_arrival() {
    run(async {
        let queue = Rc::new(Queue::bounded(2));
        let putters: Vec<_> = (0..5)
            .map(|i| {
                let queue = Rc::clone(&queue);
                spawn(async move { queue.put(i).await })
            })
            .collect();
        yield_now().await;
        assert!(queue.is_full());
        assert_eq!((queue.len(), queue.capacity()), (2, Some(2)));
        assert!(matches!(queue.put_nowait(99), Err(QueueFull(99))));
        for i in 0..5 {
            assert_eq!(queue.get().await, i);
        }
        assert_eq!(queue.get_nowait(), Err(QueueEmpty));
        for putter in putters {
            putter.await.unwrap();
        }
    });
}

#[test]
fn a_cancelled_getter_loses_no_item() {
    run(async {
        let queue = Rc::new(Queue::unbounded());
        let get = || {
            let queue = Rc::clone(&queue);
            spawn(async move { queue.get().await })
        };
        let (first, second, third) = (get(), get(), get());
        yield_now().await;
        second.cancel(); // while it waits
        yield_now().await;
        queue.put_nowait('a').unwrap();
        first.cancel(); // with an item in its hand: it goes to the third
        yield_now().await;
        assert_eq!(third.await.unwrap(), 'a');
        assert!(first.await.is_err() && second.await.is_err());

        let alone = get();
        yield_now().await;
        queue.put_nowait('b').unwrap();
        queue.put_nowait('c').unwrap();
        alone.cancel(); // nobody else waits: back to the front
        yield_now().await;
        assert_eq!((queue.get().await, queue.get().await), ('b', 'c'));
    });
}

#[test]
fn a_cancelled_putter_leaves_no_item() {
    run(async {
        let queue = Rc::new(Queue::bounded(1));
        let put = |item| {
            let queue = Rc::clone(&queue);
            spawn(async move { queue.put(item).await })
        };
        let (_first, second, third) = (put(1), put(2), put(3));
        yield_now().await;
        second.cancel();
        yield_now().await;
        assert_eq!(queue.get().await, 1);
        third.await.unwrap();
        assert_eq!(queue.get().await, 3);
        assert!(queue.is_empty());
    });
}

#[test]
fn join_waits_for_every_task_done() {
    run(async {
        let queue = Rc::new(Queue::unbounded());
        queue.join().await; // nothing was put
        for item in 0..3 {
            queue.put(item).await;
        }
        let joiner = {
            let queue = Rc::clone(&queue);
            spawn(async move { queue.join().await })
        };
        for _ in 0..3 {
            assert!(!joiner.is_finished());
            queue.get().await;
            queue.task_done();
            yield_now().await;
        }
        joiner.await.unwrap();
        let over = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| queue.task_done()))
            .unwrap_err();
        assert_eq!(
            *over.downcast_ref::<&str>().unwrap(),
            "task_done() called too many times"
        );
    });
}

#[test]
fn an_item_whose_destructor_uses_the_queue_is_dropped_outside_its_borrow() {
    struct Nosy(Rc<Queue<Nosy>>);
    impl Drop for Nosy {
        fn drop(&mut self) {
            let _ = self.0.len();
        }
    }
    run(async {
        let queue = Rc::new(Queue::bounded(1));
        queue.put(Nosy(Rc::clone(&queue))).await;
        let waiting = {
            let queue = Rc::clone(&queue);
            spawn(async move { queue.put(Nosy(Rc::clone(&queue))).await })
        };
        yield_now().await;
        waiting.cancel();
        assert!(waiting.await.is_err());
        drop(queue.get().await);
    });
}

#[test]
fn an_event_lets_everyone_through_even_if_it_is_cleared_at_once() {
    run(async {
        let event = Rc::new(Event::new());
        let wait = || {
            let event = Rc::clone(&event);
            spawn(async move { event.wait().await })
        };
        let (first, second, third) = (wait(), wait(), wait());
        yield_now().await;
        second.cancel();
        yield_now().await;
        event.set();
        event.clear();
        first.await.unwrap();
        third.await.unwrap();
        let fourth = wait();
        yield_now().await;
        yield_now().await;
        assert!(!fourth.is_finished() && !event.is_set());
        event.set();
        fourth.await.unwrap();
        event.wait().await; // does not wait
    });
}

#[test]
fn a_semaphores_permits_go_round_in_order() {
    let log: Log = Rc::default();
    run(async {
        let semaphore = Rc::new(Semaphore::new(2));
        let tasks: Vec<_> = (0..5)
            .map(|i| {
                let (semaphore, log) = (Rc::clone(&semaphore), Rc::clone(&log));
                spawn(async move {
                    let _permit = semaphore.acquire().await;
                    log.borrow_mut().push(i.to_string());
                    yield_now().await;
                })
            })
            .collect();
        yield_now().await;
        assert_eq!(log.borrow().len(), 2);
        assert!(semaphore.try_acquire().is_none());
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(semaphore.available(), 2);
        semaphore.acquire().await.forget();
        semaphore.release();
        semaphore.release();
        assert_eq!(semaphore.available(), 3);
    });
    assert_eq!(log.borrow().join(""), "01234");
}

#[test]
fn a_permit_on_its_way_to_a_cancelled_task_goes_to_the_next() {
    run(async {
        let semaphore = Rc::new(Semaphore::new(1));
        let permit = semaphore.try_acquire().unwrap();
        let acquire = || {
            let semaphore = Rc::clone(&semaphore);
            spawn(async move { drop(semaphore.acquire().await) })
        };
        let (first, second) = (acquire(), acquire());
        yield_now().await;
        drop(permit);
        assert!(
            semaphore.try_acquire().is_none(),
            "it is promised to the first"
        );
        first.cancel();
        second.await.unwrap();
        assert!(first.await.is_err());
        assert_eq!(semaphore.available(), 1);
    });
}

#[test]
fn a_lock_is_held_across_awaits_and_passed_on_in_order() {
    run(async {
        let lock = Lock::new(Vec::new());
        let add = |i| {
            let lock = &lock;
            async move {
                let mut list = lock.lock().await;
                let before = list.len();
                yield_now().await;
                assert_eq!(list.len(), before, "nobody else got in");
                list.push(i);
            }
        };
        gather!(add(0), add(1), add(2), async {
            assert!(lock.is_locked() && lock.try_lock().is_none());
        });
        assert_eq!(*lock.try_lock().unwrap(), [0, 1, 2]);
        assert_eq!(lock.into_inner(), [0, 1, 2]);
    });
}

#[test]
fn a_lock_survives_the_panic_of_its_owner() {
    run(async {
        let lock = Rc::new(Lock::new(1));
        let theirs = Rc::clone(&lock);
        let task = spawn(async move {
            let _guard = theirs.lock().await;
            panic!("with the lock in its hand");
        });
        assert!(task.await.unwrap_err().is_panic());
        assert_eq!(*lock.lock().await, 1);
    });
}
