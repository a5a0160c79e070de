//! The handles that `call_soon`, `call_at` and `add_reader` return: asyncio's own `Handle`, `TimerHandle` and (3.14+)
//! `_ThreadSafeHandle`, allocated and released natively. This file knows their layout; `make`, `run` and `cancel` are their life,
//! `types` is what CPython asks of them, `spare` keeps their memory.
//!
//! The native types are subclasses without fields of their own (the timer has one): they write straight into the
//! `__slots__` of asyncio's classes, so repr, `when`, comparison, `_run` and whatever a later Python adds is asyncio's
//! code on asyncio's layout. Only what is hot is native: making (no zeroing: every slot is written), cancelling, running, freeing.
//!
//! A handle of `call_soon` is not tracked by the collector while it waits for its turn: mostly nobody keeps it, and it dies
//! right after. If somebody does, it is tracked when its turn is over; until then the loop keeps it alive anyway. The loop's
//! traverse looks through such a handle, so that a forgotten loop with work on its agenda is still collected.
//!
//! Invariants: every slot is filled, as `Handle.__init__` does; `_args` is a tuple, or None once cancelled.
//! Rejected: a free-standing type (`isinstance(h, asyncio.Handle)` fails).

mod cancel;
mod make;
mod run;
mod spare;
mod types;

pub use cancel::cancel;
pub use make::{call_soon, new, new_soon, new_threadsafe, new_timer};
pub use run::{leave_agenda, run};
pub use types::{init, visit_held};

use crate::door::{Door, door};
use crate::ffi::gil::GilCell;
use pyo3_ffi as ffi;
use rondeau_core::TimerKey;
use std::ptr;

static HANDLE: GilCell<*mut ffi::PyTypeObject> = GilCell::new(ptr::null_mut());
static TIMER: GilCell<*mut ffi::PyTypeObject> = GilCell::new(ptr::null_mut());
/// NULL where this Python has no such handles.
static THREADSAFE: GilCell<*mut ffi::PyTypeObject> = GilCell::new(ptr::null_mut());

/// Whether `handle` is exactly of the native type in `cell`.
#[inline]
unsafe fn is(handle: *mut ffi::PyObject, cell: &GilCell<*mut ffi::PyTypeObject>) -> bool {
    // SAFETY: the object lives, and the cells are written at import only.
    unsafe { ffi::Py_TYPE(handle) == *cell.get() }
}

/// One slot of a handle.
///
/// # Safety
/// `handle` is an `asyncio.Handle`, and `offset` one of its slots' offsets (of a timer's for a timer).
#[inline]
pub unsafe fn slot<'a>(handle: *mut ffi::PyObject, offset: isize) -> &'a mut *mut ffi::PyObject {
    // SAFETY: the caller's contract: the slot lies inside the instance.
    unsafe { &mut *handle.byte_offset(offset).cast::<*mut ffi::PyObject>() }
}

/// Where a native timer keeps its key.
#[inline]
unsafe fn timer_key<'a>(handle: *mut ffi::PyObject) -> &'a mut Option<TimerKey> {
    // SAFETY: the caller has a native timer, whose instance ends with this field.
    unsafe {
        &mut *handle
            .byte_add(key_offset(door()))
            .cast::<Option<TimerKey>>()
    }
}

fn key_offset(door: &Door) -> usize {
    door.slots
        .timer_size
        .next_multiple_of(align_of::<Option<TimerKey>>())
}

/// Stores an owned reference and only then releases the old one, whose finalizer may look at the slot.
unsafe fn replace(slot: &mut *mut ffi::PyObject, value: *mut ffi::PyObject) {
    let old = std::mem::replace(slot, value);
    // SAFETY: the slot's reference was ours.
    unsafe { ffi::Py_XDECREF(old) };
}

/// Notes that the timer waits under `key`.
///
/// # Safety
/// `handle` is a native timer.
#[inline]
pub unsafe fn set_scheduled(handle: *mut ffi::PyObject, key: TimerKey) {
    // SAFETY: the caller's contract; True and False have no finalizer.
    unsafe {
        *timer_key(handle) = Some(key);
        ffi::Py_INCREF(ffi::Py_True());
        replace(slot(handle, door().slots.scheduled), ffi::Py_True());
    }
}

/// Notes that the timer left the timers because it is due.
///
/// # Safety
/// `handle` is a live handle.
#[inline]
pub unsafe fn set_due(handle: *mut ffi::PyObject) {
    // SAFETY: the type is checked before the layout is relied on.
    unsafe {
        if ffi::Py_TYPE(handle) == *TIMER.get() {
            *timer_key(handle) = None;
            ffi::Py_INCREF(ffi::Py_False());
            replace(slot(handle, door().slots.scheduled), ffi::Py_False());
        }
    }
}

/// Where a native timer notes its key; None for a handle of another kind.
///
/// # Safety
/// `handle` is a live object, and the borrow ends before Python code can run.
pub unsafe fn key<'a>(handle: *mut ffi::PyObject) -> Option<&'a Option<TimerKey>> {
    // SAFETY: the type is checked before the layout is relied on.
    unsafe { is(handle, &TIMER).then(|| &*timer_key(handle)) }
}

/// Whether the handle was cancelled.
///
/// # Safety
/// `handle` is a live `asyncio.Handle`.
#[inline]
pub unsafe fn is_cancelled(handle: *mut ffi::PyObject) -> bool {
    // SAFETY: the caller's contract.
    unsafe { *slot(handle, door().slots.cancelled) == ffi::Py_True() }
}
