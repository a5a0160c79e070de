//! Visiting, finalising and freeing a task; `future/lifecycle.rs` has what it shares with a future.

use super::cell::TaskRef;
use super::registry;
use crate::ffi::{Python, compat, depth, names::names, owned::Owned, types};
use crate::future::cell::State;
use crate::future::door::door;
use crate::future::layout::layout;
use crate::future::lifecycle::{finalize, report, traverse_base};
use crate::recorder;
use pyo3_ffi as ffi;
use std::ffi::{c_int, c_void};

/// `tp_repr`.
pub unsafe extern "C" fn tp_repr(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { ffi::PyObject_CallOneArg(door().task_repr, object) }
}

/// `tp_traverse`.
pub unsafe extern "C" fn tp_traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the collector calls this on an instance.
    unsafe {
        let task = TaskRef::of(object);
        let result = traverse_base(door().task_base, object, visit, arg);
        if result != 0 {
            return result;
        }
        let result = task.traverse(visit, arg);
        if result != 0 {
            result
        } else {
            task.future().traverse(visit, arg)
        }
    }
}

/// `tp_clear`.
pub unsafe extern "C" fn tp_clear(object: *mut ffi::PyObject) -> c_int {
    // SAFETY: called on an instance; any Python code may run, which must not find the task any more.
    unsafe {
        let task = TaskRef::of(object);
        registry::unlink(task);
        if recorder::is_on() {
            recorder::freed(task);
        }
        task.clear();
        task.future().clear();
        if let Some(clear) = (*door().task_base).tp_clear {
            clear(object);
        }
    }
    0
}

/// `tp_finalize`: reports a pending task that is destroyed, then what a future reports.
pub unsafe extern "C" fn tp_finalize(object: *mut ffi::PyObject) {
    // SAFETY: called on an instance that its caller keeps alive for the call.
    unsafe {
        let task = TaskRef::of(object);
        if !compat::TASKS_IN_THREAD_STATE {
            // asyncio's WeakSet has lost it by now, also where the handler brings it back.
            registry::unlink(task);
        }
        if task.future().cell().state == State::Pending && task.cell().log_destroy_pending {
            destroyed(task);
        }
        finalize(task.future());
    }
}

#[cold]
unsafe fn destroyed(task: TaskRef) {
    // SAFETY: the exception that is on its way out is kept; a failure in here is dropped, as asyncio does.
    unsafe {
        let raised = compat::take_raised();
        let message = Owned::new(ffi::PyUnicode_FromString(
            c"Task was destroyed but it is pending!".as_ptr(),
        ));
        let _: Python<()> = message
            .and_then(|message| report(task.future(), message, &[(names().task, task.object())]));
        compat::set_raised(raised);
    }
}

/// `tp_dealloc`, also reached from `subtype_dealloc`, which has finalised by then.
pub unsafe extern "C" fn tp_dealloc(object: *mut ffi::PyObject) {
    // SAFETY: the last reference is gone, so nobody may find the task; a subclass has been counted by `subtype_dealloc`.
    unsafe {
        registry::unlink(TaskRef::of(object));
        if ffi::Py_TYPE(object) == layout().task {
            depth::free(object, free)
        } else {
            free(object)
        }
    }
}

unsafe extern "C" fn free(object: *mut ffi::PyObject) {
    // SAFETY: the last reference is gone; a finalizer may bring the object back.
    unsafe {
        let kind = ffi::Py_TYPE(object);
        let task = TaskRef::of(object);
        if kind == layout().task {
            let future = task.future().cell();
            let reports = future.log_traceback
                || (future.state == State::Pending && task.cell().log_destroy_pending);
            if reports && ffi::PyObject_CallFinalizerFromDealloc(object) < 0 {
                return;
            }
        }
        ffi::PyObject_GC_UnTrack(object.cast());
        ffi::PyObject_ClearWeakRefs(object);
        tp_clear(object);
        types::free(kind, object);
    }
}
