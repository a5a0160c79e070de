//! The protocol's attributes. `_closed` and `_drain_waiters` are made by asking.

use super::{flag, get, missing, object, put_any, put_loop};
use crate::ffi::{
    answer,
    owned::Owned,
    types::{attribute, table_of},
};
use crate::streams::protocol::ProtocolRef;
use pyo3_ffi as ffi;
use std::ffi::c_void;

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

put_loop!(set_protocol_loop, ProtocolRef);

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

/// The table.
pub fn table() -> *mut c_void {
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
