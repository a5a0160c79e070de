//! What cannot be seen from outside: memory, and numbers that run out.

use super::*;

fn at(nanos: u64) -> Time {
    Time::from_nanos(nanos)
}

/// One timer a nanosecond, from 0 on.
fn insert_many(timers: &mut Timers<u64>, count: u64) {
    for i in 0..count {
        timers.insert(at(i), i);
    }
}

fn pop_all<H>(timers: &mut Timers<H>) -> Vec<H> {
    std::iter::from_fn(|| timers.pop_due(Time::MAX)).collect()
}

#[test]
fn a_slot_is_small() {
    assert_eq!(size_of::<TimerKey>(), 8);
    assert_eq!(size_of::<Entry>(), 16);
    assert_eq!(size_of::<Slot<Box<u8>>>(), 16);
}

#[test]
fn numbers_that_run_out_begin_anew_in_the_same_order() {
    let mut timers = Timers::new();
    timers.seq = u32::MAX - 3;
    timers.ident = u32::MAX - 1; // wraps at another time than `seq`
    let keys: Vec<_> = (0..10).map(|i| timers.insert(at(i % 2), i)).collect();
    assert!(timers.seq <= 10, "it was meant to run out meanwhile");
    assert_eq!(timers.cancel(keys[0]), Some(0));
    assert_eq!(
        timers.cancel(keys[1]),
        Some(1),
        "keys are good across the change"
    );
    assert_eq!(timers.cancel(keys[1]), None);
    assert_eq!(pop_all(&mut timers), [2, 4, 6, 8, 3, 5, 7, 9]);
}

#[test]
fn cancelled_timers_free_their_memory() {
    let mut timers = Timers::new();
    timers.insert(at(1_000_000_000), 0);
    for i in 0..100_000 {
        let key = timers.insert(at(1_000 + i), i);
        assert_eq!(timers.cancel(key), Some(i));
        assert!(timers.order.len() <= 2 * SWEEP && timers.slots.len() <= 2);
    }
    let keys: Vec<_> = (0..100_000).map(|i| timers.insert(at(i), i)).collect();
    assert!(timers.order.capacity() >= 100_000);
    keys.into_iter()
        .for_each(|key| assert!(timers.cancel(key).is_some()));
    assert!(
        timers.order.capacity() <= 4 * 1024,
        "{}",
        timers.order.capacity()
    );
    assert_eq!(pop_all(&mut timers), [0]);
}

#[test]
fn a_busy_time_is_forgotten_after_a_quiet_one() {
    let mut timers = Timers::new();
    insert_many(&mut timers, 100_000);
    assert_eq!(pop_all(&mut timers).len(), 100_000);
    let busy = timers.slots.capacity();
    insert_many(&mut timers, 2_000);
    assert_eq!(pop_all(&mut timers).len(), 2_000);
    assert!(timers.slots.capacity() <= 2_000 && busy >= 100_000);
    assert!(timers.order.capacity() <= 8 * 2_000);
}

#[test]
fn a_key_finds_nothing_in_a_slot_given_to_another() {
    let mut timers = Timers::new();
    let old = timers.insert(at(1), 'a');
    assert_eq!(timers.cancel(old), Some('a'));
    let new = timers.insert(at(2), 'b');
    assert_eq!(old.slot, new.slot);
    assert_eq!(timers.cancel(old), None);
    assert_eq!(
        timers.pop_due(at(1)),
        None,
        "the entry of the cancelled one is not the new one's"
    );
    assert_eq!(timers.pop_due(at(2)), Some('b'));
    assert_eq!(timers.cancel(new), None);
}

#[test]
fn drain_takes_all_and_leaves_a_usable_rest() {
    let mut timers = Timers::new();
    let key = timers.insert(at(3), 3);
    timers.insert(at(1), 1);
    let mut drained: Vec<_> = timers.drain().collect();
    drained.sort_unstable();
    assert_eq!(
        (drained, timers.len(), timers.next_due()),
        (vec![1, 3], 0, None)
    );
    timers.insert(at(5), 5);
    assert_eq!(timers.cancel(key), None);
    assert_eq!(pop_all(&mut timers), [5]);
}

#[test]
fn never_is_a_time_too() {
    let mut timers = Timers::new();
    for i in 0..3 {
        timers.insert(Time::MAX, i);
    }
    assert_eq!(timers.pop_due(at(u64::MAX - 1)), None);
    assert_eq!(pop_all(&mut timers), [0, 1, 2]);
}
