//! The reader's attributes. `_buffer` is a bytearray from the moment that somebody asks for it.

use super::{flag, get, given, missing, object, put_loop};
use crate::ffi::{
    answer,
    args::raise,
    types::{attribute, table_of},
};
use crate::future::status;
use crate::streams::reader::{ReaderRef, set_limit};
use pyo3_ffi as ffi;
use std::ffi::{c_int, c_void};

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

put_loop!(set_reader_loop, ReaderRef);

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

/// The table.
pub fn table() -> *mut c_void {
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
