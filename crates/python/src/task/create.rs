//! Making a task: `loop.create_task`'s fast path and `Task.__init__`.

use super::cell::TaskRef;
use super::{eager, kept, registry, wrapper};
use crate::coroutine;
use crate::ffi::slot::{clear_slot, set_slot};
use crate::ffi::{Python, Raised, compat, gil::GilCell, names::names, owned::Owned, types};
use crate::future::door::door;
use crate::future::layout::layout;
use crate::future::{lifecycle, soon};
use crate::native_loop::Loop;
use crate::onlookers;
use crate::ready::Ready;
use pyo3_ffi as ffi;
use std::ffi::c_int;
use std::ptr;

/// How many tasks were named by number.
static NUMBER: GilCell<u64> = GilCell::new(0);

/// `number_tasks(number)`: the next task is the one after `number`; returns the number of the last one. A simulation's tasks
/// have the same names in each run.
pub const NUMBER_TASKS: ffi::PyMethodDef = types::one(
    c"number_tasks",
    number_tasks,
    c"number_tasks(number, /)\n--\n\nThe next task is the one after `number`; return the last one's.",
);

unsafe extern "C" fn number_tasks(
    _: *mut ffi::PyObject,
    number: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the argument lives for the call; the counter's borrow ends at once.
    unsafe {
        let next = ffi::PyLong_AsUnsignedLongLong(number);
        if next == u64::MAX && !ffi::PyErr_Occurred().is_null() {
            return ptr::null_mut();
        }
        ffi::PyLong_FromUnsignedLongLong(std::mem::replace(NUMBER.get(), next))
    }
}

/// A task on a native loop, scheduled: NULL on error. `name` and `context` may be NULL.
///
/// # Safety
/// The objects live.
#[inline]
pub unsafe fn new(
    loop_: Loop,
    coro: *mut ffi::PyObject,
    name: *mut ffi::PyObject,
    context: *mut ffi::PyObject,
    eager_start: bool,
) -> *mut ffi::PyObject {
    // SAFETY: the fresh instance is zeroed and initialised before Python code can use it.
    unsafe {
        let object = ffi::PyType_GenericAlloc(layout().task, 0);
        if object.is_null() {
            return object;
        }
        let task = TaskRef::of(object);
        let made = lifecycle::attach(task.future(), loop_)
            .and_then(|()| fill(task, coro, name, context, eager_start));
        if made.is_err() {
            lifecycle::release_keeping_error(object);
            return ptr::null_mut();
        }
        if loop_.parts().keep_tasks {
            kept::keep(loop_, task);
        }
        object
    }
}

/// `tp_init` of `_core.Task`.
pub unsafe extern "C" fn tp_init(
    object: *mut ffi::PyObject,
    args: *mut ffi::PyObject,
    keywords: *mut ffi::PyObject,
) -> c_int {
    // SAFETY: CPython calls this on an instance that it keeps alive; the format asks for as many objects as there are names.
    unsafe {
        let mut given = [ptr::null_mut(); 5];
        let known =
            [c"coro", c"loop", c"name", c"context", c"eager_start"].map(|name| name.as_ptr());
        let [coro, loop_, name, context, eager] = known;
        let parsed = if compat::HAS_EAGER_START {
            compat::parse_objects(
                args,
                keywords,
                c"O|$OOOO:Task",
                &[coro, loop_, name, context, eager, ptr::null()],
                &mut given,
            )
        } else {
            compat::parse_objects(
                args,
                keywords,
                c"O|$OOO:Task",
                &[coro, loop_, name, context, ptr::null()],
                &mut given,
            )
        };
        if !parsed {
            return -1;
        }
        let [coro, loop_, name, context, eager] = given;
        let init = || {
            let eager = match eager {
                eager if eager.is_null() => false,
                eager => match ffi::PyObject_IsTrue(eager) {
                    -1 => return Err(Raised),
                    truth => truth == 1,
                },
            };
            let task = TaskRef::of(object);
            lifecycle::init(task.future(), loop_)?;
            fill(task, coro, name, context, eager)?;
            if let Some(loop_) = kept::loop_of(task)
                && loop_.parts().keep_tasks
            {
                kept::keep(loop_, task);
            }
            Ok(())
        };
        crate::future::status(init())
    }
}

/// What `__init__` does once the loop is known.
#[inline]
unsafe fn fill(
    task: TaskRef,
    coro: *mut ffi::PyObject,
    name: *mut ffi::PyObject,
    context: *mut ffi::PyObject,
    eager_start: bool,
) -> Python<()> {
    // SAFETY: references are made before they are stored, and no borrow lives while Python code runs.
    unsafe {
        let layout = layout();
        if layout.is_task != 0 {
            *task.object().cast::<u8>().byte_add(layout.is_task) = 1;
        }
        check_coroutine(task, coro)?;
        let context = if context.is_null() || context == ffi::Py_None() {
            Owned::new(ffi::PyContext_CopyCurrent())?
        } else {
            check_context(context)?;
            Owned::from_borrowed(context)
        };
        task.set_context(context.into_ptr());
        task.clear_waiter();
        let cell = task.cell();
        cell.cancels = 0;
        cell.must_cancel = false;
        cell.log_destroy_pending = true;
        ffi::Py_INCREF(coro);
        set_slot(task.coro(), coro);
        set_name(task, name)?;
        if onlookers::any(onlookers::RECORDER | onlookers::CREATED) {
            onlookers::created(task)?;
        }
        if eager_start && loop_is_running(task)? {
            return eager::start(task);
        }
        schedule_step(task)?;
        registry::link(task)
    }
}

#[inline]
unsafe fn check_coroutine(task: TaskRef, coro: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: `coro` is live.
    if unsafe { ffi::PyCoro_CheckExact(coro) != 0 || ffi::Py_TYPE(coro) == coroutine::kind() } {
        return Ok(());
    }
    // SAFETY: as above.
    unsafe { ask_coroutine(task, coro) }
}

#[cold]
unsafe fn ask_coroutine(task: TaskRef, coro: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: `asyncio.iscoroutine` lives; the format has one %R and gets one object.
    unsafe {
        let answer = Owned::new(ffi::PyObject_CallOneArg(door().iscoroutine, coro))?;
        match ffi::PyObject_IsTrue(answer.as_ptr()) {
            -1 => Err(Raised),
            0 => {
                task.cell().log_destroy_pending = false;
                ffi::PyErr_Format(
                    ffi::PyExc_TypeError,
                    c"a coroutine was expected, got %R".as_ptr(),
                    coro,
                );
                Err(Raised)
            }
            _ => Ok(()),
        }
    }
}

#[inline]
unsafe fn check_context(context: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: `context` is live; the format has one %U and gets one str.
    unsafe {
        if compat::STRICT_INIT && ffi::PyContext_CheckExact(context) == 0 {
            let name = Owned::new(ffi::PyType_GetName(ffi::Py_TYPE(context)))?;
            let format = c"a contextvars.Context was expected, got %U".as_ptr();
            ffi::PyErr_Format(ffi::PyExc_TypeError, format, name.as_ptr());
            return Err(Raised);
        }
    }
    Ok(())
}

#[inline]
unsafe fn set_name(task: TaskRef, name: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the counter's borrow ends before Python code runs.
    unsafe {
        if !name.is_null() && name != ffi::Py_None() {
            set_slot(task.name(), text(name)?.into_ptr());
            return Ok(());
        }
        let number = {
            let number = NUMBER.get();
            *number += 1;
            *number
        };
        task.cell().number = number;
        if ptr::eq(task.name(), &raw mut task.cell().name) {
            clear_slot(task.name());
        } else {
            // Who reads the base's word from outside wants a str or an int there.
            set_slot(
                task.name(),
                Owned::new(ffi::PyLong_FromUnsignedLongLong(number))?.into_ptr(),
            );
        }
        Ok(())
    }
}

/// `str(name)`.
///
/// # Safety
/// `name` is live.
pub unsafe fn text(name: *mut ffi::PyObject) -> Python<Owned> {
    // SAFETY: the caller's contract.
    unsafe {
        if ffi::PyUnicode_CheckExact(name) != 0 {
            return Ok(Owned::from_borrowed(name));
        }
        Owned::new(ffi::PyObject_Str(name))
    }
}

unsafe fn loop_is_running(task: TaskRef) -> Python<bool> {
    // SAFETY: the loop is kept alive by the task.
    unsafe {
        if let Some(loop_) = task.future().direct_loop()
            && loop_.parts().plain
        {
            return Ok(loop_.parts().thread != 0);
        }
        let answer = Owned::new(ffi::PyObject_CallMethodNoArgs(
            task.future().cell().loop_,
            names().is_running,
        ))?;
        Ok(answer.as_ptr() == ffi::Py_True())
    }
}

/// Schedules the next step of a task that waits for nothing.
///
/// # Safety
/// The task lives.
#[inline]
pub unsafe fn schedule_step(task: TaskRef) -> Python<()> {
    // SAFETY: the agenda gets a reference of its own.
    unsafe {
        if let Some(loop_) = task.future().direct_loop() {
            ffi::Py_INCREF(task.object());
            return soon::push(loop_, Ready::step(task.object()));
        }
        schedule_callable(task, ptr::null_mut())
    }
}

/// Schedules a step through a callable: on another loop, or to throw `exception` (which may be NULL).
///
/// # Safety
/// The objects live.
pub unsafe fn schedule_callable(task: TaskRef, exception: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the context is kept alive by `call`.
    unsafe {
        let step = wrapper::step(task.object(), exception)?;
        soon::call(
            task.future(),
            step.as_ptr(),
            ptr::null_mut(),
            *task.context(),
        )
    }
}
