//! The stopwatch: names what held the loop longer than `slow_callback_duration`, in the log in debug mode, and to who listens.
//!
//! Called by the turn while somebody wants to know. The message is asyncio's; it is written in `rondeau._cold`.

use crate::door;
use crate::ffi::{Python, compat, owned::Owned};
use crate::native_loop::Loop;
use crate::onlookers;
use crate::ready::Ready;
use crate::recorder;
use pyo3_ffi as ffi;

/// Runs one item where somebody watches: the recorder, the stopwatch, or both.
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
    // SAFETY: the caller's contract.
    unsafe {
        if !recorder::is_on() {
            return timed(loop_, ready, run);
        }
        let slow = loop_.parts().debug | onlookers::any(onlookers::SLOW);
        recorder::item(loop_, ready, |loop_, ready| {
            if slow {
                timed(loop_, ready, run)
            } else {
                run(loop_, ready)
            }
        })
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
