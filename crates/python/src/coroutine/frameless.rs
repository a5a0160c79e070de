//! What a type of coroutines without a frame has to say of itself: what a step, a throw and a close do, and what is held. `shell` says the rest.
//!
//! Implemented by the native coroutine (`methods`), `sock_calls` and `files`.
//! Rejected: one type for all, with operations as a `Kind` of the native coroutine. A call holds six objects and an operation eight, beside what is
//! lent to the kernel, and every coroutine would be as large.
//!
//! Invariant: an instance begins with its references to weak references, and has the byte of `frame_state` where that wants it: `shell` does not
//! compile for another layout.

use crate::door::cold;
use crate::ffi::{Python, owned::Owned, sent::Sent};
use pyo3_ffi as ffi;
use std::ffi::{CStr, c_int, c_void};

/// What a coroutine without a frame does. Each function is called on a live instance that its caller keeps alive.
pub trait Frameless: Copy {
    /// An instance, header and all.
    type Object;
    /// Where its weak references begin.
    const WEAK: usize;
    /// Where the byte is that holds `no_frame()`.
    const FRAME_STATE: usize;
    /// `repr`: one %s for the qualified name, one %p.
    const REPR: &'static CStr = c"<coroutine object %s at %p>";

    /// # Safety
    /// `object` is an instance.
    unsafe fn of(object: *mut ffi::PyObject) -> Self;

    /// `__name__`.
    ///
    /// # Safety
    /// See the trait.
    unsafe fn name(self) -> &'static CStr;

    /// `__qualname__`.
    ///
    /// # Safety
    /// See the trait.
    unsafe fn qualname(self) -> &'static CStr;

    /// `cr_running`.
    ///
    /// # Safety
    /// See the trait.
    unsafe fn is_running(self) -> bool;

    /// Whether nothing of it has run.
    ///
    /// # Safety
    /// See the trait.
    unsafe fn is_fresh(self) -> bool;

    /// Whether it never goes on: no finalizer is called.
    ///
    /// # Safety
    /// See the trait.
    unsafe fn is_over(self) -> bool;

    /// Whether it may be awaited.
    ///
    /// # Safety
    /// See the trait.
    #[inline]
    unsafe fn check_awaited(self) -> Python<()> {
        Ok(())
    }

    /// What `__await__()` gives where a program calls it: an iterator made by Python, since `await` itself does not ask for it.
    ///
    /// # Safety
    /// See the trait.
    unsafe fn iterator(object: *mut ffi::PyObject) -> Python<Owned> {
        cold(c"await_iterator", &[object])
    }

    /// Begins it or goes on.
    ///
    /// # Safety
    /// See the trait.
    unsafe fn send(self, value: *mut ffi::PyObject) -> Sent;

    /// Raises where it waits.
    ///
    /// # Safety
    /// See the trait.
    unsafe fn throw(self, exception: Owned) -> Sent;

    /// Ends it where it is.
    ///
    /// # Safety
    /// See the trait.
    unsafe fn close(self) -> Python<()>;

    /// The finalizer has come.
    ///
    /// # Safety
    /// See the trait.
    unsafe fn finalized(self) {}

    /// What happens to one that has begun when nobody refers to it any more.
    ///
    /// # Safety
    /// See the trait.
    unsafe fn abandoned(self) -> Python<()> {
        Ok(())
    }

    /// Visits what it holds.
    ///
    /// # Safety
    /// Called by the collector.
    unsafe fn traverse(self, visit: ffi::visitproc, arg: *mut c_void) -> c_int;

    /// Lets go of what it holds.
    ///
    /// # Safety
    /// See the trait; any Python code may run.
    unsafe fn clear(self);

    /// Brings a dead one back for the next use, where that is wanted: it is not freed then.
    ///
    /// # Safety
    /// Nobody refers to it, and it is over.
    #[inline(always)]
    unsafe fn keep(self) -> bool {
        false
    }
}
