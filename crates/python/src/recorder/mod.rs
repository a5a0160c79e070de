//! The recorder: what ran, what was ready, what waited and on what, written into a ring while the loop runs.
//!
//! Called from one line each in the turn (`item`, `parked`, `unparked`), where tasks are made, scheduled, stepped by a call and
//! freed, and where a primitive begins to wait (`waits_for`). `subject` is what is kept of whom an event names, `callable` who a
//! callback is, `place` where code was made, `snapshot` and `export` give it all to `rondeau.recorder`, `control` switches it on.
//!
//! Off, a hook is the look at one byte, where it could be joined to a look that was there anyway (debug mode's). On, a hook writes
//! numbers: a stamp of the processor's counter, who, what. Names, lines and texts are found when a recording is asked for.
//!
//! Invariants: no hook runs Python code or leaves an exception; no borrow of the state lives while a reference is released;
//! a recorded task is known by a borrowed pointer, which its end or its death takes back; code objects are kept as long as the
//! ring names who runs them. One recorder a process, for all loops, under the GIL.
//!
//! Rejected: hooks inside of the step (what a step came to is read off the task after it: nothing to pay while off); objects
//! instead of numbers in the ring (each a reference to count, twice); clock_gettime (35 ns a stamp; two stamps a callback).

mod callable;
mod control;
mod export;
mod foreign;
mod item;
mod place;
mod snapshot;
mod subject;
mod wait;

pub use callable::ByAddress;
pub use control::{METHODS, init};
pub use foreign::{made, scheduled};
pub use item::{enter, goes_on, item, leave, stands_still};
pub use place::future_made;
pub use wait::{holds, sleeps, waits_for, waits_for_lock, waits_for_peer, waits_for_socket};

use crate::ffi::gil::GilCell;
use crate::native_loop::{Loop, loop_type};
use crate::onlookers;
use crate::task::cell::TaskRef;
use pyo3_ffi as ffi;
use rondeau_core::record::{Event, Kind, Ring, Subjects};
use rondeau_driver::clock::Ticks;
use std::collections::HashMap;
use std::time::Duration;
use subject::{Subject, TaskEntry};

static STATE: GilCell<Option<Box<State>>> = GilCell::new(None);

/// Whether it records.
///
/// # Safety
/// The GIL is held.
#[inline(always)]
pub unsafe fn is_on() -> bool {
    // SAFETY: the borrow ends here.
    unsafe { onlookers::any(onlookers::RECORDER) }
}

/// What a loop keeps for the recorder.
#[derive(Clone, Copy, Default)]
pub struct OfLoop {
    /// In which recording the rest counts.
    session: u32,
    /// The loop's number there.
    number: u16,
    /// Who runs, and its serial number; 0 for nobody.
    running: u32,
    serial: u64,
    /// When the last item ended, where nothing but the next can have happened since; else 0.
    ended: u64,
}

/// What a task keeps for the recorder.
#[derive(Clone, Copy, Default)]
pub struct Mark {
    session: u32,
    number: u32,
}

/// A loop that was seen: the thread that ran it.
struct Seen {
    thread: u64,
}

/// All that it holds while it is on.
struct State {
    /// Tells this recording's marks from an older one's.
    session: u32,
    ticks: Ticks,
    ring: Ring,
    subjects: Subjects<Subject>,
    /// How many subjects there were.
    serial: u64,
    loops: Vec<Seen>,
    callables: callable::Callables,
    files: place::Files,
    origins: place::Origins,
    /// Tasks that are not native, by address.
    foreign: HashMap<usize, u32, callable::ByAddress>,
    peers: wait::Peers,
    /// The future that a primitive began to wait for, and what is known of that wait.
    waits: (usize, u64),
    /// The task in whose step the recorder was switched on: the end of that step is still to be seen. Strong.
    open: Option<(crate::ffi::owned::Owned, crate::ffi::owned::Owned)>,
}

/// The state, while it is on.
///
/// # Safety
/// As for `GilCell::get`: the borrow ends before Python code can run.
#[inline]
unsafe fn state<'a>() -> Option<&'a mut State> {
    // SAFETY: the caller's contract; the box is dropped by `control::stop` only, which is Python code.
    unsafe { STATE.get().as_deref_mut() }
}

impl State {
    #[inline]
    fn push(
        &mut self,
        kind: Kind,
        time: u64,
        subject: u32,
        detail: u64,
        of_loop: OfLoop,
        wait: u8,
    ) {
        self.ring.push(Event {
            time,
            detail,
            subject,
            place: of_loop.number,
            kind,
            wait,
        });
    }

    /// What the loop keeps, of this recording.
    #[inline]
    unsafe fn of_loop<'a>(&mut self, loop_: Loop) -> &'a mut OfLoop {
        // SAFETY: the caller keeps the loop alive; no Python code runs.
        unsafe {
            let of_loop = &mut loop_.parts().record;
            if of_loop.session != self.session {
                self.see(loop_);
            }
            of_loop
        }
    }

    #[cold]
    unsafe fn see(&mut self, loop_: Loop) {
        // SAFETY: as in `of_loop`.
        unsafe {
            let number = u16::try_from(self.loops.len()).unwrap_or(u16::MAX);
            if number < u16::MAX {
                self.loops.push(Seen { thread: 0 });
            }
            loop_.parts().record = OfLoop {
                session: self.session,
                number: number.min(u16::MAX - 1),
                ..OfLoop::default()
            };
        }
    }

    fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// The number of a native task, which is met now if it was not before.
    #[inline]
    unsafe fn task(&mut self, task: TaskRef) -> u32 {
        // SAFETY: the task lives.
        unsafe {
            let mark = task.cell().mark;
            if mark.session == self.session
                && let Some(Subject::Task(entry)) = self.subjects.get(mark.number)
                && entry.address == task.object().addr()
            {
                return mark.number;
            }
            self.meet(task, None, 0)
        }
    }

    #[inline(never)]
    unsafe fn meet(&mut self, task: TaskRef, made: Option<place::Made>, creator: u64) -> u32 {
        // SAFETY: the task lives; reading what it is runs no Python code.
        unsafe {
            let serial = self.next_serial();
            let number = self
                .subjects
                .add(Subject::Task(TaskEntry::of(task, serial, made, creator)));
            task.cell().mark = Mark {
                session: self.session,
                number,
            };
            number
        }
    }

    /// The serial number of a task that may have ended; 0 where it is forgotten.
    unsafe fn serial_of(&self, task: TaskRef) -> u64 {
        // SAFETY: the task lives.
        let mark = unsafe { task.cell().mark };
        match self.subjects.get(mark.number) {
            Some(Subject::Task(entry))
                if mark.session == self.session && entry.address == task.object().addr() =>
            {
                entry.serial
            }
            _ => 0,
        }
    }

    /// A task is ready: by whom, and which wait that ended.
    #[inline]
    fn ready(&mut self, number: u32, of_loop: OfLoop) {
        let time = self.ticks.now();
        let ended = match self.entry(number) {
            Some(entry) => wait::ended(std::mem::replace(&mut entry.doing, subject::Doing::Ready)),
            None => 0,
        };
        self.push(Kind::Ready, time, number, of_loop.serial, of_loop, ended);
    }

    #[inline]
    fn entry(&mut self, number: u32) -> Option<&mut TaskEntry> {
        match self.subjects.get_mut(number) {
            Some(Subject::Task(entry)) => Some(entry),
            _ => None,
        }
    }
}

/// The native loop that a task is on.
#[inline]
unsafe fn loop_of(task: TaskRef) -> Option<Loop> {
    // SAFETY: the task lives, and keeps its loop alive.
    unsafe {
        let cell = task.future().cell();
        let object = cell.loop_;
        if cell.direct && !object.is_null() {
            return Some(Loop::from_object(object));
        }
        (!object.is_null() && ffi::PyObject_TypeCheck(object, loop_type()) != 0)
            .then(|| Loop::from_object(object))
    }
}

/// A task was made; before it is scheduled.
///
/// # Safety
/// The task lives. Only while on.
#[cold]
#[inline(never)]
pub unsafe fn created(task: TaskRef) {
    // SAFETY: each borrow ends before a reference is released.
    unsafe {
        let made = place::caller();
        let (Some(loop_), Some(state)) = (loop_of(task), state()) else {
            return;
        };
        let of_loop = *state.of_loop(loop_);
        let time = state.ticks.now();
        let number = state.meet(task, made, of_loop.serial);
        state.push(Kind::Created, time, number, of_loop.serial, of_loop, 0);
    }
}

/// A task was put on the agenda.
///
/// # Safety
/// The task lives. Only while on.
#[cold]
#[inline(never)]
pub unsafe fn ready(task: TaskRef) {
    // SAFETY: as in `created`.
    unsafe {
        let (Some(loop_), Some(state)) = (loop_of(task), state()) else {
            return;
        };
        let of_loop = *state.of_loop(loop_);
        let number = state.task(task);
        state.ready(number, of_loop);
    }
}

/// A task is freed.
///
/// # Safety
/// The fields are still there. Only while on.
#[cold]
pub unsafe fn freed(task: TaskRef) {
    // SAFETY: as in `created`.
    unsafe {
        let Some(state) = state() else { return };
        let mark = std::mem::take(&mut task.cell().mark);
        if mark.session != state.session {
            return;
        }
        let number = mark.number;
        let Some(entry) = state.entry(number) else {
            return;
        };
        if entry.task != task.object() {
            return; // It ended before.
        }
        entry.end();
        // Its loop may be gone: the event is of the first that was seen.
        let of_loop = match loop_of(task) {
            Some(loop_) => *state.of_loop(loop_),
            None => OfLoop::default(),
        };
        let time = state.ticks.now();
        state.push(Kind::Cancelled, time, number, of_loop.serial, of_loop, 0);
        state.subjects.end(number, state.ring.head());
    }
}

/// The loop is about to ask the kernel, and may sleep.
///
/// # Safety
/// The loop lives. Only while on.
#[cold]
pub unsafe fn parked(loop_: Loop, timeout: Option<Duration>) {
    // SAFETY: as in `created`.
    unsafe { park(loop_, Kind::Park, timeout) }
}

/// The kernel has answered.
///
/// # Safety
/// The loop lives. Only while on.
#[cold]
pub unsafe fn unparked(loop_: Loop, timeout: Option<Duration>) {
    // SAFETY: as in `created`.
    unsafe { park(loop_, Kind::Unpark, timeout) }
}

unsafe fn park(loop_: Loop, kind: Kind, timeout: Option<Duration>) {
    // SAFETY: as in `created`.
    unsafe {
        item::close_open(loop_);
        let Some(state) = state() else { return };
        let of_loop = state.of_loop(loop_);
        of_loop.ended = 0;
        let of_loop = *of_loop;
        state.loops[usize::from(of_loop.number)].thread = loop_.parts().thread;
        if timeout == Some(Duration::ZERO) {
            return; // A look that does not wait is part of the loop's work.
        }
        let time = state.ticks.now();
        state.push(kind, time, 0, 0, of_loop, 0);
    }
}
