//! How a read or a drain waits: the `resume` of every coroutine here.
//!
//! Called by `coroutine::drive`. A kind gives one function, its step, which says what comes next: a value, an exception, a turn of
//! the loop, or something to await. A native future is waited for straight, with no iterator between; anything else through the
//! iterator that `await` would use.
//!
//! With the data at hand the first resumption is the last one: no frame, no future, no exception object for None.

use crate::coroutine::{CoroRef, Sent, forward};
use crate::ffi::{Python, Raised, args::raise, compat, owned::Owned};
use crate::future::cell::State;
use crate::future::layout::layout;
use crate::future::outcome;
use pyo3_ffi as ffi;
use std::ptr;

/// `held` of every kind here: the reader or the writer.
pub const SUBJECT: usize = 0;
/// The separator; the waiter of a drain.
pub const ARGUMENT: usize = 1;
/// What it waits for.
const AWAITED: usize = 2;
/// What `read(-1)` has so far.
pub const GATHERED: usize = 3;

/// `count`, while it is suspended: what it waits for.
const NOT_STARTED: u32 = 0;
const A_TURN: u32 = 1;
const A_FUTURE: u32 = 2;
const AN_ITERATOR: u32 = 3;

/// What a step is told.
pub enum From {
    /// It is the first.
    Start,
    /// What was awaited is there.
    Value,
    /// What was awaited raised: the exception is set.
    Exception,
}

/// What a step says.
pub enum Step {
    /// It returns this.
    Done(Owned),
    /// It gives way for one turn of the loop.
    Yield,
    /// It waits for this.
    Await(Owned),
}

/// A kind's step. Err: it raises.
pub type Steps = unsafe fn(CoroRef, From) -> Python<Step>;

/// `kind!(NAME, name, qualname, step)`: a kind of coroutine that this file resumes.
macro_rules! kind {
    ($kind:ident, $name:literal, $qualname:literal, $step:path) => {
        static $kind: $crate::coroutine::Kind = $crate::coroutine::Kind::new($name, $qualname, {
            unsafe fn resume(
                coro: $crate::coroutine::CoroRef,
                exception: Option<$crate::ffi::owned::Owned>,
            ) -> $crate::coroutine::Sent {
                // SAFETY: called by `drive`, which keeps the coroutine alive.
                unsafe { $crate::streams::waiting::resume(coro, exception, $step) }
            }
            resume
        });
    };
}
pub(super) use kind;

/// Resumes a coroutine whose kind has this step.
///
/// # Safety
/// Called by `drive`, which keeps the coroutine alive.
#[inline]
pub unsafe fn resume(coro: CoroRef, exception: Option<Owned>, step: Steps) -> Sent {
    // SAFETY: each borrow of the fields ends before Python code runs.
    unsafe {
        let mut from = if coro.cell().count == NOT_STARTED {
            From::Start
        } else {
            match go_on(coro, exception) {
                Ok(from) => from,
                Err(yielded) => return Sent::Pending(yielded),
            }
        };
        loop {
            match step(coro, from) {
                Ok(Step::Done(value)) => return Sent::Done(value.into_ptr()),
                Ok(Step::Yield) => {
                    coro.cell().count = A_TURN;
                    return Sent::Pending(Owned::from_borrowed(ffi::Py_None()).into_ptr());
                }
                Ok(Step::Await(awaitable)) => match begin(coro, awaitable) {
                    Ok(next) => from = next,
                    Err(yielded) => return Sent::Pending(yielded),
                },
                Err(Raised) => return failed(),
            }
        }
    }
}

/// A StopIteration cannot leave a coroutine.
#[cold]
unsafe fn failed() -> Sent {
    // SAFETY: the exceptions are ours once taken.
    unsafe {
        if ffi::PyErr_ExceptionMatches(ffi::PyExc_StopIteration) != 0 {
            let cause = Owned::from_owned(compat::take_raised());
            raise(ffi::PyExc_RuntimeError, "coroutine raised StopIteration");
            let error = compat::take_raised();
            if !error.is_null() {
                ffi::PyException_SetCause(error, cause.clone().into_ptr());
                ffi::PyException_SetContext(error, cause.into_ptr());
                compat::set_raised(error);
            }
        }
        Sent::Raised
    }
}

/// Begins to wait: Err is what is yielded, Ok that there is nothing to wait for.
#[inline]
unsafe fn begin(coro: CoroRef, awaitable: Owned) -> Result<From, *mut ffi::PyObject> {
    // SAFETY: what is awaited is stored before Python code can run.
    unsafe {
        if let Some(future) = layout().exact(awaitable.as_ptr()) {
            let cell = future.cell();
            if cell.state != State::Pending {
                return Ok(outcome_of(&awaitable));
            }
            cell.blocking = true;
            let yielded = awaitable.clone().into_ptr();
            coro.hold(AWAITED, awaitable.into_ptr());
            coro.cell().count = A_FUTURE;
            return Err(yielded);
        }
        match iterator(&awaitable) {
            Ok(iterator) => {
                coro.hold(AWAITED, iterator.into_ptr());
                coro.cell().count = AN_ITERATOR;
                go_on(coro, None)
            }
            Err(Raised) => Ok(From::Exception),
        }
    }
}

/// What a native future that is done gives; its value does not matter here.
unsafe fn outcome_of(future: &Owned) -> From {
    // SAFETY: the type is checked before the layout is relied on.
    unsafe {
        let value = match layout().exact(future.as_ptr()) {
            Some(native) => outcome::result(native),
            None => ptr::null_mut(),
        };
        if value.is_null() {
            return From::Exception;
        }
        ffi::Py_DECREF(value);
        From::Value
    }
}

/// Goes on after a wait: Ok is what came of it, Err what is yielded again.
#[inline]
unsafe fn go_on(coro: CoroRef, exception: Option<Owned>) -> Result<From, *mut ffi::PyObject> {
    // SAFETY: what is awaited is kept alive over the calls.
    unsafe {
        let waits = coro.cell().count;
        if waits == AN_ITERATOR {
            return match forward(coro.held(AWAITED), exception) {
                Sent::Pending(yielded) => Err(yielded),
                Sent::Done(value) => {
                    ffi::Py_DECREF(value);
                    coro.hold(AWAITED, ptr::null_mut());
                    Ok(From::Value)
                }
                Sent::Raised => {
                    crate::errors::keeping_raised(|| coro.hold(AWAITED, ptr::null_mut()));
                    Ok(From::Exception)
                }
            };
        }
        let from = match exception {
            Some(exception) => {
                coro.hold(AWAITED, ptr::null_mut());
                compat::set_raised(exception.into_ptr());
                From::Exception
            }
            None if waits == A_FUTURE => {
                let future = Owned::from_borrowed(coro.held(AWAITED));
                coro.hold(AWAITED, ptr::null_mut());
                match layout().exact(future.as_ptr()) {
                    Some(native) if native.cell().state == State::Pending => {
                        raise(ffi::PyExc_RuntimeError, "await wasn't used with future");
                        From::Exception
                    }
                    _ => outcome_of(&future),
                }
            }
            None => From::Value,
        };
        Ok(from)
    }
}

/// What `await awaitable` iterates over.
unsafe fn iterator(awaitable: &Owned) -> Python<Owned> {
    // SAFETY: the type's slots take an instance of it; one %U, one str.
    unsafe {
        let object = awaitable.as_ptr();
        if ffi::PyCoro_CheckExact(object) != 0 {
            return Ok(awaitable.clone());
        }
        let methods = (*ffi::Py_TYPE(object)).tp_as_async;
        if !methods.is_null()
            && let Some(am_await) = (*methods).am_await
        {
            return Owned::new(am_await(object));
        }
        let kind = Owned::new(ffi::PyType_GetName(ffi::Py_TYPE(object)))?;
        ffi::PyErr_Format(
            ffi::PyExc_TypeError,
            compat::NO_AWAITABLE.as_ptr(),
            kind.as_ptr(),
        );
        Err(Raised)
    }
}
