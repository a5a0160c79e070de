//! What a queue keeps its items in: a deque, a list used from its end, or a list that is a heap. Called by `queue`.
//!
//! The same containers as asyncio's classes have, since `_queue` is looked into; the heap is `heapq`'s, so that equal items come in the
//! order in which they come there.

use super::deque;
use crate::door::{attribute, import};
use crate::ffi::{Python, Raised, call::vectorcall, gil::GilCell, owned::Owned};
use pyo3_ffi as ffi;
use std::ptr;

/// `heapq.heappush` and `heappop`.
static HEAP: GilCell<[*mut ffi::PyObject; 2]> = GilCell::new([ptr::null_mut(); 2]);

/// Looks heapq's functions up; called once, at import.
pub fn init() -> Python<()> {
    let module = import(c"heapq")?;
    let (push, pop) = (
        attribute(&module, c"heappush")?,
        attribute(&module, c"heappop")?,
    );
    // SAFETY: the import runs alone.
    unsafe { *HEAP.get() = [push.into_ptr(), pop.into_ptr()] };
    Ok(())
}

/// How the items are kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Container {
    Deque,
    Stack,
    Heap,
}

impl Container {
    /// By the class's form: Queue, LifoQueue, PriorityQueue.
    #[inline]
    pub fn of_form(form: u8) -> Container {
        match form {
            0 => Container::Deque,
            1 => Container::Stack,
            _ => Container::Heap,
        }
    }

    /// An empty one.
    pub fn empty(self) -> Python<Owned> {
        match self {
            Container::Deque => deque::new(),
            // SAFETY: a new list.
            _ => unsafe { Owned::new(ffi::PyList_New(0)) },
        }
    }

    /// Whether `object` is such a one.
    ///
    /// # Safety
    /// The object lives.
    #[inline]
    pub unsafe fn is(self, object: *mut ffi::PyObject) -> bool {
        // SAFETY: the caller's contract.
        unsafe {
            match self {
                Container::Deque => deque::is_exact(object),
                _ => ffi::PyList_CheckExact(object) != 0,
            }
        }
    }

    /// How many are in it.
    ///
    /// # Safety
    /// `object` is such a one.
    #[inline]
    pub unsafe fn len(self, object: *mut ffi::PyObject) -> isize {
        // SAFETY: both are objects of variable size.
        unsafe { ffi::Py_SIZE(object) }
    }

    /// `_put(item)`.
    ///
    /// # Safety
    /// `object` is such a one, kept alive by the caller; the item lives.
    #[inline]
    pub unsafe fn add(self, object: *mut ffi::PyObject, item: *mut ffi::PyObject) -> Python<()> {
        // SAFETY: the caller's contract.
        unsafe {
            match self {
                Container::Deque => deque::append(object, item),
                Container::Stack => match ffi::PyList_Append(object, item) {
                    0 => Ok(()),
                    _ => Err(Raised),
                },
                Container::Heap => {
                    let args = [object, item];
                    Owned::new(vectorcall(HEAP.get()[0], args.as_ptr(), 2)).map(drop)
                }
            }
        }
    }

    /// `_get()`, of one that is not empty.
    ///
    /// # Safety
    /// `object` is such a one, kept alive by the caller.
    #[inline]
    pub unsafe fn take(self, object: *mut ffi::PyObject) -> Python<Owned> {
        // SAFETY: the caller's contract; the last item gets a reference before the list lets go of it.
        unsafe {
            match self {
                Container::Deque => deque::popleft(object),
                Container::Stack => {
                    let last = ffi::PyList_GET_SIZE(object) - 1;
                    let item = Owned::from_borrowed(ffi::PyList_GET_ITEM(object, last));
                    match ffi::PyList_SetSlice(object, last, last + 1, ptr::null_mut()) {
                        0 => Ok(item),
                        _ => Err(Raised),
                    }
                }
                Container::Heap => {
                    let args = [object];
                    Owned::new(vectorcall(HEAP.get()[1], args.as_ptr(), 1))
                }
            }
        }
    }
}
