//! What a native coroutine holds. All kinds have the same fields, so that their memory is one another's (`spare`).

use super::TYPE;
use crate::ffi::slot::set_slot;
use crate::ffi::{Python, owned::Owned, sent::Sent};
use pyo3_ffi as ffi;
use rondeau_core::TimerKey;
use std::ffi::{CStr, c_int, c_void};
use std::mem::offset_of;
use std::ptr;

/// The next step of a coroutine: the first when `phase` is 0. An exception is thrown into it.
pub type Resume = unsafe fn(CoroRef, Option<Owned>) -> Sent;
/// The result, where the first step is the last one and runs no code of others; NULL leaves it to `Resume`. It is given what the
/// coroutine holds first, and nothing else is held.
pub type AtOnce = unsafe fn(*mut ffi::PyObject) -> *mut ffi::PyObject;
/// What a coroutine does when a future that it observes is done.
pub type Notify = unsafe fn(CoroRef, *mut ffi::PyObject) -> Python<()>;

/// What a coroutine does.
pub struct Kind {
    /// `__name__`.
    pub name: &'static CStr,
    /// `__qualname__`.
    pub qualname: &'static CStr,
    pub resume: Resume,
    pub at_once: Option<AtOnce>,
    pub notify: Option<Notify>,
}

impl Kind {
    /// One that does what `resume` does.
    pub const fn new(name: &'static CStr, qualname: &'static CStr, resume: Resume) -> Kind {
        Kind {
            name,
            qualname,
            resume,
            at_once: None,
            notify: None,
        }
    }

    /// The same, with a way to be over at once.
    pub const fn at_once(mut self, at_once: AtOnce) -> Kind {
        self.at_once = Some(at_once);
        self
    }

    /// The same, observing futures.
    pub const fn notify(mut self, notify: Notify) -> Kind {
        self.notify = Some(notify);
        self
    }
}

/// Where a coroutine is in its life.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing has run.
    Created,
    /// It waits, or runs.
    Suspended,
    /// It is over.
    Finished,
}

/// The fields.
#[repr(C)]
pub struct CoroObject {
    ob_base: ffi::PyObject,
    /// Weak references to it begin here.
    pub weak: *mut ffi::PyObject,
    pub kind: *const Kind,
    /// The kind's objects; strong or NULL.
    held: [*mut ffi::PyObject; 4],
    /// A choice of the kind's.
    pub option: u8,
    /// How far the kind's code has come.
    pub phase: u8,
    pub state: State,
    /// What a reader in another process takes for a generator's: that there is no frame (`inside`).
    pub frame_state: u8,
    /// The kind's code runs.
    pub running: bool,
    /// It has become the coroutine in `held[0]`.
    pub delegates: bool,
    /// It has lived before: the collector has it as the old object that it was (`spare`).
    pub reused: bool,
    /// It was finalised: the collector has marked its memory, which the next one must not inherit.
    pub finalized: bool,
    /// A count of the kind's.
    pub count: u32,
    /// The kind's timer.
    pub timer: Option<TimerKey>,
    /// A number of the kind's: seconds.
    pub number: f64,
}

const _: () = assert!(offset_of!(CoroObject, frame_state) == super::frame_state::OFFSET);

/// A native coroutine: a borrowed reference.
#[derive(Clone, Copy)]
pub struct CoroRef(*mut CoroObject);

/// Writes what a fresh instance has once and for all: a reused one comes back with nothing held.
///
/// # Safety
/// The memory is an instance's, and nobody else knows it.
pub unsafe fn fill_fresh(object: *mut ffi::PyObject) {
    // SAFETY: the caller's contract; the header is left alone.
    unsafe {
        let cell = object.cast::<CoroObject>();
        (*cell).weak = ptr::null_mut();
        (*cell).held = [ptr::null_mut(); 4];
        (*cell).frame_state = super::frame_state::no_frame();
        (*cell).running = false;
        (*cell).reused = false;
        (*cell).finalized = false;
    }
}

/// Writes the fields of a fresh or reused instance.
///
/// # Safety
/// The memory is an instance's, and nobody else knows it.
#[inline]
pub unsafe fn fill(object: *mut ffi::PyObject, kind: &'static Kind) {
    // SAFETY: the caller's contract; the header is left alone.
    unsafe {
        let cell = object.cast::<CoroObject>();
        (*cell).kind = kind;
        (*cell).number = 0.0;
        (*cell).timer = None;
        (*cell).count = 0;
        (*cell).option = 0;
        (*cell).phase = 0;
        (*cell).state = State::Created;
        (*cell).delegates = false;
    }
}

impl CoroRef {
    /// # Safety
    /// `object` is a live native coroutine.
    #[inline]
    pub unsafe fn of(object: *mut ffi::PyObject) -> CoroRef {
        // SAFETY: the type was made at import.
        debug_assert!(unsafe { ffi::Py_TYPE(object) == *TYPE.get() });
        CoroRef(object.cast())
    }

    /// The Python object, borrowed.
    #[inline]
    pub fn object(self) -> *mut ffi::PyObject {
        self.0.cast()
    }

    /// The fields.
    ///
    /// # Safety
    /// The object lives, and the borrow ends before Python code can run.
    #[inline]
    pub unsafe fn cell<'a>(self) -> &'a mut CoroObject {
        // SAFETY: the caller's contract.
        unsafe { &mut *self.0 }
    }

    /// What it holds at `index`, borrowed; NULL for nothing.
    ///
    /// # Safety
    /// The object lives.
    #[inline]
    pub unsafe fn held(self, index: usize) -> *mut ffi::PyObject {
        // SAFETY: the caller's contract.
        unsafe { (*self.0).held[index] }
    }

    /// Holds `object` at `index` from now on; takes over the reference.
    ///
    /// # Safety
    /// The object lives; what was there may run a finalizer.
    #[inline]
    pub unsafe fn hold(self, index: usize, object: *mut ffi::PyObject) {
        // SAFETY: the caller's contract; a raw pointer, so that no borrow lives while a finalizer runs.
        unsafe { set_slot(&raw mut (*self.0).held[index], object) }
    }

    /// Holds `object` first: in a fresh coroutine, which holds nothing.
    ///
    /// # Safety
    /// The object lives.
    #[inline(always)]
    pub unsafe fn hold_first(self, object: Owned) {
        // SAFETY: nothing is overwritten.
        unsafe {
            debug_assert!((*self.0).held[0].is_null());
            (*self.0).held[0] = object.into_ptr();
        }
    }

    /// Tells the kind that a future is done.
    ///
    /// # Safety
    /// Both live and stay alive.
    #[inline]
    pub unsafe fn notify(self, child: *mut ffi::PyObject) -> Python<()> {
        // SAFETY: the caller's contract; a kind that observes has the function.
        unsafe {
            match (*(*self.0).kind).notify {
                Some(notify) if (*self.0).state != State::Finished => notify(self, child),
                _ => Ok(()),
            }
        }
    }

    /// Lets go of all that it holds.
    ///
    /// # Safety
    /// The object lives; any Python code may run.
    #[inline]
    pub unsafe fn clear(self) {
        // SAFETY: all fields are emptied before the first reference is released.
        unsafe {
            for held in std::mem::replace(&mut (*self.0).held, [ptr::null_mut(); 4]) {
                if !held.is_null() {
                    ffi::Py_DECREF(held);
                }
            }
        }
    }

    /// Lets go of the first thing that it holds, where it holds nothing else.
    ///
    /// # Safety
    /// As for `clear`.
    #[inline]
    pub unsafe fn clear_first(self) {
        // SAFETY: the field is emptied before the reference is released.
        unsafe { ffi::Py_XDECREF(std::mem::replace(&mut (*self.0).held[0], ptr::null_mut())) }
    }

    /// Visits what it holds.
    ///
    /// # Safety
    /// Called by the collector.
    pub unsafe fn traverse(self, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
        // SAFETY: the collector runs no Python code while it visits.
        unsafe { crate::ffi::visit::each(&(*self.0).held, visit, arg) }
    }
}
