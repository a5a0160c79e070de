//! Blocking work: values, panics, the bound, and the runtime's own choice of driver.

#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use rondeau::{Builder, gather_all, oneshot, run, spawn, spawn_blocking, yield_now};

#[test]
fn values_come_back_to_whoever_awaits() {
    run(async {
        let own = thread::current().id();
        let there = spawn_blocking(|| thread::current().id()).await.unwrap();
        assert_ne!(own, there);
    });
}

#[test]
fn a_panic_comes_back_as_an_error_and_the_thread_goes_on() {
    let runtime = Builder::new().blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let first = spawn_blocking(|| thread::current().id()).await.unwrap();
        let error = spawn_blocking(|| panic!("dropped a plate"))
            .await
            .unwrap_err();
        assert_eq!(error.message(), Some("dropped a plate"));
        assert_eq!(
            spawn_blocking(|| thread::current().id()).await.unwrap(),
            first
        );
    });
}

#[test]
fn no_more_threads_than_the_bound() {
    let runtime = Builder::new().blocking_threads(3).build().unwrap();
    runtime.block_on(async {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let ids = gather_all((0..50).map(|_| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            spawn_blocking(move || {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                thread::yield_now();
                now.fetch_sub(1, Ordering::SeqCst);
                thread::current().id()
            })
        }))
        .await;
        let ids: HashSet<_> = ids.into_iter().map(Result::unwrap).collect();
        assert!(ids.len() <= 3 && most.load(Ordering::SeqCst) <= 3);
    });
}

#[test]
fn as_many_at_once_as_the_bound_allows() {
    let runtime = Builder::new().blocking_threads(4).build().unwrap();
    runtime.block_on(async {
        // Each waits for the three others: with fewer threads this would never end.
        let meet = Arc::new(Barrier::new(4));
        let work = (0..4).map(|_| {
            let meet = Arc::clone(&meet);
            spawn_blocking(move || meet.wait().is_leader())
        });
        let leaders = gather_all(work)
            .await
            .into_iter()
            .filter(|leads| *leads.as_ref().unwrap())
            .count();
        assert_eq!(leaders, 1);
    });
}

#[test]
fn an_idle_thread_is_used_again() {
    run(async {
        let mut ids = HashSet::new();
        for _ in 0..20 {
            ids.insert(spawn_blocking(|| thread::current().id()).await.unwrap());
        }
        // The value may be here a moment before its thread is idle, so a second one may have been started.
        assert!(
            ids.len() < 20,
            "{} threads for work that never overlapped",
            ids.len()
        );
    });
}

#[test]
fn a_handle_dropped_lets_the_work_go_on() {
    run(async {
        let (sender, receiver) = oneshot::channel();
        drop(spawn_blocking(move || sender.send(5)));
        assert_eq!(receiver.await, Ok(5));
    });
}

#[test]
fn a_oneshot_tells_of_its_ends() {
    run(async {
        let (sender, receiver) = oneshot::channel::<u8>();
        drop(receiver);
        assert!(sender.is_closed());
        assert_eq!(sender.send(1), Err(1));
        let (sender, receiver) = oneshot::channel::<u8>();
        let waiting = spawn(receiver);
        yield_now().await;
        drop(sender);
        assert_eq!(waiting.await.unwrap(), Err(oneshot::Dropped));
        let (sender, receiver) = oneshot::channel();
        thread::spawn(move || sender.send(String::from("from afar")).unwrap());
        assert_eq!(receiver.await.as_deref(), Ok("from afar"));
    });
}

#[test]
fn a_driver_that_does_not_exist_is_named() {
    // In a process of its own: the environment is the process's.
    if std::env::var_os("RONDEAU_TEST_CHILD").is_some() {
        let error = rondeau::Runtime::new().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        assert!(
            error.to_string().contains("RONDEAU_DRIVER=\"kqueue\""),
            "{error}"
        );
        return;
    }
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_driver_that_does_not_exist_is_named"])
        .env("RONDEAU_TEST_CHILD", "1")
        .env("RONDEAU_DRIVER", "kqueue")
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}
