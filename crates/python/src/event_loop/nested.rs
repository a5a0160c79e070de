//! `_suspend()` and `_resume()`, `hold` and `let_go`: what `rondeau._nesting` calls round a run of the loop within itself.
//!
//! The task that called is in the middle of its step. Meanwhile it is not current, and it waits for what the inner run waits for:
//! `cancel()` reaches through to it as through an `await`, and `ps` names it. What was written leaves before the inner run may
//! wait for the answer.

use crate::ffi::{Python, Raised, answer, compat, owned::Owned};
use crate::future::layout::layout;
use crate::native_loop::Loop;
use crate::native_loop::nested::Suspended;
use crate::task::cell::TaskRef;
use crate::task::{awaited_by, current};
use crate::{recorder, transport, watchdog};
use pyo3_ffi as ffi;
use std::ptr;

/// `_suspend()`: this depth stands still. Returns the task that was current, or None.
pub unsafe extern "C" fn suspend(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { answer::object(suspended(Loop::from_object(object))) }
}

unsafe fn suspended(loop_: Loop) -> Python<Owned> {
    // SAFETY: no borrow of the parts lives while Python code runs.
    unsafe {
        if !loop_.parts().outbox.is_empty() {
            transport::send_outbox(loop_, Ok(()))?;
        }
        let now = current::suspend(loop_)?;
        let task = match now.task() {
            Some(task) => task.clone(),
            None => Owned::from_borrowed(ffi::Py_None()),
        };
        let parts = loop_.parts();
        let depth = Suspended {
            current: now,
            in_turn: std::mem::replace(&mut parts.in_turn, false),
            stopping: std::mem::replace(&mut parts.stopping, false),
            calls: std::mem::replace(&mut parts.calls, ptr::null_mut()),
            put_off: Vec::new(),
        };
        parts.suspended.push(depth);
        Ok(task)
    }
}

/// `_resume()`: the depth that stood still goes on.
pub unsafe extern "C" fn resume(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance, in the thread that suspended it.
    unsafe {
        let loop_ = Loop::from_object(object);
        if let Some(depth) = loop_.parts().suspended.pop() {
            resumed(loop_, depth);
        }
        answer::none(Ok(()))
    }
}

unsafe fn resumed(loop_: Loop, depth: Suspended) {
    // SAFETY: each reference is put back where it was, or released with no borrow alive.
    unsafe {
        let parts = loop_.parts();
        parts.in_turn = depth.in_turn;
        parts.stopping |= depth.stopping;
        parts.calls = depth.calls;
        for ready in depth.put_off.into_iter().rev() {
            parts.agenda.push_first(ready);
        }
        current::resume(loop_, depth.current);
        watchdog::enter(loop_); // The inner run's end let it rest.
    }
}

/// `hold(task, future)`: the native task `task`, which is in the middle of its step, waits for `future` until `let_go`. A cancellation that
/// it has not seen yet goes to the future at once, as where a task comes to an `await`.
///
/// # Safety
/// CPython's calling convention.
pub unsafe extern "C" fn hold(
    _: *mut ffi::PyObject,
    args: *mut *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    // SAFETY: the arguments live for the call.
    unsafe {
        if count != 2 {
            crate::ffi::args::raise_type_error("hold() takes a task and a future");
            return ptr::null_mut();
        }
        answer::none(held(*args, *args.add(1)))
    }
}

unsafe fn held(task: *mut ffi::PyObject, future: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the type is checked before the layout is relied on; both live.
    unsafe {
        if ffi::PyObject_TypeCheck(task, layout().task) == 0 {
            return Ok(());
        }
        let task = TaskRef::of(task);
        ffi::Py_INCREF(future);
        task.set_waiter(future);
        awaited_by::add_object(future, task.object())?;
        if recorder::is_on() {
            recorder::stands_still(task);
        }
        if task.cell().must_cancel {
            let message = crate::future::outcome::cancel_message(task.future());
            let message = message
                .as_ref()
                .map_or_else(|| ffi::Py_None(), Owned::as_ptr);
            let cancel = crate::ffi::names::names().cancel;
            let cancelled = Owned::new(ffi::PyObject_CallMethodOneArg(future, cancel, message))?;
            if ffi::PyObject_IsTrue(cancelled.as_ptr()) == 1 {
                task.cell().must_cancel = false;
            }
        }
        Ok(())
    }
}

/// `let_go(task, future)`: ends `hold`.
///
/// # Safety
/// CPython's calling convention.
pub unsafe extern "C" fn let_go(
    _: *mut ffi::PyObject,
    args: *mut *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    // SAFETY: the arguments live for the call; the type is checked before the layout is relied on.
    unsafe {
        if count != 2 {
            crate::ffi::args::raise_type_error("let_go() takes a task and a future");
            return ptr::null_mut();
        }
        let (task, future) = (*args, *args.add(1));
        if ffi::PyObject_TypeCheck(task, layout().task) != 0 {
            let task = TaskRef::of(task);
            if task.cell().waiter == future {
                if recorder::is_on() {
                    recorder::goes_on(task);
                }
                task.clear_waiter();
                let raised = compat::take_raised();
                if let Err(Raised) = awaited_by::discard_object(future, task.object()) {
                    ffi::PyErr_WriteUnraisable(task.object());
                }
                compat::set_raised(raised);
            }
        }
        answer::none(Ok(()))
    }
}
