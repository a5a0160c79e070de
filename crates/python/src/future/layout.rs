//! Where the native fields of a future and of a task lie. Filled once at import, read everywhere in `future/` and `task/`.
//!
//! The types subclass `_asyncio.Future` and `_asyncio.Task`, whose storage stays zeroed in front of ours: that is what makes
//! `isinstance(f, asyncio.Future)` hold for Tornado and anyio. Its size differs by version, so our part's offset is read
//! from the base at import. Where `task::samples` and `task::probe` could learn it, some of the base's own words are filled in too,
//! since C code and `python -m asyncio ps` read them: those offsets are here as well, 0 where unknown.

use crate::ffi::gil::GilCell;
use pyo3_ffi as ffi;
use std::ptr;

use super::cell::FutureRef;

/// Types and byte offsets.
#[derive(Clone, Copy)]
pub struct Layout {
    /// `_core.Future`.
    pub future: *mut ffi::PyTypeObject,
    /// `_core.Task`.
    pub task: *mut ffi::PyTypeObject,
    /// What `gather` returns: a native future with a `cancel` of its own.
    pub gathering: *mut ffi::PyTypeObject,
    /// Our fields in a `_core.Future`, from the object's start.
    pub future_cell: usize,
    /// Our fields in a `_core.Task`.
    pub task_cell: usize,
    /// The task's coroutine: in the base's storage where known, else in ours.
    pub coro: usize,
    /// The task's context, likewise.
    pub context: usize,
    /// The task's name, likewise.
    pub name: usize,
    /// The task's node in the list of tasks, likewise.
    pub node: usize,
    /// The base's `awaited_by`; 0 where unknown.
    pub awaited_by: usize,
    /// The base's pointer to its module's state, which C methods called on the base class follow; 0 where unknown.
    pub module_state: usize,
    /// The value that belongs at `module_state`.
    pub module_state_value: usize,
    /// The base's byte that says "is a task"; 0 where unknown.
    pub is_task: usize,
}

static LAYOUT: GilCell<Layout> = GilCell::new(Layout {
    future: ptr::null_mut(),
    task: ptr::null_mut(),
    gathering: ptr::null_mut(),
    future_cell: 0,
    task_cell: 0,
    coro: 0,
    context: 0,
    name: 0,
    node: 0,
    awaited_by: 0,
    module_state: 0,
    module_state_value: 0,
    is_task: 0,
});

/// The layout, read only.
#[inline]
pub fn layout() -> &'static Layout {
    // SAFETY: written during import only.
    unsafe { LAYOUT.get() }
}

/// Changes the layout.
///
/// # Safety
/// Called during import, before any instance of the types exists.
pub unsafe fn set(change: impl FnOnce(&mut Layout)) {
    // SAFETY: the import runs alone, and `change` runs no Python code.
    change(unsafe { LAYOUT.get() });
}

impl Layout {
    /// Where the fields of an exactly native future lie.
    ///
    /// # Safety
    /// `object` is live, and `exact` found it to be one.
    #[inline]
    pub unsafe fn exact_offset(&self, object: *mut ffi::PyObject) -> usize {
        // SAFETY: the caller's contract.
        if unsafe { ffi::Py_TYPE(object) } == self.task {
            self.task_cell
        } else {
            self.future_cell
        }
    }

    /// The future that `object` is, if its type is exactly one of the native ones: a subclass's overrides count.
    ///
    /// # Safety
    /// `object` is live.
    #[inline]
    pub unsafe fn exact(&self, object: *mut ffi::PyObject) -> Option<FutureRef> {
        // SAFETY: the type tells where the fields are.
        unsafe {
            let kind = ffi::Py_TYPE(object);
            if kind == self.future || kind == self.gathering {
                Some(FutureRef::at(object, self.future_cell))
            } else if kind == self.task {
                Some(FutureRef::at(object, self.task_cell))
            } else {
                None
            }
        }
    }
}

/// Which of the two types (or their subclasses) a method was called on.
pub trait Kind {
    /// Our fields' offset.
    fn offset() -> usize;
    /// True for `_core.Task`.
    const IS_TASK: bool;
}

/// `_core.Future` and its subclasses.
pub struct OfFuture;
/// `_core.Task` and its subclasses.
pub struct OfTask;

impl Kind for OfFuture {
    #[inline]
    fn offset() -> usize {
        layout().future_cell
    }
    const IS_TASK: bool = false;
}

impl Kind for OfTask {
    #[inline]
    fn offset() -> usize {
        layout().task_cell
    }
    const IS_TASK: bool = true;
}
