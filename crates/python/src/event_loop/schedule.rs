//! The methods that put something on the loop: `call_soon`, `call_soon_threadsafe`, `call_later`, `call_at`, `time`,
//! `create_future`, `create_task`.
//!
//! Called by every asyncio program. Checks that only debug mode makes are Python, in `rondeau._cold`.

use crate::ffi::{
    Python, Raised, answer,
    args::{Args, raise_type_error},
    names::names,
    owned::Owned,
};
use crate::handle;
use crate::native_loop::{Loop, check_open, check_process};
use crate::ready::Ready;
use pyo3_ffi as ffi;
use rondeau_core::Time;
use std::ffi::CStr;
use std::ptr;

/// Splits `(callback, *args, context=None)` after `skip` leading arguments.
#[inline]
unsafe fn callback_and_args<'a>(
    call: &Args<'a>,
    function: &str,
    skip: usize,
) -> Python<(
    *mut ffi::PyObject,
    &'a [*mut ffi::PyObject],
    *mut ffi::PyObject,
)> {
    if call.positional.len() <= skip {
        return Err(missing(function, call.positional.len(), skip));
    }
    let mut context = [ptr::null_mut()];
    if call.keyword_count() != 0 {
        call.keywords(function, [names().context], &mut context)?;
    }
    Ok((
        call.positional[skip],
        &call.positional[skip + 1..],
        context[0],
    ))
}

#[cold]
fn missing(function: &str, given: usize, skip: usize) -> Raised {
    let first = if function == "call_at" {
        "when"
    } else {
        "delay"
    };
    if given == 0 && skip == 1 {
        return raise_type_error(&format!(
            "{function}() missing 2 required positional arguments: '{first}' and 'callback'"
        ));
    }
    raise_type_error(&format!(
        "{function}() missing 1 required positional argument: 'callback'"
    ))
}

#[cold]
unsafe fn debug_checks(
    loop_: Loop,
    callback: *mut ffi::PyObject,
    method: &CStr,
    thread: bool,
) -> Python<()> {
    // SAFETY: the objects live; the name ends in NUL.
    unsafe {
        if thread {
            Owned::new(ffi::PyObject_CallMethodNoArgs(
                loop_.object(),
                names()._check_thread,
            ))?;
        }
        let method = Owned::new(ffi::PyUnicode_FromString(method.as_ptr()))?;
        let args = [loop_.object(), callback, method.as_ptr()];
        Owned::new(ffi::PyObject_VectorcallMethod(
            names()._check_callback,
            args.as_ptr(),
            3,
            ptr::null_mut(),
        ))?;
    }
    Ok(())
}

#[inline]
unsafe fn soon(
    self_: *mut ffi::PyObject,
    call: Args<'_>,
    method: &CStr,
    function: &str,
    own_thread: bool,
) -> Python<Owned> {
    // SAFETY: CPython calls the methods on an instance of the type.
    unsafe {
        let loop_ = Loop::from_object(self_);
        check_open(loop_)?;
        let (callback, args, context) = callback_and_args(&call, function, 0)?;
        if loop_.parts().debug {
            debug_checks(loop_, callback, method, own_thread)?;
        }
        let made = if own_thread {
            handle::new_soon(loop_, callback, args, context)?
        } else {
            check_process(loop_)?;
            handle::new_threadsafe(loop_, callback, args, context)?
        };
        loop_.schedule(Ready::handle(made.clone().into_ptr()));
        Ok(made)
    }
}

/// `call_soon(callback, *args, context=None)`.
pub unsafe extern "C" fn call_soon(
    self_: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention.
    unsafe {
        answer::object(soon(
            self_,
            Args::new(args, count, keywords),
            c"call_soon",
            "call_soon",
            true,
        ))
    }
}

/// `call_soon_threadsafe(callback, *args, context=None)`: the GIL serialises it; a parked loop is woken.
pub unsafe extern "C" fn call_soon_threadsafe(
    self_: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention.
    unsafe {
        answer::object(soon(
            self_,
            Args::new(args, count, keywords),
            c"call_soon_threadsafe",
            "call_soon_threadsafe",
            false,
        ))
    }
}

/// The loop's time in seconds: `time.monotonic()`'s on the real clock.
#[inline]
unsafe fn seconds(loop_: Loop) -> f64 {
    // SAFETY: the loop lives.
    unsafe { loop_.parts().clock.now().as_nanos() as f64 / 1e9 }
}

/// `time()`.
pub unsafe extern "C" fn time(
    self_: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance of the type.
    unsafe { ffi::PyFloat_FromDouble(seconds(Loop::from_object(self_))) }
}

/// Rounds up, so that `time() >= when` holds when the callback runs. What is negative or not a number is due now, infinity never.
#[inline]
pub fn due(when: f64) -> Time {
    let nanos = when * 1e9;
    let whole = nanos as u64;
    // `f64::ceil` is a function call where SSE4.1 is not assumed.
    Time::from_nanos(whole.saturating_add(u64::from((whole as f64) < nanos)))
}

/// A number's value. An int's is read directly, since PyFloat_AsDouble makes a float object of it first.
#[inline]
unsafe fn number(object: *mut ffi::PyObject) -> Python<f64> {
    // SAFETY: the object lives.
    unsafe {
        let value = if ffi::PyLong_CheckExact(object) != 0 {
            ffi::PyLong_AsDouble(object)
        } else {
            ffi::PyFloat_AsDouble(object)
        };
        if value == -1.0 && !ffi::PyErr_Occurred().is_null() {
            Err(Raised)
        } else {
            Ok(value)
        }
    }
}

unsafe fn at(
    loop_: Loop,
    when: Owned,
    due: Time,
    call: (
        *mut ffi::PyObject,
        &[*mut ffi::PyObject],
        *mut ffi::PyObject,
    ),
) -> Python<Owned> {
    let (callback, args, context) = call;
    // SAFETY: the caller's objects live; the borrow of the timers ends before Python can run.
    unsafe {
        if loop_.parts().debug {
            // asyncio's call_later goes through call_at, and its messages name that.
            debug_checks(loop_, callback, c"call_at", true)?;
        }
        let timer = handle::new_timer(loop_, when, callback, args, context)?;
        let key = loop_
            .parts()
            .timers
            .insert(due, Ready::handle(timer.clone().into_ptr()));
        handle::set_scheduled(timer.as_ptr(), key);
        Ok(timer)
    }
}

/// `call_later(delay, callback, *args, context=None)`; `delay` in seconds.
pub unsafe extern "C" fn call_later(
    self_: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention, on an instance of the type.
    answer::object(unsafe { later(Loop::from_object(self_), Args::new(args, count, keywords)) })
}

unsafe fn later(loop_: Loop, call: Args<'_>) -> Python<Owned> {
    // SAFETY: the arguments live for the call.
    unsafe {
        let parts = callback_and_args(&call, "call_later", 1)?;
        let delay = call.positional[0];
        if delay == ffi::Py_None() {
            return Err(raise_type_error("delay must not be None"));
        }
        check_open(loop_)?;
        let delay = number(delay)?;
        let when = seconds(loop_) + delay;
        at(
            loop_,
            Owned::new(ffi::PyFloat_FromDouble(when))?,
            due(when),
            parts,
        )
    }
}

/// `call_at(when, callback, *args, context=None)`; `when` in seconds of the loop's time.
pub unsafe extern "C" fn call_at(
    self_: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention, on an instance of the type.
    answer::object(unsafe { at_given(Loop::from_object(self_), Args::new(args, count, keywords)) })
}

unsafe fn at_given(loop_: Loop, call: Args<'_>) -> Python<Owned> {
    // SAFETY: the arguments live for the call.
    unsafe {
        let parts = callback_and_args(&call, "call_at", 1)?;
        let when = call.positional[0];
        if when == ffi::Py_None() {
            return Err(raise_type_error("when cannot be None"));
        }
        check_open(loop_)?;
        let seconds = number(when)?;
        at(loop_, Owned::from_borrowed(when), due(seconds), parts)
    }
}
