//! The writer's attributes. `_complete_fut` is made by asking.

use super::{get, missing, object, put_any};
use crate::ffi::{
    answer,
    types::{attribute, table_of},
};
use crate::streams::writer::WriterRef;
use pyo3_ffi as ffi;
use std::ffi::c_void;

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

/// The table.
pub fn table() -> *mut c_void {
    table_of(vec![
        attribute(c"transport", writer_transport, None),
        attribute(c"_transport", writer_transport, Some(set_writer_transport)),
        attribute(c"_protocol", writer_protocol, Some(set_writer_protocol)),
        attribute(c"_reader", writer_reader, Some(set_writer_reader)),
        attribute(c"_loop", writer_loop, Some(set_writer_loop)),
        attribute(c"_complete_fut", complete, None),
    ])
}
