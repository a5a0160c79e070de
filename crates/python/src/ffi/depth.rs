//! How deep native code may go: calls into itself as deep as Python's own, and chains of native objects freed in a row.
//!
//! A native call has no Python frame, so nobody counts it but this. `Deeper` is taken where a native function may come to itself
//! again, through what a program has built: a task that cancels what it waits for, a coroutine that steps the one inside it.
//! `free` is what the deallocators of those objects go through of which long chains consist.
//!
//! Rejected: a loop over what is to be cancelled. A cycle of awaits would have it run for ever, and a method of the program's that
//! stands in between has to be called where it stands.

use super::gil::GilCell;
use super::{Python, Raised, compat};
use pyo3_ffi as ffi;

/// One more native call on the stack: RecursionError where Python's limit is reached.
pub struct Deeper(());

impl Deeper {
    /// Goes one call deeper, until it is dropped.
    ///
    /// # Safety
    /// The GIL is held, and dropping happens in this thread.
    #[inline]
    pub unsafe fn enter() -> Python<Deeper> {
        // SAFETY: the text lives.
        match unsafe { ffi::Py_EnterRecursiveCall(c" while calling a Python object".as_ptr()) } {
            0 => Ok(Deeper(())),
            _ => Err(Raised),
        }
    }
}

impl Drop for Deeper {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: `enter` has counted this call.
        unsafe { ffi::Py_LeaveRecursiveCall() }
    }
}

/// As many may be freed inside one another.
const MOST: u32 = 100;

struct Waiting {
    /// How many are being freed inside one another, by whichever thread.
    depth: u32,
    /// Those that would have been too deep: without a reference, and unknown to the collector.
    objects: Vec<(*mut ffi::PyObject, ffi::destructor)>,
}

static WAITING: GilCell<Waiting> = GilCell::new(Waiting {
    depth: 0,
    objects: Vec::new(),
});

/// Frees an object by `dealloc`; later, where it is the end of a long chain.
///
/// From 3.14 on CPython does so for every type.
///
/// # Safety
/// Called by the deallocator of a type whose instances the collector tracks, first of all; nobody can find the object any more.
#[inline]
pub unsafe fn free(object: *mut ffi::PyObject, dealloc: ffi::destructor) {
    // SAFETY: the caller's contract; no borrow lives while an object is freed.
    unsafe {
        if compat::CHAINS_ARE_FREED_IN_A_ROW {
            return dealloc(object);
        }
        let waiting = WAITING.get();
        if waiting.depth >= MOST {
            return later(object, dealloc);
        }
        waiting.depth += 1;
        dealloc(object);
        let waiting = WAITING.get();
        waiting.depth -= 1;
        if waiting.depth == 0 && !waiting.objects.is_empty() {
            those_that_wait();
        }
    }
}

#[cold]
unsafe fn later(object: *mut ffi::PyObject, dealloc: ffi::destructor) {
    // SAFETY: the collector must not see what has no reference.
    unsafe {
        ffi::PyObject_GC_UnTrack(object.cast());
        WAITING.get().objects.push((object, dealloc));
    }
}

#[cold]
unsafe fn those_that_wait() {
    // SAFETY: each is taken out before it is freed, tracked again as its deallocator expects it.
    unsafe {
        WAITING.get().depth += 1;
        while let Some((object, dealloc)) = WAITING.get().objects.pop() {
            ffi::PyObject_GC_Track(object.cast());
            dealloc(object);
        }
        WAITING.get().depth -= 1;
    }
}
