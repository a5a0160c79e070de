//! The native part of an event loop object: what its methods, tasks and transports share.
//!
//! Read by every file of `event_loop/`, by tasks and by transports. All of it is touched under the GIL only. A borrow of
//! a part ends before Python code can run (a call, a DECREF, an allocation): such code may come back to the same part.
//! Three cells and not one, since `park` releases the GIL: the parts belong to any thread that holds the GIL and are never
//! borrowed while the loop is parked; the driver is shared (`&Driver` names descriptors, which the kernel serialises); the
//! events belong to the loop's thread alone.

pub mod chunk;
pub mod descriptors;
pub mod exchange;
pub mod kernel;
pub mod nested;
pub mod outbox;
pub mod simulation;

use crate::ffi::{Python, Raised, args::raise, gil::GilCell};
use crate::metrics::Metrics;
use crate::ready::Ready;
use crate::recorder::OfLoop;
use chunk::Chunk;
use descriptors::Descriptors;
use outbox::Outbox;
use pyo3_ffi as ffi;
use rondeau_core::{Agenda, Clock, Pace, Timers};
use rondeau_driver::{Driver, Events, Waker};
use std::ptr::{self, NonNull};
use std::sync::Arc;

/// An instance of `_core.EventLoop`: CPython's header, then ours.
#[repr(C)]
pub struct LoopObject {
    ob_base: ffi::PyObject,
    parts: Parts,
    /// None once the loop is closed, which gives its descriptors back.
    driver: Option<Driver>,
    /// Events of the last `park`.
    events: Events,
}

/// What the loop owns, under the GIL.
pub struct Parts {
    /// What runs in the next batch.
    pub agenda: Agenda<Ready>,
    /// Handles that become ready at a time.
    pub timers: Timers<Ready>,
    /// When the kernel is asked.
    pub pace: Pace,
    /// The loop's time.
    pub clock: Clock,
    /// Set while its time is virtual.
    pub simulation: Option<Box<simulation::Simulation>>,
    /// What waits for which descriptor.
    pub descriptors: Descriptors,
    /// Operations on files.
    pub files: crate::files::Table,
    /// Transports that were written to and have not sent yet, each a strong reference.
    pub outbox: Outbox,
    /// Buffers that were sent and wait to be released; empty between uses, kept for its memory.
    pub sent: Vec<Chunk>,
    /// `inspect` knows the loop.
    pub known: bool,
    /// What it counts of itself, for whoever looks on.
    pub metrics: Arc<Metrics>,
    /// Ends `park` from any thread; None once the loop is closed.
    pub waker: Option<Waker>,
    /// True while the loop waits in the kernel: a push must wake it.
    pub parked: bool,
    /// True while a batch runs: what is written may wait in the outbox.
    pub in_turn: bool,
    /// `rondeau_driver::unsent::touched` before the kernel was asked last.
    pub touched: u64,
    /// `stop()` was called.
    pub stopping: bool,
    /// The program has something of its own in a turn, or looked at the queues: turns are taken by `rondeau._own_turns`.
    pub own_turns: bool,
    /// The loop may run within itself.
    pub nested: bool,
    /// The depths that stand still while it does.
    pub suspended: Vec<nested::Suspended>,
    /// `close()` was called.
    pub closed: bool,
    /// `set_debug(True)`.
    pub debug: bool,
    /// False where `call_soon` is the program's own: tasks and futures then go through the method.
    pub direct: bool,
    /// `direct`, and no method that native functions do without is the program's own (`_HOT` in loop.py).
    pub plain: bool,
    /// `time` is the program's own: it is asked for what is due.
    pub own_clock: bool,
    /// The process that made the loop.
    pub process: u32,
    /// The thread that runs the loop; 0 when it does not run.
    pub thread: u64,
    /// What `set_task_factory` was given; NULL when none. Strong.
    pub task_factory: *mut ffi::PyObject,
    /// An empty context for callbacks that neither read nor set variables; NULL until the first. Strong.
    pub no_variables: *mut ffi::PyObject,
    /// The native task whose step is announced as the current one (owned by `task::current`); NULL when none.
    pub current: *mut ffi::PyObject,
    /// What a callback calls that runs now, while a watchdog looks; NULL otherwise. Borrowed from whoever runs it.
    pub calls: *mut ffi::PyObject,
    /// What the recorder keeps.
    pub record: OfLoop,
    /// A failed task that nobody waits for is reported when it ends.
    pub report_failed: bool,
    /// Tasks that are made from now on are kept.
    pub keep_tasks: bool,
    /// Tasks that live until they end, each a strong reference.
    pub kept: crate::task::kept::Kept,
    /// The future that the next item, an observer, is told of (strong); NULL between such pairs.
    pub child: *mut ffi::PyObject,
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
            if ffi::PyObject_TypeCheck(object, loop_type()) == 0 {
                return None;
            }
            let native = Loop::from_object(object);
            native.parts().direct.then_some(native)
        }
    }

    /// The native loop that `object` is: None for any other object.
    ///
    /// # Safety
    /// `object` points to a live object.
    #[inline]
    pub unsafe fn checked(object: *mut ffi::PyObject) -> Option<Loop> {
        // SAFETY: the type is checked before the layout is relied on.
        unsafe {
            let native = ffi::PyObject_TypeCheck(object, loop_type()) != 0;
            native.then(|| Loop::from_object(object))
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
    pub unsafe fn parts<'a>(self) -> &'a mut Parts {
        // SAFETY: the caller's contract.
        unsafe { &mut (*self.0.as_ptr()).parts }
    }

    /// The kernel's side, shared; None once the loop is closed.
    ///
    /// # Safety
    /// The object lives.
    #[inline]
    pub unsafe fn driver<'a>(self) -> Option<&'a Driver> {
        // SAFETY: the caller's contract; a `&mut Driver` exists only inside `driver_mut`'s callers.
        unsafe { (*self.0.as_ptr()).driver.as_ref() }
    }

    /// The kernel's side, alone: for the hot buffer and for file operations.
    ///
    /// # Safety
    /// As for `parts`, on the loop's thread (so it is not parked).
    #[inline]
    pub unsafe fn driver_mut<'a>(self) -> Option<&'a mut Driver> {
        // SAFETY: the caller's contract.
        unsafe { (*self.0.as_ptr()).driver.as_mut() }
    }

    /// Gives the kernel's side back, descriptors and all.
    ///
    /// # Safety
    /// The object lives and the loop does not run.
    pub unsafe fn close_driver(self) {
        // SAFETY: the caller's contract.
        unsafe {
            crate::inspect::forget(self);
            self.parts().waker = None;
            (*self.0.as_ptr()).driver = None;
        }
    }

    /// The events of the last park.
    ///
    /// # Safety
    /// On the loop's thread, one borrow at a time.
    #[inline]
    pub unsafe fn events<'a>(self) -> &'a mut Events {
        // SAFETY: the caller's contract.
        unsafe { &mut (*self.0.as_ptr()).events }
    }

    /// Fills the cells of a new instance.
    ///
    /// # Safety
    /// The instance was just allocated and nobody else knows it.
    pub unsafe fn fill(self, parts: Parts, driver: Driver) {
        // SAFETY: the memory is ours and not initialised: written, not assigned.
        unsafe {
            let object = self.0.as_ptr();
            (&raw mut (*object).parts).write(parts);
            (&raw mut (*object).driver).write(Some(driver));
            (&raw mut (*object).events).write(Events::new());
        }
    }

    /// Drops the cells of a dying instance: events, parts, then the driver with its descriptors.
    ///
    /// # Safety
    /// Called once, with the parts emptied of all references; nobody uses the instance afterwards.
    pub unsafe fn empty(self) {
        // SAFETY: the caller's contract.
        unsafe {
            crate::inspect::forget(self);
            let object = self.0.as_ptr();
            std::ptr::drop_in_place(&raw mut (*object).events);
            std::ptr::drop_in_place(&raw mut (*object).parts);
            std::ptr::drop_in_place(&raw mut (*object).driver);
        }
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
            if parts.parked
                && let Some(waker) = &parts.waker
            {
                waker.wake();
            }
        }
    }

    /// Puts `ready` at the end of the agenda; returns what must be woken, where the loop is parked. For another thread that is about to
    /// release the GIL: a loop that is woken before finds it taken and has to sleep once more.
    ///
    /// # Safety
    /// As for `schedule`.
    #[inline]
    pub unsafe fn schedule_quietly(self, ready: Ready) -> Option<Waker> {
        // SAFETY: as in `schedule`.
        unsafe {
            let parts = self.parts();
            parts.agenda.push(ready);
            if parts.parked {
                parts.waker.clone()
            } else {
                None
            }
        }
    }
}

static TYPE: GilCell<*mut ffi::PyTypeObject> = GilCell::new(ptr::null_mut());

/// The type `_core.EventLoop`.
#[inline]
pub fn loop_type() -> *mut ffi::PyTypeObject {
    // SAFETY: written once at import.
    unsafe { *TYPE.get() }
}

/// Notes the type; called once, at import.
pub fn set_loop_type(kind: *mut ffi::PyTypeObject) {
    // SAFETY: the import runs alone.
    unsafe { *TYPE.get() = kind }
}

/// Fails with asyncio's message where the loop is closed.
///
/// # Safety
/// The loop lives.
#[inline]
pub unsafe fn check_open(loop_: Loop) -> Python<()> {
    // SAFETY: the caller's contract.
    if unsafe { loop_.parts().closed } {
        Err(closed())
    } else {
        Ok(())
    }
}

/// Whether this process is a fork of the loop's. What the loop holds is the parent's then: nothing is read, sent or watched for it here.
///
/// # Safety
/// The loop lives.
#[inline]
pub unsafe fn is_forked(loop_: Loop) -> bool {
    // SAFETY: the caller's contract.
    unsafe { loop_.driver().is_some_and(|driver| driver.is_forked()) }
}

/// Fails where this process is a fork of the loop's.
///
/// # Safety
/// The loop lives.
#[inline]
pub unsafe fn check_process(loop_: Loop) -> Python<()> {
    // SAFETY: the caller's contract.
    unsafe {
        if is_forked(loop_) {
            return Err(forked(loop_.parts().process));
        }
    }
    Ok(())
}

#[cold]
fn forked(parent: u32) -> Raised {
    let message = format!(
        "this event loop belongs to process {parent}, and process {} is a fork of it: make a loop of its own here \
         (asyncio.run, asyncio.Runner, rondeau.new_event_loop)",
        std::process::id()
    );
    // SAFETY: RuntimeError is live.
    unsafe { raise(ffi::PyExc_RuntimeError, &message) }
}

#[cold]
fn closed() -> Raised {
    // SAFETY: RuntimeError is live.
    unsafe { raise(ffi::PyExc_RuntimeError, "Event loop is closed") }
}
