//! `collections.deque`, as asyncio keeps waiters and items in it, without the way through attributes and calls.
//!
//! Called by every primitive. A real deque and not a queue of Rust's: programs and asyncio's own code look into `_waiters`,
//! `_getters` and `_queue`, and change them. What a call costs by the C function behind the method is 4 to 8 ns.

use crate::door::{attribute, import};
use crate::ffi::{Python, Raised, gil::GilCell, owned::Owned};
use pyo3_ffi as ffi;
use std::ffi::CStr;
use std::ptr;

struct Functions {
    kind: *mut ffi::PyTypeObject,
    append: Option<ffi::PyCFunction>,
    popleft: Option<ffi::PyCFunction>,
    remove: Option<ffi::PyCFunction>,
}

static DEQUE: GilCell<Functions> = GilCell::new(Functions {
    kind: ptr::null_mut(),
    append: None,
    popleft: None,
    remove: None,
});

/// Looks the functions up; called once, at import.
pub fn init() -> Python<()> {
    let kind = attribute(&import(c"collections")?, c"deque")?;
    // SAFETY: the functions live as long as the type, which is kept for good. The import runs alone.
    unsafe {
        let sample = Owned::new(ffi::PyObject_CallNoArgs(kind.as_ptr()))?;
        let function = |name: &CStr, flags: std::ffi::c_int| -> Python<Option<ffi::PyCFunction>> {
            let bound = attribute(&sample, name)?;
            if ffi::PyCFunction_Check(bound.as_ptr()) == 0
                || ffi::PyCFunction_GetFlags(bound.as_ptr()) != flags
            {
                crate::ffi::args::raise(
                    ffi::PyExc_ImportError,
                    "rondeau: this version does not know this Python's collections.deque",
                );
                return Err(Raised);
            }
            Ok(ffi::PyCFunction_GetFunction(bound.as_ptr()))
        };
        *DEQUE.get() = Functions {
            append: function(c"append", ffi::METH_O)?,
            popleft: function(c"popleft", ffi::METH_NOARGS)?,
            remove: function(c"remove", ffi::METH_O)?,
            kind: kind.into_ptr().cast(),
        };
    }
    Ok(())
}

#[inline]
unsafe fn call(
    function: Option<ffi::PyCFunction>,
    deque: *mut ffi::PyObject,
    argument: *mut ffi::PyObject,
) -> Python<Owned> {
    // SAFETY: the function is the type's own, and takes an instance and one object (or NULL for none).
    unsafe {
        let function = function.expect("init found the function");
        Owned::new(function(deque, argument))
    }
}

/// A new one, empty.
pub fn new() -> Python<Owned> {
    // SAFETY: the type lives.
    unsafe { Owned::new(ffi::PyObject_CallNoArgs(DEQUE.get().kind.cast())) }
}

/// Whether `object` is a deque and of no subclass.
///
/// # Safety
/// The object lives.
#[inline]
pub unsafe fn is_exact(object: *mut ffi::PyObject) -> bool {
    // SAFETY: the caller's contract.
    unsafe { ffi::Py_TYPE(object) == DEQUE.get().kind }
}

/// How many are in it.
///
/// # Safety
/// A live deque.
#[inline]
pub unsafe fn len(deque: *mut ffi::PyObject) -> isize {
    // SAFETY: the caller's contract; it is an object of variable size (Modules/_collectionsmodule.c).
    unsafe { ffi::Py_SIZE(deque) }
}

/// Adds at the right.
///
/// # Safety
/// A live deque and a live object.
#[inline]
pub unsafe fn append(deque: *mut ffi::PyObject, item: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the caller's contract.
    unsafe { call(DEQUE.get().append, deque, item).map(drop) }
}

/// Takes from the left; IndexError where it is empty.
///
/// # Safety
/// A live deque.
#[inline]
pub unsafe fn popleft(deque: *mut ffi::PyObject) -> Python<Owned> {
    // SAFETY: the caller's contract.
    unsafe { call(DEQUE.get().popleft, deque, ptr::null_mut()) }
}

/// Takes out the first that equals `item`; ValueError where none does.
///
/// # Safety
/// A live deque, kept alive by the caller, and a live object.
#[inline]
pub unsafe fn remove(deque: *mut ffi::PyObject, item: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the caller's contract.
    unsafe { call(DEQUE.get().remove, deque, item).map(drop) }
}

/// `remove`, of what may not be in it.
///
/// # Safety
/// As for `remove`.
pub unsafe fn discard(deque: *mut ffi::PyObject, item: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the caller's contract.
    unsafe {
        remove(deque, item).or_else(|Raised| {
            if ffi::PyErr_ExceptionMatches(ffi::PyExc_ValueError) == 0 {
                return Err(Raised);
            }
            ffi::PyErr_Clear();
            Ok(())
        })
    }
}

/// The item at `index`, which is within.
///
/// # Safety
/// A live deque.
#[inline]
pub unsafe fn at(deque: *mut ffi::PyObject, index: isize) -> Python<Owned> {
    // SAFETY: the caller's contract.
    unsafe { Owned::new(ffi::PySequence_GetItem(deque, index)) }
}
