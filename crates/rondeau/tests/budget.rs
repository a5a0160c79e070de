//! A task whose operations are always ready gives the others their turn, and the kernel and the timers theirs.

#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::future::Future;
use std::io::{Read, Write};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use rondeau::{
    Event, Instant, Lock, Queue, Semaphore, TcpListener, run, sleep, sleep_until, spawn, yield_now,
};

/// Runs `ready` over and over until a sleep beside it has ended; fails if that never happens.
async fn beside_a_sleep(what: &str, mut ready: impl AsyncFnMut()) {
    let slept = Rc::new(Cell::new(false));
    let theirs = Rc::clone(&slept);
    let nap = spawn(async move {
        sleep(Duration::from_millis(1)).await;
        theirs.set(true);
    });
    yield_now().await;
    let mut operations: u64 = 0;
    while !slept.get() {
        ready().await;
        operations += 1;
        assert!(operations < 50_000_000, "{what} lets nobody else run");
    }
    nap.await.unwrap();
}

#[test]
fn what_is_always_ready_lets_a_sleep_end() {
    run(async {
        let queue = Queue::unbounded();
        beside_a_sleep("get", async || {
            queue.put_nowait(1).unwrap();
            queue.get().await;
        })
        .await;
        let small = Queue::bounded(1);
        beside_a_sleep("put", async || {
            small.put(1).await;
            small.get_nowait().unwrap();
        })
        .await;
        let idle: Queue<()> = Queue::unbounded();
        beside_a_sleep("join", async || idle.join().await).await;
        let semaphore = Semaphore::new(1);
        beside_a_sleep("acquire", async || drop(semaphore.acquire().await)).await;
        let lock = Lock::new(());
        beside_a_sleep("lock", async || drop(lock.lock().await)).await;
        let event = Event::new();
        event.set();
        beside_a_sleep("wait", async || event.wait().await).await;
        let past = Instant::now();
        beside_a_sleep("sleep_until", async || sleep_until(past).await).await;
    });
}

#[test]
fn a_peer_that_floods_lets_a_sleep_end() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let flood = std::thread::spawn(move || {
            let mut peer = std::net::TcpStream::connect(addr).unwrap();
            while peer.write_all(&[0; 1 << 16]).is_ok() {}
        });
        let (stream, _) = listener.accept().await.unwrap();
        let mut buffer = vec![0; 256];
        beside_a_sleep("read", async || {
            assert!(stream.read(&mut buffer).await.unwrap() > 0);
        })
        .await;
        drop(stream);
        flood.join().unwrap();

        let drain = std::thread::spawn(move || {
            let mut peer = std::net::TcpStream::connect(addr).unwrap();
            let mut buffer = vec![0; 1 << 20];
            while peer.read(&mut buffer).is_ok_and(|n| n > 0) {}
        });
        let (stream, _) = listener.accept().await.unwrap();
        beside_a_sleep("write", async || {
            stream.write_all(&[0; 16]).await.unwrap();
        })
        .await;
        drop(stream);
        drain.join().unwrap();
    });
}

#[test]
fn connections_are_accepted_a_few_at_a_time() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let mut peers = Vec::new();
        for _ in 0..100 {
            peers.push(std::net::TcpStream::connect(addr).unwrap());
        }
        let turns = Rc::new(Cell::new(0));
        let theirs = Rc::clone(&turns);
        let other = spawn(async move {
            loop {
                yield_now().await;
                theirs.set(theirs.get() + 1);
            }
        });
        for _ in 0..100 {
            listener.accept().await.unwrap();
        }
        assert!(turns.get() >= 5, "{} turns", turns.get());
        other.cancel();
    });
}

#[test]
fn a_put_without_a_limit_never_waits() {
    let queue = Queue::unbounded();
    let mut cx = Context::from_waker(Waker::noop());
    for item in 0..1000 {
        assert!(pin!(queue.put(item)).poll(&mut cx).is_ready());
    }
}

#[test]
fn giving_the_turn_takes_nothing_and_wakes() {
    struct Counts(std::sync::atomic::AtomicUsize);
    impl Wake for Counts {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }
    let counts = Arc::new(Counts(0.into()));
    let waker = Waker::from(Arc::clone(&counts));
    let mut cx = Context::from_waker(&waker);
    let queue = Queue::unbounded();
    for item in 0..1000 {
        queue.put_nowait(item).unwrap();
    }
    // As an executor within a task polls: over and over.
    let mut got = Vec::new();
    let mut given = 0;
    while got.len() < 1000 {
        match pin!(queue.get()).poll(&mut cx) {
            Poll::Ready(item) => got.push(item),
            Poll::Pending => given += 1,
        }
    }
    assert!(got.iter().copied().eq(0..1000));
    assert!((1..20).contains(&given), "{given}");
    assert_eq!(counts.0.load(std::sync::atomic::Ordering::Relaxed), given);
}

#[test]
fn two_who_are_always_ready_take_turns() {
    run(async {
        let queue = Rc::new(Queue::unbounded());
        let order = Rc::new(std::cell::RefCell::new(Vec::new()));
        let mut tasks = Vec::new();
        for name in ["a", "b"] {
            let (queue, order) = (Rc::clone(&queue), Rc::clone(&order));
            tasks.push(spawn(async move {
                for _ in 0..1000 {
                    queue.put_nowait(()).unwrap();
                    queue.get().await;
                    order.borrow_mut().push(name);
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        let order = order.borrow();
        let changes = order.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!(changes > 10, "{changes}");
    });
}
