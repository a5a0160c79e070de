//! The methods that put something on the loop: `call_soon`, `call_soon_threadsafe`, `call_later`, `call_at`, `time`,
//! `create_future`, `create_task`.
//!
//! Called by every asyncio program. Checks that only debug mode makes are Python, in `rondeau._cold`.

use super::overrides;
use crate::ffi::{
    Python, Raised, answer,
    args::{Args, raise_type_error},
    names::names,
    owned::Owned,
};
use crate::handle;
use crate::native_loop::{Loop, check_open, check_process};
use crate::ready::Ready;
use crate::recorder;
use crate::seconds::{due, number};
use pyo3_ffi as ffi;
use rondeau_core::Time;
use std::ffi::CStr;
use std::ptr;

/// What a scheduling method was given, borrowed.
struct Given<'a> {
    /// `delay` or `when`; NULL for a method that has neither.
    first: *mut ffi::PyObject,
    callback: *mut ffi::PyObject,
    args: &'a [*mut ffi::PyObject],
    context: *mut ffi::PyObject,
}

/// Splits `(callback, *args, context=None)`, with `delay` or `when` in front where `skip` is 1.
#[inline]
fn given<'a>(call: &Args<'a>, function: &str, skip: usize) -> Python<Given<'a>> {
    if call.keyword_count() != 0 || call.positional.len() <= skip {
        return by_name(call, function, skip);
    }
    Ok(Given {
        first: if skip == 0 {
            ptr::null_mut()
        } else {
            call.positional[0]
        },
        callback: call.positional[skip],
        args: &call.positional[skip + 1..],
        context: ptr::null_mut(),
    })
}

fn by_name<'a>(call: &Args<'a>, function: &str, skip: usize) -> Python<Given<'a>> {
    let at = function == "call_at";
    let (first, first_name) = if at {
        (names().when, "when")
    } else {
        (names().delay, "delay")
    };
    // A method without one does not know the name.
    let first = if skip == 0 { names().callback } else { first };
    let mut named = [ptr::null_mut(); 3];
    call.keywords(
        function,
        [names().context, names().callback, first],
        &mut named,
    )?;
    let bound = |position: usize, value: *mut ffi::PyObject, name: &str| match (
        call.positional.get(position),
        value.is_null(),
    ) {
        (Some(_), false) => Err(raise_type_error(&format!(
            "{function}() got multiple values for argument '{name}'"
        ))),
        (Some(positional), true) => Ok(*positional),
        (None, _) => Ok(value),
    };
    let first = if skip == 0 {
        ptr::null_mut()
    } else {
        bound(0, named[2], first_name)?
    };
    let callback = bound(skip, named[1], "callback")?;
    match (skip == 1 && first.is_null(), callback.is_null()) {
        (true, true) => Err(raise_type_error(&format!(
            "{function}() missing 2 required positional arguments: '{first_name}' and 'callback'"
        ))),
        (true, false) => Err(missing(function, first_name)),
        (false, true) => Err(missing(function, "callback")),
        (false, false) => Ok(Given {
            first,
            callback,
            args: call.positional.get(skip + 1..).unwrap_or_default(),
            context: named[0],
        }),
    }
}

#[cold]
fn missing(function: &str, name: &str) -> Raised {
    raise_type_error(&format!(
        "{function}() missing 1 required positional argument: '{name}'"
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
        let Given {
            callback,
            args,
            context,
            ..
        } = given(&call, function, 0)?;
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

/// `time()`: `time.monotonic()`'s on the real clock.
pub unsafe extern "C" fn time(
    self_: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance of the type.
    unsafe {
        match overrides::plain_time(Loop::from_object(self_)) {
            Ok(now) => ffi::PyFloat_FromDouble(now),
            Err(Raised) => ptr::null_mut(),
        }
    }
}

unsafe fn at(loop_: Loop, when: Owned, due: Time, call: Given<'_>) -> Python<Owned> {
    let Given {
        callback,
        args,
        context,
        ..
    } = call;
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
        let parts = given(&call, "call_later", 1)?;
        let delay = parts.first;
        if delay == ffi::Py_None() {
            return Err(raise_type_error("delay must not be None"));
        }
        check_open(loop_)?;
        let delay = number(delay)?;
        if recorder::is_on() {
            recorder::sleeps(parts.callback, parts.args, delay);
        }
        let when = overrides::now_in_seconds(loop_)? + delay;
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
        let parts = given(&call, "call_at", 1)?;
        let when = parts.first;
        if when == ffi::Py_None() {
            return Err(raise_type_error("when cannot be None"));
        }
        check_open(loop_)?;
        let seconds = number(when)?;
        at(loop_, Owned::from_borrowed(when), due(seconds), parts)
    }
}
