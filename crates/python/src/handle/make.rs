//! Making handles. Called by the scheduling methods, by futures for their callbacks, and by transports.

use super::{HANDLE, THREADSAFE, TIMER, replace, slot, spare, timer_key};
use crate::door::door;
use crate::ffi::{Python, Raised, compat, owned::Owned};
use crate::native_loop::Loop;
use crate::ready::Ready;
use crate::recorder;
use pyo3_ffi as ffi;
use std::ptr;

#[inline]
unsafe fn args_tuple(args: &[*mut ffi::PyObject]) -> Python<*mut ffi::PyObject> {
    // SAFETY: the arguments are live; the new tuple takes a reference to each before anyone sees it.
    unsafe {
        if args.is_empty() {
            let empty = door().empty_tuple;
            ffi::Py_INCREF(empty);
            return Ok(empty);
        }
        let tuple = ffi::PyTuple_New(args.len() as ffi::Py_ssize_t);
        if tuple.is_null() {
            return Err(Raised);
        }
        for (index, arg) in args.iter().enumerate() {
            ffi::Py_INCREF(*arg);
            ffi::PyTuple_SET_ITEM(tuple, index as ffi::Py_ssize_t, *arg);
        }
        Ok(tuple)
    }
}

/// An instance with the slots filled that every handle has: not zeroed first, and not yet known to the collector.
#[inline]
unsafe fn fill(
    kind: *mut ffi::PyTypeObject,
    loop_: Loop,
    callback: *mut ffi::PyObject,
    args: &[*mut ffi::PyObject],
    context: *mut ffi::PyObject,
) -> Python<Owned> {
    // SAFETY: `kind` is one of the two native types, so the slots lie inside; all references are made before they are stored.
    unsafe {
        let context = if context.is_null() || context == ffi::Py_None() {
            Owned::new(ffi::PyContext_CopyCurrent())?
        } else {
            Owned::from_borrowed(context)
        };
        let args = Owned::from_owned(args_tuple(args)?);
        let object = spare::take(kind);
        if object.is_null() {
            return Err(Raised);
        }
        let slots = &door().slots;
        let none = ffi::Py_None();
        ffi::Py_INCREF(callback);
        *slot(object, slots.callback) = callback;
        *slot(object, slots.args) = args.into_ptr();
        ffi::Py_INCREF(loop_.object());
        *slot(object, slots.loop_) = loop_.object();
        *slot(object, slots.context) = context.into_ptr();
        *slot(object, slots.cancelled) = ffi::Py_False();
        *slot(object, slots.source_traceback) = none;
        *slot(object, slots.repr) = none;
        if !compat::SINGLETONS_ARE_IMMORTAL {
            ffi::Py_INCREF(ffi::Py_False());
            ffi::Py_INCREF(none);
            ffi::Py_INCREF(none);
        }
        *slot(object, slots.weak) = ptr::null_mut();
        Ok(Owned::from_owned(object))
    }
}

/// Shows a handle whose slots are all filled to the collector.
#[inline]
unsafe fn announce(loop_: Loop, handle: Owned) -> Python<Owned> {
    // SAFETY: the instance is whole.
    unsafe {
        ffi::PyObject_GC_Track(handle.as_ptr().cast());
        noted(loop_, handle)
    }
}

/// In debug mode, a handle knows where it was made.
#[inline(always)]
unsafe fn noted(loop_: Loop, handle: Owned) -> Python<Owned> {
    // SAFETY: the loop lives, and the handle is whole.
    unsafe {
        if loop_.parts().debug | recorder::is_on() {
            note_more(loop_, handle.as_ptr())?;
        }
    }
    Ok(handle)
}

/// What is noted of a handle where somebody watches. Not where the handle is made: that stays small enough to be inlined.
#[cold]
#[inline(never)]
unsafe fn note_more(loop_: Loop, handle: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the handle is whole.
    unsafe {
        if recorder::is_on() {
            recorder::scheduled(loop_, *slot(handle, door().slots.callback));
        }
        if loop_.parts().debug {
            note_source(handle)?;
        }
    }
    Ok(())
}

#[cold]
unsafe fn note_source(handle: *mut ffi::PyObject) -> Python<()> {
    let stack = crate::door::cold(c"source_traceback", &[])?;
    // SAFETY: the slot lies inside and holds None.
    unsafe {
        replace(
            slot(handle, door().slots.source_traceback),
            stack.into_ptr(),
        )
    };
    Ok(())
}

/// A handle for the agenda: not tracked by the collector before its turn is over (`leave_agenda`). `context` NULL or None
/// copies the current one.
///
/// # Safety
/// The loop and the objects are live, and the handle goes onto the loop's agenda.
#[inline(always)]
pub unsafe fn new_soon(
    loop_: Loop,
    callback: *mut ffi::PyObject,
    args: &[*mut ffi::PyObject],
    context: *mut ffi::PyObject,
) -> Python<Owned> {
    // SAFETY: the caller's contract; the type was made at import.
    unsafe {
        let handle = fill(*HANDLE.get(), loop_, callback, args, context)?;
        noted(loop_, handle)
    }
}

/// As `new_soon`, for `call_soon_threadsafe`: of the kind that this Python has for it.
///
/// # Safety
/// As for `new_soon`.
#[inline]
pub unsafe fn new_threadsafe(
    loop_: Loop,
    callback: *mut ffi::PyObject,
    args: &[*mut ffi::PyObject],
    context: *mut ffi::PyObject,
) -> Python<Owned> {
    // SAFETY: the caller's contract; the lock's slot lies inside such a handle.
    unsafe {
        let kind = *THREADSAFE.get();
        if kind.is_null() {
            return new_soon(loop_, callback, args, context);
        }
        let handle = fill(kind, loop_, callback, args, context)?;
        *slot(handle.as_ptr(), door().slots.lock) = ptr::null_mut();
        noted(loop_, handle)
    }
}

/// A tracked handle that is not on the agenda. `context` NULL or None copies the current one.
///
/// # Safety
/// The loop and the objects are live.
#[inline]
pub unsafe fn new(
    loop_: Loop,
    callback: *mut ffi::PyObject,
    args: &[*mut ffi::PyObject],
    context: *mut ffi::PyObject,
) -> Python<Owned> {
    // SAFETY: the caller's contract; the type was made at import.
    unsafe {
        let handle = fill(*HANDLE.get(), loop_, callback, args, context)?;
        announce(loop_, handle)
    }
}

/// Makes a handle and puts it on the agenda.
///
/// # Safety
/// The loop and the objects are live.
#[inline]
pub unsafe fn call_soon(
    loop_: Loop,
    callback: *mut ffi::PyObject,
    args: &[*mut ffi::PyObject],
    context: *mut ffi::PyObject,
) -> Python<()> {
    // SAFETY: the caller's contract.
    unsafe {
        let handle = new_soon(loop_, callback, args, context)?;
        loop_.schedule(Ready::handle(handle.into_ptr()));
    }
    Ok(())
}

/// The context for what wakes a sleeper: it sets a future's result and looks at no variable, so that all share one. Borrowed.
unsafe fn no_variables(loop_: Loop) -> Python<*mut ffi::PyObject> {
    // SAFETY: the loop lives; making a context runs no Python code.
    unsafe {
        let parts = loop_.parts();
        if parts.no_variables.is_null() {
            parts.no_variables = Owned::new(ffi::PyContext_New())?.into_ptr();
        }
        Ok(parts.no_variables)
    }
}

/// A timer that is not scheduled yet; `when` is the Python number that `when()` returns. Tracked by the collector, but for what
/// `asyncio.sleep` schedules: nobody but the sleeping coroutine's frame can know that handle, so while it waits the loop's traverse
/// goes through it and its arguments. That is three of seven objects less for each sleeper that the collector looks at.
///
/// # Safety
/// The loop and the objects are live.
#[inline]
pub unsafe fn new_timer(
    loop_: Loop,
    when: Owned,
    callback: *mut ffi::PyObject,
    args: &[*mut ffi::PyObject],
    context: *mut ffi::PyObject,
) -> Python<Owned> {
    // SAFETY: the caller's contract; the extra slots lie inside a timer.
    unsafe {
        let parts = loop_.parts();
        let sleeper =
            callback == door().wake_sleeper && context.is_null() && parts.direct && !parts.debug;
        let context = if sleeper {
            no_variables(loop_)?
        } else {
            context
        };
        let handle = fill(*TIMER.get(), loop_, callback, args, context)?;
        let slots = &door().slots;
        *slot(handle.as_ptr(), slots.when) = when.into_ptr();
        *slot(handle.as_ptr(), slots.scheduled) = ffi::Py_False();
        ffi::Py_INCREF(ffi::Py_False());
        *timer_key(handle.as_ptr()) = None;
        if sleeper {
            ffi::PyObject_GC_UnTrack((*slot(handle.as_ptr(), slots.args)).cast());
            return Ok(handle);
        }
        announce(loop_, handle)
    }
}
