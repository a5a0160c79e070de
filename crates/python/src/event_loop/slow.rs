//! The stopwatch: names what held the loop longer than `slow_callback_duration`, in the log in debug mode, and to who listens.
//!
//! Called by the turn while somebody wants to know. The message is asyncio's; it is written in `rondeau._cold`.

use crate::door;
use crate::ffi::{Python, compat, owned::Owned};
use crate::handle;
use crate::native_loop::Loop;
use crate::onlookers;
use crate::ready::{Ready, What};
use crate::recorder;
use pyo3_ffi as ffi;
use std::ptr;

/// Runs one item where somebody watches: the recorder, the stopwatch, a watchdog, or all of them.
///
/// # Safety
/// The GIL is held and the loop lives.
#[cold]
#[inline(never)]
pub unsafe fn watched(
    loop_: Loop,
    ready: Ready,
    run: unsafe fn(Loop, Ready) -> Python<()>,
) -> Python<()> {
    // SAFETY: the caller's contract; what is called is kept alive while the loop's parts name it.
    unsafe {
        if !onlookers::any(onlookers::WATCHDOG) || ready.what() != What::Handle {
            return recorded(loop_, ready, run);
        }
        let called = *handle::slot(ready.object(), door::door().slots.callback);
        if called.is_null() {
            return recorded(loop_, ready, run);
        }
        let called = Owned::from_borrowed(called);
        loop_.parts().calls = called.as_ptr();
        let done = recorded(loop_, ready, run);
        loop_.parts().calls = ptr::null_mut();
        if done.is_ok() {
            drop(called);
        } else {
            crate::errors::keeping_raised(|| drop(called));
        }
        done
    }
}

#[inline]
unsafe fn recorded(
    loop_: Loop,
    ready: Ready,
    run: unsafe fn(Loop, Ready) -> Python<()>,
) -> Python<()> {
    // SAFETY: the caller's contract.
    unsafe {
        let slow = loop_.parts().debug | onlookers::any(onlookers::SLOW);
        match (recorder::is_on(), slow) {
            (true, true) => recorder::item(loop_, ready, |loop_, ready| timed(loop_, ready, run)),
            (true, false) => recorder::item(loop_, ready, |loop_, ready| run(loop_, ready)),
            (false, true) => timed(loop_, ready, run),
            (false, false) => run(loop_, ready),
        }
    }
}

/// Runs one item with `run` and has a long one logged.
///
/// # Safety
/// The GIL is held and the loop lives.
#[cold]
pub unsafe fn timed(
    loop_: Loop,
    ready: Ready,
    run: unsafe fn(Loop, Ready) -> Python<()>,
) -> Python<()> {
    // SAFETY: the object is kept alive to be named afterwards; an exception on its way out is put aside meanwhile.
    unsafe {
        let object = Owned::from_borrowed(ready.object());
        let before = rondeau_driver::clock::monotonic();
        let done = run(loop_, ready);
        let seconds = rondeau_driver::clock::monotonic().saturating_sub(before) as f64 / 1e9;
        let raised = compat::take_raised();
        let told = tell(loop_, &object, seconds);
        if raised.is_null() {
            told?;
        } else {
            compat::set_raised(raised);
        }
        done
    }
}

unsafe fn tell(loop_: Loop, object: &Owned, seconds: f64) -> Python<()> {
    // SAFETY: both live; nothing is borrowed while Python code runs.
    unsafe {
        if loop_.parts().debug {
            let duration = Owned::new(ffi::PyFloat_FromDouble(seconds))?;
            let args = [loop_.object(), object.as_ptr(), duration.as_ptr()];
            door::cold(c"ran", &args)?;
        }
        if onlookers::any(onlookers::SLOW) {
            onlookers::ran(loop_, object, seconds)?;
        }
        Ok(())
    }
}
