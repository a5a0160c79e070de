//! The native base of `rondeau.EventLoop`: the type `_core.EventLoop`, its life and its attributes.
//!
//! `python/rondeau/loop.py` puts it in front of asyncio's own Unix loop: what runs per callback, per await or per packet is
//! here, what runs once per loop or per connection is asyncio's Python code, in each version's own form.

mod attributes;
mod create;
mod measured;
mod overrides;
mod schedule;
mod slow;
mod turn;
mod watch;

use crate::ffi::{
    Python, answer,
    args::raise,
    owned::Owned,
    types::{Type, fast_keywords, noargs, one, table_of},
};
use crate::metrics::Metrics;
use crate::native_loop::{
    Loop, LoopObject, Parts, descriptors::Descriptors, loop_type, outbox::Outbox, set_loop_type,
};
use crate::{datagrams, errors, sock_calls, transport, watchdog};
use pyo3_ffi as ffi;
use rondeau_core::{Agenda, Clock, Pace, Timers};
use rondeau_driver::{Choice, Driver};
use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::Arc;

unsafe extern "C" fn new(
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
        descriptors: Descriptors::default(),
        files: crate::files::Table::default(),
        outbox: Outbox::default(),
        sent: Vec::new(),
        known: false,
        metrics: Arc::new(Metrics::new()),
        waker: Some(driver.waker()),
        parked: false,
        in_turn: false,
        stopping: false,
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
            .into_iter()
            .map(|object| object.as_ptr()),
    );
    for slot in parts.descriptors.take() {
        all.extend(slot.held().into_iter().filter(|object| !object.is_null()));
    }
    all.extend(parts.kept.take().iter());
    all
}

unsafe extern "C" fn traverse(
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
        for held in unsent.chain(watched).chain(files).chain(kept).chain([
            parts.task_factory,
            parts.no_variables,
            parts.current,
            parts.child,
        ]) {
            if result == 0 && !held.is_null() {
                result = visit(held, arg);
            }
        }
        result
    }
}

unsafe extern "C" fn clear(object: *mut ffi::PyObject) -> c_int {
    // SAFETY: what is taken out is released only after the parts are empty of it.
    unsafe {
        let files = crate::files::ground(Loop::from_object(object));
        let parts = Loop::from_object(object).parts();
        let all = take_all(parts);
        let others = [
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

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
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

unsafe extern "C" fn run(object: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance, which the reference keeps alive while it runs.
    unsafe {
        let alive = Owned::from_borrowed(object);
        let loop_ = Loop::from_object(alive.as_ptr());
        watchdog::enter(loop_);
        let done = turn::run(loop_);
        watchdog::leave(loop_);
        answer::none(done)
    }
}

unsafe extern "C" fn stop(object: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        Loop::from_object(object).parts().stopping = true;
        answer::none(Ok(()))
    }
}

unsafe extern "C" fn check_process(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { answer::none(crate::native_loop::check_process(Loop::from_object(object))) }
}

unsafe extern "C" fn wake(object: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        if let Some(waker) = &Loop::from_object(object).parts().waker {
            waker.wake();
        }
        answer::none(Ok(()))
    }
}

/// `_release()`: lets go of all that waits and gives the loop's descriptors back, for `close()`.
unsafe extern "C" fn release(
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

/// `_add_callback(handle)`: asyncio's own code queues a handle that it made.
unsafe extern "C" fn add_callback(
    object: *mut ffi::PyObject,
    handle: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance; only a Handle has the slots that the turn reads.
    unsafe {
        if ffi::PyObject_TypeCheck(handle, crate::door::door().handle) == 0 {
            crate::ffi::args::raise_type_error("A Handle is required here");
            return ptr::null_mut();
        }
        if !crate::handle::is_cancelled(handle) {
            // asyncio's Handle takes any iterable for `args`; the turn reads a tuple.
            let args = crate::handle::slot(handle, crate::door::door().slots.args);
            if !(*args).is_null() && ffi::PyTuple_CheckExact(*args) == 0 {
                let Ok(tuple) = Owned::new(ffi::PySequence_Tuple(*args)) else {
                    return ptr::null_mut();
                };
                let args = crate::handle::slot(handle, crate::door::door().slots.args);
                drop(Owned::from_owned(std::mem::replace(args, tuple.into_ptr())));
            }
            ffi::Py_INCREF(handle);
            Loop::from_object(object).schedule(crate::ready::Ready::handle(handle));
        }
        answer::none(Ok(()))
    }
}

unsafe extern "C" fn ignore(_: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
    answer::none(Ok(()))
}

/// The methods that run per callback, on the base type and again on the class that `own_methods` is given.
fn hot_methods() -> [ffi::PyMethodDef; 7] {
    [
        fast_keywords(c"call_soon", schedule::call_soon, c"call_soon($self, callback, *args, context=None)\n--\n\nCall the callback in the loop's next turn; return a Handle."),
        fast_keywords(c"call_soon_threadsafe", schedule::call_soon_threadsafe, c"call_soon_threadsafe($self, callback, *args, context=None)\n--\n\nLike call_soon, from any thread: wakes the loop."),
        fast_keywords(c"call_later", schedule::call_later, c"call_later($self, delay, callback, *args, context=None)\n--\n\nCall the callback in `delay` seconds; return a TimerHandle."),
        fast_keywords(c"call_at", schedule::call_at, c"call_at($self, when, callback, *args, context=None)\n--\n\nCall the callback when time() reaches `when` (seconds); return a TimerHandle."),
        noargs(c"time", schedule::time, c"time($self, /)\n--\n\nThe loop's clock, in seconds: time.monotonic()."),
        noargs(c"create_future", create::create_future, c"create_future($self, /)\n--\n\nA Future attached to this loop."),
        fast_keywords(c"create_task", create::create_task, c"create_task($self, coro, **kwargs)\n--\n\nSchedule a coroutine; return its Task."),
    ]
}

/// `own_methods(cls)`: puts the hot methods on the class itself and returns it. CPython checks the `self` of a method by its
/// type's identity first, and only then through the MRO (2 of 140 ns a call).
///
/// # Safety
/// CPython's calling convention.
pub unsafe extern "C" fn own_methods(
    _: *mut ffi::PyObject,
    class: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the type is checked first; the definitions are leaked on purpose, since descriptors point to them.
    unsafe {
        if ffi::PyType_Check(class) == 0 || ffi::PyType_IsSubtype(class.cast(), loop_type()) == 0 {
            crate::ffi::args::raise_type_error("own_methods() takes a subclass of _core.EventLoop");
            return ptr::null_mut();
        }
        for definition in Box::leak(Box::new(hot_methods())) {
            let Ok(descriptor) = Owned::new(ffi::PyDescr_NewMethod(class.cast(), definition))
            else {
                return ptr::null_mut();
            };
            if ffi::PyObject_SetAttrString(class, definition.ml_name, descriptor.as_ptr()) != 0 {
                return ptr::null_mut();
            }
        }
        Owned::from_borrowed(class).into_ptr()
    }
}

/// Makes the type and adds it to the module.
pub fn init(module: *mut ffi::PyObject) -> Python<()> {
    let mut all = hot_methods().to_vec();
    all.extend([
        fast_keywords(
            c"_add_reader",
            watch::add_reader,
            c"_add_reader($self, fd, callback, /, *args, context=None)\n--\n\n",
        ),
        fast_keywords(
            c"_add_writer",
            watch::add_writer,
            c"_add_writer($self, fd, callback, /, *args, context=None)\n--\n\n",
        ),
        one(
            c"_remove_reader",
            watch::remove_reader,
            c"_remove_reader($self, fd, /)\n--\n\n",
        ),
        one(
            c"_remove_writer",
            watch::remove_writer,
            c"_remove_writer($self, fd, /)\n--\n\n",
        ),
        one(
            c"_watched",
            watch::watched,
            c"_watched($self, fd, /)\n--\n\n",
        ),
        one(
            c"_add_callback",
            add_callback,
            c"_add_callback($self, handle, /)\n--\n\n",
        ),
        one(
            c"_timer_handle_cancelled",
            ignore,
            c"_timer_handle_cancelled($self, handle, /)\n--\n\n",
        ),
        noargs(
            c"_run",
            run,
            c"_run($self, /)\n--\n\nRun turns until stop() was called.",
        ),
        noargs(
            c"_check_process",
            check_process,
            c"_check_process($self, /)\n--\n\nRaise RuntimeError in a fork of the loop's process.",
        ),
        noargs(
            c"_write_to_self",
            wake,
            c"_write_to_self($self, /)\n--\n\nEnd the loop's wait in the kernel; from any thread.",
        ),
        noargs(c"_metrics", measured::metrics, measured::DOC),
        noargs(
            c"_release",
            release,
            c"_release($self, /)\n--\n\nLet go of all that waits.",
        ),
        noargs(
            c"stop",
            stop,
            c"stop($self, /)\n--\n\nStop the loop after the current turn.",
        ),
        noargs(
            c"is_running",
            attributes::is_running,
            c"is_running($self, /)\n--\n\nWhether the loop runs.",
        ),
        noargs(
            c"is_closed",
            attributes::is_closed,
            c"is_closed($self, /)\n--\n\nWhether the loop was closed.",
        ),
        noargs(
            c"get_debug",
            attributes::get_debug,
            c"get_debug($self, /)\n--\n\nWhether debug mode is on.",
        ),
        transport::FOR_SOCKET,
        transport::ACCEPT,
        transport::TRANSPORT_OF,
        transport::TRANSPORTS_OF,
        datagrams::MAKE,
    ]);
    all.extend(sock_calls::loop_methods());
    let methods = table_of(all);
    let attributes = attributes::table();
    let kind = Type {
        name: c"rondeau._core.EventLoop",
        size: size_of::<LoopObject>(),
        flags: ffi::Py_TPFLAGS_HAVE_GC | ffi::Py_TPFLAGS_BASETYPE,
        slots: vec![
            (
                ffi::Py_tp_doc,
                c"The native part of rondeau.EventLoop.".as_ptr() as *mut c_void,
            ),
            (ffi::Py_tp_new, new as *mut c_void),
            (ffi::Py_tp_dealloc, dealloc as *mut c_void),
            (ffi::Py_tp_traverse, traverse as *mut c_void),
            (ffi::Py_tp_clear, clear as *mut c_void),
            (ffi::Py_tp_setattro, overrides::set_attribute as *mut c_void),
            (ffi::Py_tp_methods, methods),
            (ffi::Py_tp_getset, attributes),
        ],
    };
    // SAFETY: the slots match their numbers and the size is the instance struct's.
    unsafe {
        let kind = kind.publish(module, ptr::null_mut())?;
        set_loop_type(kind);
    }
    Ok(())
}
