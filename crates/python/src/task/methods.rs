//! The methods and attributes that a task has and a future has not, in Python's calling convention.

use super::cell::TaskRef;
use super::create::text;
use crate::ffi::slot::set_slot;
use crate::ffi::{Python, answer, args::Args, args::raise, names::names, owned::Owned};
use crate::future::door::door;
use crate::future::{status, truth};
use pyo3_ffi as ffi;
use std::ffi::{c_int, c_void};
use std::ptr;

unsafe extern "C" fn unsupported_result(
    _: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: RuntimeError is live.
    unsafe {
        raise(
            ffi::PyExc_RuntimeError,
            "Task does not support set_result operation",
        )
    };
    ptr::null_mut()
}

unsafe extern "C" fn unsupported_exception(
    _: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: RuntimeError is live.
    unsafe {
        raise(
            ffi::PyExc_RuntimeError,
            "Task does not support set_exception operation",
        )
    };
    ptr::null_mut()
}

unsafe extern "C" fn cancelling(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { ffi::PyLong_FromUnsignedLongLong(TaskRef::of(object).cell().cancels.into()) }
}

unsafe extern "C" fn uncancel(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        let cell = TaskRef::of(object).cell();
        if cell.cancels > 0 {
            cell.cancels -= 1;
            if cell.cancels == 0 && crate::ffi::compat::UNCANCEL_TAKES_BACK {
                cell.must_cancel = false;
            }
        }
        cancelling(object, ptr::null_mut())
    }
}

unsafe extern "C" fn get_stack(
    object: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention, on an instance; the function lives.
    unsafe {
        let call = Args::new(args, count, keywords);
        let stack = || {
            call.expect_positional("get_stack", 0, 0)?;
            let mut given = [ffi::Py_None()];
            call.keywords("get_stack", [names().limit], &mut given)?;
            let args = [object, given[0]];
            Owned::new(ffi::PyObject_Vectorcall(
                door().task_get_stack,
                args.as_ptr(),
                2,
                ptr::null_mut(),
            ))
        };
        answer::object(stack())
    }
}

unsafe extern "C" fn print_stack(
    object: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention, on an instance; the function lives.
    unsafe {
        let call = Args::new(args, count, keywords);
        let print = || {
            call.expect_positional("print_stack", 0, 0)?;
            let mut given = [ffi::Py_None(); 2];
            call.keywords("print_stack", [names().limit, names().file], &mut given)?;
            let args = [object, given[0], given[1]];
            Owned::new(ffi::PyObject_Vectorcall(
                door().task_print_stack,
                args.as_ptr(),
                3,
                ptr::null_mut(),
            ))
        };
        answer::object(print())
    }
}

unsafe extern "C" fn get_coro(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { answer::or_none(*TaskRef::of(object).coro()) }
}

unsafe extern "C" fn get_context(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { answer::or_none(*TaskRef::of(object).context()) }
}

unsafe fn name(task: TaskRef) -> Python<Owned> {
    // SAFETY: the name that is made replaces what stood for it.
    unsafe {
        let known = *task.name();
        let number = task.cell().number;
        if known.is_null() && number == 0 {
            return Ok(Owned::from_borrowed(ffi::Py_None()));
        }
        if !known.is_null() && ffi::PyLong_CheckExact(known) == 0 {
            return Ok(Owned::from_borrowed(known));
        }
        let made = Owned::new(ffi::PyUnicode_FromFormat(c"Task-%llu".as_ptr(), number))?;
        set_slot(task.name(), made.clone().into_ptr());
        Ok(made)
    }
}

unsafe extern "C" fn get_name(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { answer::object(name(TaskRef::of(object))) }
}

unsafe extern "C" fn set_name(
    object: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        answer::none(text(value).map(|text| set_slot(TaskRef::of(object).name(), text.into_ptr())))
    }
}

unsafe extern "C" fn log_destroy_pending(
    object: *mut ffi::PyObject,
    _: *mut c_void,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    answer::truth(Ok(unsafe {
        TaskRef::of(object).cell().log_destroy_pending
    }))
}

unsafe extern "C" fn set_log_destroy_pending(
    object: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
    _: *mut c_void,
) -> c_int {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        status(truth(value).map(|truth| TaskRef::of(object).cell().log_destroy_pending = truth))
    }
}

unsafe extern "C" fn must_cancel(object: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    answer::truth(Ok(unsafe { TaskRef::of(object).cell().must_cancel }))
}

unsafe extern "C" fn coro(object: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { get_coro(object, ptr::null_mut()) }
}

unsafe extern "C" fn fut_waiter(object: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { answer::or_none(TaskRef::of(object).cell().waiter) }
}

/// The methods.
pub fn methods() -> Vec<ffi::PyMethodDef> {
    use crate::ffi::types::{fast_keywords, noargs, one};
    let mut all = vec![
        one(c"set_result", unsupported_result, c"set_result($self, result, /)\n--\n\n"),
        one(c"set_exception", unsupported_exception, c"set_exception($self, exception, /)\n--\n\n"),
        noargs(c"cancelling", cancelling, c"cancelling($self, /)\n--\n\nThe number of requests to cancel that were not taken back."),
        noargs(c"uncancel", uncancel, c"uncancel($self, /)\n--\n\nTake back a request to cancel; return how many remain."),
        fast_keywords(c"get_stack", get_stack, c"get_stack($self, /, *, limit=None)\n--\n\nThe frames of the coroutine, or of its traceback."),
        fast_keywords(c"print_stack", print_stack, c"print_stack($self, /, *, limit=None, file=None)\n--\n\nPrint the stack or the traceback."),
        noargs(c"get_name", get_name, c"get_name($self, /)\n--\n\n"),
        one(c"set_name", set_name, c"set_name($self, value, /)\n--\n\n"),
        noargs(c"get_coro", get_coro, c"get_coro($self, /)\n--\n\n"),
    ];
    if crate::ffi::compat::HAS_EAGER_START {
        all.push(noargs(
            c"get_context",
            get_context,
            c"get_context($self, /)\n--\n\n",
        ));
    }
    all
}

/// The attributes.
pub fn attributes() -> Vec<ffi::PyGetSetDef> {
    use crate::ffi::types::attribute;
    vec![
        attribute(
            c"_log_destroy_pending",
            log_destroy_pending,
            Some(set_log_destroy_pending),
        ),
        attribute(c"_must_cancel", must_cancel, None),
        attribute(c"_coro", coro, None),
        attribute(c"_fut_waiter", fut_waiter, None),
    ]
}
