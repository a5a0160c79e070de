//! The memory of one task: header, then the future, then in the future's place its outcome. And the five operations
//! that know the future's type.
//!
//! Who looks after the place behind the header is in the state (`state.rs`): before `CLOSED` it holds the future, after
//! `FINISHED` and before `TAKEN` the outcome, at all other times nothing. So every operation here says which it expects.

use std::cell::{Cell, UnsafeCell};
use std::future::Future;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicPtr;
use std::task::{Context, Poll};

use super::JoinError;
use super::count::Count;
use super::header::{Header, TaskRef, Vtable};
use super::state::{CLOSED, HANDLE, SCHEDULED};
use crate::looper::Loop;
use crate::panics::drop_quietly;

union Stage<F: Future> {
    future: ManuallyDrop<F>,
    outcome: ManuallyDrop<Result<F::Output, JoinError>>,
}

#[repr(C)]
struct TaskCell<F: Future> {
    header: Header,
    stage: UnsafeCell<Stage<F>>,
}

/// Allocates a task: scheduled, with two references, the loop's (given up when the task finishes) and the handle's.
pub(crate) fn allocate<F: Future>(owner: &Loop, future: F) -> TaskRef {
    let cell = Box::new(TaskCell {
        header: Header {
            vtable: const {
                &Vtable {
                    poll: poll::<F>,
                    cancel: cancel::<F>,
                    outcome: outcome::<F>,
                    discard: discard::<F>,
                    free: free::<F>,
                }
            },
            owner: AtomicPtr::new(std::ptr::from_ref(owner).cast_mut()),
            mailbox: Arc::as_ptr(&owner.mailbox),
            count: Count::at_home(2),
            before: Cell::new(None),
            after: Cell::new(None),
            joiner: Cell::new(None),
            state: Cell::new(SCHEDULED | HANDLE),
        },
        stage: UnsafeCell::new(Stage {
            future: ManuallyDrop::new(future),
        }),
    });
    TaskRef::new(NonNull::from(Box::leak(cell)).cast())
}

/// The place behind the header.
///
/// # Safety
/// `task` was allocated for this `F` and is alive.
unsafe fn stage<F: Future>(task: TaskRef) -> *mut Stage<F> {
    let cell = task.as_ptr().cast::<TaskCell<F>>();
    // SAFETY: alive and of this type by the caller's word; `header` is the first field of a `repr(C)` struct, and the
    // pointer was made from the whole allocation.
    unsafe { UnsafeCell::raw_get(&raw const (*cell).stage) }
}

/// # Safety
/// At home; the task is running, so the place holds the future.
unsafe fn poll<F: Future>(task: TaskRef, cx: &mut Context<'_>) -> bool {
    // SAFETY: of this type, since the vtable was built for it; the future is there by the caller's word.
    let place = unsafe { stage::<F>(task) };
    let attempt = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the future stays at this address until it is dropped here: it is pinned. Nobody else has a reference
        // to it: the task is `RUNNING`, and a running task is neither run again nor cancelled in place.
        unsafe { Pin::new_unchecked(&mut *(*place).future) }.poll(cx)
    }));
    let outcome = match attempt {
        Ok(Poll::Pending) => return false,
        Ok(Poll::Ready(value)) => Ok(value),
        Err(payload) => Err(JoinError::panicked(payload)),
    };
    // SAFETY: the future is there, and this is its end.
    unsafe { close::<F>(task, place, outcome) };
    true
}

/// # Safety
/// At home; the place holds the future, which is not being polled.
unsafe fn cancel<F: Future>(task: TaskRef) {
    // SAFETY: as the caller's.
    unsafe { close::<F>(task, stage::<F>(task), Err(JoinError::cancelled())) }
}

/// Puts the outcome in the future's place.
///
/// # Safety
/// At home; the place holds the future, which is not being polled.
unsafe fn close<F: Future>(
    task: TaskRef,
    place: *mut Stage<F>,
    outcome: Result<F::Output, JoinError>,
) {
    // SAFETY: alive, at home.
    let state = unsafe { &task.header().state };
    state.set(state.get() | CLOSED);
    // SAFETY: the future is there; from `CLOSED` on nobody polls or drops it, so this is the only drop.
    let dropped = catch_unwind(AssertUnwindSafe(|| unsafe {
        ManuallyDrop::drop(&mut (*place).future)
    }));
    let outcome = match dropped {
        Ok(()) => outcome,
        // A panic in the destructor takes the outcome's place. (It cannot follow a panic of the same poll unseen: the
        // panic hook printed both.)
        Err(payload) => {
            drop_quietly(outcome);
            Err(JoinError::panicked(payload))
        }
    };
    // SAFETY: the place is empty now and large enough for either.
    unsafe { (*place).outcome = ManuallyDrop::new(outcome) };
}

/// # Safety
/// The task is alive. What the pointer may be used for depends on the state.
unsafe fn outcome<F: Future>(task: TaskRef) -> *mut () {
    // SAFETY: of this type; a union's fields share its address.
    unsafe { stage::<F>(task).cast() }
}

/// # Safety
/// On the loop's thread; the place holds the outcome, and the caller has set `TAKEN`.
unsafe fn discard<F: Future>(task: TaskRef) -> Option<JoinError> {
    // SAFETY: the outcome is there, and this moves it out for good.
    let outcome = unsafe { ManuallyDrop::take(&mut (*stage::<F>(task)).outcome) };
    match outcome {
        Err(error) if error.is_panic() => Some(error),
        // A destructor that panics must not reach the loop.
        outcome => catch_unwind(AssertUnwindSafe(|| drop(outcome)))
            .err()
            .map(JoinError::panicked),
    }
}

/// # Safety
/// No reference is left; future and outcome are gone.
unsafe fn free<F: Future>(task: TaskRef) {
    // SAFETY: allocated by `allocate` as this type. The place behind the header is a union and drops nothing.
    drop(unsafe { Box::from_raw(task.as_ptr().cast::<TaskCell<F>>()) });
}
