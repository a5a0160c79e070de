//! `asyncio.all_tasks()` up to 3.13 iterates a WeakSet; here it learns to yield native tasks too.
//!
//! Called once, at import. asyncio's own set object gets a subclass as its class: adding each task to it costs 525 ns, this
//! costs nothing until somebody asks.

use super::cell::TaskRef;
use super::registry::list;
use crate::door::{attribute, import};
use crate::ffi::{Python, Raised, answer, owned::Owned, source, types};
use crate::future::layout::layout;
use pyo3_ffi as ffi;
use std::ffi::CStr;

const SOURCE: &CStr = c"
from weakref import WeakSet as _WeakSet

class WeakSet(_WeakSet):
    'The set of scheduled tasks; the native ones keep their own list.'
    __slots__ = ()

    def __iter__(self):
        yield from _native_tasks()
        yield from _WeakSet.__iter__(self)

    def __len__(self):
        return len(_native_tasks()) + _WeakSet.__len__(self)

    def discard(self, task):
        _native_forget(task)
        _WeakSet.discard(self, task)

    def __contains__(self, task):
        return _WeakSet.__contains__(self, task) or any(task is native for native in _native_tasks())
";

unsafe extern "C" fn native_tasks(
    _: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    answer::object(all())
}

/// What `asyncio._unregister_task` does, by way of the set's `discard`.
unsafe extern "C" fn native_forget(
    _: *mut ffi::PyObject,
    task: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the type is checked before the layout is relied on.
    unsafe {
        if ffi::PyObject_TypeCheck(task, layout().task) != 0 {
            list::unlink(TaskRef::of(task));
        }
    }
    answer::none(Ok(()))
}

fn all() -> Python<Owned> {
    // SAFETY: the list takes references of its own.
    unsafe {
        let list = Owned::new(ffi::PyList_New(0))?;
        for task in list::all() {
            if ffi::PyList_Append(list.as_ptr(), task.as_ptr()) != 0 {
                return Err(Raised);
            }
        }
        Ok(list)
    }
}

/// Gives asyncio's set its new class.
pub fn join() -> Python<()> {
    let native = import(c"_asyncio")?;
    // SAFETY: the table lives as long as the process; the namespace is fresh.
    unsafe {
        let known = attribute(&native, c"_scheduled_tasks").or_else(|Raised| {
            ffi::PyErr_Clear();
            attribute(&native, c"_all_tasks")
        })?;
        let namespace = Owned::new(ffi::PyDict_New())?;
        let method = types::table([types::noargs(
            c"_native_tasks",
            native_tasks,
            c"All native tasks.",
        )]);
        let function = Owned::new(ffi::PyCFunction_New(method.cast(), std::ptr::null_mut()))?;
        let method = types::table([types::one(
            c"_native_forget",
            native_forget,
            c"Take a native task out of the list.",
        )]);
        let forget = Owned::new(ffi::PyCFunction_New(method.cast(), std::ptr::null_mut()))?;
        let name = Owned::new(ffi::PyUnicode_FromString(c"rondeau._core".as_ptr()))?;
        for (key, value) in [
            (c"_native_tasks", &function),
            (c"_native_forget", &forget),
            (c"__name__", &name),
        ] {
            if ffi::PyDict_SetItemString(namespace.as_ptr(), key.as_ptr(), value.as_ptr()) != 0 {
                return Err(Raised);
            }
        }
        source::run(SOURCE, &namespace)?;
        let class = ffi::PyDict_GetItemString(namespace.as_ptr(), c"WeakSet".as_ptr());
        if class.is_null()
            || ffi::PyObject_SetAttrString(known.as_ptr(), c"__class__".as_ptr(), class) != 0
        {
            return Err(Raised);
        }
    }
    Ok(())
}
