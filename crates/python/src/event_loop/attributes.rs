//! The loop's state as Python sees it: the three questions, and the private attributes that asyncio's own code reads and sets.
//!
//! As data descriptors they come before an instance's slots: `self._closed = True` in asyncio's `close()` lands here.

use crate::ffi::{
    answer,
    owned::Owned,
    types::{self, attribute},
};
use crate::native_loop::{Loop, is_forked};
use pyo3_ffi as ffi;
use std::ffi::{c_int, c_void};
use std::ptr;

/// `is_running()`; not in a fork of the process where it runs.
pub unsafe extern "C" fn is_running(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        let loop_ = Loop::from_object(object);
        answer::boolean(loop_.parts().thread != 0 && !is_forked(loop_))
    }
}

/// `is_closed()`.
pub unsafe extern "C" fn is_closed(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { answer::boolean(Loop::from_object(object).parts().closed) }
}

/// `get_debug()`.
pub unsafe extern "C" fn get_debug(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { answer::boolean(Loop::from_object(object).parts().debug) }
}

macro_rules! flag {
    ($get:ident, $set:ident, $field:ident) => {
        unsafe extern "C" fn $get(
            object: *mut ffi::PyObject,
            _: *mut c_void,
        ) -> *mut ffi::PyObject {
            // SAFETY: CPython calls this on an instance.
            unsafe { answer::boolean(Loop::from_object(object).parts().$field) }
        }
        unsafe extern "C" fn $set(
            object: *mut ffi::PyObject,
            value: *mut ffi::PyObject,
            _: *mut c_void,
        ) -> c_int {
            // SAFETY: CPython calls this on an instance; NULL means deletion.
            unsafe {
                let truth = if value.is_null() {
                    0
                } else {
                    ffi::PyObject_IsTrue(value)
                };
                if truth < 0 {
                    return -1;
                }
                Loop::from_object(object).parts().$field = truth == 1;
            }
            0
        }
    };
}

flag!(get_stopping, set_stopping, stopping);
flag!(get_closed, set_closed, closed);
flag!(get_debug_flag, set_debug_flag, debug);
flag!(get_own_turns, set_own_turns, own_turns);
flag!(get_parked, set_parked, parked);
flag!(get_nested, set_nested, nested);
flag!(get_direct, set_direct, direct);
flag!(get_plain, set_plain, plain);
flag!(get_own_clock, set_own_clock, own_clock);
flag!(get_report_failed, set_report_failed, report_failed);
flag!(get_keep_tasks, set_keep_tasks, keep_tasks);

unsafe extern "C" fn get_thread(object: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        match Loop::from_object(object).parts().thread {
            0 => answer::none(Ok(())),
            thread => ffi::PyLong_FromUnsignedLongLong(thread),
        }
    }
}

unsafe extern "C" fn set_thread(
    object: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
    _: *mut c_void,
) -> c_int {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        let thread = if value.is_null() || value == ffi::Py_None() {
            0
        } else {
            ffi::PyLong_AsUnsignedLongLong(value)
        };
        if thread == u64::MAX && !ffi::PyErr_Occurred().is_null() {
            return -1;
        }
        Loop::from_object(object).parts().thread = thread;
    }
    0
}

unsafe extern "C" fn get_factory(object: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        match Loop::from_object(object).parts().task_factory {
            factory if factory.is_null() => answer::none(Ok(())),
            factory => Owned::from_borrowed(factory).into_ptr(),
        }
    }
}

unsafe extern "C" fn set_factory(
    object: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
    _: *mut c_void,
) -> c_int {
    // SAFETY: CPython calls this on an instance; the new reference is stored before the old one is released.
    unsafe {
        let absent = value.is_null() || value == ffi::Py_None();
        let new = if absent {
            ptr::null_mut()
        } else {
            Owned::from_borrowed(value).into_ptr()
        };
        let old = std::mem::replace(&mut Loop::from_object(object).parts().task_factory, new);
        ffi::Py_XDECREF(old);
    }
    0
}

/// The table of attributes.
pub fn table() -> *mut c_void {
    types::table([
        attribute(c"_stopping", get_stopping, Some(set_stopping)),
        attribute(c"_closed", get_closed, Some(set_closed)),
        attribute(c"_debug", get_debug_flag, Some(set_debug_flag)),
        attribute(c"_own_turns", get_own_turns, Some(set_own_turns)),
        attribute(c"_parked", get_parked, Some(set_parked)),
        attribute(c"_nested", get_nested, Some(set_nested)),
        attribute(c"_direct", get_direct, Some(set_direct)),
        attribute(c"_plain", get_plain, Some(set_plain)),
        attribute(c"_own_clock", get_own_clock, Some(set_own_clock)),
        attribute(
            c"report_failed_tasks",
            get_report_failed,
            Some(set_report_failed),
        ),
        attribute(c"keep_tasks", get_keep_tasks, Some(set_keep_tasks)),
        attribute(c"_thread_id", get_thread, Some(set_thread)),
        attribute(c"_task_factory", get_factory, Some(set_factory)),
    ])
}
