//! What every primitive holds, and the question whether native code may act for it.
//!
//! Called by each primitive's file. The fields are what asyncio's class has as attributes; `fields.rs` shows them under asyncio's
//! names, so that asyncio's own code works on the same object: it acts wherever a program has put something of its own in
//! (a subclass that overrides `_put`, a method replaced on the instance, a `_value` that is no int), on another loop, and in debug mode.
//!
//! Invariants: `tag` is the version of the type for which `mode` was found, 0 where it is to be found anew; `shadowed` is set for
//! good once the instance has an attribute in its dict that stands before a method or a field.
//! Rejected: looking the methods up for every operation (6 × 10 ns).

use super::class::Class;
use super::deque;
use crate::ffi::slot::{clear_slot, set_slot};
use crate::ffi::{Python, Raised, owned::Owned};
use pyo3_ffi as ffi;
use std::ffi::{c_int, c_void};

/// The fields. Not every class uses all of them.
#[repr(C)]
pub struct Fields {
    ob_base: ffi::PyObject,
    /// Attributes of the program's own; NULL until there is one.
    pub dict: *mut ffi::PyObject,
    /// Weak references to it begin here.
    pub weak: *mut ffi::PyObject,
    /// The loop it is bound to; NULL for none.
    pub loop_: *mut ffi::PyObject,
    /// Deques of futures: who waits (a queue: getters, then putters); NULL for none yet.
    pub waiters: [*mut ffi::PyObject; 2],
    /// A queue's items; a condition's lock; a barrier's condition.
    pub inner: *mut ffi::PyObject,
    /// A queue's event that everything is done, NULL until somebody wants it; a barrier's state.
    pub finished: *mut ffi::PyObject,
    /// A semaphore's value, a queue's unfinished tasks, how many are in a barrier; a lock's holder, as the recorder knows it.
    pub number: i64,
    /// A semaphore's bound, a queue's size, a barrier's parties; in which recording the lock's holder counts.
    pub limit: i64,
    /// What is checked before native code acts.
    pub class: *const Class,
    /// See the invariants.
    pub tag: u32,
    /// Which of the class's forms it is, `OTHER` for none.
    pub mode: u8,
    /// A queue's form when it was made, whatever became of its class; `OTHER` where `_init` is a program's.
    pub container: u8,
    /// See the invariants.
    pub shadowed: bool,
    /// Locked, set, shut down.
    pub flag: bool,
}

/// Not one of the class's forms: asyncio's own code acts.
pub const OTHER: u8 = u8::MAX;

/// A primitive: a borrowed reference.
#[derive(Clone, Copy)]
pub struct Primitive(*mut Fields);

impl Primitive {
    /// # Safety
    /// `object` is a live instance of one of the native types.
    #[inline]
    pub unsafe fn of(object: *mut ffi::PyObject) -> Primitive {
        Primitive(object.cast())
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
    pub unsafe fn cell<'a>(self) -> &'a mut Fields {
        // SAFETY: the caller's contract.
        unsafe { &mut *self.0 }
    }

    /// Which of its class's forms it is; None where asyncio's own code has to act.
    ///
    /// # Safety
    /// The object lives.
    #[inline]
    pub unsafe fn mode(self) -> Python<Option<u8>> {
        // SAFETY: the caller's contract.
        unsafe {
            let tag = (*ffi::Py_TYPE(self.object())).tp_version_tag;
            let cell = self.cell();
            if tag != 0 && tag == cell.tag {
                return Ok((cell.mode != OTHER).then_some(cell.mode));
            }
            self.find_mode()
        }
    }

    #[cold]
    unsafe fn find_mode(self) -> Python<Option<u8>> {
        // SAFETY: the class lives for good; its fields are written after Python code ran.
        unsafe {
            if self.cell().shadowed {
                return Ok(None);
            }
            let kind = ffi::Py_TYPE(self.object());
            let found = (*self.cell().class).form_of(kind)?;
            let cell = self.cell();
            cell.mode = found.unwrap_or(OTHER);
            cell.tag = (*kind).tp_version_tag;
            Ok(found)
        }
    }

    /// From now on asyncio's own code acts.
    ///
    /// # Safety
    /// The object lives.
    pub unsafe fn shadow(self) {
        // SAFETY: the caller's contract.
        unsafe {
            let cell = self.cell();
            cell.shadowed = true;
            cell.tag = 0;
        }
    }

    /// Whether the waiters are kept as native code expects them.
    ///
    /// # Safety
    /// The object lives.
    #[inline]
    pub unsafe fn waits_plainly(self) -> bool {
        // SAFETY: the caller's contract.
        unsafe {
            self.cell()
                .waiters
                .iter()
                .all(|waiters| waiters.is_null() || deque::is_exact(*waiters))
        }
    }

    /// Whether nobody has ever waited, so that there is no deque.
    ///
    /// # Safety
    /// The object lives.
    #[inline(always)]
    pub unsafe fn has_no_deque(self) -> bool {
        // SAFETY: the caller's contract.
        unsafe { self.cell().waiters.iter().all(|deque| deque.is_null()) }
    }

    /// Whether native code may act, as far as that is known without a look at the class; false says nothing.
    ///
    /// # Safety
    /// The object lives.
    #[inline(always)]
    pub unsafe fn acts_at_once(self) -> bool {
        // SAFETY: the caller's contract.
        unsafe {
            let tag = (*ffi::Py_TYPE(self.object())).tp_version_tag;
            let cell = self.cell();
            tag != 0 && tag == cell.tag && cell.mode != OTHER && self.has_no_deque()
        }
    }

    /// The waiters, where there are any: a reference that keeps the deque alive.
    ///
    /// # Safety
    /// The object lives, and `waits_plainly`.
    #[inline]
    pub unsafe fn waiters(self, which: usize) -> Option<Owned> {
        // SAFETY: the caller's contract.
        unsafe {
            let waiters = self.cell().waiters[which];
            (!waiters.is_null() && deque::len(waiters) > 0).then(|| Owned::from_borrowed(waiters))
        }
    }

    /// The deque of waiters, made where there is none.
    ///
    /// # Safety
    /// The object lives.
    #[inline]
    pub unsafe fn deque(self, which: usize) -> Python<Owned> {
        // SAFETY: the field is written after Python code may have run.
        unsafe {
            if self.cell().waiters[which].is_null() {
                let made = deque::new()?;
                if self.cell().waiters[which].is_null() {
                    self.cell().waiters[which] = made.into_ptr();
                }
            }
            Ok(Owned::from_borrowed(self.cell().waiters[which]))
        }
    }

    /// Empties the fields.
    ///
    /// # Safety
    /// The object lives; any Python code may run.
    pub unsafe fn clear(self) {
        // SAFETY: each field is emptied before its reference is released.
        unsafe {
            clear_slot(&raw mut (*self.0).loop_);
            clear_slot(&raw mut (*self.0).waiters[0]);
            clear_slot(&raw mut (*self.0).waiters[1]);
            clear_slot(&raw mut (*self.0).inner);
            clear_slot(&raw mut (*self.0).finished);
            clear_slot(&raw mut (*self.0).dict);
        }
    }

    /// Visits what the fields hold.
    ///
    /// # Safety
    /// Called by the collector.
    pub unsafe fn traverse(self, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
        // SAFETY: the collector runs no Python code while it visits.
        unsafe {
            let cell = self.cell();
            crate::ffi::visit::each(
                &[
                    cell.dict,
                    cell.loop_,
                    cell.waiters[0],
                    cell.waiters[1],
                    cell.inner,
                    cell.finished,
                ],
                visit,
                arg,
            )
        }
    }

    /// Notes a field's new value; takes over the reference.
    ///
    /// # Safety
    /// The object lives, `slot` is one of its fields; any Python code may run.
    pub unsafe fn set(self, slot: *mut *mut ffi::PyObject, value: *mut ffi::PyObject) {
        // SAFETY: the caller's contract.
        unsafe { set_slot(slot, value) }
    }

    /// What the instance's dict has under `name`: it stands before the field.
    ///
    /// # Safety
    /// Both live.
    pub unsafe fn own(self, name: *mut ffi::PyObject) -> Python<Option<Owned>> {
        // SAFETY: the caller's contract.
        unsafe {
            let dict = self.cell().dict;
            if !self.cell().shadowed || dict.is_null() {
                return Ok(None);
            }
            let found = ffi::PyDict_GetItemWithError(dict, name);
            if found.is_null() && !ffi::PyErr_Occurred().is_null() {
                return Err(Raised);
            }
            Ok((!found.is_null()).then(|| Owned::from_borrowed(found)))
        }
    }
}
