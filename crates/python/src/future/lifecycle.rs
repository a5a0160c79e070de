//! Making, initialising, visiting, finalising and freeing a future; `task/lifecycle.rs` builds on it.
//!
//! Invariant: an object that was never initialised has `loop_` NULL, and every function here accepts it. The base's
//! `tp_traverse` and `tp_clear` are chained (they know the dict and what C code put into the base's storage), its
//! `tp_dealloc` never.

use super::cell::{FutureRef, Rare};
use super::door::door;
use super::layout::{OfFuture, layout};
use super::outcome::ensure_alive;
use super::{Purpose, soon};
use crate::ffi::{Python, Raised, args::raise, compat, depth, names::names, owned::Owned, types};
use crate::native_loop::Loop;
use crate::task::awaited_by;
use pyo3_ffi as ffi;
use std::ffi::{c_int, c_void};
use std::ptr;

/// `loop.create_future()`: NULL on error.
///
/// # Safety
/// The loop lives.
#[inline]
pub unsafe fn new(loop_: Loop) -> *mut ffi::PyObject {
    // SAFETY: the fresh instance is zeroed; its fields are filled before Python code can see it.
    unsafe {
        let layout = layout();
        let object = ffi::PyType_GenericAlloc(layout.future, 0);
        if object.is_null() {
            return object;
        }
        let future = FutureRef::at(object, layout.future_cell);
        match attach(future, loop_) {
            Ok(()) => object,
            Err(Raised) => {
                release_keeping_error(object);
                ptr::null_mut()
            }
        }
    }
}

/// A future on a native loop that says what it is for: NULL on error.
///
/// # Safety
/// The loop lives.
#[inline]
pub unsafe fn new_for(loop_: Loop, purpose: Purpose) -> *mut ffi::PyObject {
    // SAFETY: the fields of a fresh instance lie where the layout says.
    unsafe {
        let object = new(loop_);
        if !object.is_null() {
            FutureRef::at(object, layout().future_cell).cell().purpose = purpose;
        }
        object
    }
}

/// Releases a reference while an exception is on its way out.
///
/// # Safety
/// The reference is the caller's.
#[cold]
pub unsafe fn release_keeping_error(object: *mut ffi::PyObject) {
    // SAFETY: the caller's contract; a finalizer must not lose the exception.
    unsafe {
        let raised = compat::take_raised();
        ffi::Py_DECREF(object);
        compat::set_raised(raised);
    }
}

/// Attaches a fresh future to a native loop.
///
/// # Safety
/// The fields are zeroed; both objects live.
#[inline]
pub unsafe fn attach(future: FutureRef, loop_: Loop) -> Python<()> {
    // SAFETY: the caller's contract; the base's word lies inside the instance.
    unsafe {
        let parts = loop_.parts();
        let (direct, debug) = (parts.direct, parts.debug);
        ffi::Py_INCREF(loop_.object());
        let cell = future.cell();
        cell.loop_ = loop_.object();
        cell.direct = direct;
        fill_module_state(future);
        if debug { note_source(future) } else { Ok(()) }
    }
}

/// Lets C methods that are called on the base class find their module's state: without it they would follow NULL.
#[inline]
unsafe fn fill_module_state(future: FutureRef) {
    let layout = layout();
    if layout.module_state != 0 {
        // SAFETY: the word lies in the base's storage and is a plain pointer there, not a reference.
        unsafe {
            *future
                .object()
                .byte_add(layout.module_state)
                .cast::<usize>() = layout.module_state_value
        };
    }
}

#[cold]
unsafe fn note_source(future: FutureRef) -> Python<()> {
    if compat::is_finalizing() {
        return Ok(());
    }
    // SAFETY: the function lives; the field is written after Python code ran.
    unsafe {
        let stack = Owned::new(ffi::PyObject_CallNoArgs(door().extract_stack))?;
        future.rare().source_traceback = Some(stack);
    }
    Ok(())
}

/// `Future.__init__(loop=...)` for any loop; NULL and None mean the current one.
///
/// # Safety
/// The objects live and stay alive.
pub unsafe fn init(future: FutureRef, loop_: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: no borrow of the fields lives while Python code runs.
    unsafe {
        if !future.cell().loop_.is_null() {
            if compat::STRICT_INIT {
                let name = Owned::new(ffi::PyType_GetName(ffi::Py_TYPE(future.object())))?;
                ffi::PyErr_Format(
                    ffi::PyExc_RuntimeError,
                    c"%U object is already initialized".as_ptr(),
                    name.as_ptr(),
                );
                return Err(Raised);
            }
            reset(future)?;
        }
        let loop_ = if loop_.is_null() || loop_ == ffi::Py_None() {
            soon::current_loop()?
        } else {
            Owned::from_borrowed(loop_)
        };
        if let Some(native) = Loop::direct(loop_.as_ptr()) {
            return attach(future, native);
        }
        crate::ffi::slot::set_slot(&raw mut future.cell().loop_, loop_.as_ptr());
        let loop_ = Owned::from_borrowed(loop_.into_ptr());
        fill_module_state(future);
        let debug = Owned::new(ffi::PyObject_CallMethodNoArgs(
            loop_.as_ptr(),
            names().get_debug,
        ))?;
        match ffi::PyObject_IsTrue(debug.as_ptr()) {
            -1 => Err(Raised),
            0 => Ok(()),
            _ => note_source(future),
        }
    }
}

/// Makes a future as if it were new, keeping its dict.
unsafe fn reset(future: FutureRef) -> Python<()> {
    // SAFETY: `clear` leaves all references NULL.
    unsafe {
        awaited_by::forget(future.object())?;
        future.clear();
        let cell = future.cell();
        cell.state = super::cell::State::Pending;
        (cell.failed, cell.log_traceback, cell.blocking, cell.direct) =
            (false, false, false, false);
    }
    Ok(())
}

/// `tp_new` of both types: an instance that is not initialised.
pub unsafe extern "C" fn tp_new(
    kind: *mut ffi::PyTypeObject,
    _: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython passes a type that inherits from ours.
    unsafe { (*kind).tp_alloc.unwrap_or(ffi::PyType_GenericAlloc)(kind, 0) }
}

/// `tp_init` of `_core.Future`.
pub unsafe extern "C" fn tp_init(
    object: *mut ffi::PyObject,
    args: *mut ffi::PyObject,
    keywords: *mut ffi::PyObject,
) -> c_int {
    // SAFETY: CPython calls this on an instance; the format asks for one object.
    unsafe {
        let mut given = [ptr::null_mut()];
        let known = [c"loop".as_ptr(), ptr::null()];
        if !compat::parse_objects(args, keywords, c"|$O:Future", &known, &mut given) {
            return -1;
        }
        super::attributes::status(init(FutureRef::of::<OfFuture>(object), given[0]))
    }
}

/// `tp_repr` of `_core.Future`.
pub unsafe extern "C" fn tp_repr(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        if ensure_alive(FutureRef::of::<OfFuture>(object)).is_err() {
            return ptr::null_mut();
        }
        ffi::PyObject_CallOneArg(door().future_repr, object)
    }
}

/// Visits what the base's storage, the dict and the type hold.
///
/// # Safety
/// Called by the collector on an instance; `base` is its asyncio base.
pub unsafe fn traverse_base(
    base: *mut ffi::PyTypeObject,
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the base's function is made for its storage, which is zeroed or filled as C code would.
    unsafe {
        // A static base leaves the type to us, a heap base visits it.
        if !compat::ASYNCIO_HAS_HEAP_TYPES {
            let result = visit(ffi::Py_TYPE(object).cast(), arg);
            if result != 0 {
                return result;
            }
        }
        (*base)
            .tp_traverse
            .map_or(0, |traverse| traverse(object, visit, arg))
    }
}

/// `tp_traverse` of `_core.Future`.
pub unsafe extern "C" fn tp_traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the collector calls this on an instance.
    unsafe {
        let result = traverse_base(door().future_base, object, visit, arg);
        if result != 0 {
            result
        } else {
            FutureRef::of::<OfFuture>(object).traverse(visit, arg)
        }
    }
}

/// `tp_clear` of `_core.Future`.
pub unsafe extern "C" fn tp_clear(object: *mut ffi::PyObject) -> c_int {
    // SAFETY: called on an instance; any Python code may run.
    unsafe {
        FutureRef::of::<OfFuture>(object).clear();
        if let Some(clear) = (*door().future_base).tp_clear {
            clear(object);
        }
    }
    0
}

/// `tp_finalize` of `_core.Future`: reports an exception that nobody retrieved.
pub unsafe extern "C" fn tp_finalize(object: *mut ffi::PyObject) {
    // SAFETY: called on an instance that its caller keeps alive for the call.
    unsafe { finalize(FutureRef::of::<OfFuture>(object)) }
}

/// Reports an exception that nobody retrieved.
///
/// # Safety
/// The object lives for the call.
#[inline]
pub unsafe fn finalize(future: FutureRef) {
    // SAFETY: the caller's contract.
    unsafe {
        if future.cell().log_traceback {
            never_retrieved(future);
        }
    }
}

#[cold]
unsafe fn never_retrieved(future: FutureRef) {
    // SAFETY: the exception that is on its way out is kept; a failure in here is dropped, as asyncio does.
    unsafe {
        future.cell().log_traceback = false;
        let raised = compat::take_raised();
        let exception = Owned::from_borrowed(future.cell().value);
        let entries = [
            (names().exception, exception.as_ptr()),
            (names().future, future.object()),
        ];
        let message = || {
            let name = Owned::new(ffi::PyType_GetName(ffi::Py_TYPE(future.object())))?;
            Owned::new(ffi::PyUnicode_FromFormat(
                c"%U exception was never retrieved".as_ptr(),
                name.as_ptr(),
            ))
        };
        let _: Python<()> = message().and_then(|message| report(future, message, &entries));
        compat::set_raised(raised);
    }
}

/// `loop.call_exception_handler({"message": ..., ...})` from a finalizer.
///
/// # Safety
/// The objects live.
pub unsafe fn report(
    future: FutureRef,
    message: Owned,
    entries: &[(*mut ffi::PyObject, *mut ffi::PyObject)],
) -> Python<()> {
    // SAFETY: the dict is fresh; a handler that fails is reported as unraisable.
    unsafe {
        let context = Owned::new(ffi::PyDict_New())?;
        let source = future
            .cell()
            .rare
            .as_deref()
            .and_then(|rare: &Rare| rare.source_traceback.clone());
        let first = (names().message, message.as_ptr());
        let last = source
            .as_ref()
            .map(|source| (names().source_traceback, source.as_ptr()));
        for (key, value) in std::iter::once(&first).chain(entries).chain(last.iter()) {
            if ffi::PyDict_SetItem(context.as_ptr(), *key, *value) != 0 {
                return Err(Raised);
            }
        }
        if future.cell().loop_.is_null() {
            return Err(raise(
                ffi::PyExc_RuntimeError,
                "Future object is not initialized.",
            ));
        }
        let handler = Owned::new(ffi::PyObject_GetAttr(
            future.cell().loop_,
            names().call_exception_handler,
        ))?;
        if Owned::new(ffi::PyObject_CallOneArg(handler.as_ptr(), context.as_ptr())).is_err() {
            ffi::PyErr_WriteUnraisable(handler.as_ptr());
        }
    }
    Ok(())
}

/// `tp_dealloc` of `_core.Future`, also reached from `subtype_dealloc`, which has finalised by then.
pub unsafe extern "C" fn tp_dealloc(object: *mut ffi::PyObject) {
    // SAFETY: the last reference is gone; a subclass has been counted by `subtype_dealloc`.
    unsafe {
        if ffi::Py_TYPE(object) == layout().future {
            depth::free(object, free)
        } else {
            free(object)
        }
    }
}

unsafe extern "C" fn free(object: *mut ffi::PyObject) {
    // SAFETY: the last reference is gone; a finalizer may bring the object back.
    unsafe {
        let kind = ffi::Py_TYPE(object);
        if kind == layout().future
            && FutureRef::of::<OfFuture>(object).cell().log_traceback
            && ffi::PyObject_CallFinalizerFromDealloc(object) < 0
        {
            return;
        }
        ffi::PyObject_GC_UnTrack(object.cast());
        ffi::PyObject_ClearWeakRefs(object);
        tp_clear(object);
        types::free(kind, object);
    }
}

/// The offset of our fields behind a base of this size.
pub fn cell_offset(base: *mut ffi::PyTypeObject) -> usize {
    // SAFETY: a live type.
    unsafe { (*base).tp_basicsize as usize }.next_multiple_of(16)
}
