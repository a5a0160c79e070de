//! What Python calls on an iterator: from 3.13 on an iterator and an asynchronous one, before a generator.

use super::futures::{begin, child_done};
use super::iterator::{self, IteratorRef};
use super::{known, next};
use crate::ffi::slot::{clear_slot, set_slot};
use crate::ffi::{
    Python, Raised, answer,
    args::{self, raise_type_error},
    compat,
    owned::Owned,
    throw as thrown, types,
};
use crate::observer;
use pyo3_ffi as ffi;
use std::ffi::{CStr, c_void};
use std::ptr;

/// The method that a future's list of callbacks shows.
pub const fn callback() -> &'static CStr {
    if compat::AS_COMPLETED_IS_A_GENERATOR {
        c"_on_completion"
    } else {
        c"_handle_completion"
    }
}

unsafe extern "C" fn on_completion(
    object: *mut ffi::PyObject,
    child: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    unsafe { answer::none(observer::check_done(child).and_then(|()| child_done(object, child))) }
}

/// Begins where it has not; asyncio's own generator where it is one.
unsafe fn begun(this: IteratorRef) -> Python<Option<Owned>> {
    // SAFETY: the arguments are kept alive over the call.
    unsafe {
        if !this.get().given.is_null() {
            let take = |slot: &mut *mut ffi::PyObject| {
                Owned::from_owned(std::mem::replace(slot, ptr::null_mut()))
            };
            let given = take(&mut this.get().given);
            let timeout = take(&mut this.get().timeout);
            // What fails here ends the generator.
            this.get().closed = true;
            match known(given.as_ptr(), timeout.as_ptr())? {
                Some(known) => begin(this, known)?,
                None => {
                    let theirs = super::asyncios(given.as_ptr(), timeout.as_ptr())?;
                    set_slot(&raw mut this.get().asyncios, theirs.into_ptr());
                }
            }
            this.get().closed = false;
        }
        let theirs = this.get().asyncios;
        Ok((!theirs.is_null()).then(|| Owned::from_borrowed(theirs)))
    }
}

unsafe extern "C" fn iternext(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive. NULL without an exception is the end.
    unsafe {
        let this = IteratorRef::from_object(object);
        if this.get().closed {
            return ptr::null_mut();
        }
        match begun(this) {
            Err(Raised) => ptr::null_mut(),
            Ok(Some(theirs)) => ffi::PyIter_Next(theirs.as_ptr()),
            Ok(None) if this.count_one() => answer::object(next::result(this)),
            Ok(None) => ptr::null_mut(),
        }
    }
}

unsafe extern "C" fn itself(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { Owned::from_borrowed(object).into_ptr() }
}

unsafe extern "C" fn anext(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { answer::object(next::future(IteratorRef::from_object(object))) }
}

/// The generator's `send`: only None before it has begun, and it makes nothing of what is sent later.
unsafe extern "C" fn send(
    object: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    unsafe {
        if value != ffi::Py_None() && !IteratorRef::from_object(object).get().given.is_null() {
            raise_type_error("can't send non-None value to a just-started generator");
            return ptr::null_mut();
        }
        let next = iternext(object);
        if next.is_null() && ffi::PyErr_Occurred().is_null() {
            ffi::PyErr_SetNone(ffi::PyExc_StopIteration);
        }
        next
    }
}

/// The generator's `throw`: nothing in it catches.
unsafe extern "C" fn throw(
    object: *mut ffi::PyObject,
    args: *mut *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention.
    unsafe {
        let args = args::given(args, count);
        if let Ok(exception) = thrown::given(args) {
            end(IteratorRef::from_object(object));
            compat::set_raised(exception.into_ptr());
        }
        ptr::null_mut()
    }
}

unsafe extern "C" fn close(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    unsafe { end(IteratorRef::from_object(object)) };
    answer::none(Ok(()))
}

/// The generator yields nothing more; its futures go on, and are still counted.
unsafe fn end(this: IteratorRef) {
    // SAFETY: the object lives; each field is emptied before its reference is released.
    unsafe {
        this.get().closed = true;
        for slot in [
            &raw mut this.get().given,
            &raw mut this.get().timeout,
            &raw mut this.get().asyncios,
        ] {
            clear_slot(slot);
        }
    }
}

unsafe extern "C" fn repr(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: one %p.
    unsafe { ffi::PyUnicode_FromFormat(c"<generator object as_completed at %p>".as_ptr(), object) }
}

/// Makes the type.
pub fn init() -> Python<()> {
    let mut slots = vec![
        (ffi::Py_tp_iter, itself as *mut c_void),
        (ffi::Py_tp_iternext, iternext as *mut c_void),
    ];
    let told = types::one(callback(), on_completion, c"");
    if compat::AS_COMPLETED_IS_A_GENERATOR {
        slots.push((ffi::Py_tp_repr, repr as *mut c_void));
        let methods = types::table([
            told,
            types::one(c"send", send, c"send($self, arg, /)\n--\n\n"),
            types::fast(
                c"throw",
                throw,
                c"throw($self, type, value=None, traceback=None, /)\n--\n\n",
            ),
            types::noargs(c"close", close, c"close($self, /)\n--\n\n"),
        ]);
        slots.push((ffi::Py_tp_methods, methods));
    } else {
        slots.push((ffi::Py_am_aiter, itself as *mut c_void));
        slots.push((ffi::Py_am_anext, anext as *mut c_void));
        slots.push((ffi::Py_tp_methods, types::table([told])));
    }
    // SAFETY: the slots match their numbers.
    unsafe { iterator::init(slots) }
}
