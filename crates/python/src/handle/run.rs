//! A handle's turn. Called by the turn of the loop.

use super::{HANDLE, THREADSAFE, TIMER, is, is_cancelled, replace, slot, types};
use crate::door::{HandleSlots, door};
use crate::ffi::{Python, Raised, call::vectorcall, compat, names::names, owned::Owned};
use crate::native_loop::{Loop, nested};
use crate::ready::Ready;
use pyo3_ffi as ffi;

/// Runs the callback in its context. Err only for what must leave the loop: KeyboardInterrupt and SystemExit.
///
/// # Safety
/// `handle` is a live `asyncio.Handle` that the caller keeps alive.
#[inline]
pub unsafe fn run(loop_: Loop, handle: *mut ffi::PyObject) -> Python<()> {
    let slots: &HandleSlots = &door().slots;
    // SAFETY: callback, args and context live over the call: either nobody but the caller knows the handle and can cancel it,
    // or they are kept alive here.
    unsafe {
        if is_cancelled(handle) {
            return Ok(());
        }
        let callback = *slot(handle, slots.callback);
        let args = *slot(handle, slots.args);
        let context = *slot(handle, slots.context);
        // A weak reference or, for a timer, the collector can lead the callback to the handle as well.
        let unknown = ffi::Py_REFCNT(handle) == 1
            && (*slot(handle, slots.weak)).is_null()
            && !is(handle, &TIMER);
        if unknown {
            return call(loop_, handle, callback, args, context);
        }
        let kept = [callback, args, context].map(|object| Owned::from_borrowed(object));
        let done = if is(handle, &THREADSAFE) {
            call_locked(loop_, handle, callback, args, context)
        } else {
            call(loop_, handle, callback, args, context)
        };
        if done.is_err() {
            crate::errors::keeping_raised(|| drop(kept));
        }
        done
    }
}

/// As `call`, holding the handle's lock, so that a `cancel()` from another thread waits for the callback's end (CPython 3.14).
/// The lock is made here, since it matters only while the callback runs and somebody else knows the handle.
#[cold]
unsafe fn call_locked(
    loop_: Loop,
    handle: *mut ffi::PyObject,
    callback: *mut ffi::PyObject,
    args: *mut ffi::PyObject,
    context: *mut ffi::PyObject,
) -> Python<()> {
    // SAFETY: the caller keeps all four alive; an exception on its way out is put aside while the lock is released.
    unsafe {
        let lock = lock_of(handle)?;
        Owned::new(ffi::PyObject_CallMethodNoArgs(
            lock.as_ptr(),
            names().acquire,
        ))?;
        let done = call(loop_, handle, callback, args, context);
        let raised = compat::take_raised();
        let released = Owned::new(ffi::PyObject_CallMethodNoArgs(
            lock.as_ptr(),
            names().release,
        ));
        if raised.is_null() {
            return released.map(drop);
        }
        compat::set_raised(raised);
        done
    }
}

/// The lock of a thread-safe handle, made now where it has none.
///
/// # Safety
/// `handle` is a live native handle of that kind.
#[cold]
pub unsafe fn lock_of(handle: *mut ffi::PyObject) -> Python<Owned> {
    // SAFETY: the slot lies inside; another thread may have made one while this one was made.
    unsafe {
        if (*slot(handle, door().slots.lock)).is_null() {
            let lock = crate::door::cold(c"new_lock", &[])?;
            if (*slot(handle, door().slots.lock)).is_null() {
                replace(slot(handle, door().slots.lock), lock.into_ptr());
            }
        }
        Ok(Owned::from_borrowed(*slot(handle, door().slots.lock)))
    }
}

#[inline]
unsafe fn call(
    loop_: Loop,
    handle: *mut ffi::PyObject,
    callback: *mut ffi::PyObject,
    args: *mut ffi::PyObject,
    context: *mut ffi::PyObject,
) -> Python<()> {
    // SAFETY: the caller keeps all four alive.
    unsafe {
        if ffi::PyContext_Enter(context) != 0 {
            return not_entered(loop_, handle);
        }
        let items =
            (&raw mut (*args.cast::<ffi::PyTupleObject>()).ob_item).cast::<*mut ffi::PyObject>();
        let count = ffi::PyTuple_GET_SIZE(args) as usize;
        let result = vectorcall(callback, items, count);
        let left = ffi::PyContext_Exit(context);
        if result.is_null() || left != 0 {
            ffi::Py_XDECREF(result);
            return failed(loop_, handle);
        }
        ffi::Py_DECREF(result);
        Ok(())
    }
}

/// The context is entered already, by a callback that runs the loop within itself, or by the program.
#[cold]
unsafe fn not_entered(loop_: Loop, handle: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: whoever puts it off gets a reference of its own.
    unsafe {
        ffi::Py_INCREF(handle);
        match nested::put_off(loop_, Ready::handle(handle)) {
            Ok(()) => Ok(()),
            Err(ready) => {
                let done = failed(loop_, handle);
                crate::errors::keeping_raised(|| ready.release());
                done
            }
        }
    }
}

#[cold]
unsafe fn failed(loop_: Loop, handle: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: an exception is set; what leaves the loop stays set, the rest is taken and reported.
    unsafe {
        if crate::errors::leaves_the_loop() {
            return Err(Raised);
        }
        let exception = Owned::new(compat::take_raised())?;
        crate::door::cold(
            c"callback_failed",
            &[loop_.object(), handle, exception.as_ptr()],
        )?;
        Ok(())
    }
}

/// Releases the agenda's reference to a handle. Who else holds it may be part of a cycle with it from now on.
///
/// # Safety
/// The reference is the caller's.
#[inline]
pub unsafe fn leave_agenda(handle: *mut ffi::PyObject) {
    // SAFETY: the type is checked before the object is taken for a native handle, which is whole.
    unsafe {
        let timer = is(handle, &TIMER);
        if timer || is(handle, &HANDLE) || is(handle, &THREADSAFE) {
            if !compat::COUNTS_REFERENCES
                && ffi::Py_REFCNT(handle) == 1
                && (*slot(handle, door().slots.weak)).is_null()
            {
                // What DECREF comes to, without the way through the type (2 ns).
                return types::dealloc(handle);
            }
            types::show(handle);
        }
        ffi::Py_DECREF(handle);
    }
}
