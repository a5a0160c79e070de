//! No wake is lost, and many are one.

#![allow(clippy::unwrap_used)]

use rondeau_driver::{Choice, Driver, Events, Interest, Waker, socket};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

fn driver() -> (Driver, Events, Waker) {
    let driver = Driver::new(Choice::from_env().unwrap()).unwrap();
    let waker = driver.waker();
    (driver, Events::new(), waker)
}

/// Whether a look at the kernel, without waiting, finds a wake.
fn look(driver: &Driver, events: &mut Events) -> bool {
    assert_eq!(
        driver.park(events, Some(Duration::ZERO)).unwrap(),
        0,
        "the wake is no event"
    );
    events.woken()
}

#[test]
fn a_wake_before_the_park_ends_it() {
    let (driver, mut events, waker) = driver();
    waker.wake();
    assert_eq!(driver.park(&mut events, None).unwrap(), 0);
    assert!(events.woken());
}

#[test]
fn a_wake_during_the_park_ends_it() {
    let (driver, mut events, waker) = driver();
    let waking = std::thread::spawn(move || waker.wake());
    driver.park(&mut events, None).unwrap();
    assert!(events.woken());
    waking.join().unwrap();
}

#[test]
fn wakes_before_one_park_are_one() {
    let (driver, mut events, waker) = driver();
    for _ in 0..3 {
        (0..1000).for_each(|_| waker.clone().wake());
        assert!(look(&driver, &mut events));
        assert!(!look(&driver, &mut events));
    }
}

#[test]
fn a_wake_comes_beside_events_and_is_not_one() {
    let (driver, mut events, waker) = driver();
    let (here, there) = socket::pair().unwrap();
    driver.add(here.as_raw_fd(), Interest::READ, 3).unwrap();
    waker.wake();
    socket::send(there.as_raw_fd(), b"x").unwrap();
    assert_eq!(driver.park(&mut events, None).unwrap(), 1);
    assert!(events.woken() && events.iter().all(|event| event.token == 3));
}

#[test]
fn a_wake_is_seen_once() {
    let (driver, mut events, waker) = driver();
    waker.wake();
    assert!(look(&driver, &mut events));
    driver
        .park(&mut events, Some(Duration::from_nanos(1)))
        .unwrap();
    assert!(!events.woken());
}

#[test]
fn a_waker_outlives_its_driver() {
    let (driver, _, waker) = driver();
    drop(driver);
    waker.wake();
}

/// Each side parks until the other has counted on: a single lost wake would hang it.
#[test]
fn two_threads_wake_each_other_in_turn() {
    const ROUNDS: u32 = 5_000;
    let (here, mut events, wake_here) = driver();
    let (there, mut their_events, wake_there) = driver();
    let count = AtomicU32::new(0);
    let play = |driver: &Driver, events: &mut Events, other: &Waker, parity: u32| {
        while count.load(Ordering::Acquire) < ROUNDS {
            if count.load(Ordering::Acquire) % 2 == parity {
                count.fetch_add(1, Ordering::AcqRel);
                other.wake();
            } else {
                driver.park(events, None).unwrap();
            }
        }
        other.wake();
    };
    std::thread::scope(|scope| {
        scope.spawn(|| play(&there, &mut their_events, &wake_here, 1));
        play(&here, &mut events, &wake_there, 0);
    });
    assert!(count.into_inner() >= ROUNDS);
}
