//! What is asked of a plain `socket.socket` without going through its attributes. Called by every attempt.

use crate::door::{attribute, import};
use crate::ffi::{Python, Raised, call::vectorcall, compat, gil::GilCell, owned::Owned};
use pyo3_ffi as ffi;
use std::ffi::c_int;
use std::os::fd::RawFd;
use std::ptr;

struct Known {
    /// `socket.socket`; NULL where a library has replaced it by a class of its own (gevent): all go through their methods then.
    kind: *mut ffi::PyTypeObject,
    /// `_socket.socket.fileno`, a method descriptor.
    fileno: *mut ffi::PyObject,
    /// Where an instance keeps its address family, an int of C; 0 where that was not found.
    family: isize,
    /// `_socket.socket`.
    base: *mut ffi::PyTypeObject,
    /// Where an instance keeps its descriptor, an int of C; 0 where that was not found.
    number: isize,
}

static KNOWN: GilCell<Known> = GilCell::new(Known {
    kind: ptr::null_mut(),
    fileno: ptr::null_mut(),
    family: 0,
    base: ptr::null_mut(),
    number: 0,
});

/// Looks up what is needed; called once, at import.
pub fn init() -> Python<()> {
    let kind = attribute(&import(c"socket")?, c"socket")?;
    let base = attribute(&import(c"_socket")?, c"socket")?;
    let fileno = attribute(&base, c"fileno")?;
    let family = attribute(&base, c"family")?;
    // SAFETY: the import runs alone; the references are kept for the life of the process.
    unsafe {
        let family = compat::slot_offset(family.as_ptr()).unwrap_or(0);
        let is_pythons = ffi::PyType_Check(kind.as_ptr()) != 0
            && ffi::PyType_IsSubtype(kind.as_ptr().cast(), base.as_ptr().cast()) != 0;
        *KNOWN.get() = Known {
            number: number_offset(base.as_ptr(), family)?,
            family,
            kind: if is_pythons {
                kind.into_ptr().cast()
            } else {
                ptr::null_mut()
            },
            base: base.into_ptr().cast(),
            fileno: fileno.into_ptr(),
        };
    }
    Ok(())
}

/// The descriptor lies before the family (Modules/socketmodule.h): believed if a socket that was never opened has -1 there.
unsafe fn number_offset(base: *mut ffi::PyObject, family: isize) -> Python<isize> {
    let before = size_of::<c_int>() as isize;
    // SAFETY: the type is live; the new instance holds an int at `family` and one header before it.
    unsafe {
        if family < size_of::<ffi::PyObject>() as isize + before {
            return Ok(0);
        }
        let new = Owned::new(ffi::PyObject_GetAttrString(base, c"__new__".as_ptr()))?;
        let unopened = Owned::new(vectorcall(new.as_ptr(), [base].as_ptr(), 1))?;
        let number = family - before;
        let found = *unopened.as_ptr().byte_offset(number).cast::<c_int>();
        Ok(if found == -1 { number } else { 0 })
    }
}

/// Whether `sock` still has the number `fd`: not once the program closed or detached it behind its owner's back, after which the
/// number may be another connection's. True where that cannot be told.
///
/// # Safety
/// The object lives.
#[inline]
pub unsafe fn still_has(sock: *mut ffi::PyObject, fd: RawFd) -> bool {
    // SAFETY: the type is checked before the layout is relied on.
    unsafe {
        let known = KNOWN.get();
        if known.number == 0 || ffi::PyObject_TypeCheck(sock, known.base) == 0 {
            return true;
        }
        *sock.byte_offset(known.number).cast::<c_int>() == fd
    }
}

/// Whether `sock` is exactly a `socket.socket`, so that no override of a subclass is passed over.
///
/// # Safety
/// The object lives.
#[inline]
pub unsafe fn is_plain(sock: *mut ffi::PyObject) -> bool {
    // SAFETY: set at import.
    unsafe { ffi::Py_TYPE(sock) == KNOWN.get().kind }
}

/// The descriptor of a plain socket; -1 once it is closed.
///
/// # Safety
/// `is_plain(sock)`.
#[inline]
pub unsafe fn descriptor(sock: *mut ffi::PyObject) -> Python<RawFd> {
    // SAFETY: the method takes just its instance.
    unsafe {
        let args = [sock];
        let number = Owned::new(vectorcall(KNOWN.get().fileno, args.as_ptr(), 1))?;
        let fd = ffi::PyLong_AsLong(number.as_ptr());
        if fd == -1 && !ffi::PyErr_Occurred().is_null() {
            return Err(Raised);
        }
        Ok(fd as RawFd)
    }
}

/// Whether a plain socket's addresses are of a family that `crate::address` can name.
///
/// # Safety
/// `is_plain(sock)`.
#[inline]
pub unsafe fn has_known_addresses(sock: *mut ffi::PyObject) -> bool {
    // SAFETY: the offset is a member's of the base type, an int (Modules/socketmodule.c).
    unsafe {
        let offset = KNOWN.get().family;
        offset != 0
            && matches!(
                *sock.byte_offset(offset).cast::<c_int>(),
                libc::AF_INET | libc::AF_INET6 | libc::AF_UNIX
            )
    }
}
