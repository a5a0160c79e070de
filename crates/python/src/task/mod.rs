//! The native `Task`: `_core.Task`, a subclass of `_asyncio.Task` that overrides all of it and steps coroutines itself.
//!
//! Called by the loop (`create_task`), by the turn (`run_step`, `run_wakeup`, `current::settle`) and by Python. One step is
//! in `step.rs`; what the coroutine yielded in `wait.rs`; who runs in `current.rs`; which tasks exist in `registry.rs`.
//!
//! On a loop that is not native the same type works through `call_soon` and the callables of `wrapper.rs`.
//! asyncio's Task is a subclass of its Future; a native Task is none of the native Future, only of asyncio's.

#[cfg(not(Py_3_14))]
mod all_tasks;
pub mod awaited_by;
pub mod cancel;
pub mod cell;
mod create;
pub mod current;
mod eager;
pub mod factory;
pub mod kept;
mod lifecycle;
mod methods;
#[cfg(Py_3_14)]
mod probe;
pub mod registry;
pub mod request;
mod samples;
mod step;
mod unheard;
mod wait;
pub mod wrapper;

pub use create::{NUMBER_TASKS, new};
pub use step::{run_step, run_wakeup};

use crate::ffi::{
    Python,
    types::{self, Type},
};
use crate::future::{self, layout};
use cell::TaskCell;
use pyo3_ffi as ffi;
use std::ffi::{CStr, c_void};
use std::mem::offset_of;

#[cfg(Py_3_12)]
const DOC: &CStr = c"Task(coro, *, loop=None, name=None, context=None, eager_start=False)\n--\n\nA coroutine wrapped in a Future.";
#[cfg(not(Py_3_12))]
const DOC: &CStr =
    c"Task(coro, *, loop=None, name=None, context=None)\n--\n\nA coroutine wrapped in a Future.";

/// Makes the type and adds it to the module as `Task`; after `future::init`.
pub fn init(module: *mut ffi::PyObject) -> Python<()> {
    wrapper::init()?;
    let mut all = future::shared_methods::<layout::OfTask>();
    all.extend(methods::methods());
    let mut attributes = future::shared_attributes::<layout::OfTask>();
    attributes.extend(methods::attributes());
    let mut slots = future::shared_slots::<layout::OfTask>();
    slots.extend([
        (ffi::Py_tp_doc, DOC.as_ptr() as *mut c_void),
        (ffi::Py_tp_init, create::tp_init as *mut c_void),
        (ffi::Py_tp_repr, lifecycle::tp_repr as *mut c_void),
        (ffi::Py_tp_traverse, lifecycle::tp_traverse as *mut c_void),
        (ffi::Py_tp_clear, lifecycle::tp_clear as *mut c_void),
        (ffi::Py_tp_finalize, lifecycle::tp_finalize as *mut c_void),
        (ffi::Py_tp_dealloc, lifecycle::tp_dealloc as *mut c_void),
        (ffi::Py_tp_methods, types::table_of(all)),
        (ffi::Py_tp_getset, types::table_of(attributes)),
    ]);
    let base = future::door::door().task_base;
    let offset = future::lifecycle::cell_offset(base);
    let kind = Type {
        name: c"rondeau._core.Task",
        size: offset + size_of::<TaskCell>(),
        flags: ffi::Py_TPFLAGS_HAVE_GC | ffi::Py_TPFLAGS_BASETYPE | ffi::Py_TPFLAGS_IMMUTABLETYPE,
        slots,
    };
    // SAFETY: the slots match their numbers; the size covers the base's storage and our fields. The import runs alone.
    unsafe {
        let kind = kind.publish(module, base.cast())?;
        types::trim(kind)?;

        layout::set(|layout| {
            layout.task = kind;
            layout.task_cell = offset;
            layout.coro = offset + offset_of!(TaskCell, coro);
            layout.context = offset + offset_of!(TaskCell, context);
            layout.name = offset + offset_of!(TaskCell, name);
            layout.node = offset + offset_of!(TaskCell, node);
        });
    }
    join_asyncio()
}

#[cfg(not(Py_3_14))]
fn join_asyncio() -> Python<()> {
    // SAFETY: the import runs alone.
    unsafe { registry::list::open() };
    current::announcement::open()?;
    factory::open()?;
    samples::learn(|_| Ok(()))?;
    all_tasks::join()
}

#[cfg(Py_3_14)]
fn join_asyncio() -> Python<()> {
    registry::list::open()?;
    factory::open()?;
    samples::learn(probe::learn)
}
