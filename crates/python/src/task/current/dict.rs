//! The current task up to 3.13: an entry of asyncio's dict `{loop: task}`.
//!
//! Announced lazily: a step replaces the last step's entry, and `settle` removes it before anything that is not a native
//! task's step can look (a handle, a transport, the end of a batch). One dict operation a switch, none where the same
//! task goes on.

use crate::door::{attribute, import};
use crate::ffi::{Python, Raised, compat, gil::GilCell, owned::Owned};
use crate::future::layout::layout;
use crate::native_loop::Loop;
use crate::task::cell::TaskRef;
use pyo3_ffi as ffi;
use std::ptr;

/// asyncio's dict.
static TASKS: GilCell<*mut ffi::PyObject> = GilCell::new(ptr::null_mut());

/// Finds the dict.
pub fn open() -> Python<()> {
    let tasks = attribute(&import(c"_asyncio")?, c"_current_tasks")?;
    // SAFETY: the import runs alone.
    unsafe { *TASKS.get() = tasks.into_ptr() };
    Ok(())
}

/// What `retire` is given.
pub struct Announced;

/// Makes the task the current one of its loop, in the turn.
///
/// # Safety
/// The task is on `loop_`, which runs in this thread; `retire` follows.
#[inline]
pub unsafe fn announce(loop_: Loop, task: TaskRef) -> Python<Announced> {
    // SAFETY: no borrow of the parts lives while Python code runs.
    unsafe {
        if loop_.parts().current != task.object() {
            if ffi::PyDict_SetItem(*TASKS.get(), loop_.object(), task.object()) != 0 {
                return Err(Raised);
            }
            ffi::Py_INCREF(task.object());
            let old = std::mem::replace(&mut loop_.parts().current, task.object());
            ffi::Py_XDECREF(old);
        }
    }
    Ok(Announced)
}

/// The task that runs on the loop.
///
/// # Safety
/// The loop lives and runs in this thread.
#[inline]
pub unsafe fn get(loop_: Loop) -> Python<Option<Owned>> {
    // SAFETY: the dict is live.
    unsafe {
        let task = ffi::PyDict_GetItemWithError(*TASKS.get(), loop_.object());
        if task.is_null() && !ffi::PyErr_Occurred().is_null() {
            return Err(Raised);
        }
        Ok((!task.is_null()).then(|| Owned::from_borrowed(task)))
    }
}

/// Ends the step: the entry stays until somebody could look.
///
/// # Safety
/// Follows `announce`.
#[inline]
pub unsafe fn retire(_: Loop, _: Announced) {}

/// Makes `current_task()` None where a native step announced itself. An exception that is set stays.
///
/// # Safety
/// The GIL is held and the loop lives.
#[inline]
pub unsafe fn settle(loop_: Loop) {
    // SAFETY: the borrow ends in the condition.
    unsafe {
        if !loop_.parts().current.is_null() {
            withdraw(loop_);
        }
    }
}

/// `settle` before a handle runs, but for a callback that cannot look: a method of a native future, as in
/// `call_soon_threadsafe(future.set_result, value)`, only puts tasks on the agenda.
///
/// # Safety
/// The GIL is held; the loop and the callback live.
#[inline]
pub unsafe fn settle_before(loop_: Loop, callback: *mut ffi::PyObject) {
    // SAFETY: the type is checked before the layout is relied on.
    unsafe {
        if loop_.parts().current.is_null() {
            return;
        }
        let kind = ffi::Py_TYPE(callback);
        if kind == &raw mut ffi::PyCFunction_Type {
            // Not PyCFunction_GET_SELF: with assertions it takes bound C methods (PyCMethod) only.
            let owner = (*callback.cast::<ffi::PyCFunctionObject>()).m_self;
            if !owner.is_null() && ffi::Py_TYPE(owner) == layout().future {
                return;
            }
        }
        settle(loop_);
    }
}

unsafe fn withdraw(loop_: Loop) {
    // SAFETY: the reference is taken out before it is released; an exception that is set is kept.
    unsafe {
        let raised = if ffi::PyErr_Occurred().is_null() {
            ptr::null_mut()
        } else {
            compat::take_raised()
        };
        let task = std::mem::replace(&mut loop_.parts().current, ptr::null_mut());
        if ffi::PyDict_DelItem(*TASKS.get(), loop_.object()) != 0 {
            // The program removed it itself.
            ffi::PyErr_Clear();
        }
        ffi::Py_XDECREF(task);
        if !raised.is_null() {
            compat::set_raised(raised);
        }
    }
}

/// Who was current when the loop began to run within itself.
pub struct Suspended {
    entry: Option<Owned>,
    announced: *mut ffi::PyObject,
}

impl Suspended {
    /// The task, of whatever kind.
    pub fn task(&self) -> Option<&Owned> {
        self.entry.as_ref()
    }
}

/// Makes nobody current until `resume`.
///
/// # Safety
/// The GIL is held; the loop lives and runs in this thread.
pub unsafe fn suspend(loop_: Loop) -> Python<Suspended> {
    // SAFETY: the dict is live; the references go with what is returned.
    unsafe {
        let entry = get(loop_)?;
        if entry.is_some() && ffi::PyDict_DelItem(*TASKS.get(), loop_.object()) != 0 {
            return Err(Raised);
        }
        let announced = std::mem::replace(&mut loop_.parts().current, ptr::null_mut());
        Ok(Suspended { entry, announced })
    }
}

/// Makes the same task current again. An exception that is set stays.
///
/// # Safety
/// Follows `suspend`.
pub unsafe fn resume(loop_: Loop, suspended: Suspended) {
    // SAFETY: the references are ours; what is on its way out is kept.
    unsafe {
        settle(loop_);
        let Suspended { entry, announced } = suspended;
        let raised = compat::take_raised();
        if let Some(entry) = entry
            && ffi::PyDict_SetItem(*TASKS.get(), loop_.object(), entry.as_ptr()) != 0
        {
            ffi::PyErr_WriteUnraisable(loop_.object());
        }
        let old = std::mem::replace(&mut loop_.parts().current, announced);
        ffi::Py_XDECREF(old);
        compat::set_raised(raised);
    }
}

/// Runs what may announce native tasks in the middle of a step whose entry somebody else has put aside.
///
/// # Safety
/// The GIL is held and the loop lives.
pub unsafe fn apart(loop_: Loop, what: impl FnOnce() -> Python<()>) -> Python<()> {
    // SAFETY: the reference is put back where it was.
    unsafe {
        let before = std::mem::replace(&mut loop_.parts().current, ptr::null_mut());
        let done = what();
        settle(loop_);
        let old = std::mem::replace(&mut loop_.parts().current, before);
        ffi::Py_XDECREF(old);
        done
    }
}
