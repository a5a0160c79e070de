//! One word that says what runs next: the item of the agenda and of the timers.
//!
//! Made by `call_soon`, futures, tasks and transports; taken apart by the turn. It owns one strong reference and has
//! no `Drop` on purpose: core never runs nor drops a handle, so each item leaves through `take` in a place that may run Python.
//!
//! Kept to 8 bytes: a deque moves 8-byte items in 2.7 ns, 32-byte ones in 14.7.

use pyo3_ffi as ffi;
use std::ptr::NonNull;

const TAG_BITS: usize = 0b111;
const HANDLE: usize = 0;
const STEP: usize = 1;
const WAKEUP: usize = 2;
const IO: usize = 3;
const CALL: usize = 4;
const CHILD: usize = 5;
const OBSERVER: usize = 6;
const ALARM: usize = 7;

/// Something that gets a turn; owns one strong reference to the object in it.
#[repr(transparent)]
pub struct Ready(NonNull<u8>);

/// What a `Ready` was, taken apart. Each variant carries the strong reference.
pub enum Turn {
    /// An `asyncio.Handle` (or subclass): run its callback.
    Handle(*mut ffi::PyObject),
    /// A native task: its first step, or the step after a bare yield.
    Step(*mut ffi::PyObject),
    /// A native task: what it waited for is done.
    Wakeup(*mut ffi::PyObject),
    /// A native transport: its readiness is noted in it.
    Io(*mut ffi::PyObject),
    /// A `sock_*` call whose descriptor is ready.
    Call(*mut ffi::PyObject),
    /// A future that is done; the next item is the observer that is told.
    Child(*mut ffi::PyObject),
    /// What watches futures (a gather, a group, a wait): told of the child before it.
    Observer(*mut ffi::PyObject),
    /// A native object whose time has come: a sleep's future, a time-out, an `as_completed`, the executor's finished job, a
    /// coroutine from another thread.
    Alarm(*mut ffi::PyObject),
}

/// What a `Ready` is, as far as the recorder tells one from another.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// An `asyncio.Handle`.
    Handle,
    /// A native task.
    Task,
    /// A native transport.
    Io,
    /// A future that is done, and whose observer follows.
    Child,
    /// The observer.
    Observer,
    /// Something of the loop's own.
    Loop,
}

impl Ready {
    #[inline]
    fn tagged(object: *mut ffi::PyObject, tag: usize) -> Ready {
        debug_assert!(!object.is_null() && object.addr() & TAG_BITS == 0);
        // SAFETY: an object's address is not null; CPython aligns objects to at least 8 bytes, so the tag fits below.
        Ready(unsafe { NonNull::new_unchecked(object.cast::<u8>().wrapping_add(tag)) })
    }

    /// A handle's turn; takes over the reference.
    #[inline]
    pub fn handle(object: *mut ffi::PyObject) -> Ready {
        Ready::tagged(object, HANDLE)
    }

    /// A native task's step; takes over the reference.
    #[inline]
    pub fn step(task: *mut ffi::PyObject) -> Ready {
        Ready::tagged(task, STEP)
    }

    /// A native task's wake-up; takes over the reference.
    #[inline]
    pub fn wakeup(task: *mut ffi::PyObject) -> Ready {
        Ready::tagged(task, WAKEUP)
    }

    /// A native transport's readiness; takes over the reference.
    #[inline]
    pub fn io(transport: *mut ffi::PyObject) -> Ready {
        Ready::tagged(transport, IO)
    }

    /// A `sock_*` call's readiness; takes over the reference.
    #[inline]
    pub fn call(call: *mut ffi::PyObject) -> Ready {
        Ready::tagged(call, CALL)
    }

    /// A future that is done, for the observer that must follow it at once; takes over the reference.
    #[inline]
    pub fn child(future: *mut ffi::PyObject) -> Ready {
        Ready::tagged(future, CHILD)
    }

    /// An observer's turn; takes over the reference.
    #[inline]
    pub fn observer(observer: *mut ffi::PyObject) -> Ready {
        Ready::tagged(observer, OBSERVER)
    }

    /// The turn of something whose time has come; takes over the reference.
    #[inline]
    pub fn alarm(object: *mut ffi::PyObject) -> Ready {
        Ready::tagged(object, ALARM)
    }

    /// The object, borrowed.
    #[inline]
    pub fn object(&self) -> *mut ffi::PyObject {
        let address = self.0.as_ptr();
        address.wrapping_sub(address.addr() & TAG_BITS).cast()
    }

    /// What it is, without taking it apart.
    #[inline]
    pub fn what(&self) -> What {
        match self.0.as_ptr().addr() & TAG_BITS {
            HANDLE => What::Handle,
            STEP | WAKEUP => What::Task,
            IO => What::Io,
            CHILD => What::Child,
            OBSERVER => What::Observer,
            _ => What::Loop,
        }
    }

    /// Takes it apart, reference included.
    #[inline]
    pub fn take(self) -> Turn {
        let object = self.object();
        match self.0.as_ptr().addr() & TAG_BITS {
            HANDLE => Turn::Handle(object),
            STEP => Turn::Step(object),
            WAKEUP => Turn::Wakeup(object),
            IO => Turn::Io(object),
            CALL => Turn::Call(object),
            CHILD => Turn::Child(object),
            OBSERVER => Turn::Observer(object),
            _ => Turn::Alarm(object),
        }
    }

    /// Whether it is an `asyncio.Handle`.
    #[inline]
    pub fn is_handle(&self) -> bool {
        self.0.as_ptr().addr() & TAG_BITS == HANDLE
    }

    /// Whether it is a task's wake-up, of the two that a task may be.
    #[inline]
    pub fn is_wakeup(&self) -> bool {
        self.0.as_ptr().addr() & TAG_BITS == WAKEUP
    }

    /// Drops it without running it. May run a finalizer.
    #[inline]
    pub fn release(self) {
        // SAFETY: the reference is ours.
        unsafe { ffi::Py_DECREF(self.object()) }
    }
}
