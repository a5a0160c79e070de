//! Timers, agenda and pace against models that are too simple to be wrong.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use rondeau_core::{Agenda, Clock, Pace, Park, Time, TimerKey, Timers};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Clone, Debug)]
enum Step {
    /// So many timers, each so long after the last (0: all at once).
    Insert {
        due: u64,
        count: u16,
        apart: u64,
    },
    /// The key at this place among all ever made, stale ones too.
    Cancel(prop::sample::Index),
    /// All keys made from this place on.
    CancelFrom(prop::sample::Index),
    NextDue,
    Pop {
        now: u64,
        at_most: u16,
    },
    Drain,
}

fn due() -> impl Strategy<Value = u64> {
    // Few values, so that many are equal; and the ends of the range.
    prop_oneof![8 => 0_u64..50, 4 => 0_u64..100_000, 1 => Just(u64::MAX), 1 => (u64::MAX - 3)..=u64::MAX]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        16 => due().prop_map(|due| Step::Insert { due, count: 1, apart: 0 }),
        4 => (due(), 1_u16..400, 0_u64..3).prop_map(|(due, count, apart)| Step::Insert { due, count, apart }),
        12 => any::<prop::sample::Index>().prop_map(Step::Cancel),
        2 => any::<prop::sample::Index>().prop_map(Step::CancelFrom),
        4 => Just(Step::NextDue),
        12 => (due(), 0_u16..300).prop_map(|(now, at_most)| Step::Pop { now, at_most }),
        1 => Just(Step::Drain),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// The model: a map from (due, insertion) to the handle, which is the insertion's number.
    #[test]
    fn timers_are_a_sorted_map(steps in prop::collection::vec(step(), 1..120)) {
        let mut timers = Timers::new();
        let mut model: BTreeMap<(u64, usize), ()> = BTreeMap::new();
        let mut made: Vec<(TimerKey, u64)> = Vec::new();
        for step in steps {
            match step {
                Step::Insert { due, count, apart } => {
                    for i in 0..u64::from(count) {
                        let due = due.saturating_add(i * apart);
                        let key = timers.insert(Time::from_nanos(due), made.len());
                        model.insert((due, made.len()), ());
                        made.push((key, due));
                    }
                }
                Step::Cancel(index) => {
                    if !made.is_empty() {
                        let i = index.index(made.len());
                        let (key, due) = made[i];
                        let expected = model.remove(&(due, i)).map(|()| i);
                        prop_assert_eq!(timers.cancel(key), expected);
                    }
                }
                Step::CancelFrom(index) => {
                    let from = if made.is_empty() { 0 } else { index.index(made.len()) };
                    for (i, (key, due)) in made.iter().enumerate().skip(from) {
                        let expected = model.remove(&(*due, i)).map(|()| i);
                        prop_assert_eq!(timers.cancel(*key), expected);
                    }
                }
                Step::NextDue => {
                    let first = model.keys().next().map(|(due, _)| Time::from_nanos(*due));
                    prop_assert_eq!(timers.next_due(), first);
                }
                Step::Pop { now, at_most } => {
                    for _ in 0..at_most {
                        let first = model.keys().next().copied().filter(|(due, _)| *due <= now);
                        first.map(|key| model.remove(&key));
                        prop_assert_eq!(timers.pop_due(Time::from_nanos(now)), first.map(|(_, i)| i));
                        if first.is_none() {
                            break;
                        }
                    }
                }
                Step::Drain => {
                    let mut drained: Vec<_> = timers.drain().collect();
                    drained.sort_unstable();
                    let mut expected: Vec<_> = std::mem::take(&mut model).into_keys().map(|(_, i)| i).collect();
                    expected.sort_unstable();
                    prop_assert_eq!(drained, expected);
                }
            }
            prop_assert_eq!(timers.len(), model.len());
            prop_assert_eq!(timers.is_empty(), model.is_empty());
            prop_assert_eq!(timers.iter().count(), model.len());
        }
        let rest: Vec<_> = std::iter::from_fn(|| timers.pop_due(Time::MAX)).collect();
        prop_assert_eq!(rest, model.into_keys().map(|(_, i)| i).collect::<Vec<_>>());
    }

    /// The model: turns as batches. What is pushed during a turn (a count of children each) runs in the next one.
    #[test]
    fn a_turn_runs_exactly_what_was_ready(children in prop::collection::vec(0_usize..3, 1..200)) {
        let mut agenda = Agenda::new();
        agenda.push((0, 0));
        let (mut next, mut turn, mut ran) = (1, 0, Vec::new());
        while !agenda.is_empty() {
            for _ in 0..agenda.len() {
                let (id, born) = agenda.pop().unwrap();
                ran.push(id);
                prop_assert!(id == 0 || born + 1 == turn, "born in turn {}, ran in {}", born, turn);
                for _ in 0..children.get(id).copied().unwrap_or(0) {
                    agenda.push((next, turn));
                    next += 1;
                }
            }
            turn += 1;
        }
        prop_assert_eq!(ran, (0..next).collect::<Vec<_>>());
    }

    /// With work always ready, the kernel is asked at the latest at every 64th turn, and at the fourth after a tick.
    #[test]
    fn a_busy_loop_asks_the_kernel_in_time(ticks in prop::collection::vec(prop::bool::weighted(0.05), 300)) {
        thread_local!(static TICK: Cell<u64> = const { Cell::new(0) });
        TICK.set(0);
        let mut pace = Pace::with_coarse(|| TICK.get());
        let (mut since_poll, mut since_tick) = (0, None);
        for tick in ticks {
            if tick {
                TICK.set(TICK.get() + 1);
                since_tick = since_tick.or(Some(0));
            }
            let park = pace.decide(true, Some(Time::MAX), || unreachable!("work is ready: the time does not matter"));
            since_poll += 1;
            since_tick = since_tick.map(|turns| turns + 1);
            if park == Park::Poll {
                prop_assert!(since_poll == 64 || since_tick.is_some(), "asked after {} turns for nothing", since_poll);
                (since_poll, since_tick) = (0, None);
            } else {
                prop_assert_eq!(park, Park::Skip);
                prop_assert!(since_poll < 64 && since_tick.is_none_or(|turns| turns < 4));
            }
        }
    }

    /// With nothing ready it waits exactly until the first timer.
    #[test]
    fn an_idle_loop_waits_for_the_first_timer(due in prop::option::of(any::<u64>()), now in any::<u64>()) {
        let mut pace = Pace::new();
        let clock = Clock::virtual_at(Time::from_nanos(now));
        let expected = match due {
            None => Park::Forever,
            Some(due) if due <= now => Park::Poll,
            Some(due) => Park::Until(Duration::from_nanos(due - now)),
        };
        prop_assert_eq!(pace.decide(false, due.map(Time::from_nanos), || clock.now()), expected);
    }
}
