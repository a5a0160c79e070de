//! A turn in pieces, for `rondeau._own_turns`: where a program has put something of its own into the turn (a selector's `select`, a
//! `_run_once` of a subclass, `_process_events`), Python code takes the turns and calls these.
//!
//! `_timeout()`, `_select(timeout)`, `_tell(fd, mask)`, `_run_ready(end)` are what asyncio's `_run_once` does, in its order. The
//! kernel is asked in every turn, as there. The same pieces serve who drives the loop from outside, in the middle of a callback:
//! so `_select` lets what was written leave first, and touches nobody's being current.

use super::{overrides, turn};
use crate::ffi::{Python, Raised, answer, args::raise_type_error, owned::Owned};
use crate::native_loop::{Loop, check_open, check_process};
use crate::seconds;
use crate::{inspect, transport, watchdog};
use pyo3_ffi as ffi;
use rondeau_core::Time;
use rondeau_driver::{Event, Readiness};
use std::ffi::c_long;
use std::ptr;
use std::time::Duration;

/// `selectors.EVENT_READ` and `EVENT_WRITE`.
const READ: c_long = 1;
const WRITE: c_long = 2;

/// `_enter()`: turns begin that are taken from Python.
pub unsafe extern "C" fn enter(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        let loop_ = Loop::from_object(object);
        if loop_.parts().suspended.is_empty() {
            if !loop_.parts().known {
                inspect::meet(loop_);
            }
            watchdog::enter(loop_);
            let metrics = loop_.parts().metrics.clone();
            metrics.begin(rondeau_driver::thread::number());
        }
        answer::none(Ok(()))
    }
}

/// `_leave()`: they end.
pub unsafe extern "C" fn leave(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        let loop_ = Loop::from_object(object);
        if loop_.parts().suspended.is_empty() {
            loop_.parts().metrics.clone().end();
            watchdog::leave(loop_);
        }
        answer::none(Ok(()))
    }
}

/// `_timeout()`: for how long the next turn may wait: 0, seconds, or None for ever.
pub unsafe extern "C" fn timeout(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance; the borrow ends before the clock is asked.
    unsafe {
        let loop_ = Loop::from_object(object);
        let parts = loop_.parts();
        if parts.stopping || !parts.agenda.is_empty() {
            return ffi::PyLong_FromLong(0);
        }
        let Some(due) = parts.timers.next_due() else {
            return answer::none(Ok(()));
        };
        let Ok(now) = overrides::now_in_seconds(loop_) else {
            return ptr::null_mut();
        };
        let pause = due.as_nanos() as f64 / 1e9 - now;
        if pause <= 0.0 {
            return ffi::PyLong_FromLong(0);
        }
        ffi::PyFloat_FromDouble(pause.min(turn::LONGEST.as_secs_f64()))
    }
}

/// `_select(timeout)`: waits in the kernel, `timeout` seconds at most (None: for ever); a list of (descriptor, mask). The loop's own
/// descriptor stands for a call from another thread.
pub unsafe extern "C" fn select(
    object: *mut ffi::PyObject,
    timeout: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance, which its caller keeps alive.
    answer::object(unsafe { selected(Loop::from_object(object), timeout) })
}

unsafe fn selected(loop_: Loop, timeout: *mut ffi::PyObject) -> Python<Owned> {
    // SAFETY: no borrow of the parts lives while Python code runs.
    unsafe {
        let pause = if timeout == ffi::Py_None() {
            None
        } else {
            let seconds = seconds::number(timeout)?;
            let longest = turn::LONGEST.as_secs_f64();
            Some(Duration::from_secs_f64(
                seconds.clamp(0.0, longest).max(0.0),
            ))
        };
        check_open(loop_)?;
        check_process(loop_)?;
        if !loop_.parts().outbox.is_empty() {
            transport::send_outbox(loop_, Ok(()))?;
        }
        if loop_.parts().files.is_busy() {
            crate::files::pump(loop_)?;
        }
        // Somebody scheduled something since the timeout was reckoned: another thread, or what ended just now.
        let waiting = !loop_.parts().agenda.is_empty();
        let pause = if waiting { Some(Duration::ZERO) } else { pause };
        turn::wait(loop_, pause)?;
        if loop_.parts().files.is_busy() && loop_.events().woken() {
            crate::files::pump(loop_)?;
        }
        let found = list(loop_, waiting);
        if found.is_err() || ffi::PyErr_CheckSignals() != 0 {
            // What the kernel reports once only must not be lost.
            turn::queue_events(loop_);
            return Err(Raised);
        }
        found
    }
}

unsafe fn list(loop_: Loop, waiting: bool) -> Python<Owned> {
    // SAFETY: the events are copied before objects are made.
    unsafe {
        let mut found: Vec<(c_long, c_long)> = loop_
            .events()
            .iter()
            .map(|event| {
                let read = if event.readiness.readable() { READ } else { 0 };
                let write = if event.readiness.writable() { WRITE } else { 0 };
                (event.token as c_long, read | write)
            })
            .collect();
        if (waiting || loop_.events().woken())
            && let Some(driver) = loop_.driver()
        {
            found.push((driver.fd().into(), READ));
        }
        let list = Owned::new(ffi::PyList_New(0))?;
        for (fd, mask) in found {
            let fd = Owned::new(ffi::PyLong_FromLong(fd))?;
            let mask = Owned::new(ffi::PyLong_FromLong(mask))?;
            let pair = Owned::new(ffi::PyTuple_Pack(2, fd.as_ptr(), mask.as_ptr()))?;
            if ffi::PyList_Append(list.as_ptr(), pair.as_ptr()) != 0 {
                return Err(Raised);
            }
        }
        Ok(list)
    }
}

/// `_tell(fd, mask)`: queues who waits for what a selector reports.
pub unsafe extern "C" fn tell(
    object: *mut ffi::PyObject,
    args: *mut *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance; the arguments live for the call.
    unsafe {
        if count != 2 {
            raise_type_error("_tell() takes a descriptor and a mask");
            return ptr::null_mut();
        }
        let (fd, mask) = (ffi::PyLong_AsLong(*args), ffi::PyLong_AsLong(*args.add(1)));
        if (fd == -1 || mask == -1) && !ffi::PyErr_Occurred().is_null() {
            return ptr::null_mut();
        }
        if let Ok(token) = u64::try_from(fd) {
            let readiness = Readiness::of(mask & READ != 0, mask & WRITE != 0);
            turn::queue_event(Loop::from_object(object), Event { token, readiness });
        }
        answer::none(Ok(()))
    }
}

/// `_run_ready(end)`: the timers that are due at `end` (seconds of the loop's time), then the batch.
pub unsafe extern "C" fn run_ready(
    object: *mut ffi::PyObject,
    end: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance, which its caller keeps alive.
    unsafe {
        let loop_ = Loop::from_object(object);
        let end = match seconds::number(end) {
            Ok(end) => Time::from_nanos((end * 1e9) as u64),
            Err(Raised) => return ptr::null_mut(),
        };
        turn::due_timers(loop_.parts(), end);
        let done = turn::batch(loop_);
        crate::task::current::settle(loop_);
        answer::none(done)
    }
}
