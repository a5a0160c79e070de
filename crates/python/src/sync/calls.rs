//! The call of a primitive's method: whether native code takes it, and the coroutine that it makes. Called by every primitive's file.

use super::primitive::Primitive;
use crate::coroutine::{self, CoroRef, Kind};
use crate::ffi::{Python, args::Args, owned::Owned};
use pyo3_ffi as ffi;
use std::ptr;

/// Where a coroutine keeps its primitive.
pub const THIS: usize = 0;

/// A coroutine of this kind on behalf of `this`.
///
/// # Safety
/// The primitive lives.
#[inline(always)]
pub unsafe fn coroutine_for(this: Primitive, kind: &'static Kind) -> Python<Owned> {
    // SAFETY: a fresh coroutine takes a reference.
    unsafe {
        let made = coroutine::new(kind)?;
        CoroRef::of(made.as_ptr()).hold_first(Owned::from_borrowed(this.object()));
        Ok(made)
    }
}

/// Whether a call has exactly `count` positional arguments and nothing else.
#[inline]
pub fn plain_call(call: Args<'_>, count: usize) -> bool {
    call.positional.len() == count && call.keyword_count() == 0
}

/// A coroutine of this kind, where the call has exactly `count` positional arguments; else asyncio's code deals with it.
///
/// # Safety
/// The primitive lives.
#[inline]
pub unsafe fn called_plainly(
    this: Primitive,
    call: Args<'_>,
    count: usize,
    kind: &'static Kind,
) -> Python<Option<Owned>> {
    if !plain_call(call, count) {
        return Ok(None);
    }
    // SAFETY: the caller's contract.
    unsafe { coroutine_for(this, kind).map(Some) }
}

/// `called_plainly`, before anything else is looked at.
///
/// # Safety
/// The primitive lives.
#[inline(always)]
pub unsafe fn called_quickly(
    this: Primitive,
    plain: bool,
    kind: &'static Kind,
) -> Option<*mut ffi::PyObject> {
    // SAFETY: the caller's contract.
    plain.then(|| unsafe { coroutine_for(this, kind).map_or(ptr::null_mut(), Owned::into_ptr) })
}

/// None.
#[inline]
pub fn none() -> Owned {
    // SAFETY: None lives.
    unsafe { Owned::from_borrowed(ffi::Py_None()) }
}

/// True or False.
#[inline]
pub fn boolean(value: bool) -> Owned {
    // SAFETY: both live.
    unsafe {
        Owned::from_borrowed(if value {
            ffi::Py_True()
        } else {
            ffi::Py_False()
        })
    }
}
