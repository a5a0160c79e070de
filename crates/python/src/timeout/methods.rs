//! Entering, leaving and rescheduling a `Timeout`.

use super::asyncios;
use super::object::TimeoutRef;
use crate::coroutine::{self, CoroRef, Kind, Sent};
use crate::ffi::{Python, Raised, answer, args::raise, compat, owned::Owned, types};
use crate::future::layout::layout;
use crate::native_loop::Loop;
use crate::running;
use crate::seconds::plain_seconds;
use crate::task::{cell::TaskRef, current};
use pyo3_ffi as ffi;
use std::ffi::c_void;
use std::ptr;

static ENTER: Kind = Kind::new(c"__aenter__", c"Timeout.__aenter__", resume_enter);

static EXIT: Kind = Kind::new(c"__aexit__", c"Timeout.__aexit__", resume_exit);

/// `held`: the time-out, and what `__aexit__` was given.
const SELF: usize = 0;
const KIND: usize = 1;
const VALUE: usize = 2;
const TRACEBACK: usize = 3;

unsafe extern "C" fn aenter(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        answer::object(coroutine::new(&ENTER).inspect(|made| {
            CoroRef::of(made.as_ptr()).hold(SELF, Owned::from_borrowed(object).into_ptr());
        }))
    }
}

unsafe extern "C" fn aexit(
    object: *mut ffi::PyObject,
    args: *mut *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention, on an instance.
    unsafe {
        if count != 3 {
            let args = std::slice::from_raw_parts(args, count as usize);
            return answer::object(call_asyncios(asyncios().aexit, object, args));
        }
        answer::object(coroutine::new(&EXIT).inspect(|made| {
            let coro = CoroRef::of(made.as_ptr());
            coro.hold(SELF, Owned::from_borrowed(object).into_ptr());
            for index in 0..3 {
                coro.hold(1 + index, Owned::from_borrowed(*args.add(index)).into_ptr());
            }
        }))
    }
}

/// Calls a method of asyncio's class on the native object.
unsafe fn call_asyncios(
    method: *mut ffi::PyObject,
    object: *mut ffi::PyObject,
    args: &[*mut ffi::PyObject],
) -> Python<Owned> {
    // SAFETY: the objects live.
    unsafe {
        let mut all = vec![object];
        all.extend_from_slice(args);
        Owned::new(ffi::PyObject_Vectorcall(
            method,
            all.as_ptr(),
            all.len(),
            ptr::null_mut(),
        ))
    }
}

unsafe fn resume_enter(coro: CoroRef, _: Option<Owned>) -> Sent {
    // SAFETY: called by `drive`; a coroutine that has not started is never thrown into here.
    unsafe {
        let object = Owned::from_borrowed(coro.held(SELF));
        let timeout = TimeoutRef::of(object.as_ptr());
        if timeout.is(asyncios().created)
            && let Some(plain) = running::plain()
            && !timeout.when().is_null()
        {
            match enter(plain.loop_, timeout) {
                Ok(true) => return Sent::Done(object.into_ptr()),
                Ok(false) => {}
                Err(Raised) => return Sent::Raised,
            }
        }
        coroutine::become_(coro, call_asyncios(asyncios().aenter, object.as_ptr(), &[]))
    }
}

/// Enters on a native loop; false where asyncio's own method must do it.
///
/// # Safety
/// Both live; the time-out is new.
#[inline]
pub unsafe fn enter(loop_: Loop, timeout: TimeoutRef) -> Python<bool> {
    // SAFETY: no borrow lives while Python code runs.
    unsafe {
        let when = timeout.when();
        let seconds = if when == ffi::Py_None() {
            None
        } else {
            match plain_seconds(when) {
                Some(seconds) => Some(seconds),
                None => return Ok(false),
            }
        };
        let Some(task) = current::get(loop_)? else {
            return Ok(false);
        };
        if ffi::Py_TYPE(task.as_ptr()) != layout().task {
            return Ok(false);
        }
        let cancels = TaskRef::of(task.as_ptr()).cell().cancels;
        timeout.enter(loop_, task, cancels)?;
        if let Some(seconds) = seconds {
            timeout.arm(loop_, seconds);
        }
        Ok(true)
    }
}

unsafe fn resume_exit(coro: CoroRef, _: Option<Owned>) -> Sent {
    // SAFETY: called by `drive`; a coroutine that has not started is never thrown into here.
    unsafe {
        let object = Owned::from_borrowed(coro.held(SELF));
        let timeout = TimeoutRef::of(object.as_ptr());
        if leave(timeout) {
            return Sent::Done(Owned::from_borrowed(ffi::Py_None()).into_ptr());
        }
        let args = [KIND, VALUE, TRACEBACK].map(|index| coro.held(index));
        let asyncios = call_asyncios(asyncios().aexit, object.as_ptr(), &args);
        coroutine::become_(coro, asyncios)
    }
}

/// Leaves one that has not struck; false where asyncio's own method must do it.
#[inline]
unsafe fn leave(timeout: TimeoutRef) -> bool {
    // SAFETY: the caller keeps it alive.
    unsafe {
        timeout.disarm();
        let quiet = timeout.is(asyncios().entered) && !timeout.has_handle();
        if quiet {
            timeout.set_state(asyncios().exited);
        }
        quiet
    }
}

/// The end of `async with timeout: return await …` in `wait_for`: passes the outcome on, or raises TimeoutError in its place. Err with an
/// exception set.
///
/// # Safety
/// The time-out lives and was entered; `outcome` is a result, or an exception.
#[inline]
pub unsafe fn wait_for_end(timeout: TimeoutRef, outcome: Result<Owned, Owned>) -> Python<Owned> {
    // SAFETY: no borrow lives while Python code runs.
    unsafe {
        if leave(timeout) {
            return outcome.map_err(|exception| {
                compat::set_raised(exception.into_ptr());
                Raised
            });
        }
        struck(timeout, outcome)
    }
}

#[cold]
unsafe fn struck(timeout: TimeoutRef, outcome: Result<Owned, Owned>) -> Python<Owned> {
    // SAFETY: asyncio's method ends without waiting. The exception is the one being handled meanwhile, as in an `async with`.
    unsafe {
        let none = ffi::Py_None();
        let args = match &outcome {
            Ok(_) => [none; 3],
            Err(exception) => [
                ffi::Py_TYPE(exception.as_ptr()).cast(),
                exception.as_ptr(),
                none,
            ],
        };
        let coroutine = call_asyncios(asyncios().aexit, timeout.object(), &args)?;
        let before = ffi::PyErr_GetHandledException();
        if let Err(exception) = &outcome {
            ffi::PyErr_SetHandledException(exception.as_ptr());
        }
        let sent = coroutine::forward(coroutine.as_ptr(), None);
        ffi::PyErr_SetHandledException(before);
        ffi::Py_XDECREF(before);
        match sent {
            Sent::Raised => return Err(Raised),
            Sent::Pending(object) => {
                drop(Owned::from_owned(object));
                return Err(raise(ffi::PyExc_RuntimeError, "Timeout.__aexit__ waits"));
            }
            Sent::Done(object) => drop(Owned::from_owned(object)),
        }
        outcome.map_err(|exception| {
            compat::set_raised(exception.into_ptr());
            Raised
        })
    }
}

/// `reschedule(when)`.
unsafe extern "C" fn reschedule(
    object: *mut ffi::PyObject,
    when: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    unsafe {
        let timeout = TimeoutRef::of(object);
        let native = timeout
            .loop_()
            .filter(|_| timeout.is(asyncios().entered) && !timeout.has_handle());
        if let Some(loop_) = native {
            let seconds = plain_seconds(when);
            if when == ffi::Py_None() || seconds.is_some() {
                timeout.disarm();
                timeout.set_when(when);
                if let Some(seconds) = seconds {
                    timeout.arm(loop_, seconds);
                }
                return answer::none(Ok(()));
            }
            timeout.disarm();
        }
        answer::object(call_asyncios(asyncios().reschedule, object, &[when]))
    }
}

/// The methods.
pub fn table() -> *mut c_void {
    types::table([
        types::noargs(c"__aenter__", aenter, c"__aenter__($self, /)\n--\n\nArm it."),
        types::fast(
            c"__aexit__",
            aexit,
            c"__aexit__($self, exc_type, exc_val, exc_tb, /)\n--\n\nDisarm it; raise TimeoutError in place of its cancellation.",
        ),
        types::one(
            c"reschedule",
            reschedule,
            c"reschedule($self, when, /)\n--\n\nMove the deadline (seconds of the loop's time, or None for never).",
        ),
    ])
}
