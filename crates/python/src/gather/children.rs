//! A gathering future and its children: it counts those that are done, ends with the last one or with the first that fails, and passes `cancel()`
//! on to them.

use super::outer::Outer;
use crate::ffi::{Python, Raised, answer, args::Args, args::raise, compat, owned::Owned, types};
use crate::future::cell::{FutureRef, State};
use crate::future::door::door;
use crate::future::layout::layout;
use crate::future::{methods, outcome};
use crate::observer;
use crate::task::{awaited_by, cancel as task_cancel};
use pyo3_ffi as ffi;
use std::ffi::c_void;

unsafe fn as_future(child: *mut ffi::PyObject) -> FutureRef {
    // SAFETY: `gather` took exactly native futures only.
    unsafe {
        layout()
            .exact(child)
            .expect("a native gather has native children only")
    }
}

/// `cancel(msg)`: passed on to the children; true if one took it.
///
/// # Safety
/// The objects live and stay alive; `message` may be NULL.
pub unsafe fn cancel(object: *mut ffi::PyObject, message: *mut ffi::PyObject) -> Python<bool> {
    // SAFETY: no borrow lives while Python code runs.
    unsafe {
        let outer = Outer::of(object);
        if outer.future().cell().state != State::Pending {
            return Ok(false);
        }
        let mut any = false;
        let mut index = 0;
        while let Some(child) = outer.child(index) {
            any |= task_cancel::cancel_object(&child, message)?;
            index += 1;
        }
        if any {
            outer.fields().cancel_requested = true;
        }
        Ok(any)
    }
}

/// Counts a child that is done.
///
/// # Safety
/// Both live and stay alive.
#[inline]
pub unsafe fn child_done(object: *mut ffi::PyObject, child: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: no borrow lives while Python code runs.
    unsafe {
        let outer = Outer::of(object);
        let fields = outer.fields();
        fields.finished += 1;
        let (last, each) = (fields.finished == fields.total, fields.return_exceptions);
        let over = fields.abandoned || outer.future().cell().state != State::Pending;
        if let Some(task) = outer.task() {
            awaited_by::discard(child, task.as_ptr())?;
        }
        let future = as_future(child);
        let cell = future.cell();
        let well = cell.state == State::Finished && !cell.failed;
        if over {
            cell.log_traceback = false;
            return Ok(());
        }
        let told = if !well && !each {
            first_failure(outer, future)
        } else {
            cell.log_traceback = false;
            if last { all_done(outer) } else { Ok(()) }
        };
        told.or_else(|Raised| without_memory(outer))
    }
}

/// Without memory for its outcome it ends with that, where asyncio's never ends: no child is left through which it could be cancelled.
/// Another error is one of the callback's, which the loop reports.
#[cold]
unsafe fn without_memory(outer: Outer) -> Python<()> {
    // SAFETY: an exception is set; what is taken is ours.
    unsafe {
        if ffi::PyErr_ExceptionMatches(ffi::PyExc_MemoryError) == 0
            || outer.future().cell().state != State::Pending
        {
            return Err(Raised);
        }
        let error = Owned::new(compat::take_raised())?;
        outcome::set_exception(outer.future(), error.as_ptr())
    }
}

/// Without `return_exceptions`, the first child that fails or is cancelled ends it.
#[cold]
unsafe fn first_failure(outer: Outer, child: FutureRef) -> Python<()> {
    // SAFETY: no borrow lives while Python code runs.
    unsafe {
        let exception = if child.cell().state == State::Cancelled {
            outcome::cancelled_error(child)?
        } else {
            child.cell().log_traceback = false;
            Owned::from_borrowed(child.cell().value)
        };
        if let Some(task) = outer.task() {
            let mut index = 0;
            while let Some(child) = outer.child(index) {
                awaited_by::discard(child.as_ptr(), task.as_ptr())?;
                index += 1;
            }
        }
        outcome::set_exception(outer.future(), exception.as_ptr())
    }
}

unsafe fn all_done(outer: Outer) -> Python<()> {
    // SAFETY: the list is fresh; its items are new references. No borrow lives while Python code runs.
    unsafe {
        let count = outer.fields().children.len();
        let results = Owned::new(ffi::PyList_New(count as ffi::Py_ssize_t))?;
        for index in 0..count {
            let child = outer.fields().children[index];
            let cell = as_future(child).cell();
            let result = match cell.state {
                State::Cancelled => cancelled(as_future(child))?,
                // `__init__` ran again on it.
                State::Pending => return Err(raise(door().invalid_state, "Exception is not set.")),
                _ => Owned::from_borrowed(cell.value),
            };
            ffi::PyList_SET_ITEM(
                results.as_ptr(),
                index as ffi::Py_ssize_t,
                result.into_ptr(),
            );
        }
        if outer.fields().cancel_requested {
            let last = outer.child(count - 1).expect("a gather has children");
            let exception = outcome::cancelled_error(as_future(last.as_ptr()))?;
            return outcome::set_exception(outer.future(), exception.as_ptr());
        }
        outcome::set_result(outer.future(), results.as_ptr())
    }
}

/// What stands for a cancelled child among the results: a CancelledError with its message, or with an empty one.
#[cold]
unsafe fn cancelled(child: FutureRef) -> Python<Owned> {
    // SAFETY: the class lives.
    unsafe {
        let message = match outcome::cancel_message(child) {
            Some(message) => message,
            None => Owned::new(ffi::PyUnicode_FromStringAndSize(c"".as_ptr(), 0))?,
        };
        Owned::new(ffi::PyObject_CallOneArg(
            door().cancelled_error,
            message.as_ptr(),
        ))
    }
}

unsafe extern "C" fn cancel_method(
    object: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention, on an instance that it keeps alive.
    unsafe {
        let message = methods::cancel_message(Args::new(args, count, keywords));
        answer::truth(message.and_then(|message| cancel(object, message)))
    }
}

unsafe extern "C" fn on_completion(
    object: *mut ffi::PyObject,
    child: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    unsafe { answer::none(observer::check_done(child).and_then(|()| child_done(object, child))) }
}

/// The type's methods.
pub fn table() -> *mut c_void {
    types::table([
        types::fast_keywords(
            c"cancel",
            cancel_method,
            c"cancel($self, /, msg=None)\n--\n\nCancel the children; False if none took it.",
        ),
        types::one(
            c"_on_completion",
            on_completion,
            c"_on_completion($self, future, /)\n--\n\n",
        ),
    ])
}
