//! Files for coroutines: `_core.FileOp`, one operation that is awaited, and what makes them.
//!
//! `request` is what is asked of the kernel, `op` the operation's life, `land` what comes back, `table` what is under way, `surface`
//! the type that Python sees; `handle` is an open file, `paths` the functions on names, `lines` how lines are taken out of what was read.
//! Called by `python/rondeau`'s files, which decide about buffering, positions and text; nothing here knows of those.
//!
//! Who carries an operation out is the driver's choice: the ring where the kernel allows it, else its threads. No thread holds a Python
//! object and none takes the GIL.
//!
//! Rejected: futures that are begun when they are made (a task that is cancelled before its first step has opened a file that nobody
//! closes); reading into the user's own buffer (a cancelled waiter could use it again while the kernel still writes).

mod handle;
mod land;
mod lines;
mod op;
mod paths;
mod ready;
mod request;
mod surface;
pub mod table;

pub use land::{ground, pump};
pub use table::Table;

use crate::ffi::Python;
use pyo3_ffi as ffi;

/// The module's functions.
pub fn functions() -> Vec<ffi::PyMethodDef> {
    paths::functions()
}

/// Makes the types and adds them to the module.
pub fn init(module: *mut ffi::PyObject) -> Python<()> {
    surface::init(module)?;
    handle::init(module)?;
    lines::init(module)
}
