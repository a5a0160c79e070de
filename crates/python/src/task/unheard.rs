//! `loop.report_failed_tasks`: a task that fails while nobody waits for it is reported when it ends, not when it is collected.
//!
//! Called where a task fails, which is cold anyway. Whether somebody waits is known by its callbacks, before they are taken out to be
//! scheduled. Who comes a little later still takes the exception: the report itself is `rondeau._cold.task_failed`'s.

use super::cell::TaskRef;
use super::kept::loop_of;
use crate::door;
use crate::ffi::Python;

/// Whether nobody waits for a task that is about to fail, and its loop wants to know.
///
/// # Safety
/// The task lives and is pending.
pub unsafe fn is_alone(task: TaskRef) -> bool {
    // SAFETY: no Python code runs.
    unsafe {
        task.future().cell().first.is_empty()
            && loop_of(task).is_some_and(|loop_| loop_.parts().report_failed)
    }
}

/// Such a task has failed.
///
/// # Safety
/// The task lives, and with it its loop.
pub unsafe fn report(task: TaskRef) -> Python<()> {
    // SAFETY: no borrow lives while Python code runs.
    unsafe {
        let args = [task.future().cell().loop_, task.object()];
        door::cold(c"task_failed", &args).map(drop)
    }
}
