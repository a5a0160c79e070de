//! The type `_core.FileOp`: an operation as Python sees it, a coroutine without a frame.
//!
//! To all that ask in asyncio's way it is a coroutine, as a `SocketCall` is: it does nothing before it is awaited, tasks take it, and one
//! that is never awaited warns. `start()` begins it at once and keeps it (see `op`).

use super::op::{Fields, OpObject, Operation, Progress, Sent};
use super::request::Request;
use crate::door;
use crate::ffi::{
    Python, Raised, answer,
    args::{self, raise},
    compat,
    gil::GilCell,
    owned::Owned,
    stop_iteration, throw,
    types::{self, Type},
};
use pyo3_ffi as ffi;
use std::ffi::{CStr, c_int, c_void};
use std::ptr;

static TYPE: GilCell<*mut ffi::PyTypeObject> = GilCell::new(ptr::null_mut());

/// A fresh operation; `owner` and the paths may be NULL.
///
/// # Safety
/// The objects live.
pub unsafe fn new(
    name: &'static CStr,
    request: Request,
    owner: *mut ffi::PyObject,
    paths: [*mut ffi::PyObject; 2],
) -> Python<Owned> {
    // SAFETY: the instance is zeroed; its fields are written before Python code can run.
    unsafe {
        let made = Owned::new(ffi::PyType_GenericAlloc(*TYPE.get(), 0))?;
        for object in [owner, paths[0], paths[1]] {
            ffi::Py_XINCREF(object);
        }
        (&raw mut (*made.as_ptr().cast::<OpObject>()).fields).write(Fields {
            name,
            request: Some(request),
            target: ptr::null_mut(),
            owner,
            paths,
            loop_: ptr::null_mut(),
            future: ptr::null_mut(),
            outcome: ptr::null_mut(),
            failed: false,
            id: None,
            done: 0,
            progress: Progress::Fresh,
            kept: false,
        });
        Ok(made)
    }
}

unsafe extern "C" fn am_await(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { Owned::from_borrowed(object).into_ptr() }
}

unsafe extern "C" fn next(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    unsafe {
        match Operation::from_object(object).send(ffi::Py_None()) {
            Ok(Sent::Pending(future)) => future.into_ptr(),
            Ok(Sent::Done(value)) => {
                stop_iteration::end(value.into_ptr());
                ptr::null_mut()
            }
            Err(Raised) => ptr::null_mut(),
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
        let (given, status) = match Operation::from_object(object).send(value) {
            Ok(Sent::Pending(future)) => (future.into_ptr(), ffi::PySendResult::PYGEN_NEXT),
            Ok(Sent::Done(value)) => (value.into_ptr(), ffi::PySendResult::PYGEN_RETURN),
            Err(Raised) => (ptr::null_mut(), ffi::PySendResult::PYGEN_ERROR),
        };
        *result = given;
        status
    }
}

unsafe extern "C" fn send(
    object: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    unsafe {
        match Operation::from_object(object).send(value) {
            Ok(Sent::Pending(future)) => future.into_ptr(),
            Ok(Sent::Done(value)) => {
                stop_iteration::raise(value);
                ptr::null_mut()
            }
            Err(Raised) => ptr::null_mut(),
        }
    }
}

unsafe extern "C" fn throw_method(
    object: *mut ffi::PyObject,
    args: *mut *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention, on an instance that it keeps alive.
    unsafe {
        let args = args::given(args, count);
        if let Ok(exception) = throw::given(args) {
            Operation::from_object(object).throw(exception);
        }
        ptr::null_mut()
    }
}

unsafe extern "C" fn close(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    unsafe {
        let operation = Operation::from_object(object);
        if operation.fields().progress != Progress::Over {
            operation.leave();
        }
        answer::none(Ok(()))
    }
}

/// `start()`: begins it now and keeps it; returns itself.
unsafe extern "C" fn start(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    unsafe {
        let operation = Operation::from_object(object);
        if operation.fields().progress != Progress::Fresh {
            raise(ffi::PyExc_RuntimeError, "the operation was begun before");
            return ptr::null_mut();
        }
        operation.fields().kept = true;
        match operation.begin() {
            Ok(()) => Owned::from_borrowed(object).into_ptr(),
            Err(Raised) => {
                crate::errors::keeping_raised(|| operation.end());
                ptr::null_mut()
            }
        }
    }
}

/// `cancel()`: asks the kernel to end it, kept or not.
unsafe extern "C" fn cancel(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    unsafe {
        let operation = Operation::from_object(object);
        if operation.fields().progress != Progress::Over {
            operation.cancel();
        }
        answer::none(Ok(()))
    }
}

/// `done()`: whether its end has come, and the next await gives what it came to at once.
unsafe extern "C" fn done(object: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        let progress = Operation::from_object(object).fields().progress;
        answer::boolean(matches!(progress, Progress::Landed | Progress::Over))
    }
}

/// `__await__()`, a method: an iterator object, made by Python since `await` itself does not ask for it.
unsafe extern "C" fn await_method(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    answer::object(door::cold(c"await_iterator", &[object]))
}

unsafe extern "C" fn get_name(object: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance; the name ends in NUL.
    unsafe { ffi::PyUnicode_FromString(Operation::from_object(object).fields().name.as_ptr()) }
}

unsafe extern "C" fn get_running(_: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    answer::boolean(false)
}

unsafe extern "C" fn repr(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance; the format has one %s and one %p.
    unsafe {
        let name = Operation::from_object(object).fields().name;
        ffi::PyUnicode_FromFormat(c"<file operation %s at %p>".as_ptr(), name.as_ptr(), object)
    }
}

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the collector calls this on a live instance; the fields are zeroed before they are written. What flies is held by the loop's table,
    // which is visited as the loop's.
    unsafe {
        let fields = Operation::from_object(object).fields();
        let exports = fields.request.as_ref().map_or(&[][..], Request::exports);
        let held = [
            ffi::Py_TYPE(object).cast(),
            fields.target,
            fields.owner,
            fields.paths[0],
            fields.paths[1],
            fields.loop_,
            fields.future,
            fields.outcome,
        ];
        let exporters = exports.iter().map(|export| export.object());
        for object in held.into_iter().chain(exporters) {
            let result = if object.is_null() {
                0
            } else {
                visit(object, arg)
            };
            if result != 0 {
                return result;
            }
        }
        0
    }
}

unsafe extern "C" fn clear(object: *mut ffi::PyObject) -> c_int {
    // SAFETY: the collector calls this on an instance that nobody reaches. Where it flies, its loop is garbage too: that one's own clearing grounds it.
    unsafe {
        let operation = Operation::from_object(object);
        if operation.fields().progress != Progress::Flying {
            operation.end();
        }
    }
    0
}

/// Warns of an operation that was never awaited, as of a coroutine.
unsafe extern "C" fn finalize(object: *mut ffi::PyObject) {
    // SAFETY: the object is alive during finalisation; an exception on its way is put aside. The format has one %s.
    unsafe {
        let fields = Operation::from_object(object).fields();
        if fields.progress != Progress::Fresh {
            return;
        }
        let raised = compat::take_raised();
        let warned = ffi::PyErr_WarnFormat(
            ffi::PyExc_RuntimeWarning,
            1,
            c"coroutine '%s' was never awaited".as_ptr(),
            fields.name.as_ptr(),
        );
        if warned != 0 {
            ffi::PyErr_WriteUnraisable(object);
        }
        compat::set_raised(raised);
    }
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: the last reference is gone, so the table has none: the kernel has nothing of it. The finalizer may bring it back, which ends this.
    unsafe {
        let operation = Operation::from_object(object);
        if operation.fields().progress == Progress::Fresh
            && ffi::PyObject_CallFinalizerFromDealloc(object) < 0
        {
            return;
        }
        let kind = ffi::Py_TYPE(object);
        ffi::PyObject_GC_UnTrack(object.cast());
        if !(*object.cast::<OpObject>()).weak.is_null() {
            ffi::PyObject_ClearWeakRefs(object);
        }
        operation.end();
        ffi::PyObject_GC_Del(object.cast());
        ffi::Py_DECREF(kind.cast());
    }
}

/// Makes the type and adds it to the module.
pub fn init(module: *mut ffi::PyObject) -> Python<()> {
    let mut await_method = types::noargs(
        c"__await__",
        await_method,
        c"__await__($self, /)\n--\n\nReturn an iterator to be used in await expression.",
    );
    // The slot wrapper of the same name is there first and would return the operation itself.
    await_method.ml_flags |= ffi::METH_COEXIST;
    let methods = types::table([
        await_method,
        types::one(
            c"send",
            send,
            c"send($self, value, /)\n--\n\nBegin or resume; the result comes as StopIteration.",
        ),
        types::fast(
            c"throw",
            throw_method,
            c"throw($self, type, value=None, traceback=None, /)\n--\n\nEnd the wait with the exception.",
        ),
        types::noargs(
            c"close",
            close,
            c"close($self, /)\n--\n\nEnd the wait without a result.",
        ),
        types::noargs(
            c"start",
            start,
            c"start($self, /)\n--\n\nBegin now; a cancelled waiter then leaves it alone. Return self.",
        ),
        types::noargs(
            c"cancel",
            cancel,
            c"cancel($self, /)\n--\n\nAsk the kernel to end it.",
        ),
        types::noargs(
            c"done",
            done,
            c"done($self, /)\n--\n\nWhether an await gives its result at once.",
        ),
    ]);
    let attributes = types::table([
        types::attribute(c"__name__", get_name, None),
        types::attribute(c"__qualname__", get_name, None),
        types::attribute(c"cr_running", get_running, None),
    ]);
    let members = types::table([ffi::PyMemberDef {
        name: c"__weaklistoffset__".as_ptr(),
        type_code: ffi::Py_T_PYSSIZET,
        offset: std::mem::offset_of!(OpObject, weak) as isize,
        flags: ffi::Py_READONLY,
        doc: ptr::null(),
    }]);
    let kind = Type {
        name: c"rondeau._core.FileOp",
        size: size_of::<OpObject>(),
        flags: ffi::Py_TPFLAGS_HAVE_GC
            | ffi::Py_TPFLAGS_IMMUTABLETYPE
            | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION,
        slots: vec![
            (
                ffi::Py_tp_doc,
                c"An operation on a file, to be awaited once.".as_ptr() as *mut c_void,
            ),
            (ffi::Py_tp_dealloc, dealloc as *mut c_void),
            (ffi::Py_tp_finalize, finalize as *mut c_void),
            (ffi::Py_tp_traverse, traverse as *mut c_void),
            (ffi::Py_tp_clear, clear as *mut c_void),
            (ffi::Py_tp_repr, repr as *mut c_void),
            (ffi::Py_tp_iternext, next as *mut c_void),
            (ffi::Py_am_await, am_await as *mut c_void),
            (ffi::Py_am_send, am_send as *mut c_void),
            (ffi::Py_tp_methods, methods),
            (ffi::Py_tp_members, members),
            (ffi::Py_tp_getset, attributes),
        ],
    };
    // SAFETY: the slots match their numbers and the size is the instance struct's. The import runs alone.
    unsafe {
        let kind = kind.build(ptr::null_mut())?;
        crate::future::lifecycle::trim(kind.as_ptr().cast())?;
        if ffi::PyModule_AddType(module, kind.as_ptr().cast()) != 0 {
            return Err(Raised);
        }
        *TYPE.get() = kind.into_ptr().cast();
    }
    Ok(())
}
