//! What a coroutine yielded, and what its task then waits for.
//!
//! Called by the step. A native future or task of the same loop is waited for without an allocation: the task puts itself
//! into the callback slot. Anything else goes through the attributes that asyncio's protocol names.

use super::cell::TaskRef;
use super::{awaited_by, cancel, create, wrapper};
use crate::ffi::{Python, Raised, names::names, owned::Owned};
use crate::future::callbacks;
use crate::future::cell::{Entry, FutureRef, State};
use crate::future::door::door;
use crate::future::layout::layout;
use crate::future::outcome;
use pyo3_ffi as ffi;
use std::ffi::CStr;
use std::ptr;

/// Deals with `result`, which the coroutine yielded; takes over the reference.
///
/// # Safety
/// The task lives and stays alive.
#[inline]
pub unsafe fn on(task: TaskRef, result: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the reference is ours.
    unsafe {
        if let Some(future) = layout().exact(result) {
            return on_native(task, future, Owned::from_owned(result));
        }
        let result = Owned::from_owned(result);
        if result.as_ptr() == ffi::Py_None() {
            // A bare yield gives way for one turn.
            return create::schedule_step(task);
        }
        on_object(task, result)
    }
}

#[inline]
unsafe fn on_native(task: TaskRef, future: FutureRef, result: Owned) -> Python<()> {
    // SAFETY: no borrow lives while Python code runs.
    unsafe {
        let cell = future.cell();
        if result.as_ptr() == task.object()
            || cell.loop_ != task.future().cell().loop_
            || !cell.blocking
        {
            return wrong_native(task, future, result);
        }
        awaited_by::add(result.as_ptr(), task.object())?;
        future.cell().blocking = false;
        ffi::Py_INCREF(task.object());
        let entry = Entry::task(task);
        if future.cell().state == State::Pending {
            callbacks::add(future, entry);
        } else {
            callbacks::schedule(future, entry)?;
        }
        task.set_waiter(result.into_ptr());
        if task.cell().must_cancel {
            pass_on_cancel(task)
        } else {
            Ok(())
        }
    }
}

#[cold]
unsafe fn wrong_native(task: TaskRef, future: FutureRef, result: Owned) -> Python<()> {
    // SAFETY: the caller's contract.
    unsafe {
        if result.as_ptr() == task.object() {
            return itself(task);
        }
        if future.cell().loop_ != task.future().cell().loop_ {
            return other_loop(task, &result);
        }
        without_await(task, &result)
    }
}

/// The task was cancelled in the step in which it began to wait: what it waits for is cancelled.
#[cold]
unsafe fn pass_on_cancel(task: TaskRef) -> Python<()> {
    // SAFETY: waiter and message are kept alive over the call.
    unsafe {
        let waiter = Owned::from_borrowed(task.cell().waiter);
        let message = outcome::cancel_message(task.future());
        if cancel::cancel_object(
            &waiter,
            message.as_ref().map_or(ptr::null_mut(), Owned::as_ptr),
        )? {
            task.cell().must_cancel = false;
        }
    }
    Ok(())
}

/// Waits for a future that is not exactly a native one, by asyncio's protocol.
unsafe fn on_object(task: TaskRef, result: Owned) -> Python<()> {
    // SAFETY: no borrow lives while Python code runs; all objects are kept alive.
    unsafe {
        if result.as_ptr() == task.object() {
            return itself(task);
        }
        let mut blocking = ptr::null_mut();
        if ffi::compat::PyObject_GetOptionalAttr(
            result.as_ptr(),
            names()._asyncio_future_blocking,
            &mut blocking,
        ) < 0
        {
            return Err(Raised);
        }
        if blocking.is_null() || blocking == ffi::Py_None() {
            ffi::Py_XDECREF(blocking);
            return not_a_future(task, &result);
        }
        let blocking = truth(Owned::from_owned(blocking))?;
        let loop_ = loop_of(&result)?;
        if loop_.as_ptr() != task.future().cell().loop_ {
            return other_loop(task, &result);
        }
        if !blocking {
            return without_await(task, &result);
        }
        awaited_by::add_object(result.as_ptr(), task.object())?;
        if ffi::PyObject_SetAttr(
            result.as_ptr(),
            names()._asyncio_future_blocking,
            ffi::Py_False(),
        ) != 0
        {
            return Err(Raised);
        }
        let wakeup = wrapper::wakeup(task.object())?;
        let context = Owned::from_borrowed(*task.context());
        let stack = [result.as_ptr(), wakeup.as_ptr(), context.as_ptr()];
        let added = ffi::PyObject_VectorcallMethod(
            names().add_done_callback,
            stack.as_ptr(),
            2,
            door().context_keyword,
        );
        Owned::new(added)?;
        task.set_waiter(result.into_ptr());
        if task.cell().must_cancel {
            pass_on_cancel(task)
        } else {
            Ok(())
        }
    }
}

unsafe fn truth(object: Owned) -> Python<bool> {
    // SAFETY: live.
    match unsafe { ffi::PyObject_IsTrue(object.as_ptr()) } {
        -1 => Err(Raised),
        truth => Ok(truth == 1),
    }
}

/// `asyncio.futures._get_loop(future)`.
unsafe fn loop_of(future: &Owned) -> Python<Owned> {
    // SAFETY: live.
    unsafe {
        let mut get = ptr::null_mut();
        match ffi::compat::PyObject_GetOptionalAttr(future.as_ptr(), names().get_loop, &mut get) {
            -1 => Err(Raised),
            0 => Owned::new(ffi::PyObject_GetAttr(future.as_ptr(), names()._loop)),
            _ => Owned::new(ffi::PyObject_CallNoArgs(Owned::from_owned(get).as_ptr())),
        }
    }
}

#[cold]
unsafe fn not_a_future(task: TaskRef, result: &Owned) -> Python<()> {
    // SAFETY: the formats have as many %R as they get objects.
    unsafe {
        match ffi::PyObject_IsInstance(result.as_ptr(), (&raw mut ffi::PyGen_Type).cast()) {
            -1 => Err(Raised),
            0 => fail(
                task,
                c"Task got bad yield: %R",
                result.as_ptr(),
                ptr::null_mut(),
            ),
            _ => fail(
                task,
                c"yield was used instead of yield from for generator in task %R with %R",
                task.object(),
                result.as_ptr(),
            ),
        }
    }
}

#[cold]
unsafe fn itself(task: TaskRef) -> Python<()> {
    // SAFETY: one %R, one object.
    unsafe {
        fail(
            task,
            c"Task cannot await on itself: %R",
            task.object(),
            ptr::null_mut(),
        )
    }
}

#[cold]
unsafe fn without_await(task: TaskRef, result: &Owned) -> Python<()> {
    let format = c"yield was used instead of yield from in task %R with %R";
    // SAFETY: two %R, two objects.
    unsafe { fail(task, format, task.object(), result.as_ptr()) }
}

#[cold]
unsafe fn other_loop(task: TaskRef, result: &Owned) -> Python<()> {
    let format = c"Task %R got Future %R attached to a different loop";
    // SAFETY: two %R, two objects.
    unsafe { fail(task, format, task.object(), result.as_ptr()) }
}

/// Throws RuntimeError into the coroutine in the next turn.
unsafe fn fail(
    task: TaskRef,
    format: &CStr,
    first: *mut ffi::PyObject,
    second: *mut ffi::PyObject,
) -> Python<()> {
    // SAFETY: the caller's format has as many %R as there are objects; one that is not asked for is ignored.
    unsafe {
        let text = Owned::new(ffi::PyUnicode_FromFormat(format.as_ptr(), first, second))?;
        let error = Owned::new(ffi::PyObject_CallOneArg(
            ffi::PyExc_RuntimeError,
            text.as_ptr(),
        ))?;
        create::schedule_callable(task, error.as_ptr())
    }
}
