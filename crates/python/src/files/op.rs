//! One operation: what it holds and its life.
//!
//! ```text
//! Fresh ── begin ──► Queued ──► Flying ── the completion ──► Landed ── its waiter ──► Over
//!                       └──────────┴── cancelled: Over at once; what the kernel has stays held until it lands
//! ```
//!
//! Nothing is done before the first `send` (or `start()`), as with a coroutine. An operation that was started by `start()` is kept: a waiter
//! that is cancelled leaves it alone, and it can be awaited again. That is how a file's position stays defined.
//!
//! Invariants: while the kernel has it, the loop's table has a reference to it and `id` is its number there; `request` and `target` stay until then, since the kernel may use them.

use super::land;
use super::request::Request;
use crate::ffi::{
    Python, Raised,
    args::{raise, raise_type_error},
    compat,
    instance::Instance,
    owned::Owned,
    sent::Sent,
};
use crate::future::{
    self, Purpose,
    cell::{FutureRef, State},
    layout::layout,
};
use crate::native_loop::{Loop, check_open, check_process, loop_type};
use crate::running;
use pyo3_ffi as ffi;
use rondeau_driver::OpId;
use std::ffi::CStr;
use std::ptr;

/// Where it is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    Fresh,
    Queued,
    Flying,
    Landed,
    Over,
}

/// An instance: CPython's header, then ours.
#[repr(C)]
pub struct OpObject {
    ob_base: ffi::PyObject,
    /// Weak references to it begin here.
    pub weak: *mut ffi::PyObject,
    pub fields: Fields,
}

/// References are strong, NULL where there is none. Their order puts `frame_state` where `shell` wants it.
#[repr(C)]
pub struct Fields {
    /// The bytes object that the kernel fills.
    pub target: *mut ffi::PyObject,
    /// The open file, whose lane it waits in.
    pub owner: *mut ffi::PyObject,
    pub loop_: *mut ffi::PyObject,
    /// What its waiter waits for.
    pub future: *mut ffi::PyObject,
    /// What it gave: a value, or an exception.
    pub outcome: *mut ffi::PyObject,
    pub progress: Progress,
    pub failed: bool,
    /// It was started by `start()`.
    pub kept: bool,
    /// What a reader in another process takes for a generator's: that there is no frame.
    pub frame_state: u8,
    /// For the OSError.
    pub paths: [*mut ffi::PyObject; 2],
    pub name: &'static CStr,
    /// Bytes written so far.
    pub done: usize,
    pub id: Option<OpId>,
    pub request: Option<Request>,
}

/// A live operation, borrowed.
pub type Operation = Instance<OpObject>;

impl Operation {
    /// The fields, to read or write.
    ///
    /// # Safety
    /// The GIL is held and the borrow ends before Python code can run.
    #[inline]
    pub unsafe fn fields<'a>(self) -> &'a mut Fields {
        // SAFETY: the caller's contract.
        unsafe { &mut self.get().fields }
    }

    /// Begins it: with the kernel at the end of the turn, or in its lane.
    ///
    /// # Safety
    /// It is fresh and kept alive by the caller.
    pub unsafe fn begin(self) -> Python<()> {
        // SAFETY: the running loop is kept alive by the reference; borrows end before Python code runs.
        unsafe {
            let Some(running) = running::object()? else {
                return Err(raise(ffi::PyExc_RuntimeError, "no running event loop"));
            };
            if ffi::PyObject_TypeCheck(running.as_ptr(), loop_type()) == 0 {
                return Err(raise(
                    ffi::PyExc_RuntimeError,
                    "this works on rondeau's event loop only: rondeau.run(...), or loop_factory=rondeau.new_event_loop",
                ));
            }
            let loop_ = Loop::from_object(running.as_ptr());
            check_open(loop_)?;
            check_process(loop_)?;
            let fields = self.fields();
            fields.loop_ = running.into_ptr();
            let large = fields.request.as_ref().is_some_and(Request::is_large_read);
            if loop_.parts().files.has_room(large) {
                return submit(loop_, self);
            }
            fields.progress = Progress::Queued;
            let key = fields.owner as usize;
            ffi::Py_INCREF(self.object());
            loop_.parts().files.queue(key, self.object(), large);
        }
        Ok(())
    }

    /// `send(None)`.
    ///
    /// # Safety
    /// Kept alive by the caller.
    #[inline]
    pub unsafe fn send(self, value: *mut ffi::PyObject) -> Sent {
        // SAFETY: as in `begin`.
        unsafe {
            match self.fields().progress {
                Progress::Fresh => {
                    if value != ffi::Py_None() {
                        let Raised = raise_type_error(
                            "can't send non-None value to a just-started coroutine",
                        );
                        return Sent::Raised;
                    }
                    if let Err(Raised) = self.begin() {
                        crate::errors::keeping_raised(|| self.end());
                        return Sent::Raised;
                    }
                    if self.fields().progress == Progress::Landed {
                        return self.give();
                    }
                    self.wait()
                }
                Progress::Queued | Progress::Flying => self.wait(),
                Progress::Landed => self.give(),
                Progress::Over => {
                    let Raised = reused();
                    Sent::Raised
                }
            }
        }
    }

    /// The future that its waiter waits for.
    unsafe fn wait(self) -> Sent {
        // SAFETY: the loop is held since the beginning; the old future is released with no borrow alive.
        unsafe {
            let fields = self.fields();
            if !fields.future.is_null() {
                let known = FutureRef::at(fields.future, layout().future_cell);
                if known.cell().state == State::Pending {
                    if std::mem::replace(&mut known.cell().blocking, true) {
                        raise(ffi::PyExc_RuntimeError, "await wasn't used with future");
                        return Sent::Raised;
                    }
                    return Sent::Pending(Owned::from_borrowed(fields.future).into_ptr());
                }
            }
            let loop_ = Loop::from_object(fields.loop_);
            let Ok(future) = Owned::new(future::new_for(loop_, Purpose::File)) else {
                return Sent::Raised;
            };
            FutureRef::at(future.as_ptr(), layout().future_cell)
                .cell()
                .blocking = true;
            let old = std::mem::replace(&mut self.fields().future, future.clone().into_ptr());
            ffi::Py_XDECREF(old);
            Sent::Pending(future.into_ptr())
        }
    }

    /// Gives what it came to.
    unsafe fn give(self) -> Sent {
        // SAFETY: the outcome is ours; what is released runs no code that could see it half-way.
        unsafe {
            let fields = self.fields();
            let outcome = std::mem::replace(&mut fields.outcome, ptr::null_mut());
            let failed = fields.failed;
            self.end();
            if failed {
                compat::set_raised(outcome);
                return Sent::Raised;
            }
            Sent::Done(outcome)
        }
    }

    /// `throw`: the exception comes out of the await.
    ///
    /// # Safety
    /// Both live and are kept alive by the caller.
    pub unsafe fn throw(self, exception: Owned) -> Raised {
        // SAFETY: the caller's contract.
        unsafe {
            if self.fields().progress == Progress::Over {
                return reused();
            }
            self.leave();
            compat::set_raised(exception.into_ptr());
        }
        Raised
    }

    /// Its waiter goes: a kept one stays as it is, another is asked to end.
    ///
    /// # Safety
    /// Kept alive by the caller.
    pub unsafe fn leave(self) {
        // SAFETY: borrows end before anything is released.
        unsafe {
            let fields = self.fields();
            if fields.kept && fields.progress != Progress::Fresh {
                let future = std::mem::replace(&mut fields.future, ptr::null_mut());
                ffi::Py_XDECREF(future);
                return;
            }
            self.cancel();
        }
    }

    /// Asks for its end and stops caring.
    ///
    /// # Safety
    /// Kept alive by the caller.
    pub unsafe fn cancel(self) {
        // SAFETY: the loop is held while it flies; the borrow ends at once.
        unsafe {
            let fields = self.fields();
            if fields.progress == Progress::Flying {
                let loop_ = Loop::from_object(fields.loop_);
                if let (Some(id), Some(driver)) = (fields.id, loop_.driver_mut()) {
                    driver.cancel(id);
                }
                fields.progress = Progress::Over;
                let future = std::mem::replace(&mut fields.future, ptr::null_mut());
                ffi::Py_XDECREF(future);
            } else {
                self.end();
            }
        }
    }

    /// The end: nothing is held.
    ///
    /// # Safety
    /// Kept alive by the caller, and the kernel has nothing of it.
    pub unsafe fn end(self) {
        // SAFETY: each field is emptied before its reference goes.
        unsafe {
            let fields = self.fields();
            fields.progress = Progress::Over;
            let request = fields.request.take();
            let [one, two] = &mut fields.paths;
            let held = [
                &mut fields.target,
                &mut fields.owner,
                one,
                two,
                &mut fields.loop_,
                &mut fields.future,
                &mut fields.outcome,
            ]
            .map(|field| std::mem::replace(field, ptr::null_mut()));
            drop(request);
            for object in held {
                ffi::Py_XDECREF(object);
            }
        }
    }
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

/// Gives it to the driver, or ends it where there is nothing to do.
///
/// # Safety
/// Kept alive by the caller; the loop lives and is open.
pub unsafe fn submit(loop_: Loop, operation: Operation) -> Python<()> {
    // SAFETY: what the driver is lent stays in the operation, which the table holds until it has landed.
    unsafe {
        let fields = operation.fields();
        let done = fields.done;
        let Some(request) = fields.request.as_mut() else {
            return Ok(());
        };
        let large = request.is_large_read();
        let Some((op, target)) = request.op(done)? else {
            return land::nothing_to_do(operation);
        };
        rondeau_driver::unsent::send_now();
        let Some(driver) = loop_.driver_mut() else {
            return check_open(loop_);
        };
        ffi::Py_INCREF(operation.object());
        let index = loop_.parts().files.board(operation.object(), large);
        let fields = operation.fields();
        fields.id = Some(driver.submit(op, index.into()));
        fields.progress = Progress::Flying;
        let old = std::mem::replace(
            &mut fields.target,
            target.map_or(ptr::null_mut(), Owned::into_ptr),
        );
        ffi::Py_XDECREF(old);
    }
    Ok(())
}
