//! `await future`: the future is its own awaiter where its type is exactly native, else an iterator object is made.
//!
//! Called by the interpreter's `SEND` (through `tp_iternext` or `am_send`) and by `PyIter_Send`. asyncio makes an iterator for
//! every await (a collected object, 25–30 ns); it has no state of its own, so the future can stand for it. What would
//! show the trick is kept off: `__await__` and `iter()` return an iterator object with send, throw and close, and
//! `__next__` is removed from the types (`isinstance(f, Iterator)` stays False).

use super::cell::{FutureRef, State};
use super::layout::{Kind, layout};
use super::outcome::{self, ensure_alive};
use crate::ffi::{
    Python, Raised,
    args::{self, raise},
    compat,
    gil::GilCell,
    owned::Owned,
    sent::Sent,
    stop_iteration, throw,
    types::{self, Type},
};
use pyo3_ffi as ffi;
use std::ffi::{c_int, c_void};
use std::ptr;

/// The iterator object.
#[repr(C)]
struct AwaiterObject {
    ob_base: ffi::PyObject,
    /// NULL once closed; strong.
    future: *mut ffi::PyObject,
    offset: usize,
}

static TYPE: GilCell<*mut ffi::PyTypeObject> = GilCell::new(ptr::null_mut());

#[inline]
unsafe fn send(future: FutureRef) -> Sent {
    // SAFETY: the caller keeps the future alive; the borrow ends before `result`.
    unsafe {
        let cell = future.cell();
        if cell.state != State::Pending {
            let result = outcome::result(future);
            return if result.is_null() {
                Sent::Raised
            } else {
                Sent::Done(result)
            };
        }
        if cell.blocking {
            return never_awaited();
        }
        cell.blocking = true;
        ffi::Py_INCREF(future.object());
        Sent::Pending(future.object())
    }
}

#[cold]
fn never_awaited() -> Sent {
    // SAFETY: RuntimeError is live.
    unsafe { raise(ffi::PyExc_RuntimeError, "await wasn't used with future") };
    Sent::Raised
}

/// `am_await` of both types.
pub unsafe extern "C" fn am_await<K: Kind>(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        let kind = ffi::Py_TYPE(object);
        if (kind == layout().future || kind == layout().task || kind == layout().gathering)
            && !FutureRef::of::<K>(object).cell().loop_.is_null()
        {
            ffi::Py_INCREF(object);
            return object;
        }
        iterator::<K>(object)
    }
}

/// `tp_iternext` of both types, reached by `await` only.
pub unsafe extern "C" fn next_self<K: Kind>(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    unsafe { send(FutureRef::of::<K>(object)).next(stop_iteration::end) }
}

/// `am_send` of both types.
pub unsafe extern "C" fn send_self<K: Kind>(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
    result: *mut *mut ffi::PyObject,
) -> ffi::PySendResult {
    // SAFETY: CPython calls this on an instance that it keeps alive, with a place for the result.
    unsafe { send(FutureRef::of::<K>(object)).status(result) }
}

/// `__await__` and `iter()`: an iterator object.
pub unsafe extern "C" fn iterator<K: Kind>(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance; a fresh iterator is zeroed and tracked, and its field is filled at once.
    unsafe {
        if ensure_alive(FutureRef::of::<K>(object)).is_err() {
            return ptr::null_mut();
        }
        let made = ffi::PyType_GenericAlloc(*TYPE.get(), 0);
        if !made.is_null() {
            let awaiter = made.cast::<AwaiterObject>();
            ffi::Py_INCREF(object);
            (*awaiter).offset = K::offset();
            (*awaiter).future = object;
        }
        made
    }
}

/// `__await__()`, a method.
pub unsafe extern "C" fn await_method<K: Kind>(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { iterator::<K>(object) }
}

unsafe fn send_iterator(object: *mut ffi::PyObject) -> Sent {
    // SAFETY: CPython calls the iterator's slots on an instance; its future is kept alive over the call.
    unsafe {
        let awaiter = object.cast::<AwaiterObject>();
        if (*awaiter).future.is_null() {
            return Sent::Done(Owned::from_borrowed(ffi::Py_None()).into_ptr());
        }
        let future = Owned::from_borrowed((*awaiter).future);
        let sent = send(FutureRef::at(future.as_ptr(), (*awaiter).offset));
        let done = FutureRef::at(future.as_ptr(), (*awaiter).offset)
            .cell()
            .state
            != State::Pending;
        if compat::AWAIT_ITERATOR_ENDS && done && !(*awaiter).future.is_null() {
            // The reference above keeps the future alive: nothing runs here.
            ffi::Py_DECREF(std::mem::replace(&mut (*awaiter).future, ptr::null_mut()));
        }
        sent
    }
}

unsafe extern "C" fn iter_next(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { send_iterator(object).shown() }
}

unsafe extern "C" fn iter_am_send(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
    result: *mut *mut ffi::PyObject,
) -> ffi::PySendResult {
    // SAFETY: CPython calls this on an instance, with a place for the result.
    unsafe { send_iterator(object).status(result) }
}

unsafe extern "C" fn iter_send(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { iter_next(object) }
}

unsafe extern "C" fn iter_self(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        ffi::Py_INCREF(object);
    }
    object
}

unsafe extern "C" fn iter_throw(
    object: *mut ffi::PyObject,
    args: *mut *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention.
    unsafe {
        let args = args::given(args, count);
        let _: Python<()> = throw(object, args);
    }
    ptr::null_mut()
}

/// Raises what was given and lets go of the future.
unsafe fn throw(object: *mut ffi::PyObject, args: &[*mut ffi::PyObject]) -> Python<()> {
    // SAFETY: the arguments are the caller's for the call.
    unsafe {
        let exception = throw::given(args)?;
        close(object);
        compat::set_raised(exception.into_ptr());
    }
    Err(Raised)
}

unsafe fn close(object: *mut ffi::PyObject) {
    // SAFETY: an instance of the iterator; its field owns its reference.
    unsafe { crate::ffi::slot::clear_slot(&raw mut (*object.cast::<AwaiterObject>()).future) }
}

unsafe extern "C" fn iter_close(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        close(object);
        Owned::from_borrowed(ffi::Py_None()).into_ptr()
    }
}

unsafe extern "C" fn iter_clear(object: *mut ffi::PyObject) -> c_int {
    // SAFETY: the collector calls this on an instance.
    unsafe { close(object) };
    0
}

unsafe extern "C" fn iter_traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the collector calls this on an instance; what is visited is live.
    unsafe {
        let future = (*object.cast::<AwaiterObject>()).future;
        let result = visit(ffi::Py_TYPE(object).cast(), arg);
        if result != 0 || future.is_null() {
            result
        } else {
            visit(future, arg)
        }
    }
}

unsafe extern "C" fn iter_dealloc(object: *mut ffi::PyObject) {
    // SAFETY: the last reference is gone; the instance is untracked before it is taken apart.
    unsafe {
        let kind = ffi::Py_TYPE(object);
        ffi::PyObject_GC_UnTrack(object.cast());
        close(object);
        ffi::PyObject_GC_Del(object.cast());
        ffi::Py_DECREF(kind.cast());
    }
}

/// Makes the iterator's type.
pub fn init() -> Python<()> {
    let methods = types::table([
        types::one(
            c"send",
            iter_send,
            c"send($self, value, /)\n--\n\nThe value is ignored.",
        ),
        types::fast(
            c"throw",
            iter_throw,
            c"throw($self, type, value=None, traceback=None, /)\n--\n\nRaise the exception.",
        ),
        types::noargs(
            c"close",
            iter_close,
            c"close($self, /)\n--\n\nLet go of the future.",
        ),
    ]);
    let kind = Type {
        name: c"rondeau._core.FutureIter",
        size: size_of::<AwaiterObject>(),
        flags: ffi::Py_TPFLAGS_HAVE_GC
            | ffi::Py_TPFLAGS_IMMUTABLETYPE
            | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION,
        slots: vec![
            (ffi::Py_tp_dealloc, iter_dealloc as *mut c_void),
            (ffi::Py_tp_traverse, iter_traverse as *mut c_void),
            (ffi::Py_tp_clear, iter_clear as *mut c_void),
            (ffi::Py_tp_iter, iter_self as *mut c_void),
            (ffi::Py_tp_iternext, iter_next as *mut c_void),
            (ffi::Py_am_send, iter_am_send as *mut c_void),
            (ffi::Py_tp_methods, methods),
        ],
    };
    // SAFETY: the slots match their numbers and the size is the instance struct's.
    unsafe { *TYPE.get() = kind.build(ptr::null_mut())?.into_ptr().cast() };
    Ok(())
}
