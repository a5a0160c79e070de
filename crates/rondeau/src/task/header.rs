//! What every task has in common, and `TaskRef`, the 8-byte pointer to it that agenda, mailbox and wakers hold.
//!
//! One allocation holds the header and, behind it, the future and later its outcome in the same place (`cell.rs`).
//! Rules of access, on which the unsafe code of this folder rests:
//!
//! 1. `vtable` and `mailbox` never change; any thread that holds a reference reads them.
//! 2. `owner` and the foreign half of `count` are atomics; any thread that holds a reference uses them.
//! 3. Everything else, the memory behind the header included, is touched by the thread of the loop alone ("at home").
//!    `Loop`, `JoinHandle` and `Runtime` are `!Send`, which pins them to it; a waker asks `TaskRef::is_home` first.
//! 4. Home stays home: a loop never changes its thread. When the loop dies, `orphan` (`refs.rs`) makes every
//!    reference count through the atomic word, and rule 3 holds for the handle's thread, which is still the same one.
//! 5. A `TaskRef` is `Copy` and counts nothing. Whoever stores one says which counted reference keeps it alive.

use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::task::{Context, Waker};

use super::count::Count;
use crate::looper::{self, Loop};
use crate::mailbox::Mailbox;

/// The operations that know the future's type.
pub(crate) struct Vtable {
    /// Polls the future; `true` means: the future is dropped and the outcome written in its place.
    pub(crate) poll: unsafe fn(TaskRef, &mut Context<'_>) -> bool,
    /// Drops the future and writes the outcome "cancelled" (or the panic of its destructor) in its place.
    pub(crate) cancel: unsafe fn(TaskRef),
    /// Where the outcome is.
    pub(crate) outcome: unsafe fn(TaskRef) -> *mut (),
    /// Drops the outcome in its place; a panic that nobody saw comes back for the reporter.
    pub(crate) discard: unsafe fn(TaskRef) -> Option<super::JoinError>,
    /// Frees the memory; future and outcome are gone already.
    pub(crate) free: unsafe fn(TaskRef),
}

/// The common part, first in the allocation.
#[repr(C)]
pub(crate) struct Header {
    pub(crate) vtable: &'static Vtable,
    /// The loop, for `is_home` and for pushes at home; `GONE` once the loop died.
    pub(crate) owner: AtomicPtr<Loop>,
    /// The way home for other threads. Kept alive by the loop, and by the task itself once it is an orphan.
    pub(crate) mailbox: *const Mailbox,
    /// How many references there are (`count.rs`).
    pub(crate) count: Count,
    /// Neighbours in the loop's list of tasks (`list.rs`).
    pub(crate) before: Cell<Option<TaskRef>>,
    pub(crate) after: Cell<Option<TaskRef>>,
    /// Who awaits the handle.
    pub(crate) joiner: Cell<Option<Waker>>,
    pub(crate) state: Cell<u8>,
}

/// A pointer to a task.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct TaskRef(NonNull<Header>);

// SAFETY: a `TaskRef` alone gives access to nothing; every use is an unsafe or home-checked operation that keeps the
// rules at the head of this file, which say what other threads may touch.
unsafe impl Send for TaskRef {}

/// `Header::owner` of a task whose loop is gone. Not null, because "no loop runs here" is null.
pub(crate) fn gone() -> *mut Loop {
    std::ptr::without_provenance_mut(std::mem::align_of::<Loop>())
}

impl TaskRef {
    pub(crate) fn new(header: NonNull<Header>) -> Self {
        TaskRef(header)
    }

    /// The pointer as a waker's data.
    pub(crate) fn into_raw(self) -> *const () {
        self.0.as_ptr().cast_const().cast()
    }

    /// # Safety
    /// `raw` comes from `into_raw`.
    pub(crate) unsafe fn from_raw(raw: *const ()) -> Self {
        // SAFETY: `into_raw` gives a pointer that is not null.
        TaskRef(unsafe { NonNull::new_unchecked(raw.cast_mut().cast()) })
    }

    pub(crate) fn as_ptr(self) -> *mut Header {
        self.0.as_ptr()
    }

    /// The header.
    ///
    /// # Safety
    /// A counted reference outlives `'a`; what is reached through it follows the rules at the head of this file.
    #[inline]
    pub(crate) unsafe fn header<'a>(self) -> &'a Header {
        // SAFETY: alive by the caller's word; only ever borrowed shared, and all that changes is a cell or an atomic.
        unsafe { self.0.as_ref() }
    }

    /// Whether the running thread is the one that runs this task's loop, with the loop entered.
    ///
    /// # Safety
    /// A counted reference is alive.
    #[inline]
    pub(crate) unsafe fn is_home(self) -> bool {
        // SAFETY: alive by the caller's word; `owner` is atomic. Relaxed is enough: on the loop's own thread program
        // order gives the value, and on any other thread neither the loop's address nor `GONE` equals what runs there.
        // (A new loop at a dead loop's address was allocated after that loop's tasks were orphaned, and the allocator
        // orders the two.)
        unsafe { self.header() }
            .owner
            .load(Ordering::Relaxed)
            .cast_const()
            == looper::current_ptr()
    }
}
