//! A group's tasks: how they are made, and what is done when one ends.
//!
//! `create_task` and, called by the group's observer, asyncio's `_on_task_done`. What is out of the ordinary is left to asyncio's own
//! methods on the same object.

use super::object::{fields, is_group, task_count};
use crate::door::attribute;
use crate::ffi::{
    Python, Raised, args::Args, compat, gil::GilCell, names::names, owned::Owned, types,
};
use crate::future::callbacks;
use crate::future::cell::{Entry, State};
use crate::future::layout::layout;
use crate::future::outcome;
use crate::task::{awaited_by, cancel as task_cancel, cell::TaskRef, current, request::Request};
use crate::{observer, running};
use pyo3_ffi as ffi;
use std::ptr;

/// What of asyncio's class is called here. Strong references that live as long as the process.
struct Asyncios {
    create_task: *mut ffi::PyObject,
    on_task_done: *mut ffi::PyObject,
}

static ASYNCIOS: GilCell<Asyncios> = GilCell::new(Asyncios {
    create_task: ptr::null_mut(),
    on_task_done: ptr::null_mut(),
});

/// The method.
pub const CREATE_TASK: ffi::PyMethodDef = types::fast_keywords(
    c"create_task",
    create_task,
    c"create_task($self, coro, /, **kwargs)\n--\n\nMake a task in this group; return it.",
);

/// Reads what of asyncio's class is called here.
pub fn init(asyncios: &Owned) -> Python<()> {
    // SAFETY: the import runs alone.
    unsafe {
        *ASYNCIOS.get() = Asyncios {
            create_task: attribute(asyncios, c"create_task")?.into_ptr(),
            on_task_done: attribute(asyncios, c"_on_task_done")?.into_ptr(),
        };
    }
    Ok(())
}

unsafe extern "C" fn create_task(
    object: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention, on an instance that it keeps alive.
    unsafe {
        match native_task(object, Args::new(args, count, keywords)) {
            Ok(Some(task)) => task.into_ptr(),
            Ok(None) => asyncios_task(object, args, count, keywords),
            Err(Raised) => ptr::null_mut(),
        }
    }
}

/// A task of the group, if all is as usual; None leaves it to asyncio's own method.
#[inline]
unsafe fn native_task(object: *mut ffi::PyObject, call: Args<'_>) -> Python<Option<Owned>> {
    // SAFETY: no borrow lives while Python code runs.
    unsafe {
        let Some(request) = Request::read(&call) else {
            return Ok(None);
        };
        let group = fields(object);
        let open = group.entered == ffi::Py_True()
            && group.aborting == ffi::Py_False()
            && is_group(object);
        let Some(count) = task_count(object).filter(|_| open) else {
            return Ok(None);
        };
        if group.exiting != ffi::Py_False() && count == 0 {
            return Ok(None);
        }
        let Some(loop_) = running::as_plain(group.loop_) else {
            return Ok(None);
        };
        let Some(made) = request.make(loop_)? else {
            return Ok(None);
        };
        add(object, &made)?;
        Ok(Some(made))
    }
}

#[inline]
unsafe fn add(object: *mut ffi::PyObject, made: &Owned) -> Python<()> {
    // SAFETY: no borrow lives while Python code runs; an eager start may have changed the group.
    unsafe {
        let task = TaskRef::of(made.as_ptr());
        let pending = task.future().cell().state == State::Pending;
        if !pending && compat::GROUP_COUNTS_EAGER_AT_ONCE {
            return Owned::new(ffi::PyObject_CallMethodOneArg(
                object,
                names()._on_task_done,
                made.as_ptr(),
            ))
            .map(drop);
        }
        let parent = fields(object).parent_task;
        if compat::TASKS_IN_THREAD_STATE && !parent.is_null() && parent != ffi::Py_None() {
            awaited_by::add(made.as_ptr(), parent)?;
        }
        if task_count(object).is_none() {
            crate::ffi::args::raise_type_error("TaskGroup._tasks is not a set");
            return Err(Raised);
        }
        if ffi::PySet_Add(fields(object).tasks, made.as_ptr()) != 0 {
            return Err(Raised);
        }
        let group = Owned::from_borrowed(object);
        if !pending {
            return observer::schedule(task.future(), group);
        }
        callbacks::add(task.future(), Entry::observer(group.into_ptr()));
        if compat::GROUP_HAS_CANCEL && fields(object).aborting != ffi::Py_False() {
            task_cancel::cancel(task, ptr::null_mut())?;
        }
    }
    Ok(())
}

/// asyncio's own `create_task`.
#[cold]
unsafe fn asyncios_task(
    object: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention: keyword values follow the positional ones.
    unsafe {
        let named = if keywords.is_null() {
            0
        } else {
            ffi::PyTuple_GET_SIZE(keywords) as usize
        };
        let mut all = vec![object];
        for index in 0..count as usize + named {
            all.push(*args.add(index));
        }
        ffi::PyObject_Vectorcall(
            ASYNCIOS.get().create_task,
            all.as_ptr(),
            1 + count as usize,
            keywords,
        )
    }
}

/// A task of the group is done.
///
/// # Safety
/// Both live and stay alive; the group is exactly one.
#[inline]
pub unsafe fn child_done(object: *mut ffi::PyObject, child: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: no borrow lives while Python code runs.
    unsafe {
        let well = layout()
            .exact(child)
            .is_some_and(|future| !future.cell().failed);
        let waiter = fields(object).on_completed_fut;
        let known = waiter == ffi::Py_None() || ffi::Py_TYPE(waiter) == layout().future;
        if !well || !known || task_count(object).is_none() {
            return failed(object, child);
        }
        if ffi::PySet_Discard(fields(object).tasks, child) < 0 {
            return Err(Raised);
        }
        let parent = fields(object).parent_task;
        if compat::TASKS_IN_THREAD_STATE && !parent.is_null() && parent != ffi::Py_None() {
            awaited_by::discard(child, parent)?;
        }
        if task_count(object) != Some(0) {
            return Ok(());
        }
        let waiter = Owned::from_borrowed(fields(object).on_completed_fut);
        match layout().exact(waiter.as_ptr()) {
            Some(future) if future.cell().state == State::Pending => {
                outcome::set_result(future, ffi::Py_True())
            }
            _ => Ok(()),
        }
    }
}

/// asyncio's own `_on_task_done`.
#[cold]
unsafe fn failed(object: *mut ffi::PyObject, child: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the caller keeps both alive.
    unsafe {
        if let Some(loop_) = running::as_plain(fields(object).loop_) {
            current::settle(loop_);
        }
        let args = [object, child];
        Owned::new(ffi::PyObject_Vectorcall(
            ASYNCIOS.get().on_task_done,
            args.as_ptr(),
            2,
            ptr::null_mut(),
        ))
        .map(drop)
    }
}
