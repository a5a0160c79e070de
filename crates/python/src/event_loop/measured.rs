//! `_metrics()`: a loop's counters as a dict. Called by `rondeau`'s instruments, from any thread.

use crate::ffi::{Python, Raised, answer, owned::Owned};
use crate::native_loop::{Loop, descriptors::Slot};
use pyo3_ffi as ffi;
use std::ffi::CStr;
use std::sync::atomic::Ordering::Relaxed;

/// The method's documentation, which names what the dict has.
pub const DOC: &CStr = c"_metrics($self, /)\n--\n\n\
The loop's counters, as a dict; from any thread. Times are seconds, counts never go back.

turns, asks, waits: turns taken, times that the kernel was asked, and of these when the loop could wait there.
ran, waited: for how long run_forever ran, and how much of that was spent in these waits.
last_ask: for how long the loop has not come to or from the kernel; parked: it waits there now.
longest: the longest time between two looks at the kernel, so far.
delays: how long what was ready had to wait for its turn: a list of (upper bound, count). Sampled for one minute after each
    call, so the first call finds none; subtract two lists for the time between two calls.
ready, timers: callbacks and steps that wait for their turn, and for their time.
connections, descriptors: open native transports, and other descriptors that are watched.
thread: the native id of the thread that runs the loop, or ran it last (0: none).";

/// `_metrics()`.
pub unsafe extern "C" fn metrics(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    answer::object(unsafe { dict(Loop::from_object(object)) })
}

unsafe fn dict(loop_: Loop) -> Python<Owned> {
    // SAFETY: the borrow of the parts ends before an object is made.
    unsafe {
        let parts = loop_.parts();
        let metrics = parts.metrics.clone();
        metrics.watch();
        let (ready, timers) = (parts.agenda.len(), parts.timers.len());
        let (mut connections, mut descriptors) = (0, 0);
        for (_, slot) in parts.descriptors.iter() {
            match slot {
                Slot::Transport { .. } => connections += 1,
                _ => descriptors += 1,
            }
        }
        let dict = Owned::new(ffi::PyDict_New())?;
        let counts = [
            (c"turns", metrics.turns.load(Relaxed)),
            (c"asks", metrics.asks.load(Relaxed)),
            (c"waits", metrics.waits.load(Relaxed)),
            (c"ready", ready as u64),
            (c"timers", timers as u64),
            (c"connections", connections),
            (c"descriptors", descriptors),
            (c"thread", metrics.thread.load(Relaxed).into()),
        ];
        for (key, count) in counts {
            set(&dict, key, ffi::PyLong_FromUnsignedLongLong(count))?;
        }
        let now = rondeau_driver::clock::monotonic();
        let times = [
            (c"ran", metrics.ran_until_now()),
            (c"waited", metrics.waited_until_now()),
            (
                c"last_ask",
                now.saturating_sub(metrics.last_ask.load(Relaxed)),
            ),
            (c"longest", metrics.longest.load(Relaxed)),
        ];
        for (key, nanos) in times {
            set(&dict, key, seconds(nanos))?;
        }
        let parked = metrics.parked.load(Relaxed);
        set(&dict, c"parked", ffi::PyBool_FromLong(parked.into()))?;
        let delays = Owned::new(ffi::PyList_New(0))?;
        for (upper, count) in metrics.delays() {
            let upper = Owned::new(seconds(upper))?;
            let count = Owned::new(ffi::PyLong_FromUnsignedLongLong(count))?;
            let pair = Owned::new(ffi::PyTuple_Pack(2, upper.as_ptr(), count.as_ptr()))?;
            if ffi::PyList_Append(delays.as_ptr(), pair.as_ptr()) != 0 {
                return Err(Raised);
            }
        }
        set(&dict, c"delays", delays.into_ptr())?;
        Ok(dict)
    }
}

/// Nanoseconds as a float of seconds: a new reference, or NULL.
unsafe fn seconds(nanos: u64) -> *mut ffi::PyObject {
    // SAFETY: the GIL is held.
    unsafe { ffi::PyFloat_FromDouble(nanos as f64 / 1e9) }
}

/// `dict[key] = value`; takes over the reference.
unsafe fn set(dict: &Owned, key: &CStr, value: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the dict is live; a NULL value has raised.
    unsafe {
        let value = Owned::new(value)?;
        if ffi::PyDict_SetItemString(dict.as_ptr(), key.as_ptr(), value.as_ptr()) != 0 {
            return Err(Raised);
        }
    }
    Ok(())
}
