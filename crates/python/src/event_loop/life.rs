//! A loop's life: how it is made, what of it the collector sees, and how it lets go of all that it holds.
//!
//! The slots of `_core.EventLoop`, and `_release` for `close()`. What is released may run a finalizer that comes back to the
//! loop, so it is taken out first and released last.

use crate::ffi::{answer, args::raise};
use crate::metrics::Metrics;
use crate::native_loop::{Loop, Parts, descriptors::Descriptors, outbox::Outbox};
use crate::{errors, watchdog};
use pyo3_ffi as ffi;
use rondeau_core::{Agenda, Clock, Pace, Timers};
use rondeau_driver::{Choice, Driver};
use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::Arc;

pub unsafe extern "C" fn new(
    kind: *mut ffi::PyTypeObject,
    _: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    let choice = match Choice::from_env() {
        Ok(choice) => choice,
        Err(bad) => {
            // SAFETY: ValueError is live.
            unsafe { raise(ffi::PyExc_ValueError, &bad.to_string()) };
            return ptr::null_mut();
        }
    };
    let driver = match Driver::new(choice) {
        Ok(driver) => driver,
        Err(error) => {
            errors::raise_os_error(&error);
            return ptr::null_mut();
        }
    };
    let parts = Parts {
        agenda: Agenda::new(),
        timers: Timers::new(),
        pace: Pace::new(),
        clock: Clock::real(),
        simulation: None,
        descriptors: Descriptors::default(),
        files: crate::files::Table::default(),
        outbox: Outbox::default(),
        sent: Vec::new(),
        known: false,
        metrics: Arc::new(Metrics::new()),
        waker: Some(driver.waker()),
        parked: false,
        in_turn: false,
        touched: 0,
        stopping: false,
        own_turns: false,
        nested: false,
        suspended: Vec::new(),
        closed: false,
        debug: false,
        direct: true,
        plain: true,
        own_clock: false,
        process: std::process::id(),
        thread: 0,
        task_factory: ptr::null_mut(),
        no_variables: ptr::null_mut(),
        current: ptr::null_mut(),
        child: ptr::null_mut(),
        calls: ptr::null_mut(),
        record: Default::default(),
        report_failed: false,
        keep_tasks: false,
        kept: Default::default(),
    };
    // SAFETY: the allocation is large enough for a LoopObject; its parts are written before anyone else sees it. It is tracked
    // from its allocation on, but no collection can run between the two.
    unsafe {
        let alloc = (*kind).tp_alloc.unwrap_or(ffi::PyType_GenericAlloc);
        let object = alloc(kind, 0);
        if !object.is_null() {
            Loop::from_object(object).fill(parts, driver);
        }
        object
    }
}

/// Everything that the loop holds, taken out of it: what is released may come back to an empty loop.
fn take_all(parts: &mut Parts) -> Vec<*mut ffi::PyObject> {
    let mut all: Vec<*mut ffi::PyObject> =
        parts.agenda.drain().map(|ready| ready.object()).collect();
    all.extend(parts.timers.drain().map(|ready| ready.object()));
    all.extend(
        parts
            .outbox
            .take()
            .0
            .into_iter()
            .map(|object| object.as_ptr()),
    );
    for slot in parts.descriptors.take() {
        all.extend(slot.held().into_iter().filter(|object| !object.is_null()));
    }
    all.extend(parts.kept.take().iter());
    all
}

pub unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the collector calls this on a live instance, with no borrow of its parts alive: borrows end before Python runs.
    unsafe {
        let kind = ffi::Py_TYPE(object);
        let mut result = visit(kind.cast(), arg);
        let parts = Loop::from_object(object).parts();
        for ready in parts.agenda.iter().chain(parts.timers.iter()) {
            if result == 0 {
                result = crate::handle::visit_held(ready.object(), visit, arg);
            }
        }
        let unsent = parts.outbox.iter().map(|object| object.as_ptr());
        let watched = parts.descriptors.iter().flat_map(|(_, slot)| slot.held());
        let files = parts.files.iter();
        let kept = parts.kept.iter();
        let director = parts
            .simulation
            .as_ref()
            .map_or(ptr::null_mut(), |simulation| simulation.director);
        for held in unsent.chain(watched).chain(files).chain(kept).chain([
            parts.task_factory,
            parts.no_variables,
            parts.current,
            parts.child,
            director,
        ]) {
            if result == 0 && !held.is_null() {
                result = visit(held, arg);
            }
        }
        result
    }
}

pub unsafe extern "C" fn clear(object: *mut ffi::PyObject) -> c_int {
    // SAFETY: what is taken out is released only after the parts are empty of it.
    unsafe {
        let files = crate::files::ground(Loop::from_object(object));
        let parts = Loop::from_object(object).parts();
        let all = take_all(parts);
        let mut no_director = ptr::null_mut();
        let others = [
            parts
                .simulation
                .as_mut()
                .map_or(&mut no_director, |simulation| &mut simulation.director),
            &mut parts.task_factory,
            &mut parts.no_variables,
            &mut parts.current,
            &mut parts.child,
        ]
        .map(|field| std::mem::replace(field, ptr::null_mut()));
        for held in all {
            crate::handle::leave_agenda(held);
        }
        for held in others {
            ffi::Py_XDECREF(held);
        }
        drop(files);
    }
    0
}

pub unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: the last reference is gone; the parts are emptied, then dropped once, then the memory is freed.
    unsafe {
        let kind = ffi::Py_TYPE(object);
        ffi::PyObject_GC_UnTrack(object.cast());
        watchdog::forget(Loop::from_object(object));
        clear(object);
        Loop::from_object(object).empty();
        let free = (*kind).tp_free.unwrap_or(ffi::PyObject_GC_Del);
        free(object.cast());
        ffi::Py_DECREF(kind.cast());
    }
}

/// `_release()`: lets go of all that waits and gives the loop's descriptors back, for `close()`.
pub unsafe extern "C" fn release(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance; the parts are empty before anything is released.
    unsafe {
        let loop_ = Loop::from_object(object);
        let files = crate::files::ground(loop_);
        let parts = loop_.parts();
        loop_.close_driver();
        for held in take_all(parts) {
            crate::handle::leave_agenda(held);
        }
        drop(files);
        answer::none(Ok(()))
    }
}
