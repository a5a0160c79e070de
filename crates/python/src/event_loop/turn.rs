//! One turn of the loop, as asyncio's `_run_once` orders it: park, I/O, due timers, exactly the batch that was ready.
//!
//! Called by `_run()`, which `run_forever` calls. Nothing is borrowed from the loop while Python code runs: each item is taken
//! off the agenda first, so a callback may come back to any part of the loop.
//!
//! The kernel is asked when nothing is ready, after something was sent, closed or watched anew, after a reader or writer was
//! called, every 64 turns, or when a clock tick passed (`rondeau_core::Pace`): asking at every turn made call_soon 294 ns instead
//! of 130. Timers are looked at in every turn, since `call_later(0, f)` runs in the next one.

use super::overrides;
use crate::ffi::{Python, Raised};
use crate::native_loop::descriptors::Slot;
use crate::native_loop::{Loop, Parts, check_process, exchange};
use crate::ready::{Ready, Turn};
use crate::{
    alarm, errors, files, handle, observer, onlookers, recorder, sock_calls, task, transport,
};
use pyo3_ffi as ffi;
use rondeau_core::{Park, Time};
use rondeau_driver::{Event, unsent};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Shortest wait in the kernel: timers that are due close together wake the loop once and not each on its own (100,000 tasks
/// that were put to sleep in a row cost half). asyncio rounds up to a whole millisecond.
const SHORTEST: Duration = Duration::from_micros(100);
/// Who looks at every item.
const ITEMS: u8 = onlookers::RECORDER | onlookers::SLOW | onlookers::WATCHDOG;
/// Longest wait in the kernel, as in asyncio: a day.
pub const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Runs turns until `stop()` was called, or the program has something of its own in a turn. Err: an exception that leaves `run_forever`; what was ready stays ready.
///
/// # Safety
/// The GIL is held and the loop lives; where it runs already, the depth below is suspended.
pub unsafe fn run(loop_: Loop) -> Python<()> {
    // SAFETY: the caller's contract; each borrow of the parts ends before Python runs.
    unsafe {
        if !loop_.parts().known {
            crate::inspect::meet(loop_);
        }
        if !loop_.parts().suspended.is_empty() {
            return turns(loop_); // Within itself: it runs already.
        }
        let metrics = loop_.parts().metrics.clone();
        metrics.begin(rondeau_driver::thread::number());
        let done = turns(loop_);
        metrics.end();
        done
    }
}

unsafe fn turns(loop_: Loop) -> Python<()> {
    // SAFETY: as in `run`.
    unsafe {
        if loop_.parts().simulation.is_some() {
            return super::simulated::turns(loop_);
        }
        // A program that runs the loop for a moment only (`run_until_complete` on something done) still sees its sockets.
        if !loop_.parts().agenda.is_empty() {
            ask_kernel(loop_, Some(Duration::ZERO))?;
        }
        loop {
            let done = turn(loop_);
            let parts = loop_.parts();
            if done.is_err() || parts.stopping | parts.own_turns {
                task::current::settle(loop_);
                return done;
            }
        }
    }
}

unsafe fn turn(loop_: Loop) -> Python<()> {
    // SAFETY: as in `run`.
    unsafe {
        check_process(loop_)?; // A callback may have forked: the child must not go on with the parent's work.
        park(loop_)?;
        if !loop_.parts().timers.is_empty() {
            let now = overrides::now(loop_)?;
            due_timers(loop_.parts(), now);
        }
        batch(loop_)
    }
}

/// Runs exactly as many items as are ready now, then sends what they wrote.
///
/// # Safety
/// As for `run`.
#[inline(always)]
pub unsafe fn batch(loop_: Loop) -> Python<()> {
    // SAFETY: as in `run`.
    unsafe {
        let batch = loop_.parts().agenda.len();
        loop_.parts().in_turn = true;
        loop_.parts().outbox.begin_turn();
        let metrics = &*Arc::as_ptr(&loop_.parts().metrics);
        metrics.count_turn();
        let done = if metrics.is_watched() {
            run_batch_watched(loop_, batch)
        } else {
            run_batch(loop_, batch)
        };
        loop_.parts().in_turn = false;
        // Debug mode's logging, after an item, may have written as well.
        if loop_.parts().outbox.is_empty() {
            return done;
        }
        transport::send_outbox(loop_, done)
    }
}

#[inline]
unsafe fn run_batch(loop_: Loop, batch: usize) -> Python<()> {
    // SAFETY: as in `run`.
    unsafe {
        let metrics = &*Arc::as_ptr(&loop_.parts().metrics);
        for _ in 0..batch {
            let Some(ready) = loop_.parts().agenda.pop() else {
                break;
            };
            metrics.begin_item();
            run_item(loop_, ready)?;
        }
    }
    Ok(())
}

/// Runs one item, for whoever looks on as well.
///
/// # Safety
/// As for `run`.
#[inline(always)]
pub unsafe fn run_item(loop_: Loop, ready: Ready) -> Python<()> {
    // SAFETY: as in `run`.
    unsafe {
        if loop_.parts().debug | onlookers::any(ITEMS) {
            super::slow::watched(loop_, ready, run_one)
        } else {
            run_one(loop_, ready)
        }
    }
}

/// The same, while somebody wants to know how long what is ready waits.
#[cold]
unsafe fn run_batch_watched(loop_: Loop, batch: usize) -> Python<()> {
    for _ in 0..batch {
        // SAFETY: as in `run`; the loop, and with it the metrics, is kept alive by whoever runs it.
        unsafe {
            run_batch(loop_, 1)?;
            let parts = loop_.parts();
            parts.metrics.item_ran(parts.agenda.len());
        }
    }
    Ok(())
}

/// Releases what had its turn, without losing an exception.
#[inline]
unsafe fn released(object: *mut ffi::PyObject, done: Python<()>) -> Python<()> {
    // SAFETY: the caller gives the reference away.
    unsafe {
        if done.is_ok() {
            ffi::Py_DECREF(object);
        } else {
            errors::keeping_raised(|| ffi::Py_DECREF(object));
        }
    }
    done
}

/// Runs one item, then sends what was written if it must not wait longer.
///
/// # Safety
/// The GIL is held and the loop lives.
#[inline]
pub unsafe fn run_one(loop_: Loop, ready: Ready) -> Python<()> {
    // SAFETY: the item's reference is ours; `run_step` and `run_wakeup` take it over, the others are released here.
    let done = unsafe {
        match ready.take() {
            Turn::Step(object) => task::run_step(loop_, object),
            Turn::Wakeup(object) => task::run_wakeup(loop_, object),
            Turn::Handle(object) => {
                task::current::settle_before(
                    loop_,
                    *handle::slot(object, crate::door::door().slots.callback),
                );
                let done = handle::run(loop_, object);
                if done.is_ok() {
                    handle::leave_agenda(object);
                } else {
                    errors::keeping_raised(|| handle::leave_agenda(object));
                }
                done
            }
            Turn::Child(object) => {
                loop_.parts().child = object;
                return Ok(());
            }
            Turn::Observer(object) => observer::run(loop_, object),
            Turn::Alarm(object) => alarm::run(loop_, object),
            Turn::Io(object) => {
                task::current::settle(loop_);
                released(object, transport::on_ready(loop_, object))
            }
            Turn::Call(object) => {
                task::current::settle(loop_);
                released(object, sock_calls::on_ready(loop_, object))
            }
        }
    };
    // SAFETY: the borrow ends at once.
    if done.is_ok() && unsafe { !loop_.parts().outbox.is_due() } {
        return done;
    }
    // SAFETY: the loop lives.
    unsafe { transport::send_outbox(loop_, done) }
}

#[inline]
unsafe fn park(loop_: Loop) -> Python<()> {
    // SAFETY: no borrow lives; what was begun leaves in one system call, and what has ended is ready before the loop would wait.
    unsafe {
        if loop_.parts().files.is_busy() {
            files::pump(loop_)?;
        }
    }
    // SAFETY: the borrow ends before Python code runs and before the GIL is released.
    let timeout = unsafe {
        let own = if overrides::is_own(loop_) {
            Some(overrides::now(loop_)?)
        } else {
            None
        };
        let parts = loop_.parts();
        let ready = parts.stopping || !parts.agenda.is_empty();
        let next = if ready { None } else { parts.timers.next_due() };
        let clock = &parts.clock;
        match parts
            .pace
            .decide(ready, next, || own.unwrap_or_else(|| clock.now()))
        {
            Park::Skip => return Ok(()),
            Park::Poll => Some(Duration::ZERO),
            Park::Until(pause) => Some(pause.clamp(SHORTEST, LONGEST)),
            Park::Forever => None,
        }
    };
    // SAFETY: as in `run`.
    unsafe { ask_kernel(loop_, timeout) }
}

/// Waits in the kernel, `timeout` at most, and queues who waits for what it reports.
///
/// # Safety
/// As for `run`.
pub unsafe fn ask_kernel(loop_: Loop, timeout: Option<Duration>) -> Python<()> {
    // SAFETY: as in `run`; queueing runs no Python code.
    unsafe {
        task::current::settle(loop_);
        if wait(loop_, timeout)? > 0 {
            queue_events(loop_);
        }
        if loop_.parts().files.is_busy() && loop_.events().woken() {
            files::pump(loop_)?;
        }
    }
    // A signal's Python handler runs now and may raise, as KeyboardInterrupt does. One that came just before the wait, or to another
    // thread, is told by the wake-up descriptor alone: its handler would run in the first callback, which swallows what it raises.
    // SAFETY: no borrow lives.
    if unsafe { ffi::PyErr_CheckSignals() } != 0 {
        return Err(Raised);
    }
    Ok(())
}

/// Waits in the kernel; how many descriptors it reports.
///
/// # Safety
/// As for `run`.
#[inline(always)]
pub unsafe fn wait(loop_: Loop, timeout: Option<Duration>) -> Python<usize> {
    // A loop that is run inside its own callback waits with nothing in the outbox.
    // SAFETY: the loop lives and nothing of it is borrowed.
    unsafe {
        if !loop_.parts().outbox.is_empty() {
            transport::send_outbox(loop_, Ok(()))?;
        }
    }
    let waits = timeout != Some(Duration::ZERO);
    // SAFETY: while the GIL is released only the driver (shared) and the events (this thread's) are borrowed here, and the
    // metrics, which live as long as the loop.
    let waited = unsafe {
        let Some(driver) = loop_.driver() else {
            return crate::native_loop::check_open(loop_).map(|()| 0);
        };
        let metrics = Arc::as_ptr(&loop_.parts().metrics);
        loop_.parts().touched = unsent::touched();
        loop_.parts().parked = true;
        if recorder::is_on() {
            recorder::parked(loop_, timeout);
        }
        let events = loop_.events();
        (*metrics).ask(waits);
        (*metrics).rest();
        let thread = ffi::PyEval_SaveThread();
        let waited = driver.park(events, timeout);
        (*metrics).answer(waits);
        ffi::PyEval_RestoreThread(thread);
        loop_.parts().parked = false;
        (*metrics).resume();
        if recorder::is_on() {
            recorder::unparked(loop_, timeout);
        }
        waited
    };
    match waited {
        Ok(found) => Ok(found),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
        Err(error) => Err(errors::raise_os_error(&error)),
    }
}

/// Queues who waits for what the kernel has reported.
///
/// # Safety
/// As for `run`. No Python code runs.
pub unsafe fn queue_events(loop_: Loop) {
    // SAFETY: the loop lives; queueing changes no events.
    unsafe {
        for event in loop_.events().iter() {
            queue_event(loop_, event);
        }
    }
}

/// Queues who waits for what one event says.
///
/// # Safety
/// As for `queue_events`.
#[inline(always)]
pub unsafe fn queue_event(loop_: Loop, event: Event) {
    // SAFETY: the loop lives; a cancelled handle cannot be in the table, since cancelling goes through `remove`, except when the
    // program cancelled the handle itself: it is then skipped when it runs.
    unsafe {
        let parts = loop_.parts();
        let Some(slot) = parts.descriptors.get(event.token as i32) else {
            return;
        };
        match slot {
            Slot::Empty => {}
            Slot::Handles { .. } => {
                // Such callbacks send by themselves, past the loop (Tornado, psycopg): their peers may be in it too.
                parts.pace.look();
                exchange::tell(loop_, event.token as i32, event);
            }
            Slot::Transport { object, .. } => {
                let object = object.as_ptr();
                if transport::note_readiness(object, event.readiness) {
                    ffi::Py_INCREF(object);
                    parts.agenda.push(Ready::io(object));
                }
            }
        }
    }
}

/// Puts on the agenda what is due.
///
/// # Safety
/// The parts are a live loop's, and nothing else of it is borrowed.
pub unsafe fn due_timers(parts: &mut Parts, now: Time) {
    while let Some(ready) = parts.timers.pop_due(now) {
        // SAFETY: the handle lives by the item's reference; noting runs no Python code.
        unsafe { handle::set_due(ready.object()) };
        parts.agenda.push(ready);
    }
}
