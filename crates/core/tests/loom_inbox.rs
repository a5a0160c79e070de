//! The inbox under every interleaving, by loom:
//!
//!     RUSTFLAGS="--cfg loom" cargo test -p rondeau-core --test loom_inbox --release
//!
//! Without that flag this file is empty.

#![cfg(loom)]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use rondeau_core::Inbox;

/// Counts wakes as an eventfd does, for a loop that parks.
fn push(inbox: &Inbox<usize>, wakes: &AtomicUsize, handle: usize) {
    if inbox.push(handle) {
        wakes.fetch_add(1, Ordering::AcqRel);
    }
}

/// The loop as the faces write it: drain, else park until a wake. Ends when it has `expected` handles; a lost wake or a
/// lost handle would leave it parked, which loom reports (its branch limit) or the assertion does.
fn run(inbox: &Inbox<usize>, wakes: &AtomicUsize, expected: usize) -> (Vec<usize>, usize) {
    let (mut got, mut slept) = (Vec::new(), 0);
    while got.len() < expected {
        inbox.drain_into(&mut got);
        if got.len() < expected && inbox.before_park() {
            while wakes.swap(0, Ordering::AcqRel) == 0 {
                thread::yield_now();
            }
            slept += 1;
            inbox.after_park();
        }
    }
    (got, slept)
}

#[test]
fn no_handle_and_no_wake_is_lost() {
    loom::model(|| {
        let inbox = Arc::new(Inbox::new());
        let wakes = Arc::new(AtomicUsize::new(0));
        let pushers: Vec<_> = (0..2)
            .map(|handle| {
                let (inbox, wakes) = (inbox.clone(), wakes.clone());
                thread::spawn(move || push(&inbox, &wakes, handle))
            })
            .collect();
        let (mut got, _) = run(&inbox, &wakes, 2);
        got.sort_unstable();
        assert_eq!(got, [0, 1]);
        pushers
            .into_iter()
            .for_each(|pusher| pusher.join().unwrap());
    });
}

#[test]
fn one_threads_handles_keep_their_order() {
    loom::model(|| {
        let inbox = Arc::new(Inbox::new());
        let wakes = Arc::new(AtomicUsize::new(0));
        let pusher = {
            let (inbox, wakes) = (inbox.clone(), wakes.clone());
            thread::spawn(move || (0..2).for_each(|handle| push(&inbox, &wakes, handle)))
        };
        assert_eq!(run(&inbox, &wakes, 2).0, [0, 1]);
        pusher.join().unwrap();
    });
}

/// Two pushers, a loop that sleeps once and does not drain meanwhile: exactly one of them has to wake it.
#[test]
fn one_park_gets_one_wake() {
    loom::model(|| {
        let inbox = Arc::new(Inbox::new());
        assert!(inbox.before_park());
        let pushers: Vec<_> = (0..2)
            .map(|handle| {
                let inbox = inbox.clone();
                thread::spawn(move || inbox.push(handle))
            })
            .collect();
        let wakes = pushers.into_iter().map(|pusher| pusher.join().unwrap());
        assert_eq!(wakes.filter(|woke| *woke).count(), 1);
        inbox.after_park();
        assert!(!inbox.is_empty() && !inbox.before_park());
        let mut got = Vec::new();
        inbox.drain_into(&mut got);
        assert_eq!(got.len(), 2);
    });
}

/// A push against the end of a park by timeout: seen by the next look, with a wake that is spurious at worst.
#[test]
fn a_park_that_times_out_sees_the_push() {
    loom::model(|| {
        let inbox = Arc::new(Inbox::new());
        assert!(inbox.before_park());
        let pusher = {
            let inbox = inbox.clone();
            thread::spawn(move || inbox.push(1))
        };
        inbox.after_park(); // timed out
        let mut got = Vec::new();
        inbox.drain_into(&mut got);
        let woke = pusher.join().unwrap();
        assert!(got.is_empty() || !inbox.push(2));
        inbox.drain_into(&mut got);
        assert_eq!(got[0], 1);
        let _ = woke;
    });
}
