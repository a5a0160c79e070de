//! asyncio's private attributes, which its own code, subclasses and libraries read and set: `_buffer`, `_waiter`, `_transport`, …
//!
//! Called by Python. Each has asyncio's meaning; what is made on demand (`_closed`, `_drain_waiters`, `_complete_fut`) is made by asking.

use super::protocol::ProtocolRef;
use super::reader::{ReaderRef, set, set_limit};
use super::writer::WriterRef;
use crate::ffi::{
    Python, answer,
    args::raise,
    owned::Owned,
    types::{attribute, table_of},
};
use crate::future::{status, truth};
use crate::native_loop::Loop;
use pyo3_ffi as ffi;
use std::ffi::{CStr, c_int, c_void};
use std::ptr;

/// Fails as a missing attribute does.
#[cold]
unsafe fn missing(object: *mut ffi::PyObject, name: &CStr) -> *mut ffi::PyObject {
    // SAFETY: one %U and one %s.
    unsafe {
        if let Ok(kind) = Owned::new(ffi::PyType_GetName(ffi::Py_TYPE(object))) {
            ffi::PyErr_Format(
                ffi::PyExc_AttributeError,
                c"'%U' object has no attribute '%s'".as_ptr(),
                kind.as_ptr(),
                name.as_ptr(),
            );
        }
        ptr::null_mut()
    }
}

/// A new value, owned; Err where the attribute is to be deleted.
unsafe fn given(value: *mut ffi::PyObject) -> Python<Owned> {
    // SAFETY: live or NULL.
    unsafe {
        if value.is_null() {
            return Err(raise(ffi::PyExc_AttributeError, "cannot delete attribute"));
        }
        Ok(Owned::from_borrowed(value))
    }
}

/// The same, with NULL for None.
unsafe fn or_null(value: *mut ffi::PyObject) -> Python<*mut ffi::PyObject> {
    // SAFETY: live or NULL.
    unsafe {
        let value = given(value)?;
        if value.as_ptr() == ffi::Py_None() {
            return Ok(ptr::null_mut());
        }
        Ok(value.into_ptr())
    }
}

/// The getter of a field that holds an object: NULL is None, once `$known` (a field that `__init__` sets) is not NULL.
macro_rules! get {
    ($get:ident, $kind:ident, $field:ident, $known:ident, $name:literal) => {
        unsafe extern "C" fn $get(
            object: *mut ffi::PyObject,
            _: *mut c_void,
        ) -> *mut ffi::PyObject {
            // SAFETY: CPython calls this on an instance.
            unsafe {
                let fields = $kind::from_object(object).get();
                if fields.$known.is_null() && fields.$field.is_null() {
                    return missing(object, $name);
                }
                answer::or_none(fields.$field)
            }
        }
    };
}

/// The setter of a field in which NULL is None.
macro_rules! put {
    ($set:ident, $kind:ident, $field:ident) => {
        unsafe extern "C" fn $set(
            object: *mut ffi::PyObject,
            value: *mut ffi::PyObject,
            _: *mut c_void,
        ) -> c_int {
            // SAFETY: CPython calls this on an instance; the new value is stored before the old one goes.
            unsafe {
                status(or_null(value).map(|value| {
                    set(&raw mut $kind::from_object(object).get().$field, value);
                }))
            }
        }
    };
}

/// The setter of a field that holds None itself where it is None.
macro_rules! put_any {
    ($set:ident, $kind:ident, $field:ident) => {
        unsafe extern "C" fn $set(
            object: *mut ffi::PyObject,
            value: *mut ffi::PyObject,
            _: *mut c_void,
        ) -> c_int {
            // SAFETY: CPython calls this on an instance; the new value is stored before the old one goes.
            unsafe {
                status(given(value).map(|value| {
                    set(
                        &raw mut $kind::from_object(object).get().$field,
                        value.into_ptr(),
                    );
                }))
            }
        }
    };
}

/// Both of a field that holds an object or NULL for None.
macro_rules! object {
    ($get:ident, $set:ident, $kind:ident, $field:ident, $known:ident, $name:literal) => {
        get!($get, $kind, $field, $known, $name);
        put!($set, $kind, $field);
    };
}

/// Getter and setter of a field that is true or false.
macro_rules! flag {
    ($get:ident, $set:ident, $kind:ident, $field:ident, $known:ident, $name:literal) => {
        unsafe extern "C" fn $get(
            object: *mut ffi::PyObject,
            _: *mut c_void,
        ) -> *mut ffi::PyObject {
            // SAFETY: CPython calls this on an instance.
            unsafe {
                let fields = $kind::from_object(object).get();
                if fields.$known.is_null() {
                    return missing(object, $name);
                }
                answer::boolean(fields.$field)
            }
        }

        unsafe extern "C" fn $set(
            object: *mut ffi::PyObject,
            value: *mut ffi::PyObject,
            _: *mut c_void,
        ) -> c_int {
            // SAFETY: CPython calls this on an instance; the field is written after Python code ran.
            unsafe {
                status(truth(value).map(|truth| $kind::from_object(object).get().$field = truth))
            }
        }
    };
}

get!(reader_loop, ReaderRef, loop_, loop_, c"_loop");
object!(
    reader_transport,
    set_reader_transport,
    ReaderRef,
    transport,
    limit,
    c"_transport"
);
object!(
    reader_waiter,
    set_reader_waiter,
    ReaderRef,
    waiter,
    limit,
    c"_waiter"
);
object!(
    reader_exception,
    set_reader_exception,
    ReaderRef,
    exception,
    limit,
    c"_exception"
);
object!(
    reader_source,
    set_reader_source,
    ReaderRef,
    source_traceback,
    limit,
    c"_source_traceback"
);
get!(reader_limit, ReaderRef, limit, limit, c"_limit");
flag!(reader_eof, set_reader_eof, ReaderRef, eof, limit, c"_eof");
flag!(
    reader_paused,
    set_reader_paused,
    ReaderRef,
    paused,
    limit,
    c"_paused"
);

unsafe extern "C" fn set_reader_loop(
    object: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
    _: *mut c_void,
) -> c_int {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        status(given(value).map(|value| {
            let fields = ReaderRef::from_object(object).get();
            fields.direct = Loop::direct(value.as_ptr()).is_some();
            set(&raw mut fields.loop_, value.into_ptr());
        }))
    }
}

unsafe extern "C" fn set_reader_limit(
    object: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
    _: *mut c_void,
) -> c_int {
    // SAFETY: CPython calls this on an instance.
    unsafe { status(given(value).map(|limit| set_limit(ReaderRef::from_object(object), limit))) }
}

unsafe extern "C" fn buffer(object: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        let reader = ReaderRef::from_object(object).get();
        if reader.limit.is_null() {
            return missing(object, c"_buffer");
        }
        answer::object(reader.buffer.share())
    }
}

unsafe extern "C" fn set_buffer(
    object: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
    _: *mut c_void,
) -> c_int {
    // SAFETY: CPython calls this on an instance; the type is checked before it is relied on.
    unsafe {
        let put = || {
            let value = given(value)?;
            if ffi::PyByteArray_CheckExact(value.as_ptr()) == 0 {
                return Err(raise(
                    ffi::PyExc_TypeError,
                    "the _buffer of a native StreamReader is a bytearray",
                ));
            }
            ReaderRef::from_object(object)
                .get()
                .buffer
                .become_shared(value);
            Ok(())
        };
        status(put())
    }
}

/// The reader's table.
pub fn of_reader() -> *mut c_void {
    table_of(vec![
        attribute(c"_loop", reader_loop, Some(set_reader_loop)),
        attribute(c"_limit", reader_limit, Some(set_reader_limit)),
        attribute(c"_buffer", buffer, Some(set_buffer)),
        attribute(c"_eof", reader_eof, Some(set_reader_eof)),
        attribute(c"_waiter", reader_waiter, Some(set_reader_waiter)),
        attribute(c"_exception", reader_exception, Some(set_reader_exception)),
        attribute(c"_transport", reader_transport, Some(set_reader_transport)),
        attribute(c"_paused", reader_paused, Some(set_reader_paused)),
        attribute(c"_source_traceback", reader_source, Some(set_reader_source)),
    ])
}

get!(protocol_loop, ProtocolRef, loop_, loop_, c"_loop");
object!(
    protocol_transport,
    set_protocol_transport,
    ProtocolRef,
    transport,
    loop_,
    c"_transport"
);
object!(
    protocol_reader_wr,
    set_protocol_reader_wr,
    ProtocolRef,
    reader,
    loop_,
    c"_stream_reader_wr"
);
object!(
    protocol_callback,
    set_protocol_callback,
    ProtocolRef,
    connected_cb,
    loop_,
    c"_client_connected_cb"
);
object!(
    protocol_task,
    set_protocol_task,
    ProtocolRef,
    task,
    loop_,
    c"_task"
);
object!(
    protocol_writer,
    set_protocol_writer,
    ProtocolRef,
    writer,
    loop_,
    c"_stream_writer"
);
object!(
    protocol_strong,
    set_protocol_strong,
    ProtocolRef,
    strong_reader,
    loop_,
    c"_strong_reader"
);
object!(
    protocol_source,
    set_protocol_source,
    ProtocolRef,
    source_traceback,
    loop_,
    c"_source_traceback"
);
flag!(
    protocol_paused,
    set_protocol_paused,
    ProtocolRef,
    paused,
    loop_,
    c"_paused"
);
flag!(
    protocol_lost,
    set_protocol_lost,
    ProtocolRef,
    lost,
    loop_,
    c"_connection_lost"
);
flag!(
    protocol_reject,
    set_protocol_reject,
    ProtocolRef,
    reject,
    loop_,
    c"_reject_connection"
);
flag!(
    protocol_ssl,
    set_protocol_ssl,
    ProtocolRef,
    over_ssl,
    loop_,
    c"_over_ssl"
);

unsafe extern "C" fn set_protocol_loop(
    object: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
    _: *mut c_void,
) -> c_int {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        status(given(value).map(|value| {
            let fields = ProtocolRef::from_object(object).get();
            fields.direct = Loop::direct(value.as_ptr()).is_some();
            set(&raw mut fields.loop_, value.into_ptr());
        }))
    }
}

unsafe extern "C" fn stream_reader(
    object: *mut ffi::PyObject,
    _: *mut c_void,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        let found = ProtocolRef::from_object(object).reader();
        let found =
            found.map(|found| found.unwrap_or_else(|| Owned::from_borrowed(ffi::Py_None())));
        answer::object(found)
    }
}

unsafe extern "C" fn closed(object: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        let protocol = ProtocolRef::from_object(object);
        if protocol.get().loop_.is_null() {
            return missing(object, c"_closed");
        }
        answer::object(protocol.closed())
    }
}

put_any!(set_closed, ProtocolRef, closed);

unsafe extern "C" fn drain_waiters(
    object: *mut ffi::PyObject,
    _: *mut c_void,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { answer::object(ProtocolRef::from_object(object).drain_waiters()) }
}

put_any!(set_drain_waiters, ProtocolRef, drain_waiters);

/// The protocol's table.
pub fn of_protocol() -> *mut c_void {
    table_of(vec![
        attribute(c"_loop", protocol_loop, Some(set_protocol_loop)),
        attribute(c"_paused", protocol_paused, Some(set_protocol_paused)),
        attribute(c"_drain_waiters", drain_waiters, Some(set_drain_waiters)),
        attribute(c"_connection_lost", protocol_lost, Some(set_protocol_lost)),
        attribute(
            c"_stream_reader_wr",
            protocol_reader_wr,
            Some(set_protocol_reader_wr),
        ),
        attribute(c"_stream_reader", stream_reader, None),
        attribute(
            c"_stream_writer",
            protocol_writer,
            Some(set_protocol_writer),
        ),
        attribute(
            c"_source_traceback",
            protocol_source,
            Some(set_protocol_source),
        ),
        attribute(
            c"_strong_reader",
            protocol_strong,
            Some(set_protocol_strong),
        ),
        attribute(
            c"_reject_connection",
            protocol_reject,
            Some(set_protocol_reject),
        ),
        attribute(c"_task", protocol_task, Some(set_protocol_task)),
        attribute(
            c"_transport",
            protocol_transport,
            Some(set_protocol_transport),
        ),
        attribute(
            c"_client_connected_cb",
            protocol_callback,
            Some(set_protocol_callback),
        ),
        attribute(c"_over_ssl", protocol_ssl, Some(set_protocol_ssl)),
        attribute(c"_closed", closed, Some(set_closed)),
    ])
}

get!(
    writer_transport,
    WriterRef,
    transport,
    transport,
    c"_transport"
);
put_any!(set_writer_transport, WriterRef, transport);
get!(
    writer_protocol,
    WriterRef,
    protocol,
    transport,
    c"_protocol"
);
put_any!(set_writer_protocol, WriterRef, protocol);
object!(
    writer_reader,
    set_writer_reader,
    WriterRef,
    reader,
    transport,
    c"_reader"
);
get!(writer_loop, WriterRef, loop_, transport, c"_loop");
put_any!(set_writer_loop, WriterRef, loop_);

unsafe extern "C" fn complete(object: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        let writer = WriterRef::from_object(object);
        if writer.get().loop_.is_null() {
            return missing(object, c"_complete_fut");
        }
        answer::object(writer.complete())
    }
}

/// The writer's table.
pub fn of_writer() -> *mut c_void {
    table_of(vec![
        attribute(c"transport", writer_transport, None),
        attribute(c"_transport", writer_transport, Some(set_writer_transport)),
        attribute(c"_protocol", writer_protocol, Some(set_writer_protocol)),
        attribute(c"_reader", writer_reader, Some(set_writer_reader)),
        attribute(c"_loop", writer_loop, Some(set_writer_loop)),
        attribute(c"_complete_fut", complete, None),
    ])
}
