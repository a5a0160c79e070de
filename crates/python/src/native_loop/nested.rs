//! What stands still while a loop runs within itself: one entry for each depth below the one that runs.
//!
//! Pushed by `_suspend`, popped by `_resume` (`event_loop/nested.rs`), which `rondeau._nesting` calls round each inner run. The
//! task that called is in the middle of its step: it is not current meanwhile, and it waits for what the inner run waits for.
//!
//! What cannot run meanwhile, because its context is entered further down the stack, is put aside here and goes to the agenda's
//! front when this depth goes on. In asyncio such a callback fails and such a task is never resumed.

use super::Loop;
use crate::ready::Ready;
use crate::task::current::Suspended as Current;
use pyo3_ffi as ffi;

/// A depth of the loop that does not run.
pub struct Suspended {
    /// Who was current there.
    pub current: Current,
    /// `Parts::in_turn`, `stopping` and `calls` as they were.
    pub in_turn: bool,
    pub stopping: bool,
    pub calls: *mut ffi::PyObject,
    /// What is to run once this depth goes on.
    pub put_off: Vec<Ready>,
}

/// Puts `ready` aside if the loop runs within itself and the exception that is set says that its context is entered already; true if so,
/// and the exception is gone then. Else `ready` is given back.
///
/// # Safety
/// The loop lives and an exception is set.
#[cold]
pub unsafe fn put_off(loop_: Loop, ready: Ready) -> Result<(), Ready> {
    // SAFETY: the borrow ends before Python code runs; nothing is released here but the exception.
    unsafe {
        if loop_.parts().suspended.is_empty()
            || ffi::PyErr_ExceptionMatches(ffi::PyExc_RuntimeError) == 0
        {
            return Err(ready);
        }
        ffi::PyErr_Clear();
        match loop_.parts().suspended.last_mut() {
            Some(suspended) => suspended.put_off.push(ready),
            None => loop_.schedule(ready),
        }
        Ok(())
    }
}
