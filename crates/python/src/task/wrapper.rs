//! The callables that stand for a task's next step where another loop, or another future, is to call it.
//!
//! Called by tasks. On a native loop neither is made, but for throwing an error in the next turn. Names and reprs are those
//! of asyncio's C code: debuggers and test suites look for `TaskStepMethWrapper` and `task_wakeup`.

use super::cell::TaskRef;
use super::{current, step};
use crate::ffi::slot::clear_slot;
use crate::ffi::{
    Python, answer,
    args::raise_type_error,
    gil::GilCell,
    owned::Owned,
    types::{self, Type},
};
use pyo3_ffi as ffi;
use std::ffi::{c_int, c_void};
use std::ptr;

/// Whether a callable is one of these.
///
/// # Safety
/// The callable lives.
pub unsafe fn is_step(callable: *mut ffi::PyObject) -> bool {
    // SAFETY: the type is checked before the layout is relied on.
    unsafe {
        let kind = ffi::Py_TYPE(callable);
        kind == *TYPE.get()
            || (kind == &raw mut ffi::PyCFunction_Type
                && (*callable.cast::<ffi::PyCFunctionObject>()).m_ml == *WAKEUP.get())
    }
}

/// The task of such a callable, borrowed; NULL where it was cleared.
///
/// # Safety
/// The callable is one of these, and lives.
pub unsafe fn task_of(callable: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: the caller's contract; the type tells the two apart.
    unsafe {
        if ffi::Py_TYPE(callable) == *TYPE.get() {
            (*callable.cast::<StepObject>()).task
        } else {
            (*callable.cast::<ffi::PyCFunctionObject>()).m_self
        }
    }
}

#[repr(C)]
struct StepObject {
    ob_base: ffi::PyObject,
    task: *mut ffi::PyObject,
    /// Thrown into the coroutine; NULL for none.
    exception: *mut ffi::PyObject,
}

static TYPE: GilCell<*mut ffi::PyTypeObject> = GilCell::new(ptr::null_mut());
static WAKEUP: GilCell<*mut ffi::PyMethodDef> = GilCell::new(ptr::null_mut());

/// A callable that makes the task's next step, throwing `exception` (which may be NULL).
///
/// # Safety
/// The objects live.
pub unsafe fn step(task: *mut ffi::PyObject, exception: *mut ffi::PyObject) -> Python<Owned> {
    // SAFETY: a fresh instance is zeroed; its fields take references of their own.
    unsafe {
        let made = Owned::new(ffi::PyType_GenericAlloc(*TYPE.get(), 0))?;
        let fields = made.as_ptr().cast::<StepObject>();
        ffi::Py_INCREF(task);
        (*fields).task = task;
        ffi::Py_XINCREF(exception);
        (*fields).exception = exception;
        Ok(made)
    }
}

/// The callable `task_wakeup(future)` of a task.
///
/// # Safety
/// The task lives.
pub unsafe fn wakeup(task: *mut ffi::PyObject) -> Python<Owned> {
    // SAFETY: the definition lives as long as the process.
    unsafe { Owned::new(ffi::PyCFunction_New(*WAKEUP.get(), task)) }
}

unsafe extern "C" fn wake(
    task: *mut ffi::PyObject,
    future: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the callable keeps its task alive, and its caller the future.
    unsafe {
        answer::none(current::entered(TaskRef::of(task), |task| {
            step::wake_by(task, future)
        }))
    }
}

unsafe extern "C" fn call(
    object: *mut ffi::PyObject,
    args: *mut ffi::PyObject,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance; task and exception are kept alive over the call.
    unsafe {
        if !keywords.is_null() && ffi::PyDict_Size(keywords) != 0 {
            raise_type_error("function takes no keyword arguments");
            return ptr::null_mut();
        }
        if !args.is_null() && ffi::PyTuple_GET_SIZE(args) != 0 {
            raise_type_error("function takes no positional arguments");
            return ptr::null_mut();
        }
        let fields = object.cast::<StepObject>();
        if (*fields).task.is_null() {
            return answer::or_none(ptr::null_mut());
        }
        let task = Owned::from_borrowed((*fields).task);
        let exception = (*fields).exception;
        let exception = (!exception.is_null()).then(|| Owned::from_borrowed(exception));
        answer::none(current::entered(TaskRef::of(task.as_ptr()), |task| {
            step::step(task, exception)
        }))
    }
}

unsafe extern "C" fn get_self(object: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { answer::or_none((*object.cast::<StepObject>()).task) }
}

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the collector calls this on an instance; what is visited is live.
    unsafe {
        let fields = object.cast::<StepObject>();
        crate::ffi::visit::each(
            &[
                ffi::Py_TYPE(object).cast(),
                (*fields).task,
                (*fields).exception,
            ],
            visit,
            arg,
        )
    }
}

unsafe extern "C" fn clear(object: *mut ffi::PyObject) -> c_int {
    // SAFETY: the fields own their references.
    unsafe {
        clear_slot(&raw mut (*object.cast::<StepObject>()).task);
        clear_slot(&raw mut (*object.cast::<StepObject>()).exception);
    }
    0
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: the last reference is gone; the instance is untracked before it is taken apart.
    unsafe {
        let kind = ffi::Py_TYPE(object);
        ffi::PyObject_GC_UnTrack(object.cast());
        clear(object);
        ffi::PyObject_GC_Del(object.cast());
        ffi::Py_DECREF(kind.cast());
    }
}

/// Makes the type and the definition of the function.
pub fn init() -> Python<()> {
    let kind = Type {
        name: c"rondeau._core.TaskStepMethWrapper",
        size: size_of::<StepObject>(),
        flags: ffi::Py_TPFLAGS_HAVE_GC
            | ffi::Py_TPFLAGS_IMMUTABLETYPE
            | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION,
        slots: vec![
            (ffi::Py_tp_call, call as *mut c_void),
            (ffi::Py_tp_traverse, traverse as *mut c_void),
            (ffi::Py_tp_clear, clear as *mut c_void),
            (ffi::Py_tp_dealloc, dealloc as *mut c_void),
            (
                ffi::Py_tp_getset,
                types::table([types::attribute(c"__self__", get_self, None)]),
            ),
        ],
    };
    // SAFETY: the slots match their numbers and the size is the instance struct's; the import runs alone.
    unsafe {
        *TYPE.get() = kind.build(ptr::null_mut())?.into_ptr().cast();
        *WAKEUP.get() = types::table([types::one(c"task_wakeup", wake, c"")]).cast();
    }
    Ok(())
}
