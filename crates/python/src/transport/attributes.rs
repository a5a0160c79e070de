//! The transport's attributes: the private ones that asyncio's own TLS, sendfile and repr code reads.

use super::extra;
use super::state::Transport;
use crate::door;
use crate::ffi::{
    answer,
    owned::Owned,
    types::{attribute, table},
};
use pyo3_ffi as ffi;
use std::ffi::{c_int, c_void};
use std::ptr;

/// A read-only attribute.
macro_rules! getter {
    ($name:ident, |$transport:ident| $body:expr) => {
        unsafe extern "C" fn $name(
            object: *mut ffi::PyObject,
            _: *mut c_void,
        ) -> *mut ffi::PyObject {
            // SAFETY: CPython calls this on an instance.
            unsafe {
                let $transport = Transport::from_object(object);
                $body
            }
        }
    };
}

getter!(get_loop, |transport| answer::or_none(
    transport.state().loop_
));
getter!(get_protocol_attribute, |transport| answer::or_none(
    transport.state().protocol
));
getter!(get_server, |transport| answer::or_none(
    transport.state().server
));
getter!(get_fd, |transport| ffi::PyLong_FromLong(
    transport.state().fd.into()
));
getter!(get_sock, |transport| extra::python_socket(transport)
    .map_or(ptr::null_mut(), Owned::into_ptr));
getter!(get_lost, |transport| ffi::PyLong_FromUnsignedLong(
    transport.state().lost.into()
));
getter!(get_closing, |transport| answer::boolean(
    transport.state().closing
));
getter!(get_eof, |transport| answer::boolean(transport.state().eof));
getter!(get_paused, |transport| answer::boolean(
    transport.state().paused
));
getter!(get_protocol_paused, |transport| answer::boolean(
    transport.state().protocol_paused
));
getter!(get_empty_waiter, |transport| answer::or_none(
    transport.state().empty_waiter
));
getter!(compatible, |_transport| answer::boolean(true));
getter!(get_sendfile_mode, |_transport| door::cold(
    c"sendfile_mode",
    &[]
)
.map_or(ptr::null_mut(), Owned::into_ptr));

unsafe extern "C" fn set_closing(
    object: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
    _: *mut c_void,
) -> c_int {
    // SAFETY: CPython calls this on an instance; asyncio's TLS code marks a transport that it replaces.
    unsafe {
        let truth = if value.is_null() {
            0
        } else {
            ffi::PyObject_IsTrue(value)
        };
        if truth >= 0 {
            Transport::from_object(object).state().closing = truth == 1;
        }
        if truth < 0 { -1 } else { 0 }
    }
}

/// The table of attributes.
pub fn attributes() -> *mut c_void {
    table([
        attribute(
            c"__dict__",
            ffi::PyObject_GenericGetDict,
            Some(ffi::PyObject_GenericSetDict),
        ),
        attribute(c"_loop", get_loop, None),
        attribute(c"_protocol", get_protocol_attribute, None),
        attribute(c"_server", get_server, None),
        attribute(c"_sock", get_sock, None),
        attribute(c"_sock_fd", get_fd, None),
        attribute(c"_conn_lost", get_lost, None),
        attribute(c"_closing", get_closing, Some(set_closing)),
        attribute(c"_eof", get_eof, None),
        attribute(c"_paused", get_paused, None),
        attribute(c"_protocol_paused", get_protocol_paused, None),
        attribute(c"_empty_waiter", get_empty_waiter, None),
        attribute(c"_start_tls_compatible", compatible, None),
        attribute(c"_sendfile_compatible", get_sendfile_mode, None),
    ])
}
