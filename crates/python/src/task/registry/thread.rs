//! asyncio's list of tasks in the thread's state, from 3.14 on.
//!
//! Where `probe` found the node in the base's storage, a task is put in and taken out directly; where it did not,
//! asyncio's functions are called.

use super::{Node, insert_last, remove};
use crate::door::{attribute, import};
use crate::ffi::{Python, compat, gil::GilCell, owned::Owned};
use crate::task::cell::TaskRef;
use pyo3_ffi as ffi;
use std::ptr;

/// What is known of the list.
struct List {
    /// `_asyncio._register_task` and `_unregister_task`.
    register: *mut ffi::PyObject,
    unregister: *mut ffi::PyObject,
    /// `layout().node` is the base's node.
    in_base: bool,
    /// The last thread that made a task, and the head of its list. A thread's head lies inside its state, so a state at a
    /// reused address has its head at the same place.
    thread: *mut ffi::PyThreadState,
    head: *mut Node,
}

static LIST: GilCell<List> = GilCell::new(List {
    register: ptr::null_mut(),
    unregister: ptr::null_mut(),
    in_base: false,
    thread: ptr::null_mut(),
    head: ptr::null_mut(),
});

/// Looks up asyncio's functions.
pub fn open() -> Python<()> {
    let native = import(c"_asyncio")?;
    let register = attribute(&native, c"_register_task")?.into_ptr();
    let unregister = attribute(&native, c"_unregister_task")?.into_ptr();
    // SAFETY: the import runs alone.
    unsafe { (LIST.get().register, LIST.get().unregister) = (register, unregister) };
    Ok(())
}

/// The list of each thread that is there. A head lies at the same place in each thread's state; where, the first task has shown.
pub unsafe fn heads() -> Vec<*mut Node> {
    let mut heads = Vec::new();
    // SAFETY: the caller holds the GIL, so states of this interpreter are not freed; CPython initialises the head with the state.
    unsafe {
        let list = LIST.get();
        if !list.in_base || list.thread.is_null() {
            return heads;
        }
        let place = list.head.addr() - list.thread.addr();
        let mut thread = ffi::PyInterpreterState_ThreadHead(ffi::PyInterpreterState_Get());
        while !thread.is_null() {
            heads.push(thread.byte_add(place).cast());
            thread = ffi::PyThreadState_Next(thread);
        }
    }
    heads
}

/// Notes that `layout().node` is the base's node.
///
/// # Safety
/// Called during import; the node was probed.
pub unsafe fn use_base_node() {
    // SAFETY: the import runs alone.
    unsafe { LIST.get().in_base = true };
}

/// Puts the task into the list of this thread.
///
/// # Safety
/// The task lives.
#[inline]
pub unsafe fn link(task: TaskRef) -> Python<()> {
    // SAFETY: list operations run no Python code, the task leaves before it is freed, and the head is this thread's.
    unsafe {
        if !LIST.get().in_base {
            return register(task.object());
        }
        let node = task.node();
        if !(*node).next.is_null() {
            return Ok(());
        }
        let thread = ffi::PyThreadState_Get();
        let list = LIST.get();
        if list.thread == thread {
            insert_last(list.head, node);
            return Ok(());
        }
        register(task.object())?;
        // It was put last, so what follows it is the head.
        let list = LIST.get();
        (list.thread, list.head) = (thread, (*node).next);
        Ok(())
    }
}

/// Takes the task out of the list, where it is in it.
///
/// # Safety
/// The task lives.
#[inline]
pub unsafe fn unlink(task: TaskRef) {
    // SAFETY: the caller's contract.
    unsafe {
        if LIST.get().in_base {
            remove(task.node())
        } else {
            unregister_kept(task)
        }
    }
}

#[cold]
unsafe fn unregister_kept(task: TaskRef) {
    // SAFETY: a task that is being freed is kept alive for the call; an exception that is set is kept.
    unsafe {
        let raised = compat::take_raised();
        let freed = ffi::Py_REFCNT(task.object()) == 0;
        if freed {
            set_refcount(task.object(), 1);
        }
        if unregister(task.object()).is_err() {
            ffi::PyErr_Clear();
        }
        if freed {
            set_refcount(task.object(), 0);
        }
        compat::set_raised(raised);
    }
}

/// `_asyncio._register_task(task)`.
///
/// # Safety
/// The task lives.
pub unsafe fn register(task: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the function was looked up at import.
    unsafe { Owned::new(ffi::PyObject_CallOneArg(LIST.get().register, task)).map(drop) }
}

/// `_asyncio._unregister_task(task)`.
///
/// # Safety
/// The task lives.
pub unsafe fn unregister(task: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the function was looked up at import.
    unsafe { Owned::new(ffi::PyObject_CallOneArg(LIST.get().unregister, task)).map(drop) }
}

/// Writes a reference count, for an object that is being freed and must live for one more call.
///
/// # Safety
/// `object` is not immortal and the caller knows who holds it.
unsafe fn set_refcount(object: *mut ffi::PyObject, count: u32) {
    // SAFETY: the low 32 bits are the count of a mortal object on every version (Include/refcount.h, little endian).
    unsafe { (&raw mut (*object)).cast::<u32>().write(count) };
}
