//! Who awaits whom (3.14+): what `asyncio.capture_call_graph` and `python -m asyncio pstree` show.
//!
//! Called when a task begins to wait and when it wakes. The edge is an owned reference in the base's storage, which C code may
//! turn into a set: only the common case, one waiter, is written here; before 3.14 all of it compiles to nothing.

use crate::ffi::slot::clear_slot;
use crate::ffi::{Python, compat, owned::Owned};
use crate::future::door::door;
use crate::future::layout::layout;
use pyo3_ffi as ffi;
use std::ptr;

/// Notes that `task` awaits `future`, a native one.
///
/// # Safety
/// Both live.
#[inline]
pub unsafe fn add(future: *mut ffi::PyObject, task: *mut ffi::PyObject) -> Python<()> {
    if !compat::TASKS_IN_THREAD_STATE {
        return Ok(());
    }
    // SAFETY: the offset was probed; the word is NULL or owns its reference.
    unsafe {
        let offset = layout().awaited_by;
        if offset != 0 {
            let word = future.byte_add(offset).cast::<*mut ffi::PyObject>();
            if (*word).is_null() {
                ffi::Py_INCREF(task);
                *word = task;
                return Ok(());
            }
        }
        add_object(future, task)
    }
}

/// Takes all edges back: a future is made anew.
///
/// # Safety
/// It lives.
pub unsafe fn forget(future: *mut ffi::PyObject) -> Python<()> {
    if !compat::TASKS_IN_THREAD_STATE {
        return Ok(());
    }
    // SAFETY: the base's getter returns None, or a frozenset that keeps the tasks.
    unsafe {
        let tasks = Owned::new(ffi::PyObject_GetAttrString(
            future,
            c"_asyncio_awaited_by".as_ptr(),
        ))?;
        if tasks.as_ptr() == ffi::Py_None() {
            return Ok(());
        }
        let tasks = Owned::new(ffi::PySequence_Tuple(tasks.as_ptr()))?;
        for index in 0..ffi::PyTuple_GET_SIZE(tasks.as_ptr()) {
            discard(future, ffi::PyTuple_GET_ITEM(tasks.as_ptr(), index))?;
        }
        Ok(())
    }
}

/// Takes the edge back.
///
/// # Safety
/// Both live.
#[inline]
pub unsafe fn discard(future: *mut ffi::PyObject, task: *mut ffi::PyObject) -> Python<()> {
    if !compat::TASKS_IN_THREAD_STATE {
        return Ok(());
    }
    // SAFETY: as in `add`.
    unsafe {
        let offset = layout().awaited_by;
        if offset != 0 {
            let word = future.byte_add(offset).cast::<*mut ffi::PyObject>();
            if *word == task {
                clear_slot(word);
                return Ok(());
            }
            if (*word).is_null() {
                return Ok(());
            }
        }
        discard_object(future, task)
    }
}

/// `add` for any object: asyncio's own function, which ignores what is no future of its own.
///
/// # Safety
/// Both live.
pub unsafe fn add_object(future: *mut ffi::PyObject, task: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the function exists in this version.
    unsafe { call(door().add_to_awaited_by, future, task) }
}

/// `discard` for any object.
///
/// # Safety
/// Both live.
pub unsafe fn discard_object(future: *mut ffi::PyObject, task: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the function exists in this version.
    unsafe { call(door().discard_from_awaited_by, future, task) }
}

unsafe fn call(
    function: *mut ffi::PyObject,
    future: *mut ffi::PyObject,
    task: *mut ffi::PyObject,
) -> Python<()> {
    if !compat::TASKS_IN_THREAD_STATE {
        return Ok(());
    }
    let args = [future, task];
    // SAFETY: the arguments live.
    unsafe {
        Owned::new(ffi::PyObject_Vectorcall(
            function,
            args.as_ptr(),
            2,
            ptr::null_mut(),
        ))
        .map(drop)
    }
}
