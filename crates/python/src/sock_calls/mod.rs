//! `loop.sock_recv` and its kin: what they return is a `_core.SocketCall`, a coroutine without a Python frame.
//!
//! `call` is what it holds, `attempt` the system call on a plain socket, `by_method` the same through the socket's own methods, `drive`
//! how it is begun, resumed and cancelled, `methods` the loop's methods. This file is the Python surface.
//!
//! It is a coroutine to all that ask in asyncio's way: it does nothing before it is awaited, `asyncio.iscoroutine`,
//! `inspect.isawaitable` and `collections.abc.Coroutine` know it, tasks take it, a second await is refused, and one that is never
//! awaited warns. Not so for `inspect.iscoroutine`, which asks for CPython's own type.
//!
//! Rejected: a future that is begun at once (uvloop, rloop): a task that is cancelled before its first step loses what was read.
//! A Python `async def` round a native future: 150 ns a call.

mod attempt;
mod by_method;
mod call;
mod drive;
mod methods;
pub mod python_socket;

pub use drive::on_ready;
pub use methods::methods as loop_methods;

use crate::door;
use crate::ffi::{
    Python, Raised, answer, args, compat,
    gil::GilCell,
    owned::Owned,
    stop_iteration, throw,
    types::{self, Type},
};
use call::{Call, CallObject, Fields, Kind, Progress};
use drive::Sent;
use pyo3_ffi as ffi;
use std::ffi::{c_int, c_void};
use std::ptr;

static TYPE: GilCell<*mut ffi::PyTypeObject> = GilCell::new(ptr::null_mut());

/// On what a call waits.
pub struct Waits {
    /// In a word.
    pub kind: &'static str,
    /// The loop's method.
    pub method: &'static str,
    /// The socket's descriptor.
    pub fd: std::os::fd::RawFd,
}

/// On what `object` waits, if it is a call.
///
/// # Safety
/// The object lives.
pub unsafe fn wait_of(object: *mut ffi::PyObject) -> Option<Waits> {
    // SAFETY: the type is checked before the fields are read.
    unsafe {
        if ffi::Py_TYPE(object) != *TYPE.get() {
            return None;
        }
        let fields = Call::from_object(object).fields();
        let kind = match fields.kind {
            Kind::Accept => "accept",
            Kind::Connect => "connect",
            kind if kind.writes() => "write",
            _ => "read",
        };
        Some(Waits {
            kind,
            method: fields.kind.name().to_str().unwrap_or("?"),
            fd: fields.fd,
        })
    }
}

/// A fresh call; `first` and `second` may be NULL.
///
/// # Safety
/// The objects live, and `loop_` is a native loop.
unsafe fn new(
    loop_: *mut ffi::PyObject,
    kind: Kind,
    sock: *mut ffi::PyObject,
    first: *mut ffi::PyObject,
    second: *mut ffi::PyObject,
) -> Python<Owned> {
    // SAFETY: the instance is zeroed and tracked; its fields are written before Python code can run.
    unsafe {
        let made = Owned::new(ffi::PyType_GenericAlloc(*TYPE.get(), 0))?;
        for object in [loop_, sock, first, second] {
            ffi::Py_XINCREF(object);
        }
        (&raw mut (*made.as_ptr().cast::<CallObject>()).fields).write(Fields {
            loop_,
            sock,
            first,
            second,
            view: ptr::null_mut(),
            export: None,
            future: ptr::null_mut(),
            sent: 0,
            fd: -1,
            kind,
            progress: Progress::Fresh,
            plain: python_socket::is_plain(sock),
            running: false,
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
        match drive::send(Call::from_object(object), ffi::Py_None()) {
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
        let (given, status) = match drive::send(Call::from_object(object), value) {
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
        match drive::send(Call::from_object(object), value) {
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
            drive::throw(Call::from_object(object), exception);
        }
        ptr::null_mut()
    }
}

unsafe extern "C" fn close(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    unsafe { answer::none(drive::close(Call::from_object(object))) }
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
    unsafe { ffi::PyUnicode_FromString(Call::from_object(object).fields().kind.name().as_ptr()) }
}

unsafe extern "C" fn get_qualname(
    object: *mut ffi::PyObject,
    _: *mut c_void,
) -> *mut ffi::PyObject {
    // SAFETY: as for `get_name`; the format has one %s.
    unsafe {
        let name = Call::from_object(object).fields().kind.name();
        ffi::PyUnicode_FromFormat(c"EventLoop.%s".as_ptr(), name.as_ptr())
    }
}

unsafe extern "C" fn get_running(object: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { answer::boolean(Call::from_object(object).fields().running) }
}

unsafe extern "C" fn repr(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance; the format has one %s and one %p.
    unsafe {
        let name = Call::from_object(object).fields().kind.name();
        ffi::PyUnicode_FromFormat(
            c"<coroutine object EventLoop.%s at %p>".as_ptr(),
            name.as_ptr(),
            object,
        )
    }
}

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the collector calls this on a live instance; the fields are zeroed before they are written.
    unsafe {
        let fields = Call::from_object(object).fields();
        let exporter = fields
            .export
            .as_ref()
            .map_or(ptr::null_mut(), |export| export.obj);
        let held = [
            ffi::Py_TYPE(object).cast(),
            fields.loop_,
            fields.sock,
            fields.first,
            fields.second,
            fields.view,
            fields.future,
            exporter,
        ];
        for object in held.into_iter().filter(|object| !object.is_null()) {
            let result = visit(object, arg);
            if result != 0 {
                return result;
            }
        }
        0
    }
}

unsafe extern "C" fn clear(object: *mut ffi::PyObject) -> c_int {
    // SAFETY: the collector calls this on an instance that nobody reaches: no table holds it.
    unsafe {
        let call = Call::from_object(object);
        call.fields().progress = Progress::Over;
        call.release();
    }
    0
}

/// Warns of a call that was never awaited, as of a coroutine.
unsafe extern "C" fn finalize(object: *mut ffi::PyObject) {
    // SAFETY: the object is alive during finalisation; an exception on its way is put aside. The format has one %s.
    unsafe {
        let fields = Call::from_object(object).fields();
        if fields.progress != Progress::Fresh {
            return;
        }
        let raised = compat::take_raised();
        let warned = ffi::PyErr_WarnFormat(
            ffi::PyExc_RuntimeWarning,
            1,
            c"coroutine 'EventLoop.%s' was never awaited".as_ptr(),
            fields.kind.name().as_ptr(),
        );
        if warned != 0 {
            ffi::PyErr_WriteUnraisable(object);
        }
        compat::set_raised(raised);
    }
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: the last reference is gone; the finalizer may bring the object back, which ends this.
    unsafe {
        let call = Call::from_object(object);
        if call.fields().progress == Progress::Fresh
            && ffi::PyObject_CallFinalizerFromDealloc(object) < 0
        {
            return;
        }
        let kind = ffi::Py_TYPE(object);
        ffi::PyObject_GC_UnTrack(object.cast());
        call.release();
        ffi::PyObject_GC_Del(object.cast());
        ffi::Py_DECREF(kind.cast());
    }
}

/// Makes the type and adds it to the module.
pub fn init(module: *mut ffi::PyObject) -> Python<()> {
    python_socket::init()?;
    let mut await_method = types::noargs(
        c"__await__",
        await_method,
        c"__await__($self, /)\n--\n\nReturn an iterator to be used in await expression.",
    );
    // The slot wrapper of the same name is there first and would return the call itself.
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
            c"throw($self, type, value=None, traceback=None, /)\n--\n\nEnd with the exception.",
        ),
        types::noargs(
            c"close",
            close,
            c"close($self, /)\n--\n\nEnd without a result.",
        ),
    ]);
    let attributes = types::table([
        types::attribute(c"__name__", get_name, None),
        types::attribute(c"__qualname__", get_qualname, None),
        types::attribute(c"cr_running", get_running, None),
    ]);
    let kind = Type {
        name: c"rondeau._core.SocketCall",
        size: size_of::<CallObject>(),
        flags: ffi::Py_TPFLAGS_HAVE_GC
            | ffi::Py_TPFLAGS_IMMUTABLETYPE
            | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION,
        slots: vec![
            (
                ffi::Py_tp_doc,
                c"What a loop's sock_* method returns, to be awaited once.".as_ptr() as *mut c_void,
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
