//! The native writer: `_core.StreamWriter`, a transport's methods and `drain`.
//!
//! Made by asyncio's `connection_made` and `open_connection`. A native transport is asked straight, any other by its methods. What is
//! rare (`start_tls`, `repr`, `__del__`) is asyncio's own, on the same attributes.

use super::reader::set;
use super::waiter::new_future;
use crate::ffi::{
    Python, Raised, answer,
    args::{Args, raise},
    compat,
    depth::Deeper,
    holder::Holder,
    instance::Instance,
    names::names,
    owned::Owned,
};
use crate::future::Purpose;
use crate::future::status;
use crate::native_loop::Loop;
use crate::transport;
use pyo3_ffi as ffi;
use std::ffi::{CStr, c_int};
use std::ptr;

/// An instance. References are strong; NULL before `__init__`, and for a `reader` of None.
#[repr(C)]
pub struct Writer {
    ob_base: ffi::PyObject,
    pub transport: *mut ffi::PyObject,
    pub protocol: *mut ffi::PyObject,
    pub reader: *mut ffi::PyObject,
    pub loop_: *mut ffi::PyObject,
    /// `_complete_fut`, made when somebody asks for it.
    pub complete: *mut ffi::PyObject,
}

/// A live writer, borrowed.
pub type WriterRef = Instance<Writer>;

impl WriterRef {
    /// The transport, kept alive; AttributeError where `__init__` did not run.
    ///
    /// # Safety
    /// The object lives.
    #[inline]
    pub unsafe fn transport(self) -> Python<Owned> {
        // SAFETY: the field is NULL or owned.
        unsafe {
            let transport = self.get().transport;
            if transport.is_null() {
                return Err(raise(
                    ffi::PyExc_AttributeError,
                    "'StreamWriter' object has no attribute '_transport'",
                ));
            }
            Ok(Owned::from_borrowed(transport))
        }
    }

    /// `_complete_fut`.
    ///
    /// # Safety
    /// The object lives and is initialised.
    pub unsafe fn complete(self) -> Python<Owned> {
        // SAFETY: the future is stored after Python code ran.
        unsafe {
            if self.get().complete.is_null() {
                let loop_ = Owned::from_field(self.get().loop_, "StreamWriter", "_loop")?;
                let loop_ = loop_.as_ptr();
                let made = new_future(loop_, Loop::direct(loop_).is_some(), Purpose::SocketClose)?;
                super::feed::end(&made, ptr::null_mut())?;
                set(&raw mut self.get().complete, made.into_ptr());
            }
            Ok(Owned::from_borrowed(self.get().complete))
        }
    }
}

/// `tp_init`: `StreamWriter(transport, protocol, reader, loop)`.
pub unsafe extern "C" fn init(
    object: *mut ffi::PyObject,
    args: *mut ffi::PyObject,
    keywords: *mut ffi::PyObject,
) -> c_int {
    // SAFETY: CPython calls this on an instance; the format asks for four objects.
    unsafe {
        let mut given = [ptr::null_mut(); 4];
        let known = [
            c"transport".as_ptr(),
            c"protocol".as_ptr(),
            c"reader".as_ptr(),
            c"loop".as_ptr(),
            ptr::null(),
        ];
        if !compat::parse_objects(args, keywords, c"OOOO:StreamWriter", &known, &mut given) {
            return -1;
        }
        status(initialise(WriterRef::from_object(object), given))
    }
}

unsafe fn initialise(writer: WriterRef, given: [*mut ffi::PyObject; 4]) -> Python<()> {
    // SAFETY: the references are made before they are stored.
    unsafe {
        let [transport, protocol, reader, loop_] = given.map(|object| Owned::from_borrowed(object));
        let fields = writer.as_ptr();
        set(&raw mut (*fields).transport, transport.into_ptr());
        set(&raw mut (*fields).protocol, protocol.into_ptr());
        let reader = if reader.as_ptr() == ffi::Py_None() {
            ptr::null_mut()
        } else {
            // drain() expects that the reader has an exception() method.
            let base = super::door::door().reader_base;
            match ffi::PyObject_IsInstance(reader.as_ptr(), base) {
                -1 => return Err(Raised),
                0 => super::door::assertion("")?,
                _ => {}
            }
            reader.into_ptr()
        };
        set(&raw mut (*fields).reader, reader);
        set(&raw mut (*fields).loop_, loop_.into_ptr());
        set(&raw mut (*fields).complete, ptr::null_mut());
        Ok(())
    }
}

/// `write(data)`.
pub unsafe extern "C" fn write(
    object: *mut ffi::PyObject,
    data: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance; the transport is kept alive.
    answer::none(unsafe {
        WriterRef::from_object(object)
            .transport()
            .and_then(|transport| transport::write(transport.as_ptr(), data))
    })
}

/// `writelines(data)`.
pub unsafe extern "C" fn writelines(
    object: *mut ffi::PyObject,
    data: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: as for `write`.
    answer::none(unsafe {
        WriterRef::from_object(object)
            .transport()
            .and_then(|transport| {
                let _deeper = Deeper::enter()?;
                let args = [transport.as_ptr(), data];
                Owned::new(ffi::PyObject_VectorcallMethod(
                    names().writelines,
                    args.as_ptr(),
                    2,
                    ptr::null_mut(),
                ))
                .map(drop)
            })
    })
}

/// A method of the transport's without arguments, by name.
unsafe fn ask(object: *mut ffi::PyObject, name: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: called on an instance; the transport is kept alive.
    unsafe {
        answer::object(
            WriterRef::from_object(object)
                .transport()
                .and_then(|transport| {
                    // A program may have made it its own.
                    let _deeper = Deeper::enter()?;
                    Owned::new(ffi::PyObject_CallMethodNoArgs(transport.as_ptr(), name))
                }),
        )
    }
}

/// `write_eof()`.
pub unsafe extern "C" fn write_eof(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { ask(object, names().write_eof) }
}

/// `can_write_eof()`.
pub unsafe extern "C" fn can_write_eof(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { ask(object, names().can_write_eof) }
}

/// `close()`.
pub unsafe extern "C" fn close(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance; the transport is kept alive.
    unsafe {
        answer::object(
            WriterRef::from_object(object)
                .transport()
                .and_then(|transport| transport::close(transport.as_ptr())),
        )
    }
}

/// `is_closing()`.
pub unsafe extern "C" fn is_closing(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { ask(object, names().is_closing) }
}

/// `get_extra_info(name, default=None)`.
pub unsafe extern "C" fn get_extra_info(
    object: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention, on an instance; the transport is kept alive.
    unsafe {
        let call = Args::new(args, count, keywords);
        let found = || {
            let transport = WriterRef::from_object(object).transport()?;
            let mut given = [ptr::null_mut(), ffi::Py_None()];
            if call.keyword_count() != 0 {
                let name = Owned::new(ffi::PyUnicode_InternFromString(c"name".as_ptr()))?;
                let default = Owned::new(ffi::PyUnicode_InternFromString(c"default".as_ptr()))?;
                let known = [name.as_ptr(), default.as_ptr()];
                call.keywords("StreamWriter.get_extra_info", known, &mut given)?;
            }
            for (slot, value) in given.iter_mut().zip(call.positional) {
                *slot = *value;
            }
            if given[0].is_null() || call.positional.len() > 2 {
                call.expect_positional("StreamWriter.get_extra_info", 1, 2)?;
            }
            let _deeper = Deeper::enter()?;
            let args = [transport.as_ptr(), given[0], given[1]];
            Owned::new(ffi::PyObject_VectorcallMethod(
                names().get_extra_info,
                args.as_ptr(),
                3,
                ptr::null_mut(),
            ))
        };
        answer::object(found())
    }
}

impl Holder for Writer {
    const NAME: &'static CStr = c"rondeau._core.StreamWriter";

    unsafe fn held(this: *mut Self) -> impl IntoIterator<Item = *mut *mut ffi::PyObject> {
        // SAFETY: the caller's contract.
        unsafe {
            [
                &raw mut (*this).transport,
                &raw mut (*this).protocol,
                &raw mut (*this).reader,
                &raw mut (*this).complete,
                &raw mut (*this).loop_,
            ]
        }
    }
}
