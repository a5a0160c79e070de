//! The program's own methods on a loop: of a subclass, or set on the object, as a test sets a made-up clock (`mock.patch.object(loop, "time")`).
//!
//! Native functions do without the loop's methods (`Parts::direct`, `Parts::plain`) as long as these are Rondeau's. loop.py notes which
//! they are when a loop is made, and again when one of them is set on it or deleted, which is seen here. Rejected: looking at each
//! call, which costs 3 ns and is what asyncio does.

use crate::door;
use crate::ffi::{Python, Raised, names::names, owned::Owned};
use crate::native_loop::Loop;
use crate::patched_clock;
use crate::seconds;
use pyo3_ffi as ffi;
use rondeau_core::Time;
use std::ffi::c_int;

/// `setattr(loop, name, value)` and `delattr`.
pub unsafe extern "C" fn set_attribute(
    object: *mut ffi::PyObject,
    name: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
) -> c_int {
    // SAFETY: CPython calls this on an instance; it interns the name.
    unsafe {
        let kind = ffi::Py_TYPE(object);
        let done = ffi::PyObject_GenericSetAttr(object, name, value);
        let names = names();
        let hot = [
            names.call_soon,
            names.call_soon_threadsafe,
            names.call_later,
            names.call_at,
            names.time,
            names.create_future,
            names.create_task,
            names.run_in_executor,
        ];
        let turns = [names._run_once, names._process_events, names._selector];
        if done != 0 {
            return done;
        }
        // A program may give the object another class as well, as looptime does.
        let told = if hot.contains(&name) || ffi::Py_TYPE(object) != kind {
            door::cold(c"methods_changed", &[object])
        } else if turns.contains(&name) {
            door::cold(c"turns_changed", &[object])
        } else {
            return done;
        };
        if told.is_err() {
            return -1;
        }
        done
    }
}

/// The loop's time: what `time()` says, if it is the program's own.
///
/// # Safety
/// The GIL is held, the loop lives and nothing of it is borrowed: Python code may run.
#[inline]
pub unsafe fn now(loop_: Loop) -> Python<Time> {
    // SAFETY: the caller's contract.
    unsafe {
        if is_own(loop_) {
            return asked(loop_).map(seconds::due);
        }
        Ok(loop_.parts().clock.now())
    }
}

/// The same in seconds.
///
/// # Safety
/// As for `now`.
#[inline]
pub unsafe fn now_in_seconds(loop_: Loop) -> Python<f64> {
    // SAFETY: the caller's contract.
    unsafe {
        if is_own(loop_) {
            return asked(loop_);
        }
        Ok(loop_.parts().clock.now().as_nanos() as f64 / 1e9)
    }
}

/// Whether the loop's time is what the program says: by a `time` method of its own, or in the place of `time.monotonic`.
///
/// # Safety
/// The GIL is held and the loop lives.
#[inline]
pub unsafe fn is_own(loop_: Loop) -> bool {
    // SAFETY: the caller's contract.
    unsafe {
        let parts = loop_.parts();
        parts.own_clock || (patched_clock::is_there() && !parts.clock.is_virtual())
    }
}

/// What `time()` of the loop's own says in seconds.
///
/// # Safety
/// As for `now`.
#[inline]
pub unsafe fn plain_time(loop_: Loop) -> Python<f64> {
    // SAFETY: the caller's contract.
    unsafe {
        if patched_clock::is_there() && !loop_.parts().clock.is_virtual() {
            return patched_clock::ask();
        }
        Ok(loop_.parts().clock.now().as_nanos() as f64 / 1e9)
    }
}

/// The same where nobody can be told of an error: the machine's time then.
///
/// # Safety
/// As for `now`.
#[inline]
pub unsafe fn time_or_machines(loop_: Loop) -> f64 {
    // SAFETY: the caller's contract.
    unsafe {
        plain_time(loop_).unwrap_or_else(|Raised| {
            ffi::PyErr_Clear();
            loop_.parts().clock.now().as_nanos() as f64 / 1e9
        })
    }
}

#[cold]
unsafe fn asked(loop_: Loop) -> Python<f64> {
    // SAFETY: the caller keeps the loop alive.
    unsafe {
        let time = Owned::new(ffi::PyObject_CallMethodNoArgs(loop_.object(), names().time))?;
        seconds::number(time.as_ptr())
    }
}
