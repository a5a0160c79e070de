//! Which task factories are as good as none: none, and asyncio's own eager one, which is known by identity.
//!
//! Called by whoever makes tasks natively. asyncio's eager factory would make tasks of its C type; the native ones start as
//! eagerly and are instances of `asyncio.Task` as well.

use crate::door::{attribute, import};
use crate::ffi::{Python, Raised, gil::GilCell};
use crate::native_loop::Loop;
use pyo3_ffi as ffi;
use std::ptr;

/// `asyncio.eager_task_factory`; NULL on 3.11.
static EAGER: GilCell<*mut ffi::PyObject> = GilCell::new(ptr::null_mut());

/// Looks it up; called once, at import.
pub fn open() -> Python<()> {
    match attribute(&import(c"asyncio.tasks")?, c"eager_task_factory") {
        // SAFETY: the import runs alone.
        Ok(factory) => unsafe { *EAGER.get() = factory.into_ptr() },
        // SAFETY: the AttributeError is answered by doing without.
        Err(Raised) => unsafe { ffi::PyErr_Clear() },
    }
    Ok(())
}

/// Whether tasks of this loop start eagerly; None where a task factory of the program's own makes them.
///
/// # Safety
/// The loop lives.
#[inline]
pub unsafe fn native(loop_: Loop) -> Option<bool> {
    // SAFETY: the caller's contract.
    unsafe {
        let factory = loop_.parts().task_factory;
        if factory.is_null() {
            Some(false)
        } else if factory == *EAGER.get() {
            Some(true)
        } else {
            None
        }
    }
}
