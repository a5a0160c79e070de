//! The native coroutine: what `sleep(…)`, `wait_for(…)`, `wait(…)` and the methods of `async with` return.
//!
//! A `Kind` says what a coroutine does; this room says what every coroutine is: created and perhaps never awaited, suspended,
//! finished. It is a `collections.abc.Coroutine` with send, throw and close, so `create_task`, `gather`, `iscoroutine` and `await`
//! take it for one; its body first runs when it is first sent to, as an `async def`'s does. What is native never sees: a
//! coroutine that meets what it does not know becomes asyncio's own (`become`), which then runs inside it.
//!
//! Invariants: `held` owns its references; a finished coroutine holds nothing; `running` is set while its kind's code runs, so that what
//! that code calls cannot come back in.
//! Limits: `inspect.iscoroutine` is False, since CPython asks for its own type; there is no frame, so tracebacks and
//! call graphs do not show a line of asyncio's (`inside`).

mod cell;
mod frame_state;
mod frameless;
mod inside;
mod methods;
pub mod shell;
mod spare;

pub use crate::ffi::sent::Sent;
pub use cell::{CoroRef, Kind};
pub use frame_state::no_frame;
pub use frameless::Frameless;
pub use methods::init;

use crate::ffi::{
    Python, Raised,
    args::{raise, raise_type_error},
    compat,
    depth::Deeper,
    gil::GilCell,
    names::names,
    owned::Owned,
    stop_iteration,
};
use cell::State;
use pyo3_ffi as ffi;
use std::ptr;

static TYPE: GilCell<*mut ffi::PyTypeObject> = GilCell::new(ptr::null_mut());

/// The type of every native coroutine.
#[inline]
pub fn kind() -> *mut ffi::PyTypeObject {
    // SAFETY: written once at import.
    unsafe { *TYPE.get() }
}

/// A coroutine that has not started, of this kind. Its fields are then filled by the caller.
///
/// # Safety
/// The GIL is held.
#[inline(always)]
pub unsafe fn new(kind: &'static Kind) -> Python<Owned> {
    // SAFETY: a spare one is the collector's already, and holds nothing.
    unsafe {
        if let Some(object) = spare::take() {
            cell::fill(object.as_ptr(), kind);
            CoroRef::of(object.as_ptr()).cell().reused = true;
            return Ok(object);
        }
        allocate(kind)
    }
}

#[cold]
unsafe fn allocate(kind: &'static Kind) -> Python<Owned> {
    // SAFETY: all fields are written before the collector sees it.
    unsafe {
        let object = ffi::PyObject_GC_New::<ffi::PyObject>(*TYPE.get());
        if object.is_null() {
            return Err(Raised);
        }
        cell::fill_fresh(object);
        cell::fill(object, kind);
        ffi::PyObject_GC_Track(object.cast());
        Ok(Owned::from_owned(object))
    }
}

/// Sends None to one that may be over at once.
///
/// # Safety
/// As for `drive`.
#[inline(always)]
unsafe fn advance(coro: CoroRef) -> Sent {
    // SAFETY: nobody's code runs before it is finished.
    unsafe {
        let cell = coro.cell();
        if cell.state == State::Created
            && let Some(at_once) = (*cell.kind).at_once
        {
            let result = at_once(coro.held(0));
            if !result.is_null() {
                cell.state = State::Finished;
                coro.clear_first();
                return Sent::Done(result);
            }
        }
        drive(coro, None)
    }
}

/// Sends None, or throws `exception`.
///
/// # Safety
/// The coroutine lives and is kept alive by the caller: by the frame or the task that sends to it.
pub unsafe fn drive(coro: CoroRef, exception: Option<Owned>) -> Sent {
    // SAFETY: no borrow of the fields lives while the kind's code runs.
    unsafe {
        let cell = coro.cell();
        if cell.running || cell.state == State::Finished {
            return cannot(coro);
        }
        if cell.state == State::Created
            && let Some(exception) = exception
        {
            // Nothing has run, so nothing can catch it.
            finish(coro);
            compat::set_raised(exception.into_ptr());
            return Sent::Raised;
        }
        cell.state = State::Suspended;
        cell.running = true;
        let resume = (*cell.kind).resume;
        let sent = if cell.delegates {
            forward(coro.held(0), exception)
        } else {
            resume(coro, exception)
        };
        coro.cell().running = false;
        match sent {
            Sent::Pending(_) if coro.cell().reused => rejuvenate(coro),
            Sent::Pending(_) => {}
            Sent::Done(_) => finish(coro),
            Sent::Raised => crate::errors::keeping_raised(|| finish(coro)),
        }
        sent
    }
}

#[cold]
unsafe fn cannot(coro: CoroRef) -> Sent {
    // SAFETY: both exception types are live.
    unsafe {
        if coro.cell().running {
            raise(ffi::PyExc_ValueError, "coroutine already executing");
        } else {
            raise(
                ffi::PyExc_RuntimeError,
                "cannot reuse already awaited coroutine",
            );
        }
    }
    Sent::Raised
}

/// It waits, so it may be part of a cycle from now on: the collector looks at it as at a new object, wherever it had put the old one.
unsafe fn rejuvenate(coro: CoroRef) {
    // SAFETY: a live coroutine is the collector's.
    unsafe {
        coro.cell().reused = false;
        ffi::PyObject_GC_UnTrack(coro.object().cast());
        ffi::PyObject_GC_Track(coro.object().cast());
    }
}

/// It is over: lets go of all that it held.
unsafe fn finish(coro: CoroRef) {
    // SAFETY: the caller keeps it alive.
    unsafe {
        coro.cell().state = State::Finished;
        coro.clear();
    }
}

/// Sends None to, or throws `exception` into, what is awaited inside: a coroutine or an iterator.
///
/// # Safety
/// The object lives.
#[inline]
pub unsafe fn forward(inner: *mut ffi::PyObject, exception: Option<Owned>) -> Sent {
    // SAFETY: it is kept alive over the call.
    unsafe {
        let inner = Owned::from_borrowed(inner);
        // One of Python's counts its own calls, a native one that holds another does not.
        let _deeper = if ffi::Py_TYPE(inner.as_ptr()) == kind() {
            match Deeper::enter() {
                Ok(deeper) => Some(deeper),
                Err(Raised) => return Sent::Raised,
            }
        } else {
            None
        };
        let Some(exception) = exception else {
            let mut result = ptr::null_mut();
            return match ffi::PyIter_Send(inner.as_ptr(), ffi::Py_None(), &mut result) {
                ffi::PySendResult::PYGEN_NEXT => Sent::Pending(result),
                ffi::PySendResult::PYGEN_RETURN => Sent::Done(result),
                ffi::PySendResult::PYGEN_ERROR => Sent::Raised,
            };
        };
        if ffi::PyErr_GivenExceptionMatches(exception.as_ptr(), ffi::PyExc_GeneratorExit) != 0 {
            return forward_close(&inner, exception);
        }
        let mut throw = ptr::null_mut();
        match ffi::compat::PyObject_GetOptionalAttr(inner.as_ptr(), names().throw, &mut throw) {
            -1 => return Sent::Raised,
            0 => {
                // A future that stands for its own iterator: nothing in it can catch.
                compat::set_raised(exception.into_ptr());
                return Sent::Raised;
            }
            _ => {}
        }
        let throw = Owned::from_owned(throw);
        let result = ffi::PyObject_CallOneArg(throw.as_ptr(), exception.as_ptr());
        drop(exception);
        if !result.is_null() {
            return Sent::Pending(result);
        }
        match stop_iteration::take_value() {
            value if value.is_null() => Sent::Raised,
            value => Sent::Done(value),
        }
    }
}

/// GeneratorExit closes what is awaited inside and then goes on, as in `yield from`.
#[cold]
unsafe fn forward_close(inner: &Owned, exception: Owned) -> Sent {
    // SAFETY: both live.
    unsafe {
        let mut close = ptr::null_mut();
        match ffi::compat::PyObject_GetOptionalAttr(inner.as_ptr(), names().close, &mut close) {
            -1 => return Sent::Raised,
            0 => {}
            _ => {
                let close = Owned::from_owned(close);
                if Owned::new(ffi::PyObject_CallNoArgs(close.as_ptr())).is_err() {
                    return Sent::Raised;
                }
            }
        }
        compat::set_raised(exception.into_ptr());
        Sent::Raised
    }
}

/// From now on it is `inner`, a coroutine of asyncio's own that has not started: starts it.
///
/// # Safety
/// Called by the kind's code, in its first step or where `inner` goes on from there.
#[cold]
pub unsafe fn become_(coro: CoroRef, inner: Python<Owned>) -> Sent {
    // SAFETY: the caller's contract.
    unsafe {
        let Ok(inner) = inner else {
            return Sent::Raised;
        };
        coro.clear();
        coro.hold(0, inner.into_ptr());
        coro.cell().delegates = true;
        forward(coro.held(0), None)
    }
}

/// Closes it: GeneratorExit where it is suspended.
///
/// # Safety
/// The coroutine lives and stays alive.
pub unsafe fn close(coro: CoroRef) -> Python<()> {
    // SAFETY: no borrow lives while other code runs.
    unsafe {
        match coro.cell().state {
            State::Finished => return Ok(()),
            State::Created => {
                finish(coro);
                return Ok(());
            }
            State::Suspended => {}
        }
        let exit = Owned::new(ffi::PyObject_CallNoArgs(ffi::PyExc_GeneratorExit))?;
        match drive(coro, Some(exit)) {
            Sent::Pending(object) => {
                drop(Owned::from_owned(object));
                Err(raise(
                    ffi::PyExc_RuntimeError,
                    "coroutine ignored GeneratorExit",
                ))
            }
            Sent::Done(object) => {
                drop(Owned::from_owned(object));
                Ok(())
            }
            Sent::Raised if ffi::PyErr_ExceptionMatches(ffi::PyExc_GeneratorExit) != 0 => {
                ffi::PyErr_Clear();
                Ok(())
            }
            Sent::Raised => Err(Raised),
        }
    }
}

/// Whether it waits, or runs.
///
/// # Safety
/// The coroutine lives.
#[inline]
pub unsafe fn is_suspended(coro: CoroRef) -> bool {
    // SAFETY: the caller's contract.
    unsafe { coro.cell().state == State::Suspended }
}

/// Whether nothing of it has run.
///
/// # Safety
/// The coroutine lives.
pub unsafe fn is_fresh(coro: CoroRef) -> bool {
    // SAFETY: the caller's contract.
    unsafe { coro.cell().state == State::Created }
}

/// `send(value)`'s rule: only None starts a coroutine.
#[inline]
unsafe fn check_sent(coro: CoroRef, value: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the coroutine lives.
    unsafe {
        if value != ffi::Py_None() && coro.cell().state == State::Created {
            return Err(raise_type_error(
                "can't send non-None value to a just-started coroutine",
            ));
        }
    }
    Ok(())
}
