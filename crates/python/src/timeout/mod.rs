//! `Timeout`, `timeout(delay)` and `timeout_at(when)`.
//!
//! Native where it runs on a loop of ours and does not strike: entering arms an alarm on the loop's timers, leaving takes it off. What
//! is rare (a time-out that strikes, `reschedule` to no plain number, another loop, debug mode) is asyncio's own methods on the
//! same object (`stand_in::class`).
//!
//! Invariants: `timer` is a timer of the loop's while `_state` is `ENTERED` on a native loop; `stale` counts alarms that are on
//! the agenda and were disarmed since: these run first, the agenda being in order.

mod methods;
mod object;

pub use methods::{enter, wait_for_end};
pub use object::{TimeoutRef, is_timeout, new, run_alarm};

use crate::door::{attribute, import};
use crate::event_loop;
use crate::ffi::{Python, Raised, args::Args, gil::GilCell, names::names, owned::Owned};
use crate::running;
use crate::seconds::plain_seconds;
use crate::stand_in::{self, StandIn};
use pyo3_ffi as ffi;
use std::ffi::CStr;
use std::ptr;

/// asyncio's states and methods. Strong references that live as long as the process.
struct Asyncios {
    created: *mut ffi::PyObject,
    entered: *mut ffi::PyObject,
    expiring: *mut ffi::PyObject,
    exited: *mut ffi::PyObject,
    aenter: *mut ffi::PyObject,
    aexit: *mut ffi::PyObject,
    reschedule: *mut ffi::PyObject,
}

static ASYNCIOS: GilCell<Asyncios> = GilCell::new(Asyncios {
    created: ptr::null_mut(),
    entered: ptr::null_mut(),
    expiring: ptr::null_mut(),
    exited: ptr::null_mut(),
    aenter: ptr::null_mut(),
    aexit: ptr::null_mut(),
    reschedule: ptr::null_mut(),
});

#[inline]
fn asyncios() -> &'static Asyncios {
    // SAFETY: written once at import and only read afterwards.
    unsafe { ASYNCIOS.get() }
}

struct TimeoutFunction;

impl StandIn for TimeoutFunction {
    const MODULE: &'static CStr = c"asyncio.timeouts";
    const NAME: &'static CStr = c"timeout";
    const DOC: Option<&'static CStr> = Some(
        c"An asynchronous context manager that cancels what is overdue and raises TimeoutError then.

`delay` is in seconds; None is for ever.

>>> import rondeau
>>> async def main():
...     async with rondeau.timeout(10) as late:
...         await rondeau.sleep(0)
...     return late.expired()
>>> rondeau.run(main())
False
",
    );

    unsafe fn call(call: Args<'_>) -> Python<Option<Owned>> {
        // SAFETY: the arguments live.
        unsafe {
            let Some(delay) = only_argument(&call, names().delay) else {
                return Ok(None);
            };
            let Some(plain) = running::plain() else {
                return on_another_loop(delay);
            };
            if delay == ffi::Py_None() {
                return object::new(delay).map(Some);
            }
            let Some(seconds) = plain_seconds(delay) else {
                return on_another_loop(delay);
            };
            let now = event_loop::time_or_machines(plain.loop_);
            let when = Owned::new(ffi::PyFloat_FromDouble(now + seconds))?;
            object::new(when.as_ptr()).map(Some)
        }
    }
}

/// `loop.time() + delay` as asyncio computes it; None where there is no running loop, which asyncio's function says.
#[cold]
unsafe fn on_another_loop(delay: *mut ffi::PyObject) -> Python<Option<Owned>> {
    // SAFETY: the objects live.
    unsafe {
        let Some(running) = running::object()? else {
            return Ok(None);
        };
        if delay == ffi::Py_None() {
            return object::new(delay).map(Some);
        }
        let now = Owned::new(ffi::PyObject_CallMethodNoArgs(
            running.as_ptr(),
            names().time,
        ))?;
        let when = Owned::new(ffi::PyNumber_Add(now.as_ptr(), delay))?;
        object::new(when.as_ptr()).map(Some)
    }
}

struct TimeoutAt;

impl StandIn for TimeoutAt {
    const MODULE: &'static CStr = c"asyncio.timeouts";
    const NAME: &'static CStr = c"timeout_at";
    const DOC: Option<&'static CStr> = Some(
        c"As `timeout`, with the time of the deadline.

`when` is in seconds of the loop's clock (`loop.time()`); None is never.

>>> import rondeau
>>> async def main():
...     async with rondeau.timeout_at(None) as late:
...         await rondeau.sleep(0)
...     return late.expired()
>>> rondeau.run(main())
False
",
    );

    unsafe fn call(call: Args<'_>) -> Python<Option<Owned>> {
        // SAFETY: the arguments live.
        unsafe {
            match only_argument(&call, names().when) {
                Some(when) => object::new(when).map(Some),
                None => Ok(None),
            }
        }
    }
}

/// The one argument, given by position or by this name; None for anything else.
#[inline]
unsafe fn only_argument(call: &Args<'_>, name: *mut ffi::PyObject) -> Option<*mut ffi::PyObject> {
    match *call.positional {
        [given] if call.keyword_count() == 0 => Some(given),
        [] if call.keyword_count() == 1 => {
            let mut given = [ptr::null_mut()];
            if call.keywords("timeout", [name], &mut given).is_err() {
                // SAFETY: the error is answered by asyncio's own function.
                unsafe { ffi::PyErr_Clear() };
                return None;
            }
            Some(given[0])
        }
        _ => None,
    }
}

/// Makes the class and the functions, and adds them to the module.
pub fn init(module: *mut ffi::PyObject) -> Python<()> {
    let timeouts = import(c"asyncio.timeouts")?;
    let class = attribute(&timeouts, c"Timeout")?;
    let states = attribute(&timeouts, c"_State")?;
    let state = |name| attribute(&states, name).map(Owned::into_ptr);
    let method = |name| attribute(&class, name).map(Owned::into_ptr);
    let all = Asyncios {
        created: state(c"CREATED")?,
        entered: state(c"ENTERED")?,
        expiring: state(c"EXPIRING")?,
        exited: state(c"EXITED")?,
        aenter: method(c"__aenter__")?,
        aexit: method(c"__aexit__")?,
        reschedule: method(c"reschedule")?,
    };
    // SAFETY: the import runs alone.
    unsafe { *ASYNCIOS.get() = all };
    object::init(module, &class, methods::table())?;
    stand_in::add::<TimeoutFunction>(module)?;
    stand_in::add::<TimeoutAt>(module)?;
    Ok::<(), Raised>(())
}
