//! Whether a program has put a clock of its own in the place of `time.monotonic`, as test tools do (freezegun, `mock.patch`).
//!
//! asyncio asks `time.monotonic()` each time, so such a clock is the loop's there. Here a loop reads the machine's clock itself, and asks
//! only while this says so: by a watcher of the module's dict, before 3.12 by the version that CPython gives it. A loop whose time is
//! virtual is not asked: what is in the place of `time.monotonic` then is the simulation's own.

use crate::door::{attribute, import};
use crate::ffi::{Python, Raised, gil::GilCell, owned::Owned};
use crate::seconds;
use pyo3_ffi as ffi;
use std::ptr;

struct Known {
    /// `time`'s dict and CPython's own function; both live for good.
    dict: *mut ffi::PyObject,
    original: *mut ffi::PyObject,
    /// What is there now is another.
    patched: bool,
    #[cfg(not(Py_3_12))]
    version: u64,
}

static KNOWN: GilCell<Known> = GilCell::new(Known {
    dict: ptr::null_mut(),
    original: ptr::null_mut(),
    patched: false,
    #[cfg(not(Py_3_12))]
    version: 0,
});

/// Whether there is one.
///
/// # Safety
/// The GIL is held.
#[inline]
pub unsafe fn is_there() -> bool {
    // SAFETY: the caller's contract; the dict lives for good, and its version is a plain field up to 3.11.
    unsafe {
        #[cfg(not(Py_3_12))]
        if (*KNOWN.get().dict.cast::<ffi::PyDictObject>()).ma_version_tag != KNOWN.get().version {
            look();
        }
        KNOWN.get().patched
    }
}

/// What it says, in seconds.
///
/// # Safety
/// The GIL is held; any Python code may run.
#[cold]
pub unsafe fn ask() -> Python<f64> {
    // SAFETY: the function is kept alive over the call.
    unsafe {
        let function = ffi::PyDict_GetItemString(KNOWN.get().dict, c"monotonic".as_ptr());
        if function.is_null() {
            ffi::PyErr_SetString(
                ffi::PyExc_AttributeError,
                c"module 'time' has no attribute 'monotonic'".as_ptr(),
            );
            return Err(Raised);
        }
        let function = Owned::from_borrowed(function);
        let now = Owned::new(ffi::PyObject_CallNoArgs(function.as_ptr()))?;
        seconds::number(now.as_ptr())
    }
}

#[cfg(not(Py_3_12))]
#[cold]
unsafe fn look() {
    // SAFETY: the dict lives; a look-up by text runs no Python code in a module's dict, whose keys are str.
    unsafe {
        let known = KNOWN.get();
        known.version = (*known.dict.cast::<ffi::PyDictObject>()).ma_version_tag;
        let now = ffi::PyDict_GetItemString(known.dict, c"monotonic".as_ptr());
        known.patched = now != known.original;
    }
}

#[cfg(Py_3_12)]
mod watcher {
    use super::{KNOWN, ffi};
    use crate::ffi::{Python, Raised};
    use std::ffi::c_int;

    type Callback = unsafe extern "C" fn(
        c_int,
        *mut ffi::PyObject,
        *mut ffi::PyObject,
        *mut ffi::PyObject,
    ) -> c_int;

    unsafe extern "C" {
        /// Include/cpython/dictobject.h, from 3.12 on.
        fn PyDict_AddWatcher(callback: Callback) -> c_int;
    }

    /// Called before the dict changes; `value` is NULL where the key goes.
    unsafe extern "C" fn changes(
        _: c_int,
        dict: *mut ffi::PyObject,
        key: *mut ffi::PyObject,
        value: *mut ffi::PyObject,
    ) -> c_int {
        // SAFETY: CPython calls this with the dict that is watched; no Python code runs.
        unsafe {
            let known = KNOWN.get();
            if dict == known.dict
                && !key.is_null()
                && ffi::PyUnicode_Check(key) != 0
                && ffi::PyUnicode_CompareWithASCIIString(key, c"monotonic".as_ptr()) == 0
            {
                known.patched = value != known.original;
            }
        }
        0
    }

    pub unsafe fn begin() -> Python<()> {
        // SAFETY: the import runs alone; the dict lives for good.
        unsafe {
            let watcher = PyDict_AddWatcher(changes);
            if watcher < 0 {
                // All of the interpreter's places are taken: the machine's clock it is, then.
                ffi::PyErr_Clear();
                return Ok(());
            }
            match ffi::PyDict_Watch(watcher, KNOWN.get().dict) {
                0 => Ok(()),
                _ => Err(Raised),
            }
        }
    }
}

/// Notes the function that is there. Called once, at import; one that is patched by then is taken for another.
pub fn init() -> Python<()> {
    let time = import(c"time")?;
    let original = attribute(&time, c"monotonic")?;
    // SAFETY: the import runs alone.
    unsafe {
        let is_cpythons = ffi::Py_TYPE(original.as_ptr()) == &raw mut ffi::PyCFunction_Type;
        let known = KNOWN.get();
        known.dict = Owned::from_borrowed(ffi::PyModule_GetDict(time.as_ptr())).into_ptr();
        known.original = original.into_ptr();
        known.patched = !is_cpythons;
        #[cfg(Py_3_12)]
        watcher::begin()?;
        #[cfg(not(Py_3_12))]
        {
            known.version = (*known.dict.cast::<ffi::PyDictObject>()).ma_version_tag;
        }
    }
    Ok(())
}
