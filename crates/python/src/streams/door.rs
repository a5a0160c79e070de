//! asyncio's stream classes and exceptions, and the classes of `rondeau.streams` once they are made. Read by all of `streams/`.

use crate::door::{attribute, import};
use crate::ffi::{Python, Raised, args::raise_type_error, gil::GilCell, owned::Owned};
use crate::stand_in;
use pyo3_ffi as ffi;
use std::ffi::CStr;
use std::ptr;

/// Strong references that live as long as the process.
#[derive(Clone, Copy)]
pub struct StreamsDoor {
    /// asyncio's classes: their functions serve what is not plain.
    pub reader_base: *mut ffi::PyObject,
    pub incomplete_read: *mut ffi::PyObject,
    pub limit_overrun: *mut ffi::PyObject,
    pub deque: *mut ffi::PyObject,
    /// `_core.StreamReader`, and so on: the native bases.
    pub native_reader: *mut ffi::PyTypeObject,
    pub native_protocol: *mut ffi::PyTypeObject,
    pub native_writer: *mut ffi::PyTypeObject,
    /// `rondeau.StreamReader` and `rondeau.StreamReaderProtocol`: the classes that are made; NULL before that.
    pub reader: *mut ffi::PyTypeObject,
    pub protocol: *mut ffi::PyTypeObject,
}

static DOOR: GilCell<StreamsDoor> = GilCell::new(StreamsDoor {
    reader_base: ptr::null_mut(),
    incomplete_read: ptr::null_mut(),
    limit_overrun: ptr::null_mut(),
    deque: ptr::null_mut(),
    native_reader: ptr::null_mut(),
    native_protocol: ptr::null_mut(),
    native_writer: ptr::null_mut(),
    reader: ptr::null_mut(),
    protocol: ptr::null_mut(),
});

/// The objects.
#[inline]
pub fn door() -> &'static StreamsDoor {
    // SAFETY: written during the imports of `_core` and of `rondeau.streams`, before any stream exists, and only read afterwards.
    unsafe { DOOR.get() }
}

/// Changes the door.
///
/// # Safety
/// Called during import.
pub unsafe fn set(change: impl FnOnce(&mut StreamsDoor)) {
    // SAFETY: the caller's contract; `change` runs no Python code.
    change(unsafe { DOOR.get() });
}

/// Imports what is asyncio's; called once.
pub fn open() -> Python<()> {
    let streams = import(c"asyncio.streams")?;
    let exceptions = import(c"asyncio.exceptions")?;
    let reader_base = attribute(&streams, c"StreamReader")?.into_ptr();
    let incomplete_read = attribute(&exceptions, c"IncompleteReadError")?.into_ptr();
    let limit_overrun = attribute(&exceptions, c"LimitOverrunError")?.into_ptr();
    let deque = attribute(&import(c"collections")?, c"deque")?.into_ptr();
    // SAFETY: the import runs alone.
    unsafe {
        set(|door| {
            door.reader_base = reader_base;
            door.incomplete_read = incomplete_read;
            door.limit_overrun = limit_overrun;
            door.deque = deque;
        });
    }
    Ok(())
}

/// `base.name(object, *args)`: asyncio's own function, on an instance of ours.
///
/// # Safety
/// The objects live.
#[cold]
pub unsafe fn delegate(
    base: *mut ffi::PyObject,
    name: &CStr,
    object: *mut ffi::PyObject,
    args: &[*mut ffi::PyObject],
) -> Python<Owned> {
    // SAFETY: the caller's contract; the vectorcall reads as many pointers as the vector has.
    unsafe {
        let function = Owned::new(ffi::PyObject_GetAttrString(base, name.as_ptr()))?;
        let mut all = vec![object];
        all.extend_from_slice(args);
        Owned::new(ffi::PyObject_Vectorcall(
            function.as_ptr(),
            all.as_ptr(),
            all.len(),
            ptr::null_mut(),
        ))
    }
}

/// Whether `kind` has each of `names` from `exact` (NULL: there is no such class yet), which it may be itself.
///
/// # Safety
/// The types are live.
pub unsafe fn overrides_nothing(
    kind: *mut ffi::PyTypeObject,
    exact: *mut ffi::PyTypeObject,
    names: &[&CStr],
) -> Python<bool> {
    if kind == exact {
        return Ok(true);
    }
    if exact.is_null() {
        return Ok(false);
    }
    for name in names {
        // SAFETY: types are live; the names end in NUL.
        unsafe {
            let theirs = Owned::new(ffi::PyObject_GetAttrString(kind.cast(), name.as_ptr()))?;
            let ours = Owned::new(ffi::PyObject_GetAttrString(exact.cast(), name.as_ptr()))?;
            if theirs.as_ptr() != ours.as_ptr() {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Whether a str is one of these.
///
/// # Safety
/// `name` is a str.
pub unsafe fn is_one_of(name: *mut ffi::PyObject, names: &[&CStr]) -> bool {
    // SAFETY: the caller's contract.
    unsafe {
        ffi::PyUnicode_Check(name) != 0
            && names
                .iter()
                .any(|known| ffi::PyUnicode_CompareWithASCIIString(name, known.as_ptr()) == 0)
    }
}

/// Whether assertions are made, as asyncio's are: not under `python -O`.
#[cold]
pub fn asserts() -> bool {
    let flags = import(c"sys")
        .and_then(|sys| attribute(&sys, c"flags"))
        .and_then(|flags| attribute(&flags, c"optimize"));
    match flags {
        // SAFETY: a live int.
        Ok(level) => unsafe { ffi::PyLong_AsLong(level.as_ptr()) == 0 },
        Err(Raised) => {
            // SAFETY: the GIL is held.
            unsafe { ffi::PyErr_Clear() };
            true
        }
    }
}

/// Raises AssertionError with `message`, unless assertions are off.
#[cold]
pub fn assertion(message: &str) -> Python<()> {
    if asserts() {
        if message.is_empty() {
            // SAFETY: AssertionError is live.
            unsafe { ffi::PyErr_SetNone(ffi::PyExc_AssertionError) };
            return Err(Raised);
        }
        // SAFETY: AssertionError is live.
        return Err(unsafe { crate::ffi::args::raise(ffi::PyExc_AssertionError, message) });
    }
    Ok(())
}

/// What runs per message and is no coroutine function stays a method descriptor.
const QUICK: [&CStr; 3] = [c"write", c"feed_data", c"data_received"];

/// `_core.adopt_streams(StreamReader, StreamWriter, StreamReaderProtocol)`: the classes that `rondeau.streams` made of the native
/// ones and asyncio's. The native code serves exactly these, and what is like them.
///
/// # Safety
/// CPython's calling convention.
pub unsafe extern "C" fn adopt(
    _: *mut ffi::PyObject,
    args: *mut *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    // SAFETY: the arguments are checked first; they are kept for the life of the process.
    unsafe {
        let given = std::slice::from_raw_parts(args, count as usize);
        let &[reader, writer, protocol] = given else {
            raise_type_error("adopt_streams() takes three classes");
            return ptr::null_mut();
        };
        let natives = [
            (reader, door().native_reader, c"StreamReader"),
            (writer, door().native_writer, c"StreamWriter"),
            (protocol, door().native_protocol, c"StreamReaderProtocol"),
        ];
        for (class, native, name) in natives {
            if ffi::PyType_Check(class) == 0 || ffi::PyType_IsSubtype(class.cast(), native) == 0 {
                raise_type_error("adopt_streams() takes subclasses of the native stream types");
                return ptr::null_mut();
            }
            ffi::Py_INCREF(class);
            let put = import(c"asyncio.streams")
                .and_then(|streams| attribute(&streams, name))
                .and_then(|theirs| stand_in::native::put(class, native, &theirs, &QUICK));
            if put.is_err() {
                return ptr::null_mut();
            }
        }
        set(|door| {
            door.reader = reader.cast();
            door.protocol = protocol.cast();
        });
        Owned::from_borrowed(ffi::Py_None()).into_ptr()
    }
}
