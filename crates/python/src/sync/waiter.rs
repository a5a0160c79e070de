//! What waits inside a primitive: an `asyncio.Future`, native where the loop is, else whatever the loop makes.
//!
//! Called by every primitive. A native one is asked and ended directly, without a call; any other (asyncio's own code on the same
//! object, on another loop, put it there) through its methods.

use super::deque;
use super::primitive::Primitive;
use crate::coroutine::{CoroRef, Sent};
use crate::ffi::{Python, Raised, args::raise, compat, names::names, owned::Owned};
use crate::future::cell::{FutureRef, State};
use crate::future::door::door;
use crate::future::layout::layout;
use crate::future::{self, Purpose, outcome};
use crate::running;
use pyo3_ffi as ffi;
use std::ptr;

/// Where a native coroutine keeps its waiter.
pub const WAITER: usize = 1;

/// Whether it is done.
///
/// # Safety
/// The waiter lives.
#[inline]
pub unsafe fn done(waiter: *mut ffi::PyObject) -> Python<bool> {
    // SAFETY: the caller's contract.
    unsafe {
        match layout().exact(waiter) {
            Some(future) => Ok(future.cell().state != State::Pending),
            None => truth(waiter, names().done),
        }
    }
}

/// Whether it was cancelled.
///
/// # Safety
/// The waiter lives.
#[inline]
pub unsafe fn cancelled(waiter: *mut ffi::PyObject) -> Python<bool> {
    // SAFETY: the caller's contract.
    unsafe {
        match layout().exact(waiter) {
            Some(future) => Ok(future.cell().state == State::Cancelled),
            None => truth(waiter, names().cancelled),
        }
    }
}

/// `cancel()`, of one that may be done.
///
/// # Safety
/// The waiter lives.
#[cold]
pub unsafe fn cancel(waiter: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the caller's contract.
    unsafe {
        match layout().exact(waiter) {
            Some(future) => outcome::cancel(future, ptr::null_mut()).map(drop),
            None => Owned::new(ffi::PyObject_CallMethodNoArgs(waiter, names().cancel)).map(drop),
        }
    }
}

#[cold]
unsafe fn truth(object: *mut ffi::PyObject, method: *mut ffi::PyObject) -> Python<bool> {
    // SAFETY: the caller's contract.
    unsafe {
        let answer = Owned::new(ffi::PyObject_CallMethodNoArgs(object, method))?;
        match ffi::PyObject_IsTrue(answer.as_ptr()) {
            -1 => Err(Raised),
            truth => Ok(truth == 1),
        }
    }
}

/// Ends it with `result`, which wakes its task; it is not done.
///
/// # Safety
/// Both live and stay alive.
#[inline]
pub unsafe fn wake(waiter: *mut ffi::PyObject, result: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the caller's contract.
    unsafe {
        match layout().exact(waiter) {
            Some(future) => outcome::set_result(future, result),
            None => Owned::new(ffi::PyObject_CallMethodOneArg(
                waiter,
                names().set_result,
                result,
            ))
            .map(drop),
        }
    }
}

/// A fresh waiter on the running loop, to which `primitive` is bound from now on. None where the loop is not a plain native one,
/// or not the one that it is bound to: then asyncio's own code has to say what happens.
///
/// # Safety
/// The primitive lives.
#[inline]
pub unsafe fn new(primitive: Primitive, purpose: Purpose) -> Python<Option<Owned>> {
    // SAFETY: the caller's contract; the field's borrow ends before Python code can run.
    unsafe {
        let Some(plain) = running::native() else {
            return Ok(None);
        };
        let cell = primitive.cell();
        if cell.loop_.is_null() {
            cell.loop_ = Owned::from_borrowed(plain.loop_.object()).into_ptr();
        } else if cell.loop_ != plain.loop_.object() {
            return Ok(None);
        }
        Owned::new(future::new_for(plain.loop_, purpose)).map(Some)
    }
}

/// Has `coro` wait for a fresh waiter.
///
/// # Safety
/// Called by the kind's code; `waiter` is one that `new` made.
#[inline]
pub unsafe fn suspend(coro: CoroRef, waiter: Owned) -> Sent {
    // SAFETY: the caller's contract.
    unsafe {
        FutureRef::at(waiter.as_ptr(), layout().future_cell)
            .cell()
            .blocking = true;
        coro.hold(WAITER, waiter.clone().into_ptr());
        coro.cell().phase = 1;
        Sent::Pending(waiter.into_ptr())
    }
}

/// What waiting came to.
pub enum Woken {
    /// The waiter has its result.
    Ready,
    /// This was thrown, or is the waiter's exception.
    Thrown(Owned),
    /// It is not done: whoever went on has to wait again.
    Early(Sent),
}

/// Goes on after `suspend`, as `await waiter` does.
///
/// # Safety
/// Called by the kind's code; the waiter is the one that it was suspended with, kept alive by the caller.
#[inline]
pub unsafe fn woken(waiter: *mut ffi::PyObject, exception: Option<Owned>) -> Woken {
    // SAFETY: the caller's contract.
    unsafe {
        if let Some(exception) = exception {
            return Woken::Thrown(exception);
        }
        let future = FutureRef::at(waiter, layout().future_cell);
        let cell = future.cell();
        if cell.state == State::Finished && !cell.failed {
            return Woken::Ready;
        }
        if cell.state == State::Pending {
            if cell.blocking {
                raise(ffi::PyExc_RuntimeError, "await wasn't used with future");
                return Woken::Thrown(Owned::from_owned(compat::take_raised()));
            }
            cell.blocking = true;
            return Woken::Early(Sent::Pending(Owned::from_borrowed(waiter).into_ptr()));
        }
        let given = outcome::result(future);
        debug_assert!(given.is_null());
        Woken::Thrown(Owned::from_owned(compat::take_raised()))
    }
}

/// Raises what was thrown again.
///
/// # Safety
/// An exception object.
#[cold]
pub unsafe fn raise_again(exception: Owned) -> Sent {
    // SAFETY: the caller's contract.
    unsafe { compat::set_raised(exception.into_ptr()) };
    Sent::Raised
}

/// Whether every waiter was cancelled.
///
/// # Safety
/// The primitive lives.
#[inline]
pub unsafe fn all_cancelled(this: Primitive) -> Python<bool> {
    // SAFETY: the deque is kept alive; its length is asked anew after each question, which may be Python code's to answer.
    unsafe {
        let Some(waiters) = this.waiters(0) else {
            return Ok(true);
        };
        let mut index = 0;
        while index < deque::len(waiters.as_ptr()) {
            let waiting = deque::at(waiters.as_ptr(), index)?;
            if !cancelled(waiting.as_ptr())? {
                return Ok(false);
            }
            index += 1;
        }
        Ok(true)
    }
}

/// `self._waiters.remove(fut)`.
///
/// # Safety
/// All live.
#[inline]
pub unsafe fn leave(this: Primitive, waited: &Owned) -> Python<()> {
    // SAFETY: the caller's contract.
    unsafe {
        let waiters = this.deque(0)?;
        if deque::is_exact(waiters.as_ptr()) {
            return deque::remove(waiters.as_ptr(), waited.as_ptr());
        }
        let name = c"remove";
        let method = Owned::new(ffi::PyObject_GetAttrString(waiters.as_ptr(), name.as_ptr()))?;
        Owned::new(ffi::PyObject_CallOneArg(method.as_ptr(), waited.as_ptr())).map(drop)
    }
}

/// Whether it is a CancelledError.
///
/// # Safety
/// An exception object.
#[cold]
pub unsafe fn is_cancelled_error(exception: &Owned) -> bool {
    // SAFETY: the caller's contract.
    unsafe { ffi::PyErr_GivenExceptionMatches(exception.as_ptr(), door().cancelled_error) != 0 }
}
