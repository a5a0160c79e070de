//! A panic ends the task it happened in, is told to whoever awaits it, and is reported if nobody does.

#![allow(clippy::unwrap_used, clippy::async_yields_async)]

use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::Poll;

use rondeau::{run, spawn, yield_now};

/// Notes its drop.
struct Dropped(&'static str, Rc<RefCell<Vec<&'static str>>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.1.borrow_mut().push(self.0);
    }
}

#[test]
fn a_panic_ends_its_task_only() {
    run(async {
        let bystander = spawn(async {
            yield_now().await;
            "fine"
        });
        let dish = String::from("soup");
        let error = spawn(async move { panic!("burnt {dish}") })
            .await
            .unwrap_err();
        assert!(error.is_panic() && !error.is_cancelled());
        assert_eq!(error.message(), Some("burnt soup"));
        let payload = error.into_panic().expect("it is a panic");
        assert_eq!(payload.downcast_ref::<String>().unwrap(), "burnt soup");
        assert_eq!(bystander.await.unwrap(), "fine");
        let error = spawn(async { std::panic::panic_any(7) }).await.unwrap_err();
        assert_eq!(
            (error.message(), error.to_string().as_str()),
            (None, "the task panicked")
        );
    });
}

/// Panics when dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("bomb");
        }
    }
}

#[test]
fn a_destructor_that_panics_is_the_tasks_panic() {
    run(async {
        let held = Bomb;
        let cancelled = spawn(async move {
            let _held = held;
            pending::<()>().await;
        });
        yield_now().await;
        cancelled.cancel();
        assert_eq!(cancelled.await.unwrap_err().message(), Some("bomb"));

        let held = Bomb;
        let mut once = Some(held);
        let completing = spawn(poll_fn(move |_| {
            let _ = &mut once; // dropped with the future, after its value was given
            Poll::Ready(Dropped("value", Rc::default()))
        }));
        assert_eq!(
            completing.await.map(|_| ()).unwrap_err().message(),
            Some("bomb")
        );
    });
}

#[test]
fn a_panic_that_nobody_awaits_is_reported_once() {
    let seen: Rc<RefCell<Vec<String>>> = Rc::default();
    let log = Rc::clone(&seen);
    let runtime = rondeau::Builder::new()
        .reporter(move |error| {
            log.borrow_mut()
                .push(error.message().unwrap_or("?").to_owned())
        })
        .build()
        .unwrap();
    let outlives = runtime.block_on(async {
        drop(spawn(async { panic!("detached") }));
        let dropped_later = spawn(async { panic!("dropped later") });
        drop(spawn(async { Bomb })); // the value's destructor panics
        let awaited = spawn(async { panic!("awaited") });
        yield_now().await;
        drop(dropped_later);
        assert!(awaited.await.unwrap_err().is_panic());
        spawn(async { panic!("at the end") })
    });
    runtime.block_on(yield_now());
    assert_eq!(*seen.borrow(), ["detached", "bomb", "dropped later"]);
    drop(outlives); // not inside the loop, but it still reports there
    assert_eq!(seen.borrow().len(), 4);
}

#[test]
fn the_root_panics_through_run_and_takes_its_tasks_along() {
    let drops: Rc<RefCell<Vec<&'static str>>> = Rc::default();
    let guard = Dropped("task", Rc::clone(&drops));
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        run(async {
            drop(spawn(async move {
                let _guard = guard;
                pending::<()>().await;
            }));
            yield_now().await;
            panic!("root");
        })
    }));
    let payload = outcome.unwrap_err();
    assert_eq!(*payload.downcast_ref::<&str>().unwrap(), "root");
    assert_eq!(*drops.borrow(), ["task"]);
}
