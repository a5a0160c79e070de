//! What comes in from `asyncio.sslproto` and `ssl`: states, types, and asyncio's own methods for what is rare. Filled once at import.

use crate::door::{attribute, import};
use crate::ffi::{Python, Raised, args::raise, gil::GilCell, owned::Owned};
use pyo3_ffi as ffi;
use std::ffi::CStr;
use std::ptr;

/// Strong references that are never released.
pub struct SslProto {
    /// `SSLProtocolState`'s members.
    pub do_handshake: *mut ffi::PyObject,
    pub wrapped: *mut ffi::PyObject,
    pub flushing: *mut ffi::PyObject,
    pub shutdown: *mut ffi::PyObject,
    /// `SSLAgainErrors`: the exceptions that mean "not now".
    pub again: *mut ffi::PyObject,
    /// `ssl.SSLObject`.
    pub ssl_object: *mut ffi::PyTypeObject,
    /// `_ssl._SSLSocket`: what an `SSLObject` wraps.
    pub ssl_socket: *mut ffi::PyTypeObject,
    /// `_ssl.MemoryBIO`.
    pub memory_bio: *mut ffi::PyTypeObject,
    /// `SSLProtocol`'s own methods, as functions of the protocol.
    pub write_appdata: *mut ffi::PyObject,
    pub control_app_writing: *mut ffi::PyObject,
    pub control_ssl_reading: *mut ffi::PyObject,
    /// Whether `is_closing()` also asks the transport below, as from some 3.14 on.
    pub asks_below: bool,
}

static SSLPROTO: GilCell<Option<SslProto>> = GilCell::new(None);

/// The objects.
///
/// # Errors
/// Where this Python was built without `ssl`, in asyncio's words.
#[inline]
pub fn sslproto() -> Python<&'static SslProto> {
    // SAFETY: written once at import and only read afterwards; the exception is a live type.
    unsafe {
        match SSLPROTO.get() {
            Some(found) => Ok(found),
            None => Err(raise(
                ffi::PyExc_RuntimeError,
                "stdlib ssl module not available",
            )),
        }
    }
}

/// Whether this Python has `ssl`.
pub fn is_open() -> bool {
    // SAFETY: as above.
    unsafe { SSLPROTO.get().is_some() }
}

/// Fetches them; a Python without `ssl` has none, which is no error here.
pub fn open() -> Python<()> {
    let module = import(c"asyncio.sslproto")?;
    let ssl = attribute(&module, c"ssl")?;
    // SAFETY: None is immortal or counted by the module.
    if ssl.as_ptr() == unsafe { ffi::Py_None() } {
        return Ok(());
    }
    let native = import(c"_ssl")?;
    let states = attribute(&module, c"SSLProtocolState")?;
    let protocol = attribute(&module, c"SSLProtocol")?;
    let asks_below = match attribute(&protocol, c"_is_transport_closing") {
        Ok(_) => true,
        Err(Raised) => {
            // SAFETY: the AttributeError is the answer.
            unsafe { ffi::PyErr_Clear() };
            false
        }
    };
    let found = SslProto {
        do_handshake: kept(&states, c"DO_HANDSHAKE")?,
        wrapped: kept(&states, c"WRAPPED")?,
        flushing: kept(&states, c"FLUSHING")?,
        shutdown: kept(&states, c"SHUTDOWN")?,
        again: kept(&module, c"SSLAgainErrors")?,
        ssl_object: kept(&ssl, c"SSLObject")?.cast(),
        ssl_socket: kept(&native, c"_SSLSocket")?.cast(),
        memory_bio: kept(&native, c"MemoryBIO")?.cast(),
        write_appdata: kept(&protocol, c"_write_appdata")?,
        control_app_writing: kept(&protocol, c"_control_app_writing")?,
        control_ssl_reading: kept(&protocol, c"_control_ssl_reading")?,
        asks_below,
    };
    // SAFETY: the import runs alone.
    unsafe { *SSLPROTO.get() = Some(found) };
    Ok(())
}

fn kept(object: &Owned, name: &CStr) -> Python<*mut ffi::PyObject> {
    attribute(object, name).map(Owned::into_ptr)
}

/// Calls a function or bound method with borrowed arguments.
///
/// # Safety
/// All of them live.
pub unsafe fn call(function: *mut ffi::PyObject, args: &[*mut ffi::PyObject]) -> Python<Owned> {
    // SAFETY: the caller's contract; the vectorcall reads `args.len()` pointers.
    unsafe {
        Owned::new(ffi::PyObject_Vectorcall(
            function,
            args.as_ptr(),
            args.len(),
            ptr::null_mut(),
        ))
    }
}

/// Calls `args[0].name(*args[1:])`.
///
/// # Safety
/// All of them live.
pub unsafe fn method(name: *mut ffi::PyObject, args: &[*mut ffi::PyObject]) -> Python<Owned> {
    // SAFETY: as in `call`.
    unsafe {
        Owned::new(ffi::PyObject_VectorcallMethod(
            name,
            args.as_ptr(),
            args.len(),
            ptr::null_mut(),
        ))
    }
}
