//! What CPython and programs call on a native coroutine, and the making of its type.

use super::cell::{CoroObject, CoroRef, State};
use super::{Sent, TYPE, advance, check_sent, close, drive, frame_state, inside, spare};
use crate::door::{attribute, cold, import};
use crate::ffi::{
    Python, Raised, answer, args, compat,
    owned::Owned,
    stop_iteration, throw as thrown,
    types::{self, Type},
};
use pyo3_ffi as ffi;
use std::ffi::{c_int, c_void};
use std::mem::offset_of;
use std::ptr;

unsafe extern "C" fn am_await(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        let cell = CoroRef::of(object).cell();
        if cell.state == State::Suspended {
            crate::ffi::args::raise(
                ffi::PyExc_RuntimeError,
                "coroutine is being awaited already",
            );
            return ptr::null_mut();
        }
        Owned::from_borrowed(object).into_ptr()
    }
}

unsafe extern "C" fn await_method(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { am_await(object) }
}

/// `tp_iter`, for `yield from` in a `types.coroutine`. There is no `__iter__`: it is no `Iterable`, as a coroutine is none.
unsafe extern "C" fn iter(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { am_await(object) }
}

/// `tp_iternext`, reached by `await`.
unsafe extern "C" fn next(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    unsafe {
        match advance(CoroRef::of(object)) {
            Sent::Pending(waited_for) => waited_for,
            Sent::Done(value) => {
                stop_iteration::end_of_coroutine(value);
                ptr::null_mut()
            }
            Sent::Raised => ptr::null_mut(),
        }
    }
}

unsafe extern "C" fn am_send(
    object: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
    result: *mut *mut ffi::PyObject,
) -> ffi::PySendResult {
    // SAFETY: CPython calls this on an instance that it keeps alive, with a place for the result.
    unsafe {
        let coro = CoroRef::of(object);
        let sent = match check_sent(coro, value) {
            Ok(()) => advance(coro),
            Err(Raised) => Sent::Raised,
        };
        let (value, status) = match sent {
            Sent::Pending(waited_for) => (waited_for, ffi::PySendResult::PYGEN_NEXT),
            Sent::Done(value) => (value, ffi::PySendResult::PYGEN_RETURN),
            Sent::Raised => (ptr::null_mut(), ffi::PySendResult::PYGEN_ERROR),
        };
        *result = value;
        status
    }
}

unsafe fn shown(sent: Sent) -> *mut ffi::PyObject {
    match sent {
        Sent::Pending(waited_for) => waited_for,
        Sent::Done(value) => {
            // SAFETY: the reference is ours.
            unsafe { stop_iteration::raise(Owned::from_owned(value)) };
            ptr::null_mut()
        }
        Sent::Raised => ptr::null_mut(),
    }
}

unsafe extern "C" fn send(
    object: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    unsafe {
        let coro = CoroRef::of(object);
        match check_sent(coro, value) {
            Ok(()) => shown(advance(coro)),
            Err(Raised) => ptr::null_mut(),
        }
    }
}

unsafe extern "C" fn throw(
    object: *mut ffi::PyObject,
    args: *mut *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention.
    unsafe {
        let args = args::given(args, count);
        match thrown::given(args) {
            Ok(exception) => shown(drive(CoroRef::of(object), Some(exception))),
            Err(Raised) => ptr::null_mut(),
        }
    }
}

unsafe extern "C" fn close_method(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    unsafe { answer::none(close(CoroRef::of(object))) }
}

/// The bound callback that `_callbacks` shows for a coroutine that observes futures.
unsafe extern "C" fn on_completion(
    object: *mut ffi::PyObject,
    child: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    unsafe { answer::none(CoroRef::of(object).notify(child)) }
}

unsafe extern "C" fn name(object: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { ffi::PyUnicode_FromString((*CoroRef::of(object).cell().kind).name.as_ptr()) }
}

unsafe extern "C" fn qualname(object: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { ffi::PyUnicode_FromString((*CoroRef::of(object).cell().kind).qualname.as_ptr()) }
}

unsafe extern "C" fn is_running(object: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    answer::boolean(unsafe { CoroRef::of(object).cell().running })
}

unsafe extern "C" fn no_origin(_: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    answer::none(Ok(()))
}

unsafe extern "C" fn repr(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance; one %s and one %p.
    unsafe {
        let name = (*CoroRef::of(object).cell().kind).qualname;
        ffi::PyUnicode_FromFormat(
            c"<coroutine object %s at %p>".as_ptr(),
            name.as_ptr(),
            object,
        )
    }
}

/// Warns of one that was never awaited; closes one that is suspended. The exception that is set stays.
unsafe extern "C" fn finalize(object: *mut ffi::PyObject) {
    // SAFETY: called on an instance that its caller keeps alive for the call.
    unsafe {
        let coro = CoroRef::of(object);
        coro.cell().finalized = true;
        if coro.cell().state == State::Finished {
            return;
        }
        let raised = compat::take_raised();
        let done = if coro.cell().state == State::Created {
            cold(c"never_awaited", &[object]).map(drop)
        } else {
            close(coro)
        };
        if done.is_err() {
            ffi::PyErr_WriteUnraisable(object);
        }
        compat::set_raised(raised);
    }
}

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the collector calls this on an instance.
    unsafe {
        let result = visit(ffi::Py_TYPE(object).cast(), arg);
        if result != 0 {
            result
        } else {
            CoroRef::of(object).traverse(visit, arg)
        }
    }
}

unsafe extern "C" fn clear(object: *mut ffi::PyObject) -> c_int {
    // SAFETY: the collector calls this on an instance.
    unsafe { CoroRef::of(object).clear() };
    0
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: the last reference is gone; a finalizer may bring it back. What is kept is whole before other code runs.
    unsafe {
        let coro = CoroRef::of(object);
        let finished = coro.cell().state == State::Finished;
        if finished && coro.cell().weak.is_null() && !coro.cell().finalized && spare::give(object) {
            stop_iteration::forget();
            return;
        }
        if !finished && ffi::PyObject_CallFinalizerFromDealloc(object) < 0 {
            return;
        }
        ffi::PyObject_GC_UnTrack(object.cast());
        if !coro.cell().weak.is_null() {
            ffi::PyObject_ClearWeakRefs(object);
        }
        if !finished {
            coro.clear();
        }
        stop_iteration::forget();
        let kind = ffi::Py_TYPE(object);
        ffi::PyObject_GC_Del(object.cast());
        ffi::Py_DECREF(kind.cast());
    }
}

/// Makes the type and has `collections.abc` know it.
pub fn init(module: *mut ffi::PyObject) -> Python<()> {
    frame_state::init()?;
    let mut await_ = types::noargs(
        c"__await__",
        await_method,
        c"__await__($self, /)\n--\n\nReturn an iterator to be used in await expression.",
    );
    // The slot wrapper of the same name is there first.
    await_.ml_flags |= ffi::METH_COEXIST;
    let methods = types::table([
        await_,
        types::one(
            c"send",
            send,
            c"send($self, arg, /)\n--\n\nGo on; return what is waited for, or raise StopIteration with the result.",
        ),
        types::fast(
            c"throw",
            throw,
            c"throw($self, type, value=None, traceback=None, /)\n--\n\nRaise the exception where it waits.",
        ),
        types::noargs(
            c"close",
            close_method,
            c"close($self, /)\n--\n\nRaise GeneratorExit where it waits.",
        ),
        types::one(
            c"_on_completion",
            on_completion,
            c"_on_completion($self, future, /)\n--\n\n",
        ),
    ]);
    let attributes = types::table([
        types::attribute(c"__name__", name, None),
        types::attribute(c"__qualname__", qualname, None),
        types::attribute(c"cr_running", is_running, None),
        types::attribute(c"cr_frame", inside::frame, None),
        types::attribute(c"cr_await", inside::awaited, None),
        types::attribute(c"cr_origin", no_origin, None),
    ]);
    let members = types::table([ffi::PyMemberDef {
        name: c"__weaklistoffset__".as_ptr(),
        type_code: ffi::Py_T_PYSSIZET,
        offset: offset_of!(CoroObject, weak) as ffi::Py_ssize_t,
        flags: ffi::Py_READONLY,
        doc: ptr::null(),
    }]);
    let kind = Type {
        name: c"rondeau._core.coroutine",
        size: size_of::<CoroObject>(),
        flags: ffi::Py_TPFLAGS_HAVE_GC
            | ffi::Py_TPFLAGS_IMMUTABLETYPE
            | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION,
        slots: vec![
            (
                ffi::Py_tp_doc,
                c"A coroutine of asyncio's, native.".as_ptr() as *mut c_void,
            ),
            (ffi::Py_tp_dealloc, dealloc as *mut c_void),
            (ffi::Py_tp_traverse, traverse as *mut c_void),
            (ffi::Py_tp_clear, clear as *mut c_void),
            (ffi::Py_tp_finalize, finalize as *mut c_void),
            (ffi::Py_tp_repr, repr as *mut c_void),
            (ffi::Py_tp_iter, iter as *mut c_void),
            (ffi::Py_tp_iternext, next as *mut c_void),
            (ffi::Py_am_await, am_await as *mut c_void),
            (ffi::Py_am_send, am_send as *mut c_void),
            (ffi::Py_tp_methods, methods),
            (ffi::Py_tp_getset, attributes),
            (ffi::Py_tp_members, members),
        ],
    };
    // SAFETY: the slots match their numbers and the size is the instance struct's; the import runs alone.
    unsafe {
        let kind = kind.build(ptr::null_mut())?;
        let fresh = kind.as_ptr().cast::<ffi::PyTypeObject>();
        types::trim(fresh)?;
        if ffi::PyDict_DelItemString((*fresh).tp_dict, c"__iter__".as_ptr()) != 0 {
            return Err(Raised);
        }
        ffi::PyType_Modified(fresh);
        if ffi::PyModule_AddType(module, kind.as_ptr().cast()) != 0 {
            return Err(Raised);
        }
        let abstract_ = attribute(&import(c"collections.abc")?, c"Coroutine")?;
        Owned::new(ffi::PyObject_CallMethodOneArg(
            abstract_.as_ptr(),
            crate::ffi::names::names().register,
            kind.as_ptr(),
        ))?;
        *TYPE.get() = kind.into_ptr().cast();
    }
    Ok(())
}
