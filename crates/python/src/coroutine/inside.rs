//! What walks through a native coroutine: asyncio's call graphs from inside, `python -m asyncio ps` from another process.
//!
//! A native coroutine has no frame of its own. While it drives a coroutine of Python's (`wait_for(…)`), `cr_frame` and `cr_await` are that
//! one's, so that `asyncio.capture_call_graph`, `Task.get_stack` and whoever else follows `cr_await` see what is inside; else it has neither
//! attribute, which ends the walk.
//! Another process reads a generator's fields wherever a task's coroutine is, whatever its type: the byte that tells whether there is a
//! frame lies where a generator's does, and says that there is none.
//! Rejected: `cr_frame` None beside a `cr_await`: early releases of 3.14 take None for a frame, and `print_call_graph` fails.

use super::cell::CoroRef;
use super::{is_suspended, kind};
use crate::ffi::{Python, Raised, gil::GilCell, names::names, owned::Owned};
use pyo3_ffi as ffi;
use std::ffi::c_void;
use std::ptr;

/// Where a generator's `gi_frame_state` is, from 3.14 on: there `python -m asyncio ps` looks.
pub const FRAME_STATE_OFFSET: usize = 67;

static NO_FRAME: GilCell<u8> = GilCell::new(0);

/// What the byte says of a generator whose frame is gone: the number changes with the version.
#[inline]
pub fn no_frame() -> u8 {
    // SAFETY: written once at import.
    unsafe { *NO_FRAME.get() }
}

/// Reads it off a generator that is over; called once.
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
            && (*ffi::Py_TYPE(over.as_ptr())).tp_basicsize as usize > FRAME_STATE_OFFSET
        {
            *NO_FRAME.get() = *over.as_ptr().cast::<u8>().add(FRAME_STATE_OFFSET);
        }
    }
    Ok(())
}

/// The coroutine that it drives, borrowed.
unsafe fn inside(coro: CoroRef) -> Option<*mut ffi::PyObject> {
    // SAFETY: it lives, and with it what it holds.
    unsafe {
        if !is_suspended(coro) {
            return None;
        }
        (0..4).map(|index| coro.held(index)).find(|held| {
            !held.is_null() && (ffi::PyCoro_CheckExact(*held) != 0 || ffi::Py_TYPE(*held) == kind())
        })
    }
}

unsafe fn from_inside(object: *mut ffi::PyObject, name: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: what is inside is kept alive over the look-up.
    unsafe {
        match inside(CoroRef::of(object)) {
            Some(inner) => {
                let inner = Owned::from_borrowed(inner);
                ffi::PyObject_GetAttr(inner.as_ptr(), name)
            }
            None => {
                ffi::PyErr_SetObject(ffi::PyExc_AttributeError, name);
                ptr::null_mut()
            }
        }
    }
}

/// `cr_frame`.
///
/// # Safety
/// CPython calls this on an instance.
pub unsafe extern "C" fn frame(object: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: the caller's contract.
    unsafe { from_inside(object, names().cr_frame) }
}

/// `cr_await`.
///
/// # Safety
/// CPython calls this on an instance.
pub unsafe extern "C" fn awaited(object: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: the caller's contract.
    unsafe { from_inside(object, names().cr_await) }
}
