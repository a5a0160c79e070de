//! The native base of `rondeau.EventLoop`: the type `_core.EventLoop` and its methods.
//!
//! `python/rondeau/loop.py` puts it in front of asyncio's own Unix loop: what runs per callback, per await or per packet is
//! here, what runs once per loop or per connection is asyncio's Python code, in each version's own form.

mod attributes;
mod create;
mod item;
mod life;
mod measured;
mod nested;
mod overrides;
mod own_turns;
mod queues;
mod schedule;
mod simulated;
mod slow;
mod turn;
mod watch;

pub use overrides::time_or_machines;

use crate::ffi::{
    Python, answer,
    owned::Owned,
    types::{Type, fast, fast_keywords, noargs, one, table_of},
};
use crate::native_loop::{Loop, LoopObject, loop_type, set_loop_type};
use crate::{datagrams, door, sock_calls, stand_in, transport, watchdog};
use pyo3_ffi as ffi;
use std::ffi::{CStr, c_void};
use std::ptr;

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

/// `_add_callback(handle)`: asyncio's own code queues a handle that it made.
unsafe extern "C" fn add_callback(
    object: *mut ffi::PyObject,
    handle: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance; only a Handle has the slots that the turn reads.
    unsafe {
        if as_handle(handle).is_err() {
            return ptr::null_mut();
        }
        if !crate::handle::is_cancelled(handle) {
            ffi::Py_INCREF(handle);
            Loop::from_object(object).schedule(crate::ready::Ready::handle(handle));
        }
        answer::none(Ok(()))
    }
}

/// Fails where the object is no `asyncio.Handle` that a turn can run.
///
/// # Safety
/// The object lives.
unsafe fn as_handle(handle: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: only a Handle has the slots that are read here.
    unsafe {
        if ffi::PyObject_TypeCheck(handle, crate::door::door().handle) == 0 {
            return Err(crate::ffi::args::raise_type_error(
                "A Handle is required here",
            ));
        }
        if crate::handle::is_cancelled(handle) {
            return Ok(());
        }
        // asyncio's Handle takes any iterable for `args`; the turn reads a tuple.
        let args = crate::handle::slot(handle, crate::door::door().slots.args);
        if !(*args).is_null() && ffi::PyTuple_CheckExact(*args) == 0 {
            let tuple = Owned::new(ffi::PySequence_Tuple(*args))?;
            let args = crate::handle::slot(handle, crate::door::door().slots.args);
            drop(Owned::from_owned(std::mem::replace(args, tuple.into_ptr())));
        }
        Ok(())
    }
}

unsafe extern "C" fn ignore(_: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
    answer::none(Ok(()))
}

/// The methods that run per callback.
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

/// What runs per callback and stays a method descriptor.
const QUICK: [&CStr; 7] = [
    c"call_soon",
    c"call_soon_threadsafe",
    c"call_later",
    c"call_at",
    c"time",
    c"create_future",
    c"create_task",
];

/// `own_methods(cls)`: puts the methods on the class itself, in the form that asyncio's have, and returns it. CPython checks the `self`
/// of a method by its type's identity first, and only then through the MRO (2 of 140 ns a call).
///
/// # Safety
/// CPython's calling convention.
pub unsafe extern "C" fn own_methods(
    _: *mut ffi::PyObject,
    class: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the type is checked first; it is published, and lives for good.
    unsafe {
        if ffi::PyType_Check(class) == 0 || ffi::PyType_IsSubtype(class.cast(), loop_type()) == 0 {
            crate::ffi::args::raise_type_error("own_methods() takes a subclass of _core.EventLoop");
            return ptr::null_mut();
        }
        let put = door::import(c"asyncio")
            .and_then(|asyncio| door::attribute(&asyncio, c"SelectorEventLoop"))
            .and_then(|theirs| stand_in::native::put(class, loop_type(), &theirs, &QUICK));
        if put.is_err() {
            return ptr::null_mut();
        }
        Owned::from_borrowed(class).into_ptr()
    }
}

/// `hold` and `let_go`.
pub const HOLDING: [ffi::PyMethodDef; 2] = [
    fast(
        c"hold",
        nested::hold,
        c"hold(task, future, /)\n--\n\nA task in the middle of its step waits for `future`.",
    ),
    fast(
        c"let_go",
        nested::let_go,
        c"let_go(task, future, /)\n--\n\nIt does no longer.",
    ),
];

/// Makes the type and adds it to the module.
pub fn init(module: *mut ffi::PyObject) -> Python<()> {
    item::init()?;
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
        noargs(
            c"_suspend",
            nested::suspend,
            c"_suspend($self, /)\n--\n\nThis depth stands still; return the current task.",
        ),
        noargs(
            c"_resume",
            nested::resume,
            c"_resume($self, /)\n--\n\nIt goes on.",
        ),
        fast(
            c"_simulate",
            simulated::simulate,
            c"_simulate($self, director, start, tape, order, interval, closed, steps, most_steps, /)\n--\n\n",
        ),
        one(
            c"_draw",
            simulated::draw,
            c"_draw($self, below, /)\n--\n\n",
        ),
        noargs(
            c"_decisions",
            simulated::decisions,
            c"_decisions($self, /)\n--\n\n",
        ),
        one(
            c"_limit_time",
            simulated::limit_time,
            c"_limit_time($self, when, /)\n--\n\n",
        ),
        noargs(
            c"_next_due",
            simulated::next_due,
            c"_next_due($self, /)\n--\n\n",
        ),
        noargs(
            c"_end_simulation",
            simulated::end,
            c"_end_simulation($self, /)\n--\n\n",
        ),
        noargs(c"_enter", own_turns::enter, c"_enter($self, /)\n--\n\n"),
        noargs(c"_leave", own_turns::leave, c"_leave($self, /)\n--\n\n"),
        noargs(
            c"_timeout",
            own_turns::timeout,
            c"_timeout($self, /)\n--\n\n",
        ),
        one(
            c"_select",
            own_turns::select,
            c"_select($self, timeout, /)\n--\n\n",
        ),
        fast(
            c"_tell",
            own_turns::tell,
            c"_tell($self, fd, mask, /)\n--\n\n",
        ),
        one(
            c"_run_ready",
            own_turns::run_ready,
            c"_run_ready($self, end, /)\n--\n\n",
        ),
        noargs(
            c"_ready_count",
            queues::ready_count,
            c"_ready_count($self, /)\n--\n\n",
        ),
        noargs(
            c"_ready_handles",
            queues::ready_handles,
            c"_ready_handles($self, /)\n--\n\n",
        ),
        one(
            c"_ready_take",
            queues::ready_take,
            c"_ready_take($self, last, /)\n--\n\n",
        ),
        one(
            c"_ready_put_first",
            queues::ready_put_first,
            c"_ready_put_first($self, handle, /)\n--\n\n",
        ),
        noargs(
            c"_timer_version",
            queues::timer_version,
            c"_timer_version($self, /)\n--\n\n",
        ),
        noargs(
            c"_timer_handles",
            queues::timer_handles,
            c"_timer_handles($self, /)\n--\n\n",
        ),
        one(
            c"_timer_take",
            queues::timer_take,
            c"_timer_take($self, handle, /)\n--\n\n",
        ),
        one(
            c"_timer_put",
            queues::timer_put,
            c"_timer_put($self, handle, /)\n--\n\n",
        ),
        noargs(
            c"_descriptors",
            queues::descriptors,
            c"_descriptors($self, /)\n--\n\n",
        ),
        noargs(
            c"_driver_fd",
            queues::driver_fd,
            c"_driver_fd($self, /)\n--\n\n",
        ),
        noargs(c"_metrics", measured::metrics, measured::DOC),
        noargs(
            c"_release",
            life::release,
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
            (ffi::Py_tp_new, life::new as *mut c_void),
            (ffi::Py_tp_dealloc, life::dealloc as *mut c_void),
            (ffi::Py_tp_traverse, life::traverse as *mut c_void),
            (ffi::Py_tp_clear, life::clear as *mut c_void),
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
