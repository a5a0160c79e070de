//! How a call is driven: by the task that awaits it (`send`, `throw`, `close`) and by its socket's readiness (`on_ready`).
//!
//! Nothing is tried before the first `send`, as with a coroutine: a call that is never awaited takes no byte off the socket. While it
//! waits, the table of descriptors holds it; whoever resumes it takes it out first, so cancelling at any point leaves no watch behind
//! and loses no data: what was received is either in the future, or still in the socket.

use super::attempt::{self, Attempt, attempt};
use super::call::{Call, Progress};
use super::python_socket as plain;
use crate::errors;
use crate::ffi::{
    Python, Raised,
    args::{raise, raise_type_error},
    compat,
    names::names,
    owned::Owned,
    sent::Sent,
};
use crate::file_number::descriptor;
use crate::future::{self, cell::FutureRef, cell::State, layout::layout, outcome};
use crate::native_loop::descriptors::{Slot, Waiter};
use crate::native_loop::{
    Loop, check_open, check_process,
    exchange::{self, exchange},
    is_forked,
};
use crate::recorder;
use pyo3_ffi as ffi;
use std::ptr;

/// Marks the call as running while `body` does.
unsafe fn running<T>(call: Call, body: impl FnOnce() -> Python<T>) -> Python<T> {
    // SAFETY: the caller keeps the call alive.
    unsafe {
        call.fields().running = true;
        let done = body();
        call.fields().running = false;
        done
    }
}

#[inline]
unsafe fn check_not_running(call: Call) -> Python<()> {
    // SAFETY: the call lives.
    unsafe {
        if call.fields().running {
            return Err(raise(ffi::PyExc_ValueError, "coroutine already executing"));
        }
    }
    Ok(())
}

#[cold]
fn reused() -> Raised {
    // SAFETY: RuntimeError is live.
    unsafe {
        raise(
            ffi::PyExc_RuntimeError,
            "cannot reuse already awaited coroutine",
        )
    }
}

/// Begins or resumes the call.
///
/// # Safety
/// The call is kept alive by the caller.
#[inline]
pub unsafe fn send(call: Call, value: *mut ffi::PyObject) -> Sent {
    // SAFETY: the caller's contract; each borrow ends before Python code runs.
    unsafe {
        if let Err(Raised) = check_not_running(call) {
            return Sent::Raised;
        }
        match call.fields().progress {
            Progress::Over => {
                let Raised = reused();
                Sent::Raised
            }
            Progress::Waiting => resume(call),
            Progress::Fresh => {
                if value != ffi::Py_None() {
                    let Raised =
                        raise_type_error("can't send non-None value to a just-started coroutine");
                    return Sent::Raised;
                }
                begin(call)
            }
        }
    }
}

unsafe fn begin(call: Call) -> Sent {
    // SAFETY: as in `send`.
    unsafe {
        let tried = running(call, || {
            attempt::check(call)?;
            match attempt(call)? {
                Attempt::Done(value) => Ok(Sent::Done(value.into_ptr())),
                Attempt::NotReady => Ok(pending(wait(call)?)),
            }
        });
        match tried {
            Ok(Sent::Done(value)) => {
                call.fields().progress = Progress::Over;
                call.release();
                Sent::Done(value)
            }
            Ok(waits) => waits,
            Err(Raised) => {
                errors::keeping_raised(|| end(call));
                Sent::Raised
            }
        }
    }
}

/// Gives the future to the task, as `await future` does.
unsafe fn pending(future: Owned) -> Sent {
    // SAFETY: the future is kept alive; its type is exactly the native one, since `wait` made it.
    unsafe {
        let cell = FutureRef::at(future.as_ptr(), layout().future_cell).cell();
        if std::mem::replace(&mut cell.blocking, true) {
            raise(ffi::PyExc_RuntimeError, "await wasn't used with future");
            return Sent::Raised;
        }
    }
    Sent::Pending(future.into_ptr())
}

unsafe fn resume(call: Call) -> Sent {
    // SAFETY: the future is kept alive over its outcome.
    unsafe {
        let future = Owned::from_borrowed(call.fields().future);
        let native = FutureRef::at(future.as_ptr(), layout().future_cell);
        if native.cell().state == State::Pending {
            return pending(future);
        }
        end(call);
        match outcome::result(native) {
            value if value.is_null() => Sent::Raised,
            value => Sent::Done(value),
        }
    }
}

/// Has the loop watch the socket; the future that will be done. The order of the checks is asyncio's.
unsafe fn wait(call: Call) -> Python<Owned> {
    // SAFETY: as in `send`; the call cannot be resumed meanwhile, since it is running.
    unsafe {
        let loop_ = call.event_loop();
        let fields = call.fields();
        let future = Owned::new(future::new_for(loop_, fields.kind.purpose()))?;
        let fd = if fields.plain {
            plain::descriptor(fields.sock)?
        } else {
            descriptor(fields.sock)?
        };
        check_free(loop_, fd)?;
        check_open(loop_)?;
        check_process(loop_)?;
        if fd < 0 {
            return Err(raise(
                ffi::PyExc_ValueError,
                &format!("Invalid file descriptor: {fd}"),
            ));
        }
        let fields = call.fields();
        fields.fd = fd;
        fields.progress = Progress::Waiting;
        fields.future = future.clone().into_ptr();
        watch(call)?;
        recorder::waits_for_socket(future.as_ptr(), fd);
        Ok(future)
    }
}

/// Fails where a transport uses the descriptor. Where only calls ever waited for it, the table says so; else asyncio's own check looks.
unsafe fn check_free(loop_: Loop, fd: i32) -> Python<()> {
    // SAFETY: the loop lives; the borrow ends before Python code runs.
    unsafe {
        if let Some(Slot::Handles { pair, interest }) = loop_.parts().descriptors.get(fd)
            && interest.contains(rondeau_driver::Interest::ONCE)
            && [pair.reader, pair.writer]
                .iter()
                .all(|waiter| !waiter.waits() || waiter.is_call)
        {
            return Ok(());
        }
        let number = Owned::new(ffi::PyLong_FromLong(fd.into()))?;
        let args = [loop_.object(), number.as_ptr()];
        Owned::new(ffi::PyObject_VectorcallMethod(
            names()._ensure_fd_no_transport,
            args.as_ptr(),
            2,
            ptr::null_mut(),
        ))
        .map(drop)
    }
}

/// Puts the call into the table. Who waited there before is cancelled, as by `add_reader`.
unsafe fn watch(call: Call) -> Python<()> {
    // SAFETY: the caller keeps the call alive; the table takes a reference of its own.
    unsafe {
        let (loop_, fd, write) = (
            call.event_loop(),
            call.fields().fd,
            call.fields().kind.writes(),
        );
        match exchange(loop_, fd, write, Waiter::call(call.object())) {
            Ok(gone) => {
                drop(gone.file);
                let held = [gone.old, gone.stale].map(|waiter| {
                    let object = waiter.waits().then(|| Owned::from_owned(waiter.object));
                    object.map(|object| (object, waiter.is_call))
                });
                for (object, is_call) in held.into_iter().flatten() {
                    if !is_call {
                        crate::handle::cancel(object.as_ptr())?;
                    }
                }
                Ok(())
            }
            Err(error) => Err(exchange::refused(loop_, fd, &error)),
        }
    }
}

/// Takes the call out of the table, if it is still there.
unsafe fn unwatch(call: Call) {
    // SAFETY: the caller keeps the call alive, so the table's reference is not the last.
    unsafe {
        let fields = call.fields();
        if fields.loop_.is_null() || fields.progress != Progress::Waiting {
            return;
        }
        let loop_ = call.event_loop();
        let (fd, write) = (fields.fd, fields.kind.writes());
        let Some(Slot::Handles { pair, .. }) = loop_.parts().descriptors.get(fd) else {
            return;
        };
        if pair.side(write).object == call.object()
            && let Ok(gone) = exchange(loop_, fd, write, Waiter::NOBODY)
        {
            ffi::Py_XDECREF(gone.old.object);
        }
    }
}

/// The end, whichever way: no watch is left, and nothing is held.
unsafe fn end(call: Call) {
    // SAFETY: the caller keeps the call alive.
    unsafe {
        unwatch(call);
        call.fields().progress = Progress::Over;
        call.release();
    }
}

/// `throw`: the exception comes out of the await, whether it waited or never began.
///
/// # Safety
/// The call and the exception are kept alive by the caller.
pub unsafe fn throw(call: Call, exception: Owned) -> Raised {
    // SAFETY: the caller's contract.
    unsafe {
        if let Err(raised) = check_not_running(call) {
            return raised;
        }
        if call.fields().progress == Progress::Over {
            return reused();
        }
        end(call);
        compat::set_raised(exception.into_ptr());
        Raised
    }
}

/// `close`: it never goes on.
///
/// # Safety
/// The call is kept alive by the caller.
pub unsafe fn close(call: Call) -> Python<()> {
    // SAFETY: the caller's contract.
    unsafe {
        check_not_running(call)?;
        end(call);
        Ok(())
    }
}

/// Gives the call its turn: its socket is ready. Err only for what must leave the loop.
///
/// # Safety
/// `object` is a live call that the caller keeps alive.
pub unsafe fn on_ready(loop_: Loop, object: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the future is kept alive; each borrow ends before Python code runs.
    unsafe {
        let call = Call::from_object(object);
        if call.fields().progress != Progress::Waiting || call.fields().running || is_forked(loop_)
        {
            return Ok(());
        }
        let future = Owned::from_borrowed(call.fields().future);
        let native = FutureRef::at(future.as_ptr(), layout().future_cell);
        // Cancelled since: its task will resume it, and the data stays where it is.
        if native.cell().state != State::Pending {
            return Ok(());
        }
        let done = match running(call, || attempt(call)) {
            Ok(Attempt::NotReady) if native.cell().state == State::Pending => watch(call),
            Ok(Attempt::NotReady) => Ok(()),
            Ok(Attempt::Done(value)) => {
                unwatch(call);
                if native.cell().state == State::Pending {
                    outcome::set_result(native, value.as_ptr())
                } else {
                    Ok(())
                }
            }
            Err(Raised) => Err(Raised),
        };
        if done.is_ok() || errors::leaves_the_loop() {
            return done;
        }
        let exception = Owned::new(compat::take_raised())?;
        unwatch(call);
        if native.cell().state == State::Pending {
            return outcome::set_exception(native, exception.as_ptr());
        }
        Ok(())
    }
}
