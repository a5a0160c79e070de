//! Turns of a loop whose time is virtual: it stands still while anything can be done, and then is the next timer's.
//!
//! Called by the turn in place of its own loop while `Parts::simulation` is set, so a loop on the machine's time pays nothing. The
//! pieces of a turn are the turn's, in its order; what differs is which of the ready comes next (`Schedule`), and that nobody
//! waits for a timer.
//!
//! `rondeau._virtual_time.Director` decides what is not this file's: whether real work is under way that time must wait for,
//! and what happens when nothing can ever come.

use super::{overrides, turn};
use crate::door::door;
use crate::ffi::{
    Python, Raised, answer,
    args::{raise, raise_type_error},
    names::names,
    owned::Owned,
    slot::set_slot,
};
use crate::future::cell::State;
use crate::native_loop::simulation::Simulation;
use crate::native_loop::{Loop, check_open, check_process};
use crate::ready::{Ready, What};
use crate::task::{cell::TaskRef, wrapper};
use crate::{files, handle, seconds, task, transport};
use pyo3_ffi as ffi;
use rondeau_core::{Clock, Schedule, Tape, Time};
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

/// Turns between two looks at the kernel while something is ready, where real work may come.
const LOOK: u32 = 64;

/// Takes turns until `stop()` was called, or the time is no longer virtual.
///
/// # Safety
/// As for `turn::run`.
pub unsafe fn turns(loop_: Loop) -> Python<()> {
    // SAFETY: as in `turn::run`; each borrow of the parts ends before Python runs.
    unsafe {
        loop {
            let done = one(loop_);
            let parts = loop_.parts();
            if done.is_err() || parts.stopping | parts.own_turns || parts.simulation.is_none() {
                task::current::settle(loop_);
                return done;
            }
        }
    }
}

unsafe fn one(loop_: Loop) -> Python<()> {
    // SAFETY: as in `turns`.
    unsafe {
        check_process(loop_)?;
        settle(loop_)?;
        let now = loop_.parts().clock.now();
        due_timers(loop_, now);
        batch(loop_)
    }
}

/// Has something ready, or the time moved: by the machine where it works for the program, else by the clock.
unsafe fn settle(loop_: Loop) -> Python<()> {
    // SAFETY: as in `turns`.
    unsafe {
        if loop_.parts().files.is_busy() {
            files::pump(loop_)?;
        }
        let parts = loop_.parts();
        let Some(simulation) = &mut parts.simulation else {
            return Ok(());
        };
        if parts.stopping || !parts.agenda.is_empty() {
            simulation.turns += 1;
            if simulation.turns % LOOK != 0 || simulation.is_closed_world {
                return Ok(());
            }
            return turn::ask_kernel(loop_, Some(Duration::ZERO));
        }
        turn::ask_kernel(loop_, Some(Duration::ZERO))?;
        while nothing_ready(loop_) {
            let pause = real_work(loop_)?;
            if pause > Duration::ZERO && nothing_ready(loop_) {
                turn::ask_kernel(loop_, Some(pause.min(turn::LONGEST)))?;
                if pause >= turn::LONGEST {
                    continue;
                }
            }
            if !nothing_ready(loop_) || forward(loop_) {
                return Ok(());
            }
            if !stuck(loop_)? && nothing_ready(loop_) {
                turn::ask_kernel(loop_, None)?; // Another thread may call.
            }
        }
        Ok(())
    }
}

unsafe fn nothing_ready(loop_: Loop) -> bool {
    // SAFETY: the borrow ends here.
    let parts = unsafe { loop_.parts() };
    parts.agenda.is_empty() && !parts.stopping && parts.simulation.is_some()
}

/// Moves the time to the next timer, or to where it may go; whether it moved.
unsafe fn forward(loop_: Loop) -> bool {
    // SAFETY: the borrow ends here.
    let parts = unsafe { loop_.parts() };
    let Some(simulation) = &parts.simulation else {
        return true;
    };
    let now = parts.clock.now();
    let to = match (parts.timers.next_due(), simulation.limit) {
        (Some(due), Some(limit)) => due.min(limit),
        (Some(due), None) => due,
        (None, Some(limit)) => limit,
        (None, None) => return false,
    };
    // A timer that is due already is no move, and still gets its turn.
    let due = parts.timers.next_due().is_some_and(|due| due <= to);
    parts.clock.advance_to(to);
    due || to > now
}

/// For how long the machine is to be waited for, since it works for the program.
unsafe fn real_work(loop_: Loop) -> Python<Duration> {
    // SAFETY: the director is kept alive over the call.
    unsafe {
        let parts = loop_.parts();
        if parts.files.is_busy() {
            return Ok(turn::LONGEST);
        }
        let Some(director) = director(loop_) else {
            return Ok(Duration::ZERO);
        };
        let pause = Owned::new(ffi::PyObject_CallMethodNoArgs(
            director.as_ptr(),
            names().real_work,
        ))?;
        let pause = seconds::number(pause.as_ptr())?;
        Ok(Duration::try_from_secs_f64(pause.max(0.0)).unwrap_or(turn::LONGEST))
    }
}

/// Nothing is ready and the time may not move: the director raises, or does something about it (true), or the loop waits.
unsafe fn stuck(loop_: Loop) -> Python<bool> {
    // SAFETY: the director is kept alive over the call.
    unsafe {
        let Some(director) = director(loop_) else {
            return Ok(false);
        };
        let done = Owned::new(ffi::PyObject_CallMethodNoArgs(
            director.as_ptr(),
            names().stuck,
        ))?;
        Ok(done.as_ptr() == ffi::Py_True())
    }
}

unsafe fn director(loop_: Loop) -> Option<Owned> {
    // SAFETY: the borrow ends here.
    unsafe {
        let simulation = loop_.parts().simulation.as_ref()?;
        (!simulation.director.is_null()).then(|| Owned::from_borrowed(simulation.director))
    }
}

/// Puts on the agenda what is due. Among timers of one moment the schedule chooses: asyncio leaves their order open.
unsafe fn due_timers(loop_: Loop, now: Time) {
    // SAFETY: no Python code runs.
    unsafe {
        let parts = loop_.parts();
        let before = parts.agenda.len();
        turn::due_timers(parts, now);
        let Some(simulation) = &mut parts.simulation else {
            return;
        };
        let handles = (before..parts.agenda.len())
            .filter(|index| parts.agenda.get(*index).is_some_and(Ready::is_handle));
        // Handles keep their order on the agenda, so it is chosen here; tasks and sleepers are chosen when they run.
        if simulation.schedule.is_fifo() || handles.count() < 2 {
            return;
        }
        for left in (2..=parts.agenda.len() - before).rev() {
            let from = parts.agenda.len() - left;
            let index = simulation.tape.draw(left as u32) as usize;
            if index > 0
                && let Some(ready) = parts.agenda.take(from + index)
            {
                parts.agenda.insert(from, ready);
            }
        }
    }
}

/// Runs as many items as are ready now; which, the schedule says.
unsafe fn batch(loop_: Loop) -> Python<()> {
    // SAFETY: as in `turns`.
    unsafe {
        let count = loop_.parts().agenda.len();
        loop_.parts().in_turn = true;
        loop_.parts().outbox.begin_turn();
        let metrics = &*Arc::as_ptr(&loop_.parts().metrics);
        metrics.count_turn();
        let mut done = Ok(());
        for _ in 0..count {
            let Some(ready) = next(loop_) else {
                break;
            };
            done = run(loop_, ready);
            if done.is_err() || loop_.parts().simulation.is_none() {
                break;
            }
        }
        loop_.parts().in_turn = false;
        if loop_.parts().outbox.is_empty() {
            return done;
        }
        transport::send_outbox(loop_, done)
    }
}

/// The next item.
unsafe fn next(loop_: Loop) -> Option<Ready> {
    // SAFETY: no Python code runs.
    let parts = unsafe { loop_.parts() };
    if !parts.child.is_null() {
        return parts.agenda.pop(); // The observer that is told of this child: one of a pair.
    }
    let agenda = &mut parts.agenda;
    let Some(simulation) = &mut parts.simulation else {
        return agenda.pop();
    };
    if simulation.schedule.is_fifo() || agenda.len() < 2 {
        return agenda.pop();
    }
    // SAFETY: an item holds its object.
    let task = |index: usize| unsafe { task_of(agenda.get(index)?) };
    let index = simulation
        .schedule
        .choose(&mut simulation.tape, agenda.len(), |index| {
            task(index).map(|task| task.addr() as u64)
        });
    let is_callback =
        |at: usize| agenda.get(at).is_some_and(Ready::is_handle) && task(at).is_none();
    let index = match agenda.get(index)?.what() {
        // `call_soon` promises its order.
        What::Handle if is_callback(index) => (0..=index).find(|at| is_callback(*at))?,
        // The child that it is told of is right before it.
        What::Observer => index.saturating_sub(1),
        _ => index,
    };
    let taken = agenda.take(index);
    if taken
        .as_ref()
        .is_some_and(|ready| ready.what() == What::Child)
        && let Some(observer) = agenda.take(index)
    {
        agenda.push_first(observer);
    }
    taken
}

/// The task whose step an item is, borrowed; None for what is no step.
unsafe fn task_of(ready: &Ready) -> Option<*mut ffi::PyObject> {
    // SAFETY: the item holds its object, and a handle its callback.
    unsafe {
        match ready.what() {
            What::Task => Some(ready.object()),
            What::Handle => {
                let callback = *handle::slot(ready.object(), door().slots.callback);
                (!callback.is_null() && wrapper::is_step(callback))
                    .then(|| wrapper::task_of(callback))
                    .filter(|task| !task.is_null())
            }
            _ => None,
        }
    }
}

unsafe fn run(loop_: Loop, ready: Ready) -> Python<()> {
    // SAFETY: as in `turns`; the item holds its object.
    unsafe {
        let simulation = loop_.parts().simulation.as_mut();
        let is_told = simulation.is_some_and(|simulation| {
            simulation.steps += 1;
            simulation.tells_steps || simulation.steps == simulation.most_steps
        });
        if is_told && let Err(Raised) = step(loop_, &ready) {
            loop_.parts().agenda.push_first(ready);
            return Err(Raised);
        }
        let Some(task) = task_of(&ready) else {
            return turn::run_item(loop_, ready);
        };
        let task = Owned::from_borrowed(task);
        let done = turn::run_item(loop_, ready);
        if TaskRef::of(task.as_ptr()).future().cell().state != State::Pending
            && let Some(simulation) = &mut loop_.parts().simulation
        {
            simulation.schedule.forget(task.as_ptr().addr() as u64);
        }
        if done.is_err() {
            crate::errors::keeping_raised(|| drop(task));
        }
        done
    }
}

/// Tells the director what runs next: `step(kind, object)`.
#[cold]
unsafe fn step(loop_: Loop, ready: &Ready) -> Python<()> {
    // SAFETY: director and object are kept alive over the call.
    unsafe {
        let Some(director) = director(loop_) else {
            return Ok(());
        };
        let (kind, object) = match (task_of(ready), ready.what()) {
            (Some(task), _) => (names().task, task),
            (None, What::Handle) => (names().callback, ready.object()),
            (None, What::Io) => (names().io, ready.object()),
            (None, What::Child | What::Observer) => (names().observer, ready.object()),
            (None, _) => (names().timer, ready.object()),
        };
        Owned::new(ffi::PyObject_CallMethodObjArgs(
            director.as_ptr(),
            names().step,
            kind,
            object,
            ptr::null_mut::<ffi::PyObject>(),
        ))?;
        Ok(())
    }
}

/// `_simulate(director, start, tape, order, interval, closed, steps, most_steps)`: the time is virtual from now on.
///
/// `start`: seconds; None is the loop's time now. `tape`: a seed, or a list of decisions. `order`: 0 first in first out, 1 random, 2
/// priorities that change every `interval` steps. `closed`: nothing comes from the machine. `steps`: the director is told of each;
/// it is told of the step with the number `most_steps` in any case.
pub unsafe extern "C" fn simulate(
    object: *mut ffi::PyObject,
    args: *mut *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance; the arguments live for the call.
    unsafe {
        if count != 8 {
            raise_type_error("_simulate() takes eight arguments");
            return ptr::null_mut();
        }
        let args: &[*mut ffi::PyObject] = std::slice::from_raw_parts(args, 8);
        answer::none(begin(Loop::from_object(object), args))
    }
}

unsafe fn begin(loop_: Loop, args: &[*mut ffi::PyObject]) -> Python<()> {
    // SAFETY: no borrow of the parts lives while Python code runs.
    unsafe {
        check_open(loop_)?;
        if loop_.parts().simulation.is_some() {
            return Err(raise(
                ffi::PyExc_RuntimeError,
                "this event loop's time is virtual already",
            ));
        }
        let start = if args[1] == ffi::Py_None() {
            overrides::now(loop_)?
        } else {
            seconds::due(seconds::number(args[1])?)
        };
        let tape = tape_of(args[2])?;
        let interval = word(args[4])?;
        let schedule = match word(args[3])? {
            0 => Schedule::fifo(),
            1 => Schedule::random(),
            _ => Schedule::priorities(interval.max(2)),
        };
        let [closed, steps] = [ffi::PyObject_IsTrue(args[5]), ffi::PyObject_IsTrue(args[6])];
        if closed < 0 || steps < 0 {
            return Err(Raised);
        }
        let most_steps = word(args[7])?.into();
        let director = if args[0] == ffi::Py_None() {
            ptr::null_mut()
        } else {
            Owned::from_borrowed(args[0]).into_ptr()
        };
        let parts = loop_.parts();
        // The dues of timers that wait are on the clock that was.
        parts.clock = Clock::virtual_at(start);
        parts.own_turns = true; // The turns that are under way end.
        parts.simulation = Some(Box::new(Simulation {
            director,
            tape,
            schedule,
            limit: None,
            is_closed_world: closed == 1,
            tells_steps: steps == 1,
            most_steps,
            turns: 0,
            steps: 0,
        }));
        Ok(())
    }
}

unsafe fn tape_of(object: *mut ffi::PyObject) -> Python<Tape> {
    // SAFETY: the list lives, and each item is read before Python code can run.
    unsafe {
        if ffi::PyList_Check(object) == 0 {
            let seed = ffi::PyLong_AsUnsignedLongLongMask(object);
            if seed == u64::MAX && !ffi::PyErr_Occurred().is_null() {
                return Err(Raised);
            }
            return Ok(Tape::seeded(seed));
        }
        let mut script = Vec::new();
        for index in 0..ffi::PyList_Size(object) {
            script.push(word(ffi::PyList_GetItem(object, index))?);
        }
        Ok(Tape::scripted(script))
    }
}

unsafe fn word(object: *mut ffi::PyObject) -> Python<u32> {
    // SAFETY: the caller keeps the object alive.
    unsafe {
        if object.is_null() {
            return Err(Raised);
        }
        let number = ffi::PyLong_AsUnsignedLongLong(object);
        if number == u64::MAX && !ffi::PyErr_Occurred().is_null() {
            return Err(Raised);
        }
        u32::try_from(number).map_err(|_| {
            raise(
                ffi::PyExc_OverflowError,
                "a decision is a number below 2**32",
            )
        })
    }
}

/// The simulation, or RuntimeError.
unsafe fn simulation<'a>(object: *mut ffi::PyObject) -> Python<&'a mut Simulation> {
    // SAFETY: the caller ends the borrow before Python code runs.
    unsafe {
        match &mut Loop::from_object(object).parts().simulation {
            Some(simulation) => Ok(simulation),
            None => Err(raise(
                ffi::PyExc_RuntimeError,
                "this event loop's time is the machine's",
            )),
        }
    }
}

/// `_draw(below)`: a number from 0 to `below` - 1, decided by the tape.
pub unsafe extern "C" fn draw(
    object: *mut ffi::PyObject,
    below: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        match word(below).and_then(|below| Ok(simulation(object)?.tape.draw(below))) {
            Ok(number) => ffi::PyLong_FromUnsignedLongLong(number.into()),
            Err(Raised) => ptr::null_mut(),
        }
    }
}

/// `_decisions()`: what was drawn so far, a list, and how many items ran.
pub unsafe extern "C" fn decisions(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance; the numbers are copied before objects are made.
    unsafe { answer::object(decided(object)) }
}

unsafe fn decided(object: *mut ffi::PyObject) -> Python<Owned> {
    // SAFETY: as in `decisions`.
    unsafe {
        let simulation = simulation(object)?;
        let (numbers, steps) = (simulation.tape.decisions().to_vec(), simulation.steps);
        let list = Owned::new(ffi::PyList_New(0))?;
        for number in numbers {
            let number = Owned::new(ffi::PyLong_FromUnsignedLongLong(number.into()))?;
            if ffi::PyList_Append(list.as_ptr(), number.as_ptr()) != 0 {
                return Err(Raised);
            }
        }
        let steps = Owned::new(ffi::PyLong_FromUnsignedLongLong(steps))?;
        Owned::new(ffi::PyTuple_Pack(2, list.as_ptr(), steps.as_ptr()))
    }
}

/// `_limit_time(when)`: the time goes no further than `when`, in seconds, by itself; None lifts the limit.
pub unsafe extern "C" fn limit_time(
    object: *mut ffi::PyObject,
    when: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        let limit = if when == ffi::Py_None() {
            Ok(None)
        } else {
            seconds::number(when).map(|when| Some(seconds::due(when)))
        };
        answer::none(limit.and_then(|limit| {
            simulation(object)?.limit = limit;
            Ok(())
        }))
    }
}

/// `_next_due()`: when the next timer is due, in seconds of the loop's time; None where there is none.
pub unsafe extern "C" fn next_due(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        match Loop::from_object(object).parts().timers.next_due() {
            Some(due) => ffi::PyFloat_FromDouble(due.as_nanos() as f64 / 1e9),
            None => answer::none(Ok(())),
        }
    }
}

/// `_end_simulation()`: the time is the machine's again and goes on from where it is.
pub unsafe extern "C" fn end(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance; the director is released last.
    unsafe {
        let parts = Loop::from_object(object).parts();
        if let Some(mut simulation) = parts.simulation.take() {
            parts.clock = parts.clock.to_real();
            set_slot(&raw mut simulation.director, ptr::null_mut());
        }
        answer::none(Ok(()))
    }
}
