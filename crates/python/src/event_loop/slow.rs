//! Debug mode's stopwatch: names what held the loop longer than `slow_callback_duration`.
//!
//! Called by the turn in debug mode only. The message is asyncio's; it is written in `rondeau._cold`.

use crate::door;
use crate::ffi::{Python, compat, owned::Owned};
use crate::native_loop::Loop;
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
        if loop_.parts().debug {
            recorder::item(loop_, ready, |loop_, ready| {
                timed(loop_, ready, super::turn::run_one)
            })
        } else {
            recorder::item(loop_, ready, run)
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
        let duration = Owned::new(ffi::PyFloat_FromDouble(seconds))?;
        let logged = door::cold(
            c"ran",
            &[loop_.object(), object.as_ptr(), duration.as_ptr()],
        );
        if raised.is_null() {
            logged?;
        } else {
            compat::set_raised(raised);
        }
        done
    }
}
