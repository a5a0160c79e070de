//! Putting something on a future's loop: its agenda where the loop is native, `call_soon` where it is another.
//!
//! Called by callbacks and by tasks.

use super::cell::FutureRef;
use super::door::door;
use crate::ffi::{Python, Raised, args::raise, compat, names::names, owned::Owned};
use crate::handle;
use crate::native_loop::Loop;
use crate::ready::{Ready, What};
use crate::recorder;
use crate::task::cell::TaskRef;
use pyo3_ffi as ffi;
use std::ptr;

/// Puts a native item on the agenda, with the checks that `call_soon` makes.
///
/// # Safety
/// The loop lives. Takes over the item, also on failure.
#[inline]
pub unsafe fn push(loop_: Loop, ready: Ready) -> Python<()> {
    // SAFETY: the caller's contract; the borrow ends in the condition.
    unsafe {
        let parts = loop_.parts();
        if (parts.closed | parts.debug | recorder::is_on()) && check(loop_, &ready).is_err() {
            return Err(refused(ready));
        }
        loop_.schedule(ready);
    }
    Ok(())
}

#[cold]
unsafe fn refused(ready: Ready) -> Raised {
    // SAFETY: an exception is set, which a finalizer must not lose.
    unsafe {
        let raised = compat::take_raised();
        ready.release();
        compat::set_raised(raised);
    }
    Raised
}

#[cold]
#[inline(never)]
unsafe fn check(loop_: Loop, ready: &Ready) -> Python<()> {
    // SAFETY: the loop lives, and the item keeps its task alive.
    unsafe {
        if loop_.parts().closed {
            return Err(raise(ffi::PyExc_RuntimeError, "Event loop is closed"));
        }
        if recorder::is_on() && ready.what() == What::Task {
            recorder::ready(TaskRef::of(ready.object()));
        }
        if !loop_.parts().debug {
            return Ok(());
        }
        Owned::new(ffi::PyObject_CallMethodNoArgs(
            loop_.object(),
            names()._check_thread,
        ))
        .map(drop)
    }
}

/// `loop.call_soon(callable, [arg], context=context)`.
///
/// # Safety
/// All objects are live and stay so; `arg` may be NULL.
#[inline]
pub unsafe fn call(
    future: FutureRef,
    callable: *mut ffi::PyObject,
    arg: *mut ffi::PyObject,
    context: *mut ffi::PyObject,
) -> Python<()> {
    // SAFETY: the caller's contract; the borrow of the parts ends in the condition.
    unsafe {
        if let Some(loop_) = future.direct_loop() {
            let parts = loop_.parts();
            if !(parts.closed || parts.debug) {
                let args = [arg];
                return handle::call_soon(
                    loop_,
                    callable,
                    &args[..usize::from(!arg.is_null())],
                    context,
                );
            }
        }
        through_method(future.cell().loop_, callable, arg, context)
    }
}

unsafe fn through_method(
    loop_: *mut ffi::PyObject,
    callable: *mut ffi::PyObject,
    arg: *mut ffi::PyObject,
    context: *mut ffi::PyObject,
) -> Python<()> {
    // SAFETY: references are kept over the call, since it may re-initialise the future; the keyword's value follows the
    // positional arguments.
    unsafe {
        let loop_ = Owned::from_borrowed(loop_);
        let context = Owned::from_borrowed(context);
        let mut stack = [loop_.as_ptr(), callable, arg, context.as_ptr()];
        let count = if arg.is_null() {
            stack[2] = context.as_ptr();
            2
        } else {
            3
        };
        let handle = ffi::PyObject_VectorcallMethod(
            names().call_soon,
            stack.as_ptr(),
            count,
            door().context_keyword,
        );
        Owned::new(handle).map(drop)
    }
}

/// `asyncio.events.get_event_loop()`: for a future that is made without a loop.
pub fn current_loop() -> Python<Owned> {
    // SAFETY: the module lives; the name ends in NUL.
    unsafe {
        let get = Owned::new(ffi::PyObject_GetAttrString(
            door().events,
            c"get_event_loop".as_ptr(),
        ))?;
        Owned::new(ffi::PyObject_Vectorcall(
            get.as_ptr(),
            ptr::null(),
            0,
            ptr::null_mut(),
        ))
    }
}
