//! A waker may be anybody's: its clone and its drop may run code that uses the very thing that is polled. Nothing is
//! borrowed or locked then, and what that code gives is not lost.

#![allow(clippy::unwrap_used, clippy::async_yields_async)]

use std::cell::RefCell;
use std::future::{Future, IntoFuture, pending};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};
use std::time::Duration;

use rondeau::{
    Event, Lock, Queue, Runtime, Semaphore, TcpListener, TcpStream, as_completed, fs, oneshot, run,
    sleep, spawn, yield_now,
};

/// What a waker does when it is cloned and when it is dropped.
type Does = Rc<dyn Fn(&str)>;

static TABLE: RawWakerVTable = RawWakerVTable::new(
    |data| {
        // SAFETY: as for all four: `data` comes from `Rc::into_raw` below, and these wakers stay on their thread.
        let does = unsafe { Rc::from_raw(data.cast::<Does>()) };
        does("clone");
        let twin = Rc::clone(&does);
        std::mem::forget(does);
        RawWaker::new(Rc::into_raw(twin).cast(), &TABLE)
    },
    |data| {
        // SAFETY: as above; this reference is given up.
        let does = unsafe { Rc::from_raw(data.cast::<Does>()) };
        does("wake");
    },
    |_| {},
    |data| {
        // SAFETY: as above; this reference is given up.
        let does = unsafe { Rc::from_raw(data.cast::<Does>()) };
        does("drop");
    },
);

/// A waker of somebody else's, for this thread alone. Each is another one.
fn waker(does: impl Fn(&str) + 'static) -> Waker {
    let does: Rc<Does> = Rc::new(Rc::new(does));
    // SAFETY: the table's functions expect what `Rc::into_raw` gives, with a reference each.
    unsafe { Waker::from_raw(RawWaker::new(Rc::into_raw(does).cast(), &TABLE)) }
}

/// Counts how often it is woken.
fn counts(woken: &'static std::cell::Cell<u32>) -> Waker {
    waker(|what| woken.set(woken.get() + u32::from(what == "wake")))
}

fn poll<F: Future + ?Sized>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

/// Polls with wakers that `touch` at each clone and drop, then drops the future: no borrow may be open at any time.
fn touched<F: IntoFuture>(make: impl Fn() -> F, touch: impl Fn() + Clone + 'static) {
    let fresh = || {
        let touch = touch.clone();
        waker(move |_| touch())
    };
    for polls in 1..4 {
        let mut future = Box::pin(make().into_future());
        for _ in 0..polls {
            if poll(future.as_mut(), &fresh()).is_ready() {
                break;
            }
        }
        drop(future);
    }
}

fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

#[test]
fn nothing_is_borrowed_in_queue_event_lock_and_semaphore() {
    let queue = leak(Queue::bounded(1));
    touched(
        || queue.get(),
        || {
            let _ = queue.put_nowait(1);
            let _ = queue.get_nowait();
        },
    );
    let full = leak(Queue::bounded(1));
    full.put_nowait(0).unwrap();
    touched(
        || full.put(1),
        || {
            let _ = full.get_nowait();
            let _ = full.put_nowait(2);
        },
    );
    let busy = leak(Queue::unbounded());
    busy.put_nowait(0).unwrap();
    touched(
        || busy.join(),
        || {
            busy.put_nowait(1).unwrap();
            busy.task_done();
        },
    );
    let event = leak(Event::new());
    touched(
        || event.wait(),
        || {
            event.set();
            event.clear();
        },
    );
    let semaphore = leak(Semaphore::new(0));
    touched(
        || semaphore.acquire(),
        || {
            semaphore.release();
            if let Some(permit) = semaphore.try_acquire() {
                permit.forget();
            }
        },
    );
    let lock = leak(Lock::new(()));
    let _held = lock.try_lock().unwrap();
    touched(|| lock.lock(), || assert!(lock.try_lock().is_none()));
}

#[test]
fn what_the_clone_of_a_waker_gives_is_taken_at_once() {
    let once = |does: Box<dyn Fn()>| {
        let does = RefCell::new(Some(does));
        waker(move |_| {
            let does = does.borrow_mut().take();
            if let Some(does) = does {
                does();
            }
        })
    };
    let queue = leak(Queue::bounded(1));
    let put = once(Box::new(|| queue.put_nowait(7).unwrap()));
    assert_eq!(poll(pin!(queue.get()), &put), Poll::Ready(7));

    queue.put_nowait(1).unwrap();
    let get = once(Box::new(|| assert_eq!(queue.get_nowait(), Ok(1))));
    assert!(poll(pin!(queue.put(2)), &get).is_ready());
    assert_eq!(queue.get_nowait(), Ok(2));

    let event = leak(Event::new());
    let set = once(Box::new(|| event.set()));
    assert!(poll(pin!(event.wait()), &set).is_ready());

    let semaphore = leak(Semaphore::new(0));
    let release = once(Box::new(|| semaphore.release()));
    assert!(poll(pin!(semaphore.acquire()), &release).is_ready());

    let (sender, mut receiver) = oneshot::channel();
    let sender = RefCell::new(Some(sender));
    let send = once(Box::new(move || {
        if let Some(sender) = sender.take() {
            sender.send(7).unwrap();
        }
    }));
    assert_eq!(poll(Pin::new(&mut receiver), &send), Poll::Ready(Ok(7)));
}

#[test]
fn what_the_drop_of_a_replaced_waker_gives_is_taken_at_once() {
    let queue = leak(Queue::bounded(1));
    let dropping = waker(move |what| {
        if what == "drop" {
            let _ = queue.put_nowait(7);
        }
    });
    let woken = leak(std::cell::Cell::new(0));
    let other = counts(woken);
    let mut get = queue.get();
    assert!(poll(Pin::new(&mut get), &dropping).is_pending());
    assert!(poll(Pin::new(&mut get), &other).is_pending());
    assert_eq!(woken.get(), 1, "the waker that took its place was woken");
    assert_eq!(poll(Pin::new(&mut get), &other), Poll::Ready(7));
    std::mem::forget(dropping);

    let (sender, mut receiver) = oneshot::channel::<u8>();
    let sender = RefCell::new(Some(sender));
    let dropping = waker(move |what| {
        if what == "drop" {
            drop(sender.take());
        }
    });
    assert!(poll(Pin::new(&mut receiver), &dropping).is_pending());
    assert!(poll(Pin::new(&mut receiver), &other).is_pending());
    assert_eq!(woken.get(), 2);
    assert_eq!(
        poll(Pin::new(&mut receiver), &other),
        Poll::Ready(Err(oneshot::Dropped))
    );
    std::mem::forget(dropping);
}

#[test]
fn nothing_is_borrowed_in_sleeps_tasks_and_gatherings() {
    run(async {
        touched(
            || sleep(Duration::from_secs(1000)),
            || {
                let mut other = pin!(sleep(Duration::from_secs(1000)));
                assert!(poll(other.as_mut(), Waker::noop()).is_pending());
            },
        );
        touched(|| spawn(pending::<()>()), || drop(spawn(async {})));
        touched(
            || async {
                let mut all = as_completed([pending::<()>()]);
                all.next().await
            },
            || drop(spawn(async {})),
        );
        yield_now().await;
    });
}

#[test]
fn a_child_that_the_clone_of_the_parents_waker_wakes_is_polled() {
    let child: &'static RefCell<Option<Waker>> = leak(RefCell::new(None));
    let mut all = as_completed([std::future::poll_fn(|cx| {
        *child.borrow_mut() = Some(cx.waker().clone());
        Poll::<()>::Pending
    })]);
    let woken = leak(std::cell::Cell::new(false));
    let parent = waker(move |_| {
        if let Some(child) = child.borrow_mut().take() {
            child.wake();
            woken.set(true);
        }
    });
    let mut next = Box::pin(all.next());
    assert!(poll(next.as_mut(), &parent).is_pending());
    assert!(woken.get());
    // The child counts as woken: the next look polls it.
    assert!(poll(next.as_mut(), Waker::noop()).is_pending());
    assert!(child.borrow().is_some(), "the child was polled again");
}

#[test]
fn nothing_is_borrowed_in_sockets_and_files() {
    let path = std::env::temp_dir().join(format!("rondeau-wakers-{}", std::process::id()));
    run(async {
        let listener = leak(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let addr = listener.local_addr().unwrap();
        let touch = move || {
            for _ in 0..2 {
                let mut accept = Box::pin(listener.accept());
                assert!(poll(accept.as_mut(), Waker::noop()).is_pending());
            }
        };
        touched(|| listener.accept(), touch);
        let stream = leak(TcpStream::connect(addr).await.unwrap());
        let (peer, _) = listener.accept().await.unwrap();
        let touch = move || {
            for _ in 0..2 {
                let mut buffer = [0; 4];
                let mut read = Box::pin(stream.read(&mut buffer));
                assert!(poll(read.as_mut(), Waker::noop()).is_pending());
            }
        };
        touched(
            || async {
                let mut buffer = [0; 4];
                stream.read(&mut buffer).await
            },
            touch,
        );
        // Nobody's place was lost.
        let reader = spawn(async {
            let mut buffer = [0; 4];
            stream.read(&mut buffer).await
        });
        yield_now().await;
        peer.write_all(b"hi").await.unwrap();
        assert_eq!(reader.await.unwrap().unwrap(), 2);

        fs::write(&path, "soup").await.unwrap();
        let theirs = path.clone();
        let touch = move || {
            let mut other = Box::pin(fs::metadata(theirs.clone()));
            assert!(poll(other.as_mut(), Waker::noop()).is_pending());
        };
        touched(|| fs::metadata(&path), touch);
        fs::remove_file(&path).await.unwrap();
    });
}

#[test]
fn a_runtime_that_a_joiners_waker_drops_ends_the_wait() {
    let runtime = Runtime::new().unwrap();
    let mut task = runtime.block_on(async { spawn(pending::<()>()) });
    let place = RefCell::new(Some(runtime));
    let ends = waker(move |_| drop(place.take()));
    let Poll::Ready(outcome) = poll(Pin::new(&mut task), &ends) else {
        panic!("its loop has ended")
    };
    assert!(outcome.unwrap_err().is_cancelled());
}
