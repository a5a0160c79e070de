//! What `python -m asyncio ps` reads from another process: a generator's fields, wherever a task's coroutine is, whatever its type.
//!
//! The byte that tells whether there is a frame lies in each coroutine of ours where a generator's does, and says that there is none.
//! `shell` does not compile for a type in which it lies elsewhere.

use crate::ffi::{Python, Raised, gil::GilCell, owned::Owned};
use pyo3_ffi as ffi;

/// Where a generator's `gi_frame_state` is, from 3.14 on: there `python -m asyncio ps` looks.
pub const OFFSET: usize = 67;

static NO_FRAME: GilCell<u8> = GilCell::new(0);

/// What the byte says of a generator whose frame is gone: the number changes with the version.
#[inline]
pub fn no_frame() -> u8 {
    // SAFETY: written once at import.
    unsafe { *NO_FRAME.get() }
}

/// Reads it off a generator that is over; called for each type, before it has an instance.
pub fn init() -> Python<()> {
    // SAFETY: the objects live; a generator is longer than the offset.
    unsafe {
        let globals = Owned::new(ffi::PyDict_New())?;
        let over = Owned::new(ffi::PyRun_String(
            c"(_ for _ in ())".as_ptr(),
            ffi::Py_eval_input,
            globals.as_ptr(),
            globals.as_ptr(),
        ))?;
        if !ffi::PyIter_Next(over.as_ptr()).is_null() || !ffi::PyErr_Occurred().is_null() {
            return Err(Raised);
        }
        if ffi::PyGen_CheckExact(over.as_ptr()) != 0
            && (*ffi::Py_TYPE(over.as_ptr())).tp_basicsize as usize > OFFSET
        {
            *NO_FRAME.get() = *over.as_ptr().cast::<u8>().add(OFFSET);
        }
    }
    Ok(())
}
