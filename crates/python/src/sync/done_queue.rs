//! A native queue for native code: what `as_completed` keeps the futures in that are done.

use super::items::Container;
use super::primitive::Primitive;
use super::queue;
use crate::ffi::{Python, owned::Owned};
use pyo3_ffi as ffi;

/// An empty queue without bounds.
///
/// # Safety
/// The GIL is held.
pub unsafe fn new() -> Python<Owned> {
    // SAFETY: the caller's contract.
    unsafe { queue::make() }
}

/// `put_nowait(item)`.
///
/// # Safety
/// A queue that `new` made, known to native code only; the item lives.
pub unsafe fn put(queue: &Owned, item: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the caller's contract.
    unsafe { queue::add(Primitive::of(queue.as_ptr()), Container::Deque, item) }
}

/// `get()`: a coroutine.
///
/// # Safety
/// As for `put`.
pub unsafe fn get(queue: Owned) -> Python<Owned> {
    // SAFETY: the caller's contract.
    unsafe { queue::getter(Primitive::of(queue.as_ptr())) }
}
