//! The transport that the program sees: the type `_core.TlsTransport`, in front of `asyncio.sslproto._SSLProtocolTransport`.
//!
//! What is called per packet is here; the rest (closing, limits, extra information, the warning of one that was not closed) is
//! asyncio's. `_ssl_protocol` is what asyncio calls it: the protocol, or None after a second `close()`.

use super::sslproto::{method, sslproto};
use super::state::{self, Protocol};
use super::writing;
use crate::door::door;
use crate::ffi::{
    Python, Raised, answer, compat,
    gil::GilCell,
    names::names,
    owned::Owned,
    types::{Type, noargs, one, table},
};
use crate::transport;
use pyo3_ffi as ffi;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;

/// The transport's own fields; all zeroes is a valid state.
#[repr(C)]
struct State {
    /// `_ssl_protocol`; strong, or NULL.
    protocol: *mut ffi::PyObject,
    /// `_closed`.
    closed: c_char,
}

static TYPE: GilCell<*mut ffi::PyTypeObject> = GilCell::new(ptr::null_mut());
/// Where asyncio's transport classes keep their own slots: they are released here, since CPython leaves that to a native base.
static SLOTS: GilCell<Vec<isize>> = GilCell::new(Vec::new());

/// Where `State` begins in an instance.
fn offset() -> usize {
    // SAFETY: the door's type is live.
    unsafe { ((*door().transport).tp_basicsize as usize).next_multiple_of(align_of::<State>()) }
}

unsafe fn state_of<'a>(object: *mut ffi::PyObject) -> &'a mut State {
    // SAFETY: an instance of the type, by the callers' contract; the borrow ends before Python runs.
    unsafe { &mut *object.byte_add(offset()).cast::<State>() }
}

/// Whether `object` is such a transport.
///
/// # Safety
/// `object` lives.
pub unsafe fn is_transport(object: *mut ffi::PyObject) -> bool {
    // SAFETY: written once at import.
    unsafe { ffi::PyObject_TypeCheck(object, *TYPE.get()) != 0 }
}

/// What the records of such a transport go over, below all TLS that is in TLS, borrowed; NULL where it has none any more.
///
/// # Safety
/// `object` is such a transport.
pub unsafe fn beneath(mut object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: each type is checked before its fields are read, and each object is kept alive by the one above it.
    unsafe {
        while !object.is_null() && is_transport(object) {
            let protocol = state_of(object).protocol;
            if protocol.is_null() || !state::is_protocol(protocol) {
                return ptr::null_mut();
            }
            object = Protocol::from_object(protocol).state().transport;
        }
        object
    }
}

/// `write(data)`, for the TLS session inside this one.
///
/// # Safety
/// `object` is such a transport; both live.
pub unsafe fn write_to(object: *mut ffi::PyObject, data: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the transport and the protocol are kept alive over the call.
    unsafe {
        let _alive = Owned::from_borrowed(object);
        if ffi::PyBytes_CheckExact(data) == 0
            && ffi::PyBytes_Check(data) == 0
            && ffi::PyByteArray_Check(data) == 0
            && ffi::Py_TYPE(data) != &raw mut ffi::PyMemoryView_Type
        {
            let name = Owned::new(ffi::PyType_GetName(ffi::Py_TYPE(data)))?;
            ffi::PyErr_Format(
                ffi::PyExc_TypeError,
                c"data: expecting a bytes-like instance, got %U".as_ptr(),
                name.as_ptr(),
            );
            return Err(Raised);
        }
        match ffi::PyObject_IsTrue(data) {
            0 => return Ok(()),
            1 => {}
            _ => return Err(Raised),
        }
        let protocol = protocol_or_none(object);
        if state::is_protocol(protocol.as_ptr()) {
            return writing::write(Protocol::from_object(protocol.as_ptr()), data);
        }
        let items = Owned::new(ffi::PyTuple_Pack(1, data))?;
        method(names()._write_appdata, &[protocol.as_ptr(), items.as_ptr()]).map(drop)
    }
}

unsafe fn protocol_or_none(object: *mut ffi::PyObject) -> Owned {
    // SAFETY: the borrow ends here.
    unsafe {
        let protocol = state_of(object).protocol;
        Owned::from_borrowed(if protocol.is_null() {
            ffi::Py_None()
        } else {
            protocol
        })
    }
}

unsafe extern "C" fn write(
    object: *mut ffi::PyObject,
    data: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    answer::none(unsafe { write_to(object, data) })
}

unsafe extern "C" fn writelines(
    object: *mut ffi::PyObject,
    list: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance; transport and protocol are kept alive over the call.
    answer::none(unsafe {
        let _alive = Owned::from_borrowed(object);
        let protocol = protocol_or_none(object);
        let exact = ffi::PyList_CheckExact(list) != 0 || ffi::PyTuple_CheckExact(list) != 0;
        if exact && state::is_protocol(protocol.as_ptr()) {
            Owned::new(ffi::PySequence_Tuple(list)).and_then(|items| {
                writing::write_all(Protocol::from_object(protocol.as_ptr()), &items)
            })
        } else {
            // An iterator that writes itself, or that fails half-way: as asyncio takes it.
            method(names()._write_appdata, &[protocol.as_ptr(), list]).map(drop)
        }
    })
}

unsafe extern "C" fn is_closing(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance; the transport below is kept alive over the call.
    answer::truth(unsafe {
        (|| {
            if state_of(object).closed != 0 {
                return Ok(true);
            }
            let protocol = protocol_or_none(object);
            if !sslproto()?.asks_below || !state::is_protocol(protocol.as_ptr()) {
                return Ok(false);
            }
            let below = Protocol::from_object(protocol.as_ptr()).state().transport;
            if below.is_null() || below == ffi::Py_None() {
                return Ok(false);
            }
            let below = Owned::from_borrowed(below);
            let closing = method(names().is_closing, &[below.as_ptr()])?;
            match ffi::PyObject_IsTrue(closing.as_ptr()) {
                -1 => Err(Raised),
                truth => Ok(truth == 1),
            }
        })()
    })
}

/// Everything that an instance refers to.
unsafe fn references(object: *mut ffi::PyObject) -> Vec<*mut *mut ffi::PyObject> {
    // SAFETY: the offsets are those of the instance's slots, read at import.
    unsafe {
        let mut all = vec![&raw mut state_of(object).protocol];
        for slot in SLOTS.get().iter() {
            all.push(object.byte_offset(*slot).cast());
        }
        all
    }
}

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the collector calls this on a live instance. A subclass in Python visits its type itself.
    unsafe {
        for held in references(object) {
            if !(*held).is_null() {
                let result = visit(*held, arg);
                if result != 0 {
                    return result;
                }
            }
        }
        0
    }
}

unsafe extern "C" fn clear(object: *mut ffi::PyObject) -> c_int {
    // SAFETY: each field is emptied before its reference goes.
    unsafe {
        for held in references(object) {
            let before = std::mem::replace(&mut *held, ptr::null_mut());
            ffi::Py_XDECREF(before);
        }
    }
    0
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: the last reference is gone.
    unsafe { super::release(object, clear) }
}

/// Makes the type and adds it to the module.
pub fn init(module: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the slots match their numbers; the size covers asyncio's slots and the state.
    unsafe {
        let base = door().transport;
        let mut slots = Vec::new();
        for name in [
            c"_extra",
            c"_loop",
            c"_protocol_paused",
            c"_high_water",
            c"_low_water",
        ] {
            let descriptor = ffi::PyObject_GetAttrString(base.cast(), name.as_ptr());
            match Owned::new(descriptor) {
                Ok(descriptor) => slots.extend(compat::slot_offset(descriptor.as_ptr())),
                Err(Raised) => ffi::PyErr_Clear(),
            }
        }
        *SLOTS.get() = slots;
        let member = |name: &'static CStr, kind: c_int, field: usize| ffi::PyMemberDef {
            name: name.as_ptr(),
            type_code: kind,
            offset: (offset() + field) as ffi::Py_ssize_t,
            flags: 0,
            doc: ptr::null(),
        };
        let members = table([
            member(
                c"_ssl_protocol",
                ffi::Py_T_OBJECT_EX,
                std::mem::offset_of!(State, protocol),
            ),
            member(
                c"_closed",
                ffi::Py_T_BOOL,
                std::mem::offset_of!(State, closed),
            ),
        ]);
        let methods = table([
            one(c"write", write, c"write($self, data, /)\n--\n\nEncrypt and send data: a bytes-like object. Never blocks."),
            one(c"writelines", writelines, c"writelines($self, list_of_data, /)\n--\n\nEncrypt and send several bytes-like objects."),
            noargs(c"is_closing", is_closing, c"is_closing($self, /)\n--\n\nWhether it is closing or closed."),
        ]);
        let kind = Type {
            name: c"rondeau._core.TlsTransport",
            size: offset() + size_of::<State>(),
            flags: ffi::Py_TPFLAGS_HAVE_GC | ffi::Py_TPFLAGS_BASETYPE,
            slots: vec![
                (
                    ffi::Py_tp_doc,
                    c"The native part of a TLS connection's transport.".as_ptr() as *mut c_void,
                ),
                (ffi::Py_tp_dealloc, dealloc as *mut c_void),
                (ffi::Py_tp_traverse, traverse as *mut c_void),
                (ffi::Py_tp_clear, clear as *mut c_void),
                (ffi::Py_tp_methods, methods),
                (ffi::Py_tp_members, members),
            ],
        };
        let kind = kind.publish(module, base.cast())?;
        let theirs = crate::door::import(c"asyncio.sslproto")?;
        let theirs = crate::door::attribute(&theirs, c"_SSLProtocolTransport")?;
        crate::stand_in::native::put(kind.cast(), kind, &theirs, &[c"write"])?;
        *TYPE.get() = kind;
        debug_assert!(!transport::transport_type().is_null());
    }
    Ok(())
}
