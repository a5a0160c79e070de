//! What `as_completed` returns: an iterator of coroutines, and from 3.13 on an asynchronous iterator of futures too. What it holds.
//!
//! `futures` observes what is given, `surface` is what Python calls, `next` the coroutines that it yields.
//!
//! Invariants: until it has begun, `given` and `timeout` are what it was called with (before 3.13 only); `asyncios` is set where it
//! has become asyncio's own generator. `left` counts what is yet to be yielded. A timer that is armed holds it.

use crate::ffi::{
    Python,
    args::raise_type_error,
    gil::GilCell,
    holder::{self, Holder},
    instance::Instance,
    owned::Owned,
};
use pyo3_ffi as ffi;
use rondeau_core::TimerKey;
use std::ffi::{CStr, c_int, c_void};
use std::ptr;

/// The fields; references are strong or NULL.
#[repr(C)]
pub struct IteratorObject {
    ob_base: ffi::PyObject,
    pub loop_: *mut ffi::PyObject,
    /// A set of the futures that are not done, as far as their observer was told.
    pub todo: *mut ffi::PyObject,
    /// A queue of those that are.
    pub done: *mut ffi::PyObject,
    /// 3.14+: the task that called.
    pub task: *mut ffi::PyObject,
    pub given: *mut ffi::PyObject,
    pub timeout: *mut ffi::PyObject,
    pub asyncios: *mut ffi::PyObject,
    pub timer: Option<TimerKey>,
    pub left: isize,
    /// A generator that is over.
    pub closed: bool,
}

impl Holder for IteratorObject {
    const NAME: &'static CStr = c"rondeau._AsCompletedIterator";

    unsafe fn held(this: *mut Self) -> impl IntoIterator<Item = *mut *mut ffi::PyObject> {
        // SAFETY: the caller's contract.
        unsafe {
            [
                &raw mut (*this).loop_,
                &raw mut (*this).todo,
                &raw mut (*this).done,
                &raw mut (*this).task,
                &raw mut (*this).given,
                &raw mut (*this).timeout,
                &raw mut (*this).asyncios,
            ]
        }
    }
}

static TYPE: GilCell<*mut ffi::PyTypeObject> = GilCell::new(ptr::null_mut());

/// Whether it is one.
///
/// # Safety
/// The object lives.
#[inline]
pub unsafe fn is_iterator(object: *mut ffi::PyObject) -> bool {
    // SAFETY: the type was made at import.
    unsafe { ffi::Py_TYPE(object) == *TYPE.get() }
}

/// An iterator: a borrowed reference.
pub type IteratorRef = Instance<IteratorObject>;

impl IteratorRef {
    /// Counts one that is yielded; false if none is left.
    ///
    /// # Safety
    /// The object lives.
    pub unsafe fn count_one(self) -> bool {
        // SAFETY: the caller's contract.
        unsafe {
            let cell = self.get();
            let any = cell.left > 0;
            cell.left -= isize::from(any);
            any
        }
    }

    /// One that was counted did not get its future after all.
    ///
    /// # Safety
    /// The object lives.
    pub unsafe fn count_back(self) {
        // SAFETY: the caller's contract.
        unsafe { self.get().left += 1 }
    }

    /// The queue of what is done.
    ///
    /// # Safety
    /// The object lives.
    pub unsafe fn queue(self) -> Python<Owned> {
        // SAFETY: the caller's contract. Only the collector's `clear` takes it away.
        unsafe {
            if self.get().done.is_null() {
                return Err(raise_type_error("the iterator was cleared"));
            }
            Ok(Owned::from_borrowed(self.get().done))
        }
    }
}

/// An iterator over nothing.
///
/// # Safety
/// The GIL is held.
pub unsafe fn new() -> Python<Owned> {
    // SAFETY: a fresh instance is zeroed, and zero is None for the timer.
    unsafe {
        let made = Owned::new(ffi::PyType_GenericAlloc(*TYPE.get(), 0))?;
        (*made.as_ptr().cast::<IteratorObject>()).timer = None;
        Ok(made)
    }
}

/// One that begins when it is first asked.
///
/// # Safety
/// The arguments live.
pub unsafe fn later(given: *mut ffi::PyObject, timeout: *mut ffi::PyObject) -> Python<Owned> {
    // SAFETY: the fields take references of their own.
    unsafe {
        let made = new()?;
        let cell = IteratorRef::from_object(made.as_ptr()).get();
        cell.given = Owned::from_borrowed(given).into_ptr();
        cell.timeout = Owned::from_borrowed(timeout).into_ptr();
        Ok(made)
    }
}

/// Makes the type with these slots; called once, at import.
///
/// # Safety
/// The slots match their numbers.
pub unsafe fn init(slots: Vec<(c_int, *mut c_void)>) -> Python<()> {
    // SAFETY: the caller's contract; the import runs alone.
    unsafe { *TYPE.get() = holder::build::<IteratorObject>(slots)? };
    Ok(())
}
