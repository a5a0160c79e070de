//! Switching it on and off, and asking for what was recorded. Called by `rondeau.recorder` only.

use super::{
    OfLoop, STATE, State, callable, export, item, place, snapshot::Snapshot, subject::Doing, wait,
};
use crate::ffi::{
    Python, Raised, answer,
    args::{self, raise},
    owned::Owned,
    types,
};
use crate::future::layout::layout;
use crate::native_loop::{Loop, loop_type};
use crate::onlookers;
use crate::task::cell::TaskRef;
use pyo3_ffi as ffi;
use rondeau_core::record::{Kind, Ring, Subjects};
use rondeau_driver::clock::Ticks;
use std::ffi::CStr;

static SESSIONS: crate::ffi::gil::GilCell<u32> = crate::ffi::gil::GilCell::new(0);

/// The module's functions.
pub const METHODS: [ffi::PyMethodDef; 5] = [
    types::fast(
        c"record_start",
        start,
        c"record_start(capacity, tasks, current, /)\n--\n\nRecord into a ring of that many events; the tasks that exist, and the one that runs.",
    ),
    types::noargs(
        c"record_stop",
        stop,
        c"record_stop()\n--\n\nRecord no more, and forget what was recorded.",
    ),
    types::noargs(
        c"record_snapshot",
        take,
        c"record_snapshot()\n--\n\nA copy of all that was recorded, for `recorded`.",
    ),
    types::fast(
        c"recorded",
        recorded,
        c"recorded(snapshot, since, /)\n--\n\nWhat a snapshot has since that time (CLOCK_MONOTONIC, in nanoseconds): a dict.",
    ),
    types::fast(
        c"record_block",
        block,
        c"record_block(loop, task, number, /)\n--\n\nA block of the loop, by that number, has just ended.",
    ),
];

/// Looks up what the hooks need; called once, at import.
pub fn init() -> Python<()> {
    callable::init()?;
    place::init()
}

unsafe extern "C" fn start(
    _: *mut ffi::PyObject,
    args: *mut *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention.
    answer::none(unsafe { begin(args::given(args, count)) })
}

unsafe fn begin(args: &[*mut ffi::PyObject]) -> Python<()> {
    // SAFETY: the arguments live for the call; no Python code runs while the state is borrowed.
    unsafe {
        let [capacity, tasks, current] = *args else {
            return Err(raise(
                ffi::PyExc_TypeError,
                "record_start takes three arguments",
            ));
        };
        let capacity = ffi::PyLong_AsSize_t(capacity);
        if !ffi::PyErr_Occurred().is_null() {
            return Err(Raised);
        }
        if STATE.get().is_some() {
            return Err(raise(ffi::PyExc_RuntimeError, "the recorder is on already"));
        }
        if ffi::PyList_Check(tasks) == 0 {
            return Err(raise(ffi::PyExc_TypeError, "the tasks are no list"));
        }
        let session = {
            let sessions = SESSIONS.get();
            // 0 is nobody's: marks begin with it.
            *sessions = sessions.wrapping_add(1).max(1);
            *sessions
        };
        *STATE.get() = Some(Box::new(State {
            session,
            ticks: Ticks::start(),
            ring: Ring::new(capacity),
            subjects: Subjects::new(),
            serial: 0,
            loops: Vec::new(),
            callables: callable::Callables::default(),
            files: place::Files::default(),
            origins: place::Origins::default(),
            foreign: std::collections::HashMap::default(),
            peers: wait::Peers::default(),
            waits: (0, 0),
            open: None,
        }));
        onlookers::set(onlookers::RECORDER, true);
        let many = ffi::PyList_Size(tasks) as usize > capacity / 4;
        for index in 0..ffi::PyList_Size(tasks) {
            let task = ffi::PyList_GetItem(tasks, index);
            if ffi::Py_TYPE(task) == layout().task && task != current {
                existing(TaskRef::of(task), many);
            }
        }
        if ffi::Py_TYPE(current) == layout().task {
            running(TaskRef::of(current));
        }
        Ok(())
    }
}

/// A task that was there before: it waits, or it is on the agenda.
unsafe fn existing(task: TaskRef, quietly: bool) {
    // SAFETY: the task lives; no Python code runs.
    unsafe {
        let (Some(loop_), Some(state)) = (super::loop_of(task), super::state()) else {
            return;
        };
        let of_loop: OfLoop = *state.of_loop(loop_);
        let number = state.task(task);
        let time = state.ticks.now();
        let cell = task.cell();
        let waits = !cell.waiter.is_null()
            && layout()
                .exact(cell.waiter)
                .is_none_or(|future| future.cell().state == crate::future::cell::State::Pending);
        let doing = if waits {
            let (purpose, detail) = wait::of(state, task);
            if !quietly {
                state.push(Kind::Wait, time, number, detail, of_loop, purpose);
            }
            Doing::Waiting(purpose, detail)
        } else {
            if !quietly {
                state.push(Kind::Ready, time, number, 0, of_loop, 0);
            }
            Doing::Ready
        };
        if let Some(entry) = state.entry(number) {
            entry.doing = doing;
        }
    }
}

/// The task in whose step this is called.
unsafe fn running(task: TaskRef) {
    // SAFETY: the task and its loop live; no Python code runs.
    unsafe {
        let begun = item::enter(task);
        let (Some(_), Some(loop_), Some(state)) = (begun, super::loop_of(task), super::state())
        else {
            return;
        };
        state.open = Some((
            Owned::from_borrowed(loop_.object()),
            Owned::from_borrowed(task.object()),
        ));
    }
}

unsafe extern "C" fn stop(_: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: the state is out of reach before what it held is released.
    unsafe {
        onlookers::set(onlookers::RECORDER, false);
        let old = STATE.get().take();
        drop(old);
    }
    answer::none(Ok(()))
}

const CAPSULE: &CStr = c"rondeau._core.snapshot";

/// A capsule with a snapshot.
unsafe extern "C" fn take(_: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: the capsule owns the box from when it was made, and gives it to its destructor.
    answer::object(unsafe {
        (|| {
            let Some(snapshot) = Snapshot::take() else {
                return Err(raise(ffi::PyExc_RuntimeError, "the recorder is off"));
            };
            let boxed = Box::into_raw(Box::new(snapshot));
            let capsule = ffi::PyCapsule_New(boxed.cast(), CAPSULE.as_ptr(), Some(release));
            if capsule.is_null() {
                drop(Box::from_raw(boxed));
            }
            Owned::new(capsule)
        })()
    })
}

unsafe extern "C" fn release(capsule: *mut ffi::PyObject) {
    // SAFETY: the capsule is one of `take`'s, and dies.
    unsafe {
        let boxed = ffi::PyCapsule_GetPointer(capsule, CAPSULE.as_ptr()).cast::<Snapshot>();
        if !boxed.is_null() {
            drop(Box::from_raw(boxed));
        }
    }
}

unsafe extern "C" fn recorded(
    _: *mut ffi::PyObject,
    args: *mut *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    // SAFETY: the arguments live over the call, and the snapshot as long as its capsule.
    answer::object(unsafe {
        (|| {
            let [capsule, since] = *args::given(args, count) else {
                return Err(raise(ffi::PyExc_TypeError, "recorded takes two arguments"));
            };
            let since = ffi::PyLong_AsUnsignedLongLong(since);
            if !ffi::PyErr_Occurred().is_null() {
                return Err(Raised);
            }
            let snapshot = ffi::PyCapsule_GetPointer(capsule, CAPSULE.as_ptr()).cast::<Snapshot>();
            if snapshot.is_null() {
                return Err(Raised);
            }
            export::recording(&*snapshot, since)
        })()
    })
}

unsafe extern "C" fn block(
    _: *mut ffi::PyObject,
    args: *mut *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention; the types are checked before layouts are relied on.
    answer::none(unsafe {
        (|| {
            let [loop_, task, number] = *args::given(args, count) else {
                return Err(raise(
                    ffi::PyExc_TypeError,
                    "record_block takes three arguments",
                ));
            };
            let number = ffi::PyLong_AsUnsignedLongLong(number);
            if !ffi::PyErr_Occurred().is_null() {
                return Err(Raised);
            }
            if ffi::PyObject_TypeCheck(loop_, loop_type()) == 0 {
                return Ok(());
            }
            if let Some(state) = super::state() {
                let of_loop = *state.of_loop(Loop::from_object(loop_));
                let subject = if ffi::Py_TYPE(task) == layout().task {
                    state.task(TaskRef::of(task))
                } else {
                    of_loop.running
                };
                let time = state.ticks.now();
                state.push(Kind::Block, time, subject, number, of_loop, 0);
            }
            Ok(())
        })()
    })
}
