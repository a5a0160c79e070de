//! ns of CPU an operation of agenda, timers, inbox, pace and clocks: `cargo bench -p rondeau-core`.
//!
//! A plain harness: each row is run several times and the fastest and the median are printed. The handle is 8 bytes,
//! as the faces' are. What was tried for the timers and rejected is in `src/order.rs` with its figures; the rows
//! "binary heap" are what they are up against here: `BinaryHeap` of (due, seq, handle), without cancellation.

use rondeau_core::{Agenda, Clock, Inbox, Pace, Time, Timers};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hint::black_box;

/// How many timers there are at once.
const MANY: u64 = 100_000;

type Handle = Box<u64>; // 8 bytes with a niche

/// Runs `round` repeatedly; it says how many operations of the kind it did and how long they took.
fn row(name: &str, rounds: usize, mut round: impl FnMut() -> (u64, f64)) {
    let mut each: Vec<f64> = (0..rounds)
        .map(|_| round())
        .map(|(count, nanos)| nanos / count as f64)
        .collect();
    each.sort_by(f64::total_cmp);
    println!("{name:52} {:8.1} {:8.1}", each[0], each[each.len() / 2]);
}

/// CPU time of this thread in nanoseconds, so that what else runs counts less.
fn cpu() -> f64 {
    let mut ts = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `ts` is a valid timespec that the call fills; every thread has this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut ts) };
    ts.tv_sec as f64 * 1e9 + ts.tv_nsec as f64
}

fn timed(count: u64, run: impl FnOnce()) -> (u64, f64) {
    let begun = cpu();
    run();
    (count, cpu() - begun)
}

/// Due times of the three orders in which timers are made.
fn dues(order: &str) -> Vec<Time> {
    let mut random = 88_172_645_463_325_252_u64;
    (0..MANY)
        .map(|i| match order {
            "random" => {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                random % 1_000_000_000
            }
            "ascending" => i * 100,
            _ => 5_000_000,
        })
        .map(Time::from_nanos)
        .collect()
}

fn handles() -> Vec<Handle> {
    (0..MANY).map(Box::new).collect()
}

fn timers(rounds: usize) {
    for order in ["random", "ascending", "identical"] {
        let dues = dues(order);
        let mut kept = Some(handles());
        let mut timers = Timers::new();
        row(&format!("timers: insert + expire, {order}"), rounds, || {
            let handles = kept.take().expect("put back by the round before");
            let mut back = Vec::with_capacity(handles.len());
            let result = timed(MANY, || {
                for (due, handle) in dues.iter().zip(handles) {
                    timers.insert(*due, handle);
                }
                while let Some(handle) = timers.pop_due(Time::MAX) {
                    back.push(handle);
                }
            });
            kept = Some(back);
            result
        });
        let mut back = Vec::new();
        let mut inserts = Vec::new();
        row(
            &format!("timers:   of which expire, {order}"),
            rounds,
            || {
                let handles = kept.take().expect("put back by the round before");
                let (_, inserted) = timed(MANY, || {
                    for (due, handle) in dues.iter().zip(handles) {
                        timers.insert(*due, handle);
                    }
                });
                inserts.push(inserted);
                let result = timed(MANY, || {
                    back.extend(std::iter::from_fn(|| timers.pop_due(Time::MAX)));
                });
                kept = Some(std::mem::take(&mut back));
                result
            },
        );
        let mut inserts = inserts.into_iter();
        row(
            &format!("timers:   of which insert, {order}"),
            rounds,
            || (MANY, inserts.next().expect("one a round")),
        );
        row(
            &format!("binary heap: insert + expire, {order}"),
            rounds,
            || {
                let handles = kept.take().expect("put back by the round before");
                let mut back = Vec::with_capacity(handles.len());
                let mut heap = BinaryHeap::new();
                let result = timed(MANY, || {
                    for (seq, (due, handle)) in dues.iter().zip(handles).enumerate() {
                        heap.push(Reverse((*due, seq, handle)));
                    }
                    while let Some(Reverse((_, _, handle))) = heap.pop() {
                        back.push(handle);
                    }
                });
                kept = Some(back);
                result
            },
        );
        let mut keys = Vec::with_capacity(dues.len());
        row(
            &format!("timers: cancel of {MANY}, {order}"),
            rounds,
            || {
                let handles = kept.take().expect("put back by the round before");
                keys.clear();
                for (due, handle) in dues.iter().zip(handles) {
                    keys.push(timers.insert(*due, handle));
                }
                let mut back = Vec::with_capacity(keys.len());
                let result = timed(MANY, || {
                    back.extend(keys.iter().filter_map(|key| timers.cancel(*key)));
                });
                kept = Some(back);
                result
            },
        );
    }
    for live in [0, 100, MANY] {
        let mut timers = Timers::new();
        let mut spare: Option<Handle> = Some(Box::new(0));
        for due in dues("random").into_iter().take(live as usize) {
            timers.insert(due, Box::new(0));
        }
        let dues = dues("random");
        row(
            &format!("timers: insert + cancel beside {live}"),
            rounds,
            || {
                timed(MANY, || {
                    for due in &dues {
                        let key = timers.insert(*due, spare.take().expect("cancelled"));
                        spare = timers.cancel(black_box(key));
                    }
                })
            },
        );
        if live > 0 {
            let mut base = Time::from_nanos(0);
            row(
                &format!("timers: expire + insert among {live}"),
                rounds,
                || {
                    timed(MANY, || {
                        for due in &dues {
                            base = timers.next_due().expect("some are live");
                            let handle = timers.pop_due(base).expect("it is due");
                            let pause = due.until(Time::from_nanos(0));
                            timers.insert(base + pause, handle);
                        }
                    })
                },
            );
        }
    }
}

fn main() {
    // `cargo test --benches` only wants to see that it runs.
    let rounds = if std::env::args().any(|arg| arg == "--bench") {
        15
    } else {
        1
    };
    println!(
        "{:52} {:>8} {:>8}",
        "ns of CPU an operation", "fastest", "median"
    );

    let mut agenda: Agenda<Handle> = Agenda::new();
    let mut spare: Vec<Handle> = (0..1000).map(Box::new).collect();
    row("agenda: push + pop, 1000 at a time", rounds, || {
        timed(100_000, || {
            for _ in 0..100 {
                spare.drain(..).for_each(|handle| agenda.push(handle));
                while let Some(handle) = agenda.pop() {
                    spare.push(handle);
                }
            }
        })
    });
    agenda.push(Box::new(0));
    row("agenda: pop + push, one in it", rounds, || {
        timed(1_000_000, || {
            for _ in 0..1_000_000 {
                let handle = agenda.pop().expect("one is in it");
                agenda.push(black_box(handle));
            }
        })
    });

    let inbox: Inbox<Handle> = Inbox::new();
    row("inbox: push + drain, one", rounds, || {
        timed(1_000_000, || {
            for _ in 0..1_000_000 {
                let handle = agenda.pop().expect("one is in it");
                black_box(inbox.push(handle));
                inbox.drain_into(&mut agenda);
            }
        })
    });
    row("inbox: drain, empty", rounds, || {
        timed(1_000_000, || {
            (0..1_000_000).for_each(|_| black_box(&inbox).drain_into(&mut agenda))
        })
    });
    row("inbox: before and after a park", rounds, || {
        timed(1_000_000, || {
            for _ in 0..1_000_000 {
                black_box(black_box(&inbox).before_park());
                inbox.after_park();
            }
        })
    });

    let (mut pace, clock) = (Pace::new(), Clock::real());
    row("pace: decide, work ready", rounds, || {
        timed(1_000_000, || {
            for _ in 0..1_000_000 {
                black_box(pace.decide(black_box(true), None, || clock.now()));
            }
        })
    });
    row("clock: now", rounds, || {
        timed(100_000, || {
            for _ in 0..100_000 {
                black_box(clock.now());
            }
        })
    });

    timers(rounds);
}
