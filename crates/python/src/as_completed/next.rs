//! The coroutine that waits for the next future to be done: what a plain iteration yields, and what `__anext__` returns.
//!
//! Made by `iterator.rs`. It awaits the `get` of the iterator's queue, so that order, fairness and cancellation are a queue's, as in asyncio.

use super::iterator::IteratorRef;
use crate::coroutine::{self, CoroRef, Kind, Sent};
use crate::ffi::{Python, Raised, compat, owned::Owned};
use crate::future::cell::FutureRef;
use crate::future::layout::layout;
use crate::future::outcome;
use crate::sync::done_queue;
use pyo3_ffi as ffi;

/// `held`: the iterator, and the queue's `get`.
const ITERATOR: usize = 0;
const GET: usize = 1;

static RESULT: Kind = Kind::new(
    c"_wait_for_one",
    if compat::AS_COMPLETED_IS_A_GENERATOR {
        c"as_completed.<locals>._wait_for_one"
    } else {
        c"_AsCompletedIterator._wait_for_one"
    },
    resume_result,
);
static FUTURE: Kind = Kind::new(
    c"__anext__",
    c"_AsCompletedIterator.__anext__",
    resume_future,
);

/// A coroutine that returns or raises what the next future ends with; it is counted already.
///
/// # Safety
/// The iterator lives.
pub unsafe fn result(iterator: IteratorRef) -> Python<Owned> {
    // SAFETY: the caller's contract.
    unsafe { new(iterator, &RESULT) }
}

/// A coroutine that returns the next future itself.
///
/// # Safety
/// The iterator lives.
pub unsafe fn future(iterator: IteratorRef) -> Python<Owned> {
    // SAFETY: the caller's contract.
    unsafe { new(iterator, &FUTURE) }
}

unsafe fn new(iterator: IteratorRef, kind: &'static Kind) -> Python<Owned> {
    // SAFETY: a fresh coroutine takes a reference.
    unsafe {
        let made = coroutine::new(kind)?;
        let object = Owned::from_borrowed(iterator.object());
        CoroRef::of(made.as_ptr()).hold(ITERATOR, object.into_ptr());
        Ok(made)
    }
}

unsafe fn resume_result(coro: CoroRef, exception: Option<Owned>) -> Sent {
    // SAFETY: called by `drive`.
    unsafe {
        match got(coro, exception) {
            Ok(Sent::Done(future)) => {
                let future = Owned::from_owned(future);
                let offset = layout().exact_offset(future.as_ptr());
                let result = outcome::result(FutureRef::at(future.as_ptr(), offset));
                if result.is_null() {
                    Sent::Raised
                } else {
                    Sent::Done(result)
                }
            }
            other => other.unwrap_or(Sent::Raised),
        }
    }
}

unsafe fn resume_future(coro: CoroRef, exception: Option<Owned>) -> Sent {
    // SAFETY: called by `drive`; the iterator is kept alive by the coroutine.
    unsafe {
        if coro.cell().phase == 0 && !IteratorRef::from_object(coro.held(ITERATOR)).count_one() {
            ffi::PyErr_SetNone(ffi::PyExc_StopAsyncIteration);
            return Sent::Raised;
        }
        got(coro, exception).unwrap_or(Sent::Raised)
    }
}

/// The next future, once the queue has it.
unsafe fn got(coro: CoroRef, exception: Option<Owned>) -> Python<Sent> {
    // SAFETY: called by `drive`; the iterator is kept alive by the coroutine.
    unsafe {
        let iterator = IteratorRef::from_object(coro.held(ITERATOR));
        if coro.cell().phase == 0 {
            coro.cell().phase = 1;
            coro.hold(GET, done_queue::get(iterator.queue()?)?.into_ptr());
        }
        match coroutine::forward(coro.held(GET), exception) {
            Sent::Done(future) if future == ffi::Py_None() => {
                drop(Owned::from_owned(future));
                // asyncio's TimeoutError is the builtin one.
                ffi::PyErr_SetNone(ffi::PyExc_TimeoutError);
                Err(Raised)
            }
            Sent::Raised => {
                if compat::AS_COMPLETED_COUNTS_BACK {
                    iterator.count_back();
                }
                Err(Raised)
            }
            other => Ok(other),
        }
    }
}
