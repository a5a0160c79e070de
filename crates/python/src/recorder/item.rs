//! One item of the agenda while the recorder is on: a task's step, a callback, a transport's turn.
//!
//! Called by the turn instead of running the item at once, and by steps that are calls (`enter`, `leave`): an eager start, a step
//! on behalf of another loop's callable. What a step came to is read off the task when it is over.
//!
//! An item's end is the next one's beginning where nothing came between: one stamp for both.

use super::callable::Who;
use super::subject::Doing;
use super::{State, foreign, state, wait};
use crate::door::door;
use crate::errors;
use crate::ffi::{Python, owned::Owned};
use crate::future::cell::State as Future;
use crate::future::layout::layout;
use crate::handle;
use crate::native_loop::Loop;
use crate::ready::{Ready, What};
use crate::task::cell::TaskRef;
use pyo3_ffi as ffi;
use rondeau_core::record::Kind;

/// A step or a callback that runs: who ran before, and in which recording.
#[derive(Clone, Copy)]
pub struct Begun {
    session: u32,
    number: u32,
    before: u32,
    before_serial: u64,
}

impl Begun {
    /// In which recording.
    pub fn session(self) -> u32 {
        self.session
    }

    /// Who.
    pub fn number(self) -> u32 {
        self.number
    }
}

impl State {
    /// `number` runs from now on.
    #[inline]
    pub(super) unsafe fn begin(
        &mut self,
        loop_: Loop,
        kind: Kind,
        number: u32,
        serial: u64,
    ) -> Begun {
        // SAFETY: the loop lives; no Python code runs.
        unsafe {
            let session = self.session;
            let ticks = self.ticks;
            let of_loop = self.of_loop(loop_);
            let time = if of_loop.ended == 0 {
                ticks.now()
            } else {
                of_loop.ended
            };
            let begun = Begun {
                session,
                number,
                before: of_loop.running,
                before_serial: of_loop.serial,
            };
            of_loop.ended = 0;
            of_loop.running = number;
            of_loop.serial = serial;
            let of_loop = *of_loop;
            self.push(kind, time, number, 0, of_loop, 0);
            begun
        }
    }

    /// It ran; who ran before goes on. When it ended.
    #[inline]
    pub(super) unsafe fn end(&mut self, loop_: Loop, begun: Begun) -> u64 {
        // SAFETY: the loop lives; no Python code runs.
        unsafe {
            let time = self.ticks.now();
            let of_loop = self.of_loop(loop_);
            of_loop.running = begun.before;
            of_loop.serial = begun.before_serial;
            if begun.before == 0 {
                of_loop.ended = time;
            }
            time
        }
    }
}

/// Runs one item with `run`.
///
/// # Safety
/// The GIL is held and the loop lives. Only while on.
pub unsafe fn item(
    loop_: Loop,
    ready: Ready,
    run: impl FnOnce(Loop, Ready) -> Python<()>,
) -> Python<()> {
    // SAFETY: the item's object is kept alive by its reference, or by ours where it is looked at afterwards.
    unsafe {
        close_open(loop_);
        match ready.what() {
            What::Task => {
                let object = Owned::from_borrowed(ready.object());
                let task = TaskRef::of(object.as_ptr());
                let begun = begin_task(loop_, task);
                let done = run(loop_, ready);
                end_task(loop_, task, begun);
                released(object, done)
            }
            What::Handle => {
                let handle = ready.object();
                if handle::is_cancelled(handle) {
                    return run(loop_, ready);
                }
                let callback = *handle::slot(handle, door().slots.callback);
                let Some((who, gone)) = state().map(|state| state.who(callback)) else {
                    return run(loop_, ready);
                };
                drop(gone);
                match who {
                    Who::Own => run(loop_, ready),
                    Who::Callback(number, serial) => call(loop_, number, serial, ready, run),
                    Who::Foreign => foreign::step(loop_, callback, ready, run),
                }
            }
            What::Io => {
                let found = state().and_then(|state| state.protocol(ready.object()));
                match found {
                    Some((number, serial, gone)) => {
                        drop(gone);
                        call(loop_, number, serial, ready, run)
                    }
                    None => run(loop_, ready),
                }
            }
            What::Child => {
                // Whom the observer wakes, the child woke.
                let child = ready.object();
                if let Some(state) = state()
                    && ffi::Py_TYPE(child) == layout().task
                {
                    let serial = state.serial_of(TaskRef::of(child));
                    state.of_loop(loop_).serial = serial;
                }
                run(loop_, ready)
            }
            What::Observer => {
                let done = run(loop_, ready);
                if let Some(state) = state() {
                    let of_loop = state.of_loop(loop_);
                    (of_loop.serial, of_loop.ended) = (0, 0);
                }
                done
            }
            What::Loop => {
                let done = run(loop_, ready);
                if let Some(state) = state() {
                    state.of_loop(loop_).ended = 0;
                }
                done
            }
        }
    }
}

unsafe fn released(object: Owned, done: Python<()>) -> Python<()> {
    if done.is_err() {
        // SAFETY: an exception is on its way out.
        unsafe { errors::keeping_raised(|| drop(object)) };
    }
    done
}

/// A callback's turn.
#[inline]
unsafe fn call(
    loop_: Loop,
    number: u32,
    serial: u64,
    ready: Ready,
    run: impl FnOnce(Loop, Ready) -> Python<()>,
) -> Python<()> {
    // SAFETY: each borrow ends before Python code runs.
    unsafe {
        let begun = state().map(|state| state.begin(loop_, Kind::Callback, number, serial));
        let done = run(loop_, ready);
        if let (Some(begun), Some(state)) = (begun, state())
            && begun.session == state.session
        {
            let time = state.end(loop_, begun);
            let of_loop = *state.of_loop(loop_);
            // It may have been forgotten, where the ring came round while it ran.
            if state.touch(number, serial) {
                state.push(Kind::Return, time, number, 0, of_loop, 0);
            }
        }
        done
    }
}

#[inline]
unsafe fn begin_task(loop_: Loop, task: TaskRef) -> Option<Begun> {
    // SAFETY: the task lives; no Python code runs.
    unsafe {
        let state = state()?;
        let number = state.task(task);
        let entry = state.entry(number)?;
        entry.doing = Doing::Running;
        let serial = entry.serial;
        Some(state.begin(loop_, Kind::Run, number, serial))
    }
}

/// The step is over: what did it come to?
#[inline]
unsafe fn end_task(loop_: Loop, task: TaskRef, begun: Option<Begun>) {
    // SAFETY: the task lives; references are released after the borrow.
    let gone = unsafe {
        let (Some(begun), Some(state)) = (begun, state()) else {
            return;
        };
        if begun.session != state.session {
            return;
        }
        let time = state.end(loop_, begun);
        let of_loop = *state.of_loop(loop_);
        let number = begun.number;
        let cell = task.future().cell();
        let kind = match cell.state {
            Future::Pending => {
                let running = state
                    .entry(number)
                    .is_some_and(|entry| entry.doing == Doing::Running);
                if running {
                    let (wait, detail) = wait::of(state, task);
                    state.push(Kind::Wait, time, number, detail, of_loop, wait);
                    if let Some(entry) = state.entry(number) {
                        entry.doing = Doing::Waiting(wait, detail);
                    }
                }
                return;
            }
            Future::Cancelled => Kind::Cancelled,
            Future::Finished if cell.failed => Kind::Failed,
            Future::Finished => Kind::Done,
        };
        state.push(kind, time, number, 0, of_loop, 0);
        if let Some(entry) = state.entry(number) {
            entry.end();
        }
        state.subjects.end(number, state.ring.head());
        state.forget()
    };
    drop(gone);
}

impl State {
    /// Up to two subjects that no event names any more, for each that ends: so the table does not grow. To be dropped by the
    /// caller once no borrow lives.
    #[inline]
    pub(super) fn forget(&mut self) -> [Option<super::subject::Subject>; 2] {
        let lost = self.ring.lost();
        if lost == 0 {
            return [None, None];
        }
        [self.subjects.forget(lost), self.subjects.forget(lost)]
    }
}

/// A step begins that is a call: an eager start, or a callable's on behalf of a task.
///
/// # Safety
/// The task lives. Only while on.
#[cold]
pub unsafe fn enter(task: TaskRef) -> Option<Begun> {
    // SAFETY: the caller's contract.
    unsafe { begin_task(super::loop_of(task)?, task) }
}

/// Such a step is over. An exception may be set, and stays.
///
/// # Safety
/// The task lives.
#[cold]
pub unsafe fn leave(task: TaskRef, begun: Option<Begun>) {
    // SAFETY: the caller's contract.
    unsafe {
        if let Some(loop_) = super::loop_of(task) {
            end_task(loop_, task, begun);
        }
    }
}

/// A task waits in the middle of its step, while its loop runs within itself.
///
/// # Safety
/// The task lives, and what it waits for is noted in it.
#[cold]
pub unsafe fn stands_still(task: TaskRef) {
    // SAFETY: no Python code runs.
    unsafe {
        let (Some(loop_), Some(state)) = (super::loop_of(task), state()) else {
            return;
        };
        let number = state.task(task);
        let time = state.ticks.now();
        let of_loop = *state.of_loop(loop_);
        let (wait, detail) = wait::of(state, task);
        state.push(Kind::Wait, time, number, detail, of_loop, wait);
        if let Some(entry) = state.entry(number) {
            entry.doing = Doing::Waiting(wait, detail);
        }
    }
}

/// It goes on.
///
/// # Safety
/// The task lives.
#[cold]
pub unsafe fn goes_on(task: TaskRef) {
    // SAFETY: no Python code runs.
    unsafe {
        let (Some(loop_), Some(state)) = (super::loop_of(task), state()) else {
            return;
        };
        let number = state.task(task);
        let of_loop = *state.of_loop(loop_);
        let Some(entry) = state.entry(number) else {
            return;
        };
        if !matches!(entry.doing, Doing::Waiting(..)) {
            return; // The recorder was switched on meanwhile.
        }
        state.ready(number, of_loop);
        let time = state.ticks.now();
        if let Some(entry) = state.entry(number) {
            entry.doing = Doing::Running;
        }
        state.push(Kind::Run, time, number, 0, of_loop, 0);
    }
}

/// The step in which the recorder was switched on is over.
///
/// # Safety
/// The loop lives; called before anything else of it is recorded.
#[inline]
pub unsafe fn close_open(loop_: Loop) {
    // SAFETY: what was held is released after the borrow.
    unsafe {
        if let Some(state) = state()
            && state.open.is_some()
        {
            close(loop_);
        }
    }
}

#[cold]
unsafe fn close(loop_: Loop) {
    // SAFETY: as in `close_open`.
    unsafe {
        let Some(state) = state() else { return };
        let of_this = state.open.as_ref().map(|(of, _)| of.as_ptr());
        if of_this != Some(loop_.object()) {
            return;
        }
        let Some((_loop, object)) = state.open.take() else {
            return;
        };
        let task = TaskRef::of(object.as_ptr());
        let begun = Begun {
            session: state.session,
            number: state.task(task),
            before: 0,
            before_serial: 0,
        };
        end_task(loop_, task, Some(begun));
    }
}
