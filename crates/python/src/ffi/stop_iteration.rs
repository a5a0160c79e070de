//! Ending an iterator with a value, cheaply. Called by the awaiters of futures.
//!
//! The interpreter's `SEND` asks an awaitable through `tp_iternext` and reads the result from a StopIteration; making that
//! exception by its constructor costs 70 ns, filling a fresh one 35. No exception at all means None.
//!
//! One instance is kept for coroutines (`end_of_coroutine`, 12 ns), whose death a moment later takes the result out of it again
//! (`forget`). Rejected for futures, which nothing tells of the end: it would keep the last result alive until the next one.

use super::{Python, compat, gil::GilCell, owned::Owned};
use pyo3_ffi as ffi;
use std::ptr;

/// What a fresh StopIteration is filled with; NULL where its layout is not the known one.
static EMPTY_ARGS: GilCell<*mut ffi::PyObject> = GilCell::new(ptr::null_mut());

/// Checks that StopIteration has the known layout; called once, at import.
pub fn probe() -> Python<()> {
    // SAFETY: the size is checked before the fields are read; all objects are live.
    unsafe {
        let kind = ffi::PyExc_StopIteration.cast::<ffi::PyTypeObject>();
        let marker = Owned::new(ffi::PyList_New(0))?;
        let sample = Owned::new(ffi::PyObject_CallOneArg(kind.cast(), marker.as_ptr()))?;
        let known = compat::RAISED_IS_ONE_OBJECT
            && (*kind).tp_basicsize as usize == size_of::<ffi::PyStopIterationObject>()
            && (*sample.as_ptr().cast::<ffi::PyStopIterationObject>()).value == marker.as_ptr()
            && ffi::PyTuple_Check((*sample.as_ptr().cast::<ffi::PyStopIterationObject>()).args)
                != 0;
        if known {
            *EMPTY_ARGS.get() = Owned::new(ffi::PyTuple_New(0))?.into_ptr();
        }
    }
    Ok(())
}

/// Raises StopIteration with `value`, taking over the reference, for the interpreter alone: nobody sees the exception, so
/// its `args` stay empty. None raises nothing, which means the same.
///
/// # Safety
/// No exception is set; the caller is `tp_iternext`.
#[inline]
pub unsafe fn end(value: *mut ffi::PyObject) {
    // SAFETY: the layout was checked; a fresh instance is zeroed, so every field that is not filled is NULL.
    unsafe {
        if value == ffi::Py_None() {
            ffi::Py_DECREF(value);
            return;
        }
        let empty = *EMPTY_ARGS.get();
        if empty.is_null() {
            return raise(Owned::from_owned(value));
        }
        let object = ffi::PyType_GenericAlloc(ffi::PyExc_StopIteration.cast(), 0);
        if object.is_null() {
            ffi::Py_DECREF(value);
            return;
        }
        let fresh = object.cast::<ffi::PyStopIterationObject>();
        ffi::Py_INCREF(empty);
        (*fresh).args = empty;
        (*fresh).value = value;
        compat::set_raised(object);
    }
}

/// The instance that coroutines end with; NULL where there is none.
static KEPT: GilCell<*mut ffi::PyStopIterationObject> = GilCell::new(ptr::null_mut());

/// `end` of a coroutine, which calls `forget` when it dies.
///
/// # Safety
/// As for `end`.
#[inline]
pub unsafe fn end_of_coroutine(value: *mut ffi::PyObject) {
    // SAFETY: nobody else holds the kept instance where its count is 1; what was in it is released after it was replaced.
    unsafe {
        if value == ffi::Py_None() {
            ffi::Py_DECREF(value);
            return;
        }
        let kept = *KEPT.get();
        if kept.is_null()
            || ffi::Py_REFCNT(kept.cast()) != 1
            || !((*kept).traceback.is_null() && (*kept).context.is_null() && (*kept).dict.is_null())
        {
            return end_and_keep(value);
        }
        let old = std::mem::replace(&mut (*kept).value, value);
        ffi::Py_INCREF(kept.cast());
        compat::set_raised(kept.cast());
        ffi::Py_XDECREF(old);
    }
}

/// `end` with a fresh instance, which is kept.
#[cold]
unsafe fn end_and_keep(value: *mut ffi::PyObject) {
    // SAFETY: as in `end`; the old instance is released once another one has its place.
    unsafe {
        let empty = *EMPTY_ARGS.get();
        if empty.is_null() {
            return raise(Owned::from_owned(value));
        }
        let object = ffi::PyType_GenericAlloc(ffi::PyExc_StopIteration.cast(), 0);
        if object.is_null() {
            ffi::Py_DECREF(value);
            return;
        }
        let fresh = object.cast::<ffi::PyStopIterationObject>();
        ffi::Py_INCREF(empty);
        (*fresh).args = empty;
        (*fresh).value = value;
        ffi::Py_INCREF(object);
        let old = std::mem::replace(KEPT.get(), fresh);
        compat::set_raised(object);
        if !old.is_null() {
            crate::errors::keeping_raised(|| ffi::Py_DECREF(old.cast()));
        }
    }
}

/// Takes the last result out of the kept instance, where nobody reads it any more.
///
/// # Safety
/// Any Python code may run.
#[inline]
pub unsafe fn forget() {
    // SAFETY: as in `end_of_coroutine`.
    unsafe {
        let kept = *KEPT.get();
        if !kept.is_null() && !(*kept).value.is_null() && ffi::Py_REFCNT(kept.cast()) == 1 {
            let old = std::mem::replace(&mut (*kept).value, ptr::null_mut());
            ffi::Py_XDECREF(old);
        }
    }
}

/// Raises StopIteration with `value` as Python code would see it.
///
/// # Safety
/// No exception is set.
pub unsafe fn raise(value: Owned) {
    // SAFETY: a tuple or an exception would be taken for the constructor's arguments or for the exception itself.
    unsafe {
        let value = value.as_ptr();
        let plain = ffi::PyTuple_Check(value) == 0 && ffi::PyExceptionInstance_Check(value) == 0;
        if plain {
            ffi::PyErr_SetObject(ffi::PyExc_StopIteration, value);
        } else if let Ok(made) =
            Owned::new(ffi::PyObject_CallOneArg(ffi::PyExc_StopIteration, value))
        {
            ffi::PyErr_SetObject(ffi::PyExc_StopIteration, made.as_ptr());
        }
    }
}

/// Takes the value out of the StopIteration that is set; NULL where another exception is set, which stays.
///
/// # Safety
/// The GIL is held.
pub unsafe fn take_value() -> *mut ffi::PyObject {
    // SAFETY: the exception is ours once taken.
    unsafe {
        if ffi::PyErr_Occurred().is_null() {
            ffi::Py_INCREF(ffi::Py_None());
            return ffi::Py_None();
        }
        if ffi::PyErr_ExceptionMatches(ffi::PyExc_StopIteration) == 0 {
            return ptr::null_mut();
        }
        let exception = Owned::from_owned(compat::take_raised());
        if ffi::PyErr_GivenExceptionMatches(exception.as_ptr(), ffi::PyExc_StopIteration) == 0 {
            // Up to 3.11 it is made only now, and there was no memory for it.
            compat::set_raised(exception.into_ptr());
            return ptr::null_mut();
        }
        ffi::PyObject_GetAttrString(exception.as_ptr(), c"value".as_ptr())
    }
}
