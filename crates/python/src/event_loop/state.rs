//! The native part of an event loop object: what its methods, tasks and transports share.
//!
//! Read by every file of `event_loop/`, by tasks and by transports. All of it is touched under the GIL only. A borrow of
//! a part ends before Python code can run (a call, a DECREF, an allocation): such code may come back to the same part.
//! `agenda` and `timers` belong to any thread that holds the GIL and are never borrowed while the loop is parked;
//! `events` belongs to the loop's thread alone.

use crate::ready::Ready;
use pyo3_ffi as ffi;
use rondeau_core::{Agenda, Clock, Pace, Timers};
use rondeau_driver::{Driver, Events, Waker};
use std::ptr::NonNull;

use super::descriptors::Descriptors;

/// An instance of `_core.EventLoop`: CPython's header, then ours.
#[repr(C)]
pub struct LoopObject {
    ob_base: ffi::PyObject,
    /// What the loop owns.
    pub parts: Parts,
}

/// What the loop owns.
pub struct Parts {
    /// What runs in the next batch.
    pub agenda: Agenda<Ready>,
    /// Handles that become ready at a time.
    pub timers: Timers<Ready>,
    /// When the kernel is asked.
    pub pace: Pace,
    /// The loop's time.
    pub clock: Clock,
    /// What waits for which descriptor.
    pub descriptors: Descriptors,
    /// Transports that were written to in this callback, each a strong reference.
    pub dirty: Vec<NonNull<ffi::PyObject>>,
    /// Ends `park` from any thread.
    pub waker: Waker,
    /// True while the loop waits in the kernel: a push must wake it.
    pub parked: bool,
    /// True while a batch runs: what is written leaves at the callback's end.
    pub in_turn: bool,
    /// `stop()` was called.
    pub stopping: bool,
    /// `close()` was called.
    pub closed: bool,
    /// `set_debug(True)`.
    pub debug: bool,
    /// False where a subclass overrides `call_soon`: tasks and futures then go through the method.
    pub direct: bool,
    /// The thread that runs the loop; 0 when it does not run.
    pub thread: u64,
    /// What `set_task_factory` was given; NULL when none. Strong.
    pub task_factory: *mut ffi::PyObject,
    /// The native task whose step is announced as the current one (owned by `task::current`); NULL when none.
    pub current: *mut ffi::PyObject,
    /// Events of the last `park`.
    pub events: Events,
    /// The kernel's side.
    pub driver: Driver,
}

/// A loop that is known to be native: a borrowed pointer, valid as long as the object lives.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Loop(NonNull<LoopObject>);

impl Loop {
    /// # Safety
    /// `object` is a live instance of `_core.EventLoop` or of a subclass.
    #[inline]
    pub unsafe fn from_object(object: *mut ffi::PyObject) -> Loop {
        // SAFETY: live, so not NULL.
        Loop(unsafe { NonNull::new_unchecked(object.cast()) })
    }

    /// The native loop that `object` is, if tasks and futures may put themselves on its agenda: None for another
    /// loop, and for a subclass that overrides `call_soon`.
    ///
    /// # Safety
    /// `object` points to a live object.
    #[inline]
    pub unsafe fn direct(object: *mut ffi::PyObject) -> Option<Loop> {
        // SAFETY: the type is checked before the layout is relied on.
        unsafe {
            if ffi::PyObject_TypeCheck(object, super::loop_type()) == 0 {
                return None;
            }
            let native = Loop::from_object(object);
            native.parts().direct.then_some(native)
        }
    }

    /// The Python object, borrowed.
    #[inline]
    pub fn object(self) -> *mut ffi::PyObject {
        self.0.as_ptr().cast()
    }

    /// The parts, to read or write.
    ///
    /// # Safety
    /// The GIL is held, the object lives, and the borrow ends before Python code can run.
    #[inline]
    #[expect(clippy::mut_from_ref, reason = "the caller's contract makes the borrow unique")]
    pub unsafe fn parts<'a>(self) -> &'a mut Parts {
        // SAFETY: the caller's contract.
        unsafe { &mut (*self.0.as_ptr()).parts }
    }

    /// Puts `ready` at the end of the agenda; wakes the loop where another thread does so while it is parked.
    ///
    /// # Safety
    /// The GIL is held and the object lives.
    #[inline]
    pub unsafe fn schedule(self, ready: Ready) {
        // SAFETY: the borrow ends here; neither push nor wake runs Python code.
        unsafe {
            let parts = self.parts();
            parts.agenda.push(ready);
            if parts.parked {
                parts.waker.wake();
            }
        }
    }
}
