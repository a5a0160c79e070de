//! What a native future holds beside the base's (zeroed) storage; a task's fields begin with the same.
//!
//! Touched under the GIL only. Invariants: `loop_` is NULL until `__init__` ran; `first` is empty only if there are no
//! callbacks; callbacks exist only while `Pending`; `value` is the exception if `failed`, else the result.
//!
//! Kept small, since each allocation is zeroed and each release looks at every field: what few futures have is behind one
//! pointer (`Rare`).

use super::Purpose;
use super::layout::Kind;
use crate::ffi::slot::clear_slot;
use crate::native_loop::Loop;
use crate::task::cell::TaskRef;
use pyo3_ffi as ffi;
use std::ffi::{c_int, c_void};
use std::ptr;

/// asyncio's three states; zeroed memory is `Pending`.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Not done.
    Pending = 0,
    /// Cancelled.
    Cancelled = 1,
    /// Has a result or an exception.
    Finished = 2,
}

/// A done-callback: a strong reference to a callable with its context, or, tagged and without a context, to a native task that
/// waits (its own context counts) or to a native observer (`observer.rs`: it runs no code of the program).
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    word: *mut u8,
    /// The callable's context; NULL for a task.
    pub context: *mut ffi::PyObject,
}

const TASK: usize = 1;
const OBSERVER: usize = 2;

impl Entry {
    /// Nothing.
    pub const EMPTY: Entry = Entry {
        word: ptr::null_mut(),
        context: ptr::null_mut(),
    };

    /// A waiting task; takes over the reference.
    #[inline]
    pub fn task(task: TaskRef) -> Entry {
        Entry {
            word: task.object().cast::<u8>().wrapping_add(TASK),
            context: ptr::null_mut(),
        }
    }

    /// A native observer; takes over the reference.
    #[inline]
    pub fn observer(observer: *mut ffi::PyObject) -> Entry {
        Entry {
            word: observer.cast::<u8>().wrapping_add(OBSERVER),
            context: ptr::null_mut(),
        }
    }

    /// A callable and its context; takes over both references.
    #[inline]
    pub fn call(callable: *mut ffi::PyObject, context: *mut ffi::PyObject) -> Entry {
        Entry {
            word: callable.cast(),
            context,
        }
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.word.is_null()
    }

    #[inline]
    pub fn is_task(&self) -> bool {
        self.word.addr() & TASK != 0
    }

    #[inline]
    pub fn is_observer(&self) -> bool {
        self.word.addr() & OBSERVER != 0
    }

    /// The callable, the task or the observer, borrowed.
    #[inline]
    pub fn object(&self) -> *mut ffi::PyObject {
        self.word
            .wrapping_sub(self.word.addr() & (TASK | OBSERVER))
            .cast()
    }

    /// Releases both references. May run any Python code.
    ///
    /// # Safety
    /// The references are the caller's; the entry is in no future any more.
    #[inline]
    pub unsafe fn release(self) {
        // SAFETY: the caller's contract.
        unsafe {
            ffi::Py_XDECREF(self.object());
            ffi::Py_XDECREF(self.context);
        }
    }
}

/// What few futures have.
#[derive(Default)]
pub struct Rare {
    /// The exception's traceback when it was set.
    pub exception_traceback: Option<crate::ffi::owned::Owned>,
    /// Where the future was made, in debug mode.
    pub source_traceback: Option<crate::ffi::owned::Owned>,
    /// `cancel(msg)`.
    pub cancel_message: Option<crate::ffi::owned::Owned>,
    /// The CancelledError that ended a task, to be raised again.
    pub cancelled_error: Option<crate::ffi::owned::Owned>,
}

/// The fields.
#[repr(C)]
pub struct Cell {
    /// Strong.
    pub loop_: *mut ffi::PyObject,
    /// The first callback.
    pub first: Entry,
    #[expect(
        clippy::box_collection,
        reason = "one pointer instead of three words in every future"
    )]
    /// The other callbacks, in order.
    pub more: Option<Box<Vec<Entry>>>,
    /// Result or exception; strong.
    pub value: *mut ffi::PyObject,
    /// What few futures have.
    pub rare: Option<Box<Rare>>,
    /// asyncio's state.
    pub state: State,
    /// `value` is an exception.
    pub failed: bool,
    /// The exception was never retrieved.
    pub log_traceback: bool,
    /// Set by `await`, cleared by the task that waits.
    pub blocking: bool,
    /// `loop_` is a native loop whose `call_soon` nobody overrides: its agenda is used directly.
    pub direct: bool,
    /// What it is for.
    pub purpose: Purpose,
    /// Where it was made, if the recorder noted it (`recorder::place`).
    pub origin: u16,
}

/// A native future (or task, or subclass) and its fields: a borrowed reference.
#[derive(Clone, Copy)]
pub struct FutureRef {
    object: *mut ffi::PyObject,
    cell: *mut Cell,
}

impl FutureRef {
    /// # Safety
    /// `object` is a live native future whose fields lie `offset` bytes from its start.
    #[inline]
    pub unsafe fn at(object: *mut ffi::PyObject, offset: usize) -> FutureRef {
        FutureRef {
            object,
            // SAFETY: the fields lie inside the instance.
            cell: unsafe { object.byte_add(offset).cast() },
        }
    }

    /// # Safety
    /// `object` is a live instance of the type (or of a subclass) that `K` stands for.
    #[inline]
    pub unsafe fn of<K: Kind>(object: *mut ffi::PyObject) -> FutureRef {
        // SAFETY: the caller's contract.
        unsafe { FutureRef::at(object, K::offset()) }
    }

    /// The Python object, borrowed.
    #[inline]
    pub fn object(self) -> *mut ffi::PyObject {
        self.object
    }

    /// The fields.
    ///
    /// # Safety
    /// The object lives, and the borrow ends before Python code can run.
    #[inline]
    pub unsafe fn cell<'a>(self) -> &'a mut Cell {
        // SAFETY: the caller's contract.
        unsafe { &mut *self.cell }
    }

    /// The rare fields, made where absent.
    ///
    /// # Safety
    /// As for `cell`.
    pub unsafe fn rare<'a>(self) -> &'a mut Rare {
        // SAFETY: the caller's contract.
        unsafe { self.cell() }.rare.get_or_insert_default()
    }

    /// The loop, where the future may use its agenda.
    ///
    /// # Safety
    /// The object lives.
    #[inline]
    pub unsafe fn direct_loop(self) -> Option<Loop> {
        // SAFETY: `direct` is set only for a native loop, which the field keeps alive.
        unsafe {
            let cell = self.cell();
            cell.direct.then(|| Loop::from_object(cell.loop_))
        }
    }

    /// Visits what the fields hold.
    ///
    /// # Safety
    /// Called by the collector.
    pub unsafe fn traverse(self, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
        // SAFETY: the collector runs no Python code while it visits.
        let cell = unsafe { self.cell() };
        let entries =
            std::iter::once(&cell.first).chain(cell.more.iter().flat_map(|more| more.iter()));
        let called = entries.flat_map(|entry| [entry.object(), entry.context]);
        let rare = cell.rare.iter().flat_map(|rare| {
            [
                &rare.exception_traceback,
                &rare.source_traceback,
                &rare.cancel_message,
                &rare.cancelled_error,
            ]
        });
        let rare = rare.flatten().map(|owned| owned.as_ptr());
        for held in called.chain(rare).chain([cell.loop_, cell.value]) {
            if !held.is_null() {
                // SAFETY: `held` is live: the fields hold a reference.
                let result = unsafe { visit(held, arg) };
                if result != 0 {
                    return result;
                }
            }
        }
        0
    }

    /// Empties the fields and releases what they held, in an order in which nothing is seen twice.
    ///
    /// # Safety
    /// The object lives; any Python code may run.
    #[inline]
    pub unsafe fn clear(self) {
        // SAFETY: every field is emptied before what it held is released, and no borrow lives across a release.
        unsafe {
            let first = std::mem::replace(&mut self.cell().first, Entry::EMPTY);
            if !first.is_empty() {
                first.release();
            }
            if let Some(more) = self.cell().more.take() {
                more.into_iter().for_each(|entry| entry.release());
            }
            clear_slot(&raw mut (*self.cell).value);
            drop(self.cell().rare.take());
            clear_slot(&raw mut (*self.cell).loop_);
        }
    }
}
