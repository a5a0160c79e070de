//! One step of a task: resume its coroutine, then deal with what it did.
//!
//! Called by the turn (`run_step`, `run_wakeup`), by the callables of other loops (`wrapper`), and by an eager start.
//! asyncio's `task_step` is static in C and cannot be overridden: this is why the type is native as a whole.
//!
//! A future that has its result resumes the coroutine with `send(None)`; one with an exception throws it in, as C does.

use super::cell::TaskRef;
use super::{awaited_by, current, kept, registry, unheard, wait, wrapper};
use crate::door as core_door;
use crate::ffi::{Python, Raised, args::raise, compat, names::names, owned::Owned, stop_iteration};
use crate::future::cell::State;
use crate::future::door::door;
use crate::future::layout::layout;
use crate::future::outcome::{self, Outcome};
use crate::handle;
use crate::native_loop::{Loop, nested};
use crate::onlookers;
use crate::ready::Ready;
use pyo3_ffi as ffi;
use std::ptr;

/// Runs the first step of a task, or the step after a bare yield, in its context. Err only for KeyboardInterrupt and
/// SystemExit.
///
/// # Safety
/// Takes over the reference to the task, which is on `loop_`; called by the turn.
#[inline]
pub unsafe fn run_step(loop_: Loop, object: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the caller's contract.
    unsafe { run(loop_, object, Ready::step, |task| step(task, None)) }
}

/// Runs the step after what the task waited for is done. Err as for `run_step`.
///
/// # Safety
/// As for `run_step`.
#[inline]
pub unsafe fn run_wakeup(loop_: Loop, object: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the caller's contract.
    unsafe { run(loop_, object, Ready::wakeup, |task| wake(task)) }
}

#[inline]
unsafe fn run(
    loop_: Loop,
    object: *mut ffi::PyObject,
    again: fn(*mut ffi::PyObject) -> Ready,
    what: impl FnOnce(TaskRef) -> Python<()>,
) -> Python<()> {
    // SAFETY: the task is kept alive by the reference that was handed over; the thread's state keeps an entered context alive.
    unsafe {
        let task = TaskRef::of(object);
        let context = *task.context();
        if context.is_null() || ffi::PyContext_Enter(context) != 0 {
            return not_entered(loop_, object, again);
        }
        let previous = match current::announce(loop_, task) {
            Ok(previous) => previous,
            Err(Raised) => {
                ffi::PyContext_Exit(context);
                return put_off(loop_, object, again);
            }
        };
        let done = what(task);
        current::retire(loop_, previous);
        let left = ffi::PyContext_Exit(context);
        if done.is_err() || left != 0 {
            return failed(loop_, object, false);
        }
        ffi::Py_DECREF(object);
        Ok(())
    }
}

/// The task's context could not be entered: it has none, or it is entered already.
#[cold]
unsafe fn not_entered(
    loop_: Loop,
    object: *mut ffi::PyObject,
    again: fn(*mut ffi::PyObject) -> Ready,
) -> Python<()> {
    // SAFETY: the reference to the task is ours, or whoever puts it off takes it over.
    unsafe {
        let unset = (*TaskRef::of(object).context()).is_null();
        if !unset && nested::put_off(loop_, again(object)).is_ok() {
            return Ok(());
        }
        failed(loop_, object, unset)
    }
}

/// The step could not begin. Without memory to say whose step it is, it is tried again in the next turn: a task that loses a step is never
/// resumed, and cannot be cancelled either.
#[cold]
unsafe fn put_off(
    loop_: Loop,
    object: *mut ffi::PyObject,
    again: fn(*mut ffi::PyObject) -> Ready,
) -> Python<()> {
    // SAFETY: an exception is set; the agenda takes over the reference.
    unsafe {
        if ffi::PyErr_ExceptionMatches(ffi::PyExc_MemoryError) == 0 {
            return failed(loop_, object, false);
        }
        ffi::PyErr_Clear();
        loop_.schedule(again(object));
        Ok(())
    }
}

/// An exception left the step itself (its coroutine's are the task's): reports it as a failed callback's.
#[cold]
unsafe fn failed(loop_: Loop, object: *mut ffi::PyObject, unset: bool) -> Python<()> {
    // SAFETY: the reference to the task is ours; what is on its way out is kept while other code runs.
    unsafe {
        if unset {
            raise(ffi::PyExc_RuntimeError, "uninitialized Task object");
        }
        let task = Owned::from_owned(object);
        let exception = Owned::new(compat::take_raised())?;
        current::settle(loop_);
        if crate::errors::leaves(exception.as_ptr()) {
            drop(task);
            compat::set_raised(exception.into_ptr());
            return Err(Raised);
        }
        let callable = wrapper::step(task.as_ptr(), ptr::null_mut())?;
        let handle = handle::new(
            loop_,
            callable.as_ptr(),
            &[],
            *TaskRef::of(task.as_ptr()).context(),
        )?;
        core_door::cold(
            c"callback_failed",
            &[loop_.object(), handle.as_ptr(), exception.as_ptr()],
        )
        .map(drop)
    }
}

/// A step after the waiter, a native future, is done.
#[inline]
unsafe fn wake(task: TaskRef) -> Python<()> {
    // SAFETY: the waiter is kept alive over the step's beginning.
    unsafe {
        let waiter = task.cell().waiter;
        if waiter.is_null() {
            return step(task, None);
        }
        if let Some(future) = layout().exact(waiter) {
            let cell = future.cell();
            if cell.state == State::Finished && !cell.failed {
                cell.log_traceback = false;
                awaited_by::discard(waiter, task.object())?;
                return step(task, None);
            }
        }
        wake_by(task, waiter)
    }
}

/// `task_wakeup(future)`: takes the future's outcome and steps.
///
/// # Safety
/// Both objects live.
pub unsafe fn wake_by(task: TaskRef, future: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the future is kept alive, since the step lets go of the waiter.
    unsafe {
        let future = Owned::from_borrowed(future);
        let Some(native) = layout().exact(future.as_ptr()) else {
            return wake_by_object(task, &future);
        };
        awaited_by::discard(future.as_ptr(), task.object())?;
        match outcome::outcome(native) {
            Ok(Outcome::Result(_)) => step(task, None),
            Ok(Outcome::Exception(exception)) => step(task, Some(exception)),
            Err(Raised) => step(task, Some(Owned::new(compat::take_raised())?)),
        }
    }
}

unsafe fn wake_by_object(task: TaskRef, future: &Owned) -> Python<()> {
    // SAFETY: the caller keeps both alive.
    unsafe {
        awaited_by::discard_object(future.as_ptr(), task.object())?;
        match Owned::new(ffi::PyObject_CallMethodNoArgs(
            future.as_ptr(),
            names().result,
        )) {
            Ok(_) => step(task, None),
            Err(Raised) => step(task, Some(Owned::new(compat::take_raised())?)),
        }
    }
}

/// Resumes the coroutine, throwing `exception` where there is one. The task is announced and its context entered.
///
/// # Safety
/// The task lives and stays alive.
#[inline]
pub unsafe fn step(task: TaskRef, exception: Option<Owned>) -> Python<()> {
    // SAFETY: no borrow of the fields lives while Python code runs; the coroutine is kept alive while it runs.
    unsafe {
        if task.future().cell().state != State::Pending {
            return Err(already_done(task, exception));
        }
        let exception = if task.cell().must_cancel {
            Some(cancellation(task, exception)?)
        } else {
            exception
        };
        task.clear_waiter();
        let coro = *task.coro();
        if coro.is_null() {
            return Err(raise(ffi::PyExc_RuntimeError, "uninitialized Task object"));
        }
        let coro = Owned::from_borrowed(coro);
        let mut result = ptr::null_mut();
        match exception {
            None => match ffi::PyIter_Send(coro.as_ptr(), ffi::Py_None(), &mut result) {
                ffi::PySendResult::PYGEN_NEXT => wait::on(task, result),
                ffi::PySendResult::PYGEN_RETURN => returned(task, Owned::from_owned(result)),
                ffi::PySendResult::PYGEN_ERROR => raised(task),
            },
            Some(exception) => thrown(task, &coro, exception),
        }
    }
}

#[cold]
unsafe fn already_done(task: TaskRef, exception: Option<Owned>) -> Raised {
    // SAFETY: the format has two %R and gets two objects.
    unsafe {
        let format = c"__step(): already done: %R %R".as_ptr();
        let exception = exception.as_ref().map_or(ffi::Py_None(), Owned::as_ptr);
        ffi::PyErr_Format(door().invalid_state, format, task.object(), exception);
    }
    Raised
}

/// What a task that must be cancelled is resumed with: the CancelledError at hand, or its own. Where that cannot be made, what was raised
/// instead: without a step the task would never end.
#[cold]
unsafe fn cancellation(task: TaskRef, exception: Option<Owned>) -> Python<Owned> {
    // SAFETY: the flag is cleared after Python code ran.
    unsafe {
        let given = exception.filter(|given| {
            ffi::PyErr_GivenExceptionMatches(given.as_ptr(), door().cancelled_error) != 0
        });
        let exception = match given {
            Some(given) => given,
            None => match outcome::cancelled_error(task.future()) {
                Ok(made) => made,
                Err(Raised) => Owned::new(compat::take_raised())?,
            },
        };
        task.cell().must_cancel = false;
        Ok(exception)
    }
}

#[cold]
unsafe fn thrown(task: TaskRef, coro: &Owned, exception: Owned) -> Python<()> {
    // SAFETY: coroutine and exception are live.
    unsafe {
        let result =
            ffi::PyObject_CallMethodOneArg(coro.as_ptr(), names().throw, exception.as_ptr());
        drop(exception);
        if !result.is_null() {
            return wait::on(task, result);
        }
        let value = stop_iteration::take_value();
        if value.is_null() {
            raised(task)
        } else {
            returned(task, Owned::from_owned(value))
        }
    }
}

/// The coroutine returned: the task is done.
#[inline]
unsafe fn returned(task: TaskRef, value: Owned) -> Python<()> {
    // SAFETY: the task leaves the list before anyone is told.
    unsafe {
        registry::unlink(task);
        let done = finished(task, value);
        if task.cell().kept | onlookers::any(onlookers::DONE) {
            return ended(task, done);
        }
        done
    }
}

#[inline(always)]
unsafe fn finished(task: TaskRef, value: Owned) -> Python<()> {
    // SAFETY: the caller's contract.
    unsafe {
        if task.cell().must_cancel {
            // It was cancelled in its last step.
            task.cell().must_cancel = false;
            let message = outcome::cancel_message(task.future());
            return outcome::cancel(
                task.future(),
                message.as_ref().map_or(ptr::null_mut(), Owned::as_ptr),
            )
            .map(drop);
        }
        outcome::set_result(task.future(), value.as_ptr())
    }
}

/// The task is done, and is kept or somebody listens.
#[cold]
unsafe fn ended(task: TaskRef, done: Python<()>) -> Python<()> {
    // SAFETY: the task is kept alive by whoever makes the step.
    unsafe {
        if task.future().cell().state == State::Pending {
            return done; // What was raised could not be stored.
        }
        if task.cell().kept {
            kept::let_go(task);
        }
        if onlookers::any(onlookers::DONE) {
            return onlookers::ended(task, done);
        }
        done
    }
}

/// The coroutine raised: the task is cancelled or failed.
#[cold]
unsafe fn raised(task: TaskRef) -> Python<()> {
    // SAFETY: the caller's contract.
    unsafe {
        let done = failed_or_cancelled(task);
        ended(task, done)
    }
}

#[cold]
unsafe fn failed_or_cancelled(task: TaskRef) -> Python<()> {
    // SAFETY: the exception is ours once taken.
    unsafe {
        if ffi::PyErr_Occurred().is_null() {
            raise(
                ffi::PyExc_SystemError,
                "the coroutine of a task failed without an exception",
            );
        }
        let cancelled = ffi::PyErr_ExceptionMatches(door().cancelled_error) != 0;
        let exception = Owned::new(compat::take_raised())?;
        registry::unlink(task);
        if cancelled {
            let old = task.future().rare().cancelled_error.replace(exception);
            drop(old);
            return outcome::cancel(task.future(), ptr::null_mut()).map(drop);
        }
        let alone = unheard::is_alone(task);
        outcome::set_exception(task.future(), exception.as_ptr())?;
        let noted = if alone { unheard::report(task) } else { Ok(()) };
        if crate::errors::leaves(exception.as_ptr()) {
            if noted.is_err() {
                ffi::PyErr_Clear();
            }
            compat::set_raised(exception.into_ptr());
            return Err(Raised);
        }
        noted
    }
}
