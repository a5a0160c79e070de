//! Which loop runs in this thread, asked by native functions that may be called anywhere.
//!
//! asyncio's own answer is used, by the C function behind `asyncio._get_running_loop` without the way through a call (5 ns): a
//! program or another loop may set it, and nested loops do.

use crate::door::{attribute, import};
use crate::ffi::{Python, Raised, gil::GilCell, owned::Owned};
use crate::native_loop::Loop;
use pyo3_ffi as ffi;
use std::ptr;

struct Function {
    call: Option<ffi::PyCFunction>,
    owner: *mut ffi::PyObject,
}

static GET: GilCell<Function> = GilCell::new(Function {
    call: None,
    owner: ptr::null_mut(),
});

/// Looks the function up; called once, at import.
pub fn init() -> Python<()> {
    let function = attribute(&import(c"_asyncio")?, c"_get_running_loop")?;
    // SAFETY: `_asyncio` has it as a builtin without arguments; it is kept for good. The import runs alone.
    unsafe {
        let call = ffi::PyCFunction_GetFunction(function.as_ptr());
        if call.is_none() {
            return Err(Raised);
        }
        let owner = ffi::PyCFunction_GetSelf(function.as_ptr());
        *GET.get() = Function { call, owner };
    }
    std::mem::forget(function);
    Ok(())
}

/// The running loop, or None.
///
/// # Safety
/// The GIL is held.
#[inline]
unsafe fn running() -> Python<Owned> {
    // SAFETY: the function takes no arguments.
    unsafe {
        let Function { call, owner } = GET.get();
        let call = call.expect("init found it");
        Owned::new(call(*owner, ptr::null_mut()))
    }
}

/// The running loop as a Python object; None where none runs.
///
/// # Safety
/// The GIL is held.
pub unsafe fn object() -> Python<Option<Owned>> {
    // SAFETY: None lives.
    unsafe { running().map(|running| (running.as_ptr() != ffi::Py_None()).then_some(running)) }
}

/// A running loop that native code may use without asking its methods: Rondeau's own, with no method that matters overridden,
/// open and not in debug mode. The reference keeps it alive.
pub struct Plain {
    _alive: Owned,
    pub loop_: Loop,
}

/// The running loop, if it is such a one. What has another loop goes asyncio's own way.
///
/// # Safety
/// The GIL is held.
#[inline]
pub unsafe fn plain() -> Option<Plain> {
    // SAFETY: the object is kept alive by what is returned.
    unsafe {
        match running() {
            Ok(running) => as_plain(running.as_ptr()).map(|loop_| Plain {
                _alive: running,
                loop_,
            }),
            Err(Raised) => {
                ffi::PyErr_Clear();
                None
            }
        }
    }
}

/// The same, in debug mode too: for what makes futures and wakes them, but schedules nothing of its own.
///
/// # Safety
/// The GIL is held.
#[inline]
pub unsafe fn native() -> Option<Plain> {
    // SAFETY: the object is kept alive by what is returned.
    unsafe {
        let Ok(running) = running() else {
            ffi::PyErr_Clear();
            return None;
        };
        let loop_ = Loop::direct(running.as_ptr())?;
        let parts = loop_.parts();
        (parts.plain && !parts.closed).then_some(Plain {
            _alive: running,
            loop_,
        })
    }
}

/// `object` as a loop that native code may use without asking its methods.
///
/// # Safety
/// The object lives.
#[inline]
pub unsafe fn as_plain(object: *mut ffi::PyObject) -> Option<Loop> {
    // SAFETY: the caller's contract.
    unsafe {
        let loop_ = Loop::direct(object)?;
        let parts = loop_.parts();
        (parts.plain && !parts.debug && !parts.closed).then_some(loop_)
    }
}

/// The calling thread, as `threading.get_ident` names it.
#[inline]
pub fn this_thread() -> u64 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::pthread_self() as u64 }
}
