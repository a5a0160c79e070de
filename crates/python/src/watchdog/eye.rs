//! The thread that looks at loops' counters and never takes the GIL.
//!
//! Started and ended by `object.rs`, which takes the reports from `Shared`. The lock is held for moments, and never while anybody waits for
//! the GIL, so whoever holds the GIL may take it.
//!
//! A look is a tenth of the threshold after the last one, a fifth while every loop rests: 5 µs each, and some 20 more for a loop that is
//! in the middle of something.

use super::gil;
use crate::metrics::Metrics;
use rondeau_core::{Beat, Sight, Stall, Verdict};
use rondeau_driver::{
    clock,
    thread::{self, Doing},
};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const MILLISECOND: u64 = 1_000_000;
pub const SECOND: u64 = 1000 * MILLISECOND;
/// Between these an adaptive threshold moves.
pub const LEAST: u64 = 10 * MILLISECOND;
const MOST: u64 = SECOND;
/// Reports that may wait to be taken: a program that keeps the GIL for minutes has its first ones told.
const WAITING: usize = 256;

/// What is to be told.
pub struct Report {
    pub metrics: Arc<Metrics>,
    /// As it was when it was seen last.
    pub beat: Beat,
    /// It is of a turn, and not of an item.
    pub of_turn: bool,
    pub verdict: Verdict,
    /// When: nanoseconds of the monotonic clock.
    pub at: u64,
    /// What the thread had computed in its life by then, in nanoseconds.
    pub ran: u64,
}

impl Report {
    /// What tells one loop's blocks from another's, also after the loop's end.
    pub fn whose(&self) -> u64 {
        Arc::as_ptr(&self.metrics).addr() as u64
    }

    /// What tells one block from the next of the same loop.
    pub fn key(&self) -> u64 {
        if self.of_turn {
            self.beat.turns
        } else {
            self.beat.word
        }
    }

    /// Whether it goes on now.
    pub fn goes_on(&self) -> bool {
        let now = self.metrics.beat();
        if self.of_turn {
            now.turns == self.beat.turns
        } else {
            now.word == self.beat.word
        }
    }
}

#[derive(Default)]
struct State {
    stopped: bool,
    fresh: Vec<Arc<Metrics>>,
    reports: VecDeque<Report>,
}

/// What the two threads of a watchdog share.
pub struct Shared {
    pub process: u32,
    state: Mutex<State>,
    /// `stopped` came true.
    stopping: Condvar,
    /// `reports` is not empty, or `stopped` came true.
    told: Condvar,
}

impl Shared {
    pub fn new() -> Shared {
        Shared {
            process: std::process::id(),
            state: Mutex::default(),
            stopping: Condvar::new(),
            told: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another loop to look at.
    pub fn add(&self, metrics: Arc<Metrics>) {
        self.lock().fresh.push(metrics);
    }

    /// Ends both threads' waits, for good, once what was seen is told.
    pub fn stop(&self) {
        if self.process != std::process::id() {
            return; // In a fork there is no thread to stop, and the lock is as it was.
        }
        self.lock().stopped = true;
        self.stopping.notify_all();
        self.told.notify_all();
    }

    /// The reports that there are; waits for one. Empty: it was stopped, and all was told.
    pub fn next(&self) -> VecDeque<Report> {
        let mut state = self
            .told
            .wait_while(self.lock(), |state| {
                state.reports.is_empty() && !state.stopped
            })
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut state.reports)
    }

    /// Pauses, then takes the fresh loops. None: it was stopped.
    fn pause(&self, pause: u64) -> Option<Vec<Arc<Metrics>>> {
        let (mut state, _) = self
            .stopping
            .wait_timeout_while(self.lock(), Duration::from_nanos(pause), |state| {
                !state.stopped
            })
            .unwrap_or_else(PoisonError::into_inner);
        (!state.stopped).then(|| std::mem::take(&mut state.fresh))
    }

    fn tell(&self, reports: Vec<Report>) {
        let mut state = self.lock();
        for report in reports {
            if state.reports.len() < WAITING {
                state.reports.push_back(report);
            }
        }
        self.told.notify_one();
    }
}

/// The threshold, and how it moves.
pub struct Threshold {
    pub now: u64,
    pub adapts: bool,
    moved: u64,
}

impl Threshold {
    pub fn new(now: u64, adapts: bool) -> Threshold {
        Threshold {
            now,
            adapts,
            moved: clock::monotonic(),
        }
    }

    /// Moves it: told of a block, it grows by a half; in each second without, it comes back by a twentieth.
    fn adapt(&mut self, now: u64, told: bool) {
        if !self.adapts {
            return;
        }
        if told {
            self.moved = now;
            self.now = (self.now * 3 / 2).min(MOST);
        } else if now > self.moved + SECOND {
            self.moved = now;
            self.now = (self.now * 19 / 20).max(LEAST);
        }
    }
}

struct Watched {
    metrics: Arc<Metrics>,
    stall: Stall,
    beat: Beat,
    others: Others,
}

/// The process's other threads, as they were when somebody waited for them.
#[derive(Default)]
struct Others {
    looked_at: u64,
    ran: HashMap<u32, u64>,
}

impl Others {
    /// Whether one of them is ready to run, and ran for less than half of the time since it was asked last.
    fn have_no_processor(&mut self, waiting: u32) -> bool {
        let now = clock::monotonic();
        let passed = now - std::mem::replace(&mut self.looked_at, now);
        let before = std::mem::take(&mut self.ran);
        let own = thread::number();
        let mut starved = false;
        for number in thread::all() {
            if number == waiting || number == own {
                continue;
            }
            let Some(usage) = thread::usage(number) else {
                continue;
            };
            // One that was not there has just begun.
            let ran = usage.ran - before.get(&number).copied().unwrap_or(0).min(usage.ran);
            starved |= usage.state == thread::State::Runnable && ran < passed / 2;
            self.ran.insert(number, usage.ran);
        }
        starved
    }
}

/// Looks until it is stopped.
pub fn look(shared: &Shared, mut threshold: Threshold) {
    let mut watched: Vec<Watched> = Vec::new();
    let mut quiet = false;
    let mut waited = own_wait();
    loop {
        let pause = (threshold.now / if quiet { 5 } else { 10 }).max(MILLISECOND);
        let Some(fresh) = shared.pause(pause) else {
            let mut reports = Vec::new();
            let now = clock::monotonic();
            for one in &mut watched {
                let verdicts = one.stall.end(now, pause);
                note(one, one.beat, now, verdicts, &mut reports);
            }
            return shared.tell(reports);
        };
        watched.extend(fresh.into_iter().map(|metrics| Watched {
            beat: metrics.beat(),
            metrics,
            stall: Stall::new(),
            others: Others::default(),
        }));
        // A busy machine is late to run this thread, which says nothing of the loop's; a stopped process is late without a reason.
        let before = std::mem::replace(&mut waited, own_wait());
        let pause = pause + waited.saturating_sub(before);
        quiet = true;
        let mut reports = Vec::new();
        for one in &mut watched {
            let beat = one.metrics.beat();
            quiet &= beat.is_idle();
            look_at(one, beat, pause, threshold.now, &mut reports);
        }
        // Looked at once more after its loop's end.
        watched.retain(|watched| Arc::strong_count(&watched.metrics) > 1);
        let told = |report: &Report| !matches!(report.verdict, Verdict::Over(_));
        threshold.adapt(clock::monotonic(), reports.iter().any(told));
        if !reports.is_empty() {
            shared.tell(reports);
        }
    }
}

fn look_at(
    watched: &mut Watched,
    beat: Beat,
    pause: u64,
    threshold: u64,
    reports: &mut Vec<Report>,
) {
    let at = clock::monotonic();
    let thread = watched.metrics.thread.load(Relaxed);
    let others = &mut watched.others;
    let verdicts = watched
        .stall
        .look(at, pause, threshold, beat, || sight(thread, others));
    let before = std::mem::replace(&mut watched.beat, beat);
    note(watched, before, at, verdicts, reports);
}

fn note(
    watched: &Watched,
    before: Beat,
    at: u64,
    verdicts: [Option<Verdict>; 2],
    reports: &mut Vec<Report>,
) {
    for (index, verdict) in verdicts.into_iter().enumerate() {
        let Some(verdict) = verdict else { continue };
        let over = matches!(verdict, Verdict::Over(_));
        reports.push(Report {
            metrics: watched.metrics.clone(),
            beat: if over { before } else { watched.beat },
            of_turn: index == 1,
            verdict,
            at,
            ran: watched.stall.ran(),
        });
    }
}

/// For how long this thread was ready and had no processor.
fn own_wait() -> u64 {
    thread::waited(thread::number()).unwrap_or(0)
}

/// What the thread does now.
fn sight(thread: u32, others: &mut Others) -> Option<Sight> {
    let mut sight = Sight {
        usage: thread::usage(thread)?,
        locked_out: false,
        starved: false,
    };
    if sight.usage.state == thread::State::Asleep {
        match thread::doing(thread) {
            // Woken since, or about to sleep.
            Doing::Running => sight.usage.state = thread::State::Runnable,
            Doing::Call(libc::SYS_futex, word) if gil::is_at(word) => sight.locked_out = true,
            Doing::Call(libc::SYS_futex, _) => sight.starved = others.have_no_processor(thread),
            Doing::Call(..) | Doing::Unknown => {}
        }
    }
    Some(sight)
}
