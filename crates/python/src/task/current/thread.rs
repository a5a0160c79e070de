//! The current task from 3.14 on: a word of the thread's state, which owns its reference.
//!
//! A native step swaps it directly where `probe` found it (3 ns), else through `_asyncio._swap_current_task` (23 ns each).

use crate::door::{attribute, import};
use crate::ffi::{Python, compat, gil::GilCell, owned::Owned};
use crate::future::door::door;
use crate::native_loop::Loop;
use crate::task::cell::TaskRef;
use pyo3_ffi as ffi;
use std::ptr;

/// Where the running task is in a thread's state, in bytes; 0 where unknown.
static OFFSET: GilCell<usize> = GilCell::new(0);

/// Notes where the running task is in a thread's state.
///
/// # Safety
/// Called during import; the offset was probed.
pub unsafe fn set_offset(offset: usize) {
    // SAFETY: the import runs alone.
    unsafe { *OFFSET.get() = offset };
}

/// What `retire` puts back: an owned reference, or NULL.
pub struct Previous(*mut ffi::PyObject);

/// Makes the task the current one of its loop, in the turn.
///
/// # Safety
/// The task is on `loop_`, which runs in this thread; `retire` follows.
#[inline]
pub unsafe fn announce(loop_: Loop, task: TaskRef) -> Python<Previous> {
    // SAFETY: the word owns its reference; what was in it is kept.
    unsafe {
        let offset = *OFFSET.get();
        if offset == 0 {
            return swap(loop_, task.object()).map(|previous| Previous(previous.into_ptr()));
        }
        ffi::Py_INCREF(task.object());
        Ok(Previous(word(offset).replace(task.object())))
    }
}

/// The task that runs on the loop.
///
/// # Safety
/// The loop lives and is this thread's running loop.
#[inline]
pub unsafe fn get(loop_: Loop) -> Python<Option<Owned>> {
    // SAFETY: the word owns its reference.
    unsafe {
        let offset = *OFFSET.get();
        let task = if offset == 0 {
            let ask = attribute(&import(c"asyncio.tasks")?, c"current_task")?;
            Owned::new(ffi::PyObject_CallOneArg(ask.as_ptr(), loop_.object()))?
        } else {
            let task = *word(offset);
            if task.is_null() {
                return Ok(None);
            }
            Owned::from_borrowed(task)
        };
        Ok((task.as_ptr() != ffi::Py_None()).then_some(task))
    }
}

/// Ends the step.
///
/// # Safety
/// Follows `announce`, whose result is given; an exception may be set and stays.
#[inline]
pub unsafe fn retire(loop_: Loop, previous: Previous) {
    // SAFETY: the word owns its reference.
    unsafe {
        let offset = *OFFSET.get();
        if offset == 0 {
            return swap_back(loop_, previous);
        }
        let now = word(offset).replace(previous.0);
        ffi::Py_XDECREF(now);
    }
}

unsafe fn word(offset: usize) -> *mut *mut ffi::PyObject {
    // SAFETY: the offset was probed on this interpreter, and the GIL's holder has a thread state.
    unsafe { ffi::PyThreadState_Get().byte_add(offset).cast() }
}

unsafe fn swap(loop_: Loop, task: *mut ffi::PyObject) -> Python<Owned> {
    let args = [loop_.object(), task];
    // SAFETY: the function exists from 3.12 on; the arguments live.
    unsafe {
        Owned::new(ffi::PyObject_Vectorcall(
            door().swap_current_task,
            args.as_ptr(),
            2,
            ptr::null_mut(),
        ))
    }
}

#[cold]
unsafe fn swap_back(loop_: Loop, previous: Previous) {
    // SAFETY: the reference is ours; an exception that is set is kept.
    unsafe {
        let raised = compat::take_raised();
        let previous = Owned::from_owned(previous.0);
        if swap(loop_, previous.as_ptr()).is_err() {
            ffi::PyErr_WriteUnraisable(loop_.object());
        }
        compat::set_raised(raised);
    }
}

/// Makes `current_task()` None where a native step announced itself: here `retire` has done so.
///
/// # Safety
/// The GIL is held and the loop lives.
#[inline]
pub unsafe fn settle(_: Loop) {}

/// `settle` before a handle runs.
///
/// # Safety
/// The GIL is held; the loop and the callback live.
#[inline]
pub unsafe fn settle_before(_: Loop, _: *mut ffi::PyObject) {}

/// Who was current when the loop began to run within itself.
pub struct Suspended(Option<Owned>);

impl Suspended {
    /// The task, of whatever kind.
    pub fn task(&self) -> Option<&Owned> {
        self.0.as_ref()
    }
}

/// Makes nobody current until `resume`.
///
/// # Safety
/// The GIL is held; the loop lives and is this thread's running loop.
pub unsafe fn suspend(loop_: Loop) -> Python<Suspended> {
    // SAFETY: the word owns its reference, which goes with what is returned.
    unsafe {
        let offset = *OFFSET.get();
        if offset == 0 {
            let task = swap(loop_, ffi::Py_None())?;
            return Ok(Suspended((task.as_ptr() != ffi::Py_None()).then_some(task)));
        }
        let task = word(offset).replace(ptr::null_mut());
        Ok(Suspended(
            (!task.is_null()).then(|| Owned::from_owned(task)),
        ))
    }
}

/// Makes the same task current again. An exception that is set stays.
///
/// # Safety
/// Follows `suspend`; the loop is this thread's running loop.
pub unsafe fn resume(loop_: Loop, suspended: Suspended) {
    // SAFETY: the word owns its reference.
    unsafe {
        let task = suspended.0;
        if *OFFSET.get() == 0 {
            let task = task.unwrap_or_else(|| Owned::from_borrowed(ffi::Py_None()));
            return swap_back(loop_, Previous(task.into_ptr()));
        }
        retire(
            loop_,
            Previous(task.map_or(ptr::null_mut(), Owned::into_ptr)),
        );
    }
}

/// Runs what may announce native tasks in the middle of a step whose word somebody else has put aside.
///
/// # Safety
/// The GIL is held and the loop lives.
pub unsafe fn apart(_: Loop, what: impl FnOnce() -> Python<()>) -> Python<()> {
    what()
}
