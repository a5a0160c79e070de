//! `_core.Watchdog(threshold)`: `wait()` and `stop()`.
//!
//! `threshold` is in seconds; None adapts: it begins at 10 ms, grows by a half with each report, up to a second, and comes back by a twentieth
//! with each second without one: a program of many blocks has its longest ones told, some ten a second.
//!
//! One thread waits; `stop()` may be called by any. The thread that looks begins with the first `wait()` and has ended when `wait()` returned
//! None.

use super::eye::{LEAST, Report, SECOND, Shared, Threshold, look};
use super::{begin, end, gil, loop_of};
use crate::ffi::{
    Python, Raised, answer,
    args::raise,
    owned::Owned,
    types::{Type, noargs, table_of},
};
use crate::native_loop::Loop;
use pyo3_ffi as ffi;
use rondeau_core::{Held, Verdict};
use rondeau_driver::thread::{self, Doing};
use std::collections::VecDeque;
use std::ffi::{CStr, CString, c_void};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;

#[repr(C)]
struct WatchdogObject {
    ob_base: ffi::PyObject,
    shared: Arc<Shared>,
    /// What it will look with; None once the thread was started.
    threshold: Option<Threshold>,
    /// The thread that looks.
    eye: Option<JoinHandle<()>>,
    /// A thread is in `wait()`.
    waiting: bool,
}

/// A report as a tuple; `python/rondeau/_watchdog.py` names what is in it.
unsafe fn told(report: &Report) -> Python<Owned> {
    let (kind, held): (&CStr, Held) = match report.verdict {
        Verdict::Blocked(held) => (c"blocked", held),
        Verdict::Busy(held) => (c"busy", held),
        Verdict::Kept(held) => (c"kept", held),
        Verdict::Over(held) => (c"over", held),
    };
    let goes_on = report.goes_on();
    let number = report.metrics.thread.load(Relaxed);
    let call = match thread::doing(number) {
        Doing::Call(call, _) if goes_on => thread::call_name(call),
        _ => None,
    };
    // What it computed until the GIL could be had.
    let since = thread::usage(number).map_or(0, |usage| usage.ran.saturating_sub(report.ran));
    let call = call.and_then(|name| CString::new(name).ok());
    let seconds = |nanoseconds: u64| nanoseconds as f64 / SECOND as f64;
    // SAFETY: the format names as many values, of these C types; the GIL is held by `wait`.
    unsafe {
        let loop_ = loop_of(&report.metrics);
        let (ident, calls) = loop_.as_ref().map_or((0, ptr::null_mut()), |object| {
            let parts = Loop::from_object(object.as_ptr()).parts();
            (parts.thread, parts.calls)
        });
        let loop_ = loop_.map_or(ffi::Py_None(), |object| object.into_ptr());
        if loop_ == ffi::Py_None() {
            ffi::Py_INCREF(loop_);
        }
        let calls = if calls.is_null() {
            ffi::Py_None()
        } else {
            calls
        };
        Owned::new(ffi::Py_BuildValue(
            c"(sNNKKKddddKNNddsO)".as_ptr(),
            kind.as_ptr(),
            answer::boolean(report.of_turn),
            loop_,
            ident,
            report.whose(),
            report.key(),
            seconds(held.counted),
            seconds(held.wall),
            seconds(held.ran),
            seconds(held.kept),
            held.items,
            answer::boolean(held.again),
            answer::boolean(goes_on),
            seconds(report.at),
            seconds(since),
            call.as_ref().map_or(ptr::null(), |name| name.as_ptr()),
            calls,
        ))
    }
}

/// The instance's fields, under the GIL.
unsafe fn fields<'a>(object: *mut ffi::PyObject) -> &'a mut WatchdogObject {
    // SAFETY: the caller has a live instance; a borrow ends before the GIL is released.
    unsafe { &mut *object.cast::<WatchdogObject>() }
}

unsafe extern "C" fn wait(object: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance, kept alive here.
    unsafe {
        let alive = Owned::from_borrowed(object);
        if fields(object).waiting {
            raise(
                ffi::PyExc_RuntimeError,
                "another thread waits at this watchdog",
            );
            return ptr::null_mut();
        }
        if fields(object).threshold.is_some()
            && let Err(error) = start(fields(object))
        {
            crate::errors::raise_os_error(&error);
            return ptr::null_mut();
        }
        fields(object).waiting = true;
        let shared = fields(object).shared.clone();
        let mut thread = ffi::PyEval_SaveThread();
        let mut reports = shared.next();
        if reports.is_empty() {
            ffi::PyEval_RestoreThread(thread);
            let eye = fields(object).eye.take();
            thread = ffi::PyEval_SaveThread();
            // It ends within a look, and cannot have panicked into anything that is used again.
            let _ = eye.map(JoinHandle::join);
            reports = shared.next(); // Its last ones.
        }
        ffi::PyEval_RestoreThread(thread);
        fields(object).waiting = false;
        drop(alive);
        if reports.is_empty() {
            end(&shared);
            return answer::none(Ok(()));
        }
        answer::object(list(&reports))
    }
}

unsafe fn list(reports: &VecDeque<Report>) -> Python<Owned> {
    // SAFETY: the GIL is held by `wait`; the list is new.
    unsafe {
        let list = Owned::new(ffi::PyList_New(0))?;
        for report in reports {
            let report = told(report)?;
            if ffi::PyList_Append(list.as_ptr(), report.as_ptr()) != 0 {
                return Err(Raised);
            }
        }
        Ok(list)
    }
}

/// Begins to look.
unsafe fn start(fields: &mut WatchdogObject) -> std::io::Result<()> {
    // SAFETY: the GIL is held by `wait`.
    unsafe {
        gil::learn();
        let Some(threshold) = fields.threshold.take() else {
            return Ok(());
        };
        let shared = fields.shared.clone();
        let eye = std::thread::Builder::new()
            .name("rondeau eye".to_owned())
            .spawn(move || look(&shared, threshold))?;
        fields.eye = Some(eye);
        begin(&fields.shared);
    }
    Ok(())
}

unsafe extern "C" fn stop(object: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { fields(object).shared.stop() };
    answer::none(Ok(()))
}

unsafe extern "C" fn new(
    kind: *mut ffi::PyTypeObject,
    args: *mut ffi::PyObject,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the instance is large enough and filled before anyone else sees it.
    unsafe {
        let mut given = ptr::null_mut();
        let no_keywords = keywords.is_null() || ffi::PyDict_Size(keywords) == 0;
        if !no_keywords
            || ffi::PyArg_UnpackTuple(args, c"Watchdog".as_ptr(), 1, 1, &raw mut given) == 0
        {
            if ffi::PyErr_Occurred().is_null() {
                raise(
                    ffi::PyExc_TypeError,
                    "Watchdog() takes no keyword arguments",
                );
            }
            return ptr::null_mut();
        }
        let adapts = given == ffi::Py_None();
        let seconds = if adapts {
            LEAST as f64 / SECOND as f64
        } else {
            ffi::PyFloat_AsDouble(given)
        };
        if seconds == -1.0 && !ffi::PyErr_Occurred().is_null() {
            return ptr::null_mut();
        }
        if !(0.001..=86400.0).contains(&seconds) {
            raise(
                ffi::PyExc_ValueError,
                "the threshold is a number of seconds from 0.001 to 86400",
            );
            return ptr::null_mut();
        }
        let object = ffi::PyType_GenericAlloc(kind, 0);
        if !object.is_null() {
            let made = object.cast::<WatchdogObject>();
            (&raw mut (*made).shared).write(Arc::new(Shared::new()));
            let threshold = Threshold::new((seconds * SECOND as f64) as u64, adapts);
            (&raw mut (*made).threshold).write(Some(threshold));
            (&raw mut (*made).eye).write(None);
            (&raw mut (*made).waiting).write(false);
        }
        object
    }
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: the last reference is gone, so nobody waits; the fields are dropped once.
    unsafe {
        let kind = ffi::Py_TYPE(object);
        let fields = object.cast::<WatchdogObject>();
        (*fields).shared.stop();
        end(&(*fields).shared);
        ptr::drop_in_place(&raw mut (*fields).shared);
        ptr::drop_in_place(&raw mut (*fields).threshold);
        ptr::drop_in_place(&raw mut (*fields).eye);
        let free = (*kind).tp_free.unwrap_or(ffi::PyObject_Free);
        free(object.cast());
        ffi::Py_DECREF(kind.cast());
    }
}

/// Makes the type and adds it to the module.
pub fn init(module: *mut ffi::PyObject) -> Python<()> {
    let methods = table_of(vec![
        noargs(
            c"wait",
            wait,
            c"wait($self, /)\n--\n\nWait until a loop is held up, or what held it is over: a list of reports; None after stop().",
        ),
        noargs(
            c"stop",
            stop,
            c"stop($self, /)\n--\n\nEnd wait(), for good; from any thread.",
        ),
    ]);
    let kind = Type {
        name: c"rondeau._core.Watchdog",
        size: size_of::<WatchdogObject>(),
        flags: 0,
        slots: vec![
            (
                ffi::Py_tp_doc,
                c"Watchdog(threshold, /)\n--\n\nSees that a loop is held up; the threshold in seconds, None adapts.".as_ptr()
                    as *mut c_void,
            ),
            (ffi::Py_tp_new, new as *mut c_void),
            (ffi::Py_tp_dealloc, dealloc as *mut c_void),
            (ffi::Py_tp_methods, methods),
        ],
    };
    // SAFETY: the slots match their numbers and the size is the instance struct's.
    unsafe {
        kind.publish(module, ptr::null_mut())?;
    }
    Ok(())
}
