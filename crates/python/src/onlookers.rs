//! Who looks on while loops run: the recorder, a watchdog, and what `rondeau.subscribe` was given. One byte for the process.
//!
//! Asked by the hooks: where a task is made, where it ends, and in the turn, where it is joined to the look at debug mode. Set by
//! `recorder::control`, by the watchdog, and by `listen`, which `rondeau._listeners` calls with the functions that pass an event on; what listeners do
//! wrong stays there.
//!
//! Invariants: nothing is borrowed while a function is called; an exception that is set when an event is told is set afterwards.
//! Rejected: a flag for each (a second look a callback); telling the switches between tasks (a call of Python's for each step,
//! 50 ns and more, where the recorder writes 24 bytes).

use crate::ffi::{
    Python, Raised, answer, args::raise, compat, gil::GilCell, names::names, owned::Owned, types,
};
use crate::native_loop::Loop;
use crate::recorder;
use crate::task::cell::TaskRef;
use pyo3_ffi as ffi;
use std::ptr;

/// The recorder is on.
pub const RECORDER: u8 = 1;
/// Somebody listens to new tasks.
pub const CREATED: u8 = 2;
/// Somebody listens to the ends of tasks.
pub const DONE: u8 = 4;
/// Somebody listens to what holds the loop for long.
pub const SLOW: u8 = 8;
/// A watchdog looks: what a callback calls is noted, since what is not Python code has no frame to be named by.
pub const WATCHDOG: u8 = 16;

static WHO: GilCell<u8> = GilCell::new(0);

/// What passes an event on: a task is made, has ended, something was slow, a task factory made a task. NULL where nobody listens; strong.
static FUNCTIONS: GilCell<[*mut ffi::PyObject; 4]> = GilCell::new([ptr::null_mut(); 4]);

/// Whether one of these looks on.
///
/// # Safety
/// The GIL is held.
#[inline(always)]
pub unsafe fn any(who: u8) -> bool {
    // SAFETY: the borrow ends here.
    unsafe { *WHO.get() & who != 0 }
}

/// One begins to look on, or stops.
///
/// # Safety
/// The GIL is held.
pub unsafe fn set(who: u8, on: bool) {
    // SAFETY: the borrow ends here.
    unsafe {
        let all = WHO.get();
        *all = if on { *all | who } else { *all & !who };
    }
}

/// `listen(created, done, slow, made)`.
pub const LISTEN: ffi::PyMethodDef = types::fast(
    c"listen",
    listen,
    c"listen(created, done, slow, made, /)\n--\n\nCall these at each such event; None for those that nobody listens to.",
);

unsafe extern "C" fn listen(
    _: *mut ffi::PyObject,
    args: *mut *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention; the old functions are released when the new ones are in place.
    unsafe {
        let given = std::slice::from_raw_parts(args, count as usize);
        let Ok(given) = <[*mut ffi::PyObject; 4]>::try_from(given) else {
            raise(ffi::PyExc_TypeError, "listen takes four arguments");
            return ptr::null_mut();
        };
        let new = given.map(|function| {
            if function == ffi::Py_None() {
                ptr::null_mut()
            } else {
                Owned::from_borrowed(function).into_ptr()
            }
        });
        for (who, function) in [CREATED, DONE, SLOW].into_iter().zip(new) {
            set(who, !function.is_null());
        }
        let old = std::mem::replace(FUNCTIONS.get(), new);
        for function in old {
            ffi::Py_XDECREF(function);
        }
        answer::none(Ok(()))
    }
}

/// Calls one of the functions. Err only for what must leave the loop.
unsafe fn tell(which: usize, args: &[*mut ffi::PyObject]) -> Python<()> {
    // SAFETY: the function is kept alive by a reference of our own: it may have itself replaced.
    unsafe {
        let function = FUNCTIONS.get()[which];
        if function.is_null() {
            return Ok(());
        }
        let function = Owned::from_borrowed(function);
        Owned::new(ffi::PyObject_Vectorcall(
            function.as_ptr(),
            args.as_ptr(),
            args.len(),
            ptr::null_mut(),
        ))
        .map(drop)
    }
}

/// A task was made; before it is scheduled.
///
/// # Safety
/// The task lives. Only while the recorder or a listener to new tasks looks on.
#[cold]
pub unsafe fn created(task: TaskRef) -> Python<()> {
    // SAFETY: nothing is borrowed.
    unsafe {
        if recorder::is_on() {
            recorder::created(task);
        }
        tell(0, &[task.object()])
    }
}

/// A task has ended; `done` is what its step came to. That a listener asks it for its exception does not count as if the program had.
///
/// # Safety
/// The task lives.
#[cold]
pub unsafe fn ended(task: TaskRef, done: Python<()>) -> Python<()> {
    // SAFETY: nothing is borrowed while the function runs; the state of an ended task stays.
    unsafe {
        let raised = match done {
            Ok(()) => ptr::null_mut(),
            Err(Raised) => compat::take_raised(),
        };
        let unheard = task.future().cell().log_traceback;
        let told = tell(1, &[task.object()]);
        if unheard {
            task.future().cell().log_traceback = true;
        }
        if raised.is_null() {
            return told;
        }
        if told.is_err() {
            ffi::PyErr_Clear();
        }
        compat::set_raised(raised);
        Err(Raised)
    }
}

/// An item had its turn: was it slow?
///
/// # Safety
/// Both live, and no exception is set.
pub unsafe fn ran(loop_: Loop, item: &Owned, seconds: f64) -> Python<()> {
    // SAFETY: nothing is borrowed.
    unsafe {
        let limit = Owned::new(ffi::PyObject_GetAttr(
            loop_.object(),
            names().slow_callback_duration,
        ))?;
        let limit = ffi::PyFloat_AsDouble(limit.as_ptr());
        if limit == -1.0 && !ffi::PyErr_Occurred().is_null() {
            return Err(Raised);
        }
        if seconds < limit {
            return Ok(());
        }
        let seconds = Owned::new(ffi::PyFloat_FromDouble(seconds))?;
        tell(2, &[loop_.object(), item.as_ptr(), seconds.as_ptr()])
    }
}

/// A task factory made a task, perhaps a native one.
///
/// # Safety
/// Both live.
#[cold]
pub unsafe fn made(loop_: Loop, task: &Owned) -> Python<()> {
    // SAFETY: nothing is borrowed.
    unsafe { tell(3, &[loop_.object(), task.as_ptr()]) }
}
