//! `cancel()`: drops callback and arguments at once, and a timer's place in the loop.
//!
//! Called by programs, by the loop for a watch that ends, and by asyncio's own code.

use super::{HANDLE, TIMER, is, is_cancelled, replace, slot, timer_key, types};
use crate::door::door;
use crate::ffi::{Python, Raised, answer, compat, names::names, owned::Owned};
use crate::native_loop::Loop;
use pyo3_ffi as ffi;
use std::ptr;

/// Cancels a handle of either native type: drops callback and arguments at once, and a timer's place in the loop.
///
/// # Safety
/// `handle` is a live native handle.
unsafe fn cancel_native(handle: *mut ffi::PyObject, timer: bool) -> Python<()> {
    let slots = &door().slots;
    // SAFETY: the slots lie inside; each reference is stored before the old one is released.
    unsafe {
        if is_cancelled(handle) || (*slot(handle, slots.loop_)).is_null() {
            // Cancelled before, or emptied by the collector.
            return Ok(());
        }
        ffi::Py_INCREF(ffi::Py_True());
        replace(slot(handle, slots.cancelled), ffi::Py_True());
        let loop_ = Owned::from_borrowed(*slot(handle, slots.loop_));
        let native = Loop::checked(loop_.as_ptr());
        let debug = match native {
            Some(native) => native.parts().debug,
            // The program has set `_loop`: what it set is asked, as asyncio asks it.
            None => {
                let debug = ffi::PyObject_CallMethodNoArgs(loop_.as_ptr(), names().get_debug);
                match ffi::PyObject_IsTrue(Owned::new(debug)?.as_ptr()) {
                    -1 => return Err(Raised),
                    truth => truth == 1,
                }
            }
        };
        if debug {
            let repr = Owned::new(ffi::PyObject_Repr(handle))?;
            replace(slot(handle, slots.repr), repr.into_ptr());
        }
        if timer
            && let Some(native) = native
            && let Some(key) = timer_key(handle).take()
        {
            let removed = native.parts().timers.cancel(key);
            ffi::Py_INCREF(ffi::Py_False());
            replace(slot(handle, slots.scheduled), ffi::Py_False());
            if let Some(ready) = removed {
                ready.release();
            }
        }
        ffi::Py_INCREF(ffi::Py_None());
        replace(slot(handle, slots.callback), ffi::Py_None());
        ffi::Py_INCREF(ffi::Py_None());
        replace(slot(handle, slots.args), ffi::Py_None());
        if timer {
            types::show(handle);
        }
    }
    Ok(())
}

pub unsafe extern "C" fn cancel_handle(
    handle: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance of the type.
    unsafe { answer::none(cancel_native(handle, false)) }
}

pub unsafe extern "C" fn cancel_timer(
    handle: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance of the type; the reference keeps it alive while its own is released.
    unsafe {
        let alive = Owned::from_borrowed(handle);
        answer::none(cancel_native(alive.as_ptr(), true))
    }
}

/// Does `what` under the handle's lock where it has one: then its callback runs, or ran while somebody else knew the handle.
unsafe fn locked(
    handle: *mut ffi::PyObject,
    what: impl FnOnce() -> *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: lock and handle are kept alive; an exception on its way out is put aside while the lock is released.
    unsafe {
        let alive = Owned::from_borrowed(handle);
        let lock = *slot(alive.as_ptr(), door().slots.lock);
        if lock.is_null() {
            return what();
        }
        let lock = Owned::from_borrowed(lock);
        if Owned::new(ffi::PyObject_CallMethodNoArgs(
            lock.as_ptr(),
            names().acquire,
        ))
        .is_err()
        {
            return ptr::null_mut();
        }
        let result = what();
        let raised = compat::take_raised();
        let released = Owned::new(ffi::PyObject_CallMethodNoArgs(
            lock.as_ptr(),
            names().release,
        ));
        if !raised.is_null() {
            compat::set_raised(raised);
        } else if released.is_err() {
            ffi::Py_XDECREF(result);
            return ptr::null_mut();
        }
        result
    }
}

pub unsafe extern "C" fn cancel_threadsafe(
    handle: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance of the type.
    unsafe { locked(handle, || answer::none(cancel_native(handle, false))) }
}

pub unsafe extern "C" fn cancelled_threadsafe(
    handle: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance of the type.
    unsafe { locked(handle, || ffi::PyBool_FromLong(is_cancelled(handle).into())) }
}

/// Cancels any handle: natively where it is native, else through its method.
///
/// # Safety
/// `handle` is a live `asyncio.Handle`.
pub unsafe fn cancel(handle: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the type is checked before the layout is relied on.
    unsafe {
        if is(handle, &HANDLE) || is(handle, &TIMER) {
            return cancel_native(handle, is(handle, &TIMER));
        }
        Owned::new(ffi::PyObject_CallMethodNoArgs(handle, names().cancel)).map(drop)
    }
}
