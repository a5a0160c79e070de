//! `TaskGroup`.
//!
//! Native where all goes well: making tasks, counting those that are done, waiting for them at the end. A child that fails, a body
//! that raises, another loop, a task factory and debug mode are asyncio's own methods on the same object (`stand_in::class`), in each
//! version's form; `_tasks`, `_errors` and the rest are what asyncio's code makes of them.
//!
//! Invariant: a task that was made natively has the group as an observer until it is done.

mod enter_exit;
mod object;
mod tasks;

pub use object::is_group;
pub use tasks::child_done;

use crate::door::{attribute, import};
use crate::ffi::Python;
use pyo3_ffi as ffi;

/// Makes the class and adds it to the module.
pub fn init(module: *mut ffi::PyObject) -> Python<()> {
    let asyncios = attribute(&import(c"asyncio.taskgroups")?, c"TaskGroup")?;
    enter_exit::init(&asyncios)?;
    tasks::init(&asyncios)?;
    let methods = [enter_exit::AENTER, enter_exit::AEXIT, tasks::CREATE_TASK];
    object::init(module, &asyncios, methods)
}
