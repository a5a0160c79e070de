//! The thread that sends what waits in `unsent.rs` when its writer does not come to it: while one callback computes, or is in a call that
//! nobody sees.
//!
//! It looks every four to eight milliseconds, without a lock of the interpreter, and sends what already waited at its last look: so nothing
//! waits for more than sixteen, and on a busy processor for less than ten. It is on watch only while writes join each other often, and sleeps otherwise; as long as it sleeps, every write is sent at once, so
//! that waking it is never part of a write. Whoever would gain calls [`watch`], once.
//!
//! Invariants: `List::watched` is set and cleared by this thread alone, under the list's lock and, when cleared, with an empty list; it is
//! stopped and joined before a fork by the interpreter and with the last loop ([`stop`]), and never takes the interpreter's lock, so joining it
//! takes microseconds.
//!
//! Rejected: a timer's signal (it interrupts the program's system calls); waking it by each first write (1.5 µs of a write's 3); a pending
//! call of the interpreter (a C call that computes holds it up, and so does any thread but the main one).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::fork::Process;
use crate::quiet::Quiet;
use crate::unsent;

/// Between two looks, at least.
const PAUSE: Duration = Duration::from_millis(4);
/// So much later may a look be, in nanoseconds: where the processor is awake anyway. A timer of its own every two milliseconds cost two
/// writes on a single connection a tenth.
const SLACK: libc::c_ulong = 4_000_000;
/// So often a write joined another between two looks, where that is worth a thread that looks.
const BUSY: u64 = 8;
/// After so many looks that found less it goes to sleep.
const PATIENCE: u32 = 4;
/// Its stack, of which a page or two are ever touched; libraries with much thread-local memory need their share.
const STACK: usize = 128 * 1024;

#[derive(Default)]
struct Wishes {
    awake: bool,
    stopped: bool,
}

#[derive(Default)]
struct Shared {
    wishes: Mutex<Wishes>,
    changed: Condvar,
}

impl Shared {
    fn wishes(&self) -> MutexGuard<'_, Wishes> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Running {
    shared: Arc<Shared>,
    thread: Quiet,
    process: Process,
}

static RUNNING: Mutex<Option<Running>> = Mutex::new(None);
/// The interpreter ends: it does not start again.
static OVER: AtomicBool = AtomicBool::new(false);

/// Writes would join each other from now on: it goes on watch in a moment. Where no thread can be had, it does not, and every write is sent at once.
#[cold]
pub fn watch() {
    if OVER.load(Ordering::Relaxed) {
        return;
    }
    unsent::prepare();
    // A fork outside the interpreter may have left it locked in a child.
    let Ok(mut running) = RUNNING.try_lock() else {
        return;
    };
    match &*running {
        Some(one) if one.process.is_this() => {
            one.shared.wishes().awake = true;
            one.shared.changed.notify_one();
            return;
        }
        Some(_) => std::mem::forget(running.take()), // It is the parent's.
        None => {}
    }
    let shared = Arc::new(Shared::default());
    shared.wishes().awake = true;
    let own = shared.clone();
    if let Ok(thread) = Quiet::start("rondeau-courier", STACK, move || serve(&own)) {
        *running = Some(Running {
            shared,
            thread,
            process: Process::this(),
        });
    }
}

/// Ends it and waits until it is gone; the next [`watch`] starts another.
pub fn stop() {
    let Ok(mut running) = RUNNING.try_lock() else {
        return;
    };
    let Some(one) = running.take() else { return };
    if !one.process.is_this() {
        std::mem::forget(one);
        return;
    }
    one.shared.wishes().stopped = true;
    one.shared.changed.notify_one();
    one.thread.join();
}

/// Ends it for good.
pub fn leave() {
    OVER.store(true, Ordering::Relaxed);
    stop();
}

fn serve(shared: &Shared) {
    loop {
        let asleep = shared
            .changed
            .wait_while(shared.wishes(), |wishes| !wishes.awake && !wishes.stopped);
        let mut wishes = asleep.unwrap_or_else(PoisonError::into_inner);
        wishes.awake = false;
        if wishes.stopped {
            return;
        }
        drop(wishes);
        if !on_watch(shared) {
            return;
        }
    }
}

/// Looks until little is gained (true) or it was stopped (false).
fn on_watch(shared: &Shared) -> bool {
    // SAFETY: no pointers; it is this thread's slack.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, SLACK) };
    unsent::lock().watched = true;
    let (mut seen, mut joined, mut quiet) = (0, 0, 0);
    loop {
        let paused = shared
            .changed
            .wait_timeout_while(shared.wishes(), PAUSE, |wishes| !wishes.stopped);
        let stopped = paused.unwrap_or_else(PoisonError::into_inner).0.stopped;
        let mut list = unsent::lock();
        let rounds = list
            .rounds
            .wrapping_sub(std::mem::replace(&mut seen, list.rounds));
        if rounds == 0 || stopped {
            list.send();
        }
        let gained = list
            .joined
            .wrapping_sub(std::mem::replace(&mut joined, list.joined));
        quiet = if gained < BUSY { quiet + 1 } else { 0 };
        if stopped || (quiet >= PATIENCE && list.is_empty()) {
            list.watched = false;
            return !stopped;
        }
    }
}
