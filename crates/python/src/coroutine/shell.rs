//! What CPython calls on a coroutine without a frame, for every type of them: the native coroutine, `SocketCall` and `FileOp`.
//!
//! Slots, methods, attributes, the warning of one that was never awaited, and the order of dying; what differs is asked of [`Frameless`]. The functions
//! are generic and become one set for each type, so that nothing is looked up on the way of an `await`.

use super::frame_state;
use super::frameless::Frameless;
use crate::door::{attribute, import};
use crate::ffi::{
    Python, Raised, answer, args, compat, depth,
    owned::Owned,
    stop_iteration, throw as thrown,
    types::{self, Type},
};
use pyo3_ffi as ffi;
use std::ffi::{CStr, c_int, c_void};
use std::ptr;

unsafe extern "C" fn am_await<C: Frameless>(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        match C::of(object).check_awaited() {
            Ok(()) => Owned::from_borrowed(object).into_ptr(),
            Err(Raised) => ptr::null_mut(),
        }
    }
}

unsafe extern "C" fn await_method<C: Frameless>(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    answer::object(unsafe { C::iterator(object) })
}

/// `tp_iternext`, reached by `await`.
unsafe extern "C" fn next<C: Frameless>(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    unsafe {
        C::of(object)
            .send(ffi::Py_None())
            .next(stop_iteration::end_of_coroutine)
    }
}

unsafe extern "C" fn am_send<C: Frameless>(
    object: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
    result: *mut *mut ffi::PyObject,
) -> ffi::PySendResult {
    // SAFETY: CPython calls this on an instance that it keeps alive, with a place for the result.
    unsafe { C::of(object).send(value).status(result) }
}

unsafe extern "C" fn send<C: Frameless>(
    object: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    unsafe { C::of(object).send(value).shown() }
}

unsafe extern "C" fn throw<C: Frameless>(
    object: *mut ffi::PyObject,
    args: *mut *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention, on an instance that it keeps alive.
    unsafe {
        let args = args::given(args, count);
        match thrown::given(args) {
            Ok(exception) => C::of(object).throw(exception).shown(),
            Err(Raised) => ptr::null_mut(),
        }
    }
}

unsafe extern "C" fn close<C: Frameless>(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    unsafe { answer::none(C::of(object).close()) }
}

unsafe extern "C" fn name<C: Frameless>(
    object: *mut ffi::PyObject,
    _: *mut c_void,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance; the name ends in NUL.
    unsafe { ffi::PyUnicode_FromString(C::of(object).name().as_ptr()) }
}

unsafe extern "C" fn qualname<C: Frameless>(
    object: *mut ffi::PyObject,
    _: *mut c_void,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance; the name ends in NUL.
    unsafe { ffi::PyUnicode_FromString(C::of(object).qualname().as_ptr()) }
}

unsafe extern "C" fn running<C: Frameless>(
    object: *mut ffi::PyObject,
    _: *mut c_void,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    answer::boolean(unsafe { C::of(object).is_running() })
}

unsafe extern "C" fn no_origin(_: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    answer::none(Ok(()))
}

unsafe extern "C" fn repr<C: Frameless>(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance; the format has one %s and one %p.
    unsafe {
        let name = C::of(object).qualname();
        ffi::PyUnicode_FromFormat(C::REPR.as_ptr(), name.as_ptr(), object)
    }
}

unsafe extern "C" fn traverse<C: Frameless>(
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
            C::of(object).traverse(visit, arg)
        }
    }
}

unsafe extern "C" fn clear<C: Frameless>(object: *mut ffi::PyObject) -> c_int {
    // SAFETY: the collector calls this on an instance.
    unsafe { C::of(object).clear() };
    0
}

/// Warns of one that was never awaited. The exception that is set stays.
unsafe extern "C" fn finalize<C: Frameless>(object: *mut ffi::PyObject) {
    // SAFETY: called on an instance that its caller keeps alive for the call.
    unsafe {
        let coro = C::of(object);
        coro.finalized();
        let raised = compat::take_raised();
        let done = if coro.is_fresh() {
            warn_never_awaited(object, coro.qualname())
        } else {
            coro.abandoned()
        };
        if done.is_err() {
            ffi::PyErr_WriteUnraisable(object);
        }
        compat::set_raised(raised);
    }
}

/// As CPython does for its own: through `warnings`, and by itself where that is gone.
#[cold]
unsafe fn warn_never_awaited(object: *mut ffi::PyObject, qualname: &CStr) -> Python<()> {
    // SAFETY: the object lives; the format has one %s.
    unsafe {
        let warn = import(c"warnings")
            .and_then(|warnings| attribute(&warnings, c"_warn_unawaited_coroutine"));
        let Ok(warn) = warn else {
            ffi::PyErr_Clear();
            let format = c"coroutine '%s' was never awaited".as_ptr();
            let kind = ffi::PyExc_RuntimeWarning;
            return match ffi::PyErr_WarnFormat(kind, 1, format, qualname.as_ptr()) {
                0 => Ok(()),
                _ => Err(Raised),
            };
        };
        Owned::new(ffi::PyObject_CallOneArg(warn.as_ptr(), object)).map(drop)
    }
}

unsafe extern "C" fn dealloc<C: Frameless>(object: *mut ffi::PyObject) {
    // SAFETY: the last reference is gone. What is kept is whole before other code runs.
    unsafe {
        let coro = C::of(object);
        if coro.is_over() && coro.keep() {
            stop_iteration::forget();
            return;
        }
        depth::free(object, free::<C>);
    }
}

unsafe extern "C" fn free<C: Frameless>(object: *mut ffi::PyObject) {
    // SAFETY: the last reference is gone; a finalizer may bring it back, which ends this.
    unsafe {
        let coro = C::of(object);
        if !coro.is_over() && ffi::PyObject_CallFinalizerFromDealloc(object) < 0 {
            return;
        }
        ffi::PyObject_GC_UnTrack(object.cast());
        if !(*object.byte_add(C::WEAK).cast::<*mut ffi::PyObject>()).is_null() {
            ffi::PyObject_ClearWeakRefs(object);
        }
        coro.clear();
        stop_iteration::forget();
        types::free(ffi::Py_TYPE(object), object);
    }
}

/// What one type has beside what all have.
pub struct Surface {
    /// Dotted name.
    pub name: &'static CStr,
    pub doc: &'static CStr,
    pub methods: Vec<ffi::PyMethodDef>,
    pub attributes: Vec<ffi::PyGetSetDef>,
    pub slots: Vec<(c_int, *mut c_void)>,
}

/// Makes the type and adds it to the module.
///
/// # Safety
/// The surface's slots match their numbers.
pub unsafe fn build<C: Frameless>(
    module: *mut ffi::PyObject,
    mut surface: Surface,
) -> Python<*mut ffi::PyTypeObject> {
    const {
        assert!(C::WEAK == size_of::<ffi::PyObject>());
        assert!(C::FRAME_STATE == frame_state::OFFSET);
    }
    frame_state::init()?;
    let mut await_ = types::noargs(
        c"__await__",
        await_method::<C>,
        c"__await__($self, /)\n--\n\nReturn an iterator to be used in await expression.",
    );
    // The slot wrapper of the same name is there first and would return the coroutine itself.
    await_.ml_flags |= ffi::METH_COEXIST;
    surface.methods.extend([
        await_,
        types::one(
            c"send",
            send::<C>,
            c"send($self, arg, /)\n--\n\nGo on; return what is waited for, or raise StopIteration with the result.",
        ),
        types::fast(
            c"throw",
            throw::<C>,
            c"throw($self, type, value=None, traceback=None, /)\n--\n\nRaise the exception where it waits.",
        ),
        types::noargs(
            c"close",
            close::<C>,
            c"close($self, /)\n--\n\nEnd it where it is, without a result.",
        ),
    ]);
    surface.attributes.extend([
        types::attribute(c"__name__", name::<C>, None),
        types::attribute(c"__qualname__", qualname::<C>, None),
        types::attribute(c"cr_running", running::<C>, None),
        types::attribute(c"cr_origin", no_origin, None),
    ]);
    let members = types::table([ffi::PyMemberDef {
        name: c"__weaklistoffset__".as_ptr(),
        type_code: ffi::Py_T_PYSSIZET,
        offset: C::WEAK as ffi::Py_ssize_t,
        flags: ffi::Py_READONLY,
        doc: ptr::null(),
    }]);
    surface.slots.extend([
        (ffi::Py_tp_doc, surface.doc.as_ptr() as *mut c_void),
        (ffi::Py_tp_dealloc, dealloc::<C> as *mut c_void),
        (ffi::Py_tp_traverse, traverse::<C> as *mut c_void),
        (ffi::Py_tp_clear, clear::<C> as *mut c_void),
        (ffi::Py_tp_finalize, finalize::<C> as *mut c_void),
        (ffi::Py_tp_repr, repr::<C> as *mut c_void),
        (ffi::Py_tp_iternext, next::<C> as *mut c_void),
        (ffi::Py_am_await, am_await::<C> as *mut c_void),
        (ffi::Py_am_send, am_send::<C> as *mut c_void),
        (ffi::Py_tp_methods, types::table_of(surface.methods)),
        (ffi::Py_tp_getset, types::table_of(surface.attributes)),
        (ffi::Py_tp_members, members),
    ]);
    let kind = Type {
        name: surface.name,
        size: size_of::<C::Object>(),
        flags: ffi::Py_TPFLAGS_HAVE_GC
            | ffi::Py_TPFLAGS_IMMUTABLETYPE
            | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION,
        slots: surface.slots,
    };
    // SAFETY: the slots match their numbers and the size is the instance's. The import runs alone.
    unsafe {
        let kind = kind.publish(module, ptr::null_mut())?;
        types::trim(kind)?;
        Ok(kind)
    }
}
