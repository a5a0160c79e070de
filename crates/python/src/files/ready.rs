//! `_core.Ready`: an awaitable that is complete, with a value or with an exception. What [`lines`](super::lines) answers `async for` with.

use crate::ffi::{Python, Raised, compat, gil::GilCell, owned::Owned, stop_iteration, types::Type};
use pyo3_ffi as ffi;
use std::ffi::c_void;
use std::ptr;

#[repr(C)]
struct Ready {
    ob_base: ffi::PyObject,
    value: *mut ffi::PyObject,
    /// The value is an exception, to be raised; without one it is MemoryError.
    failed: bool,
}

struct Kept {
    kind: *mut ffi::PyTypeObject,
    /// What is given where there is no memory for another one; it can be awaited any number of times.
    no_memory: *mut ffi::PyObject,
    /// One dead instance, for the next one.
    spare: *mut ffi::PyObject,
}

static KEPT: GilCell<Kept> = GilCell::new(Kept {
    kind: ptr::null_mut(),
    no_memory: ptr::null_mut(),
    spare: ptr::null_mut(),
});

/// One that gives this value.
///
/// # Safety
/// The GIL is held.
#[inline]
pub unsafe fn with(value: Owned) -> Owned {
    // SAFETY: the caller's contract.
    unsafe { made(value, false) }
}

unsafe fn made(value: Owned, failed: bool) -> Owned {
    // SAFETY: a spare instance is dead and empty; a new one's fields are written before anybody sees it.
    unsafe {
        let kept = KEPT.get();
        let object = if kept.spare.is_null() {
            ffi::PyType_GenericAlloc(kept.kind, 0)
        } else {
            std::mem::replace(&mut kept.spare, ptr::null_mut())
        };
        if object.is_null() {
            ffi::PyErr_Clear();
            return Owned::from_borrowed(kept.no_memory);
        }
        let fresh = object.cast::<Ready>();
        (*fresh).value = value.into_ptr();
        (*fresh).failed = failed;
        Owned::from_owned(object)
    }
}

/// The exception that is set, as an awaitable that raises it.
///
/// # Safety
/// The GIL is held.
#[cold]
pub unsafe fn failure(Raised: Raised) -> Owned {
    // SAFETY: an exception is set; it is ours once taken.
    unsafe { made(Owned::from_owned(compat::take_raised()), true) }
}

unsafe extern "C" fn await_(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { Owned::from_borrowed(object).into_ptr() }
}

/// The value, which is given away once; None after that.
unsafe fn given(object: *mut ffi::PyObject) -> Python<Owned> {
    // SAFETY: the field is emptied before its reference goes.
    unsafe {
        let fields = object.cast::<Ready>();
        let value = std::mem::replace(&mut (*fields).value, ptr::null_mut());
        if (*fields).failed {
            if value.is_null() {
                ffi::PyErr_NoMemory();
            } else {
                (*fields).failed = false;
                compat::set_raised(value);
            }
            return Err(Raised);
        }
        Ok(if value.is_null() {
            Owned::from_borrowed(ffi::Py_None())
        } else {
            Owned::from_owned(value)
        })
    }
}

unsafe extern "C" fn next(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive; its death forgets the result.
    unsafe {
        if let Ok(value) = given(object) {
            stop_iteration::end_of_coroutine(value.into_ptr());
        }
        ptr::null_mut()
    }
}

unsafe extern "C" fn send(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
    result: *mut *mut ffi::PyObject,
) -> ffi::PySendResult {
    // SAFETY: CPython calls this on an instance, with a place for the result.
    unsafe {
        match given(object) {
            Ok(value) => {
                *result = value.into_ptr();
                ffi::PySendResult::PYGEN_RETURN
            }
            Err(Raised) => {
                *result = ptr::null_mut();
                ffi::PySendResult::PYGEN_ERROR
            }
        }
    }
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: the last reference is gone; the one spare instance keeps its reference to its type.
    unsafe {
        let value = std::mem::replace(&mut (*object.cast::<Ready>()).value, ptr::null_mut());
        ffi::Py_XDECREF(value);
        stop_iteration::forget();
        let kept = KEPT.get();
        if kept.spare.is_null() && !compat::COUNTS_REFERENCES {
            ffi::Py_INCREF(object);
            kept.spare = object;
            return;
        }
        let kind = ffi::Py_TYPE(object);
        ffi::PyObject_Free(object.cast());
        ffi::Py_DECREF(kind.cast());
    }
}

/// Makes the type.
pub fn init() -> Python<()> {
    let kind = Type {
        name: c"rondeau._core.Ready",
        size: size_of::<Ready>(),
        flags: ffi::Py_TPFLAGS_IMMUTABLETYPE | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION,
        slots: vec![
            (
                ffi::Py_tp_doc,
                c"An awaitable that is complete.".as_ptr() as *mut c_void,
            ),
            (ffi::Py_tp_dealloc, dealloc as *mut c_void),
            (ffi::Py_tp_iter, await_ as *mut c_void),
            (ffi::Py_tp_iternext, next as *mut c_void),
            (ffi::Py_am_await, await_ as *mut c_void),
            (ffi::Py_am_send, send as *mut c_void),
        ],
    };
    // SAFETY: the slots match their numbers and the size is the instance struct's. The import runs alone.
    unsafe {
        let kind: *mut ffi::PyTypeObject = kind.build(ptr::null_mut())?.into_ptr().cast();
        let no_memory = Owned::new(ffi::PyType_GenericAlloc(kind, 0))?.into_ptr();
        (*no_memory.cast::<Ready>()).failed = true;
        *KEPT.get() = Kept {
            kind,
            no_memory,
            spare: ptr::null_mut(),
        };
    }
    Ok(())
}
