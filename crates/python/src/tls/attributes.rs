//! The fields under asyncio's names, and the methods that stand in front of asyncio's.

use super::state::{Mark, Protocol, State, offset};
use super::{flow, reading, session, state, writing};
use crate::ffi::{Python, Raised};
use crate::ffi::{
    answer,
    args::raise_type_error,
    owned::Owned,
    types::{attribute, noargs, table},
};
use pyo3_ffi as ffi;
use std::ffi::{CStr, c_int, c_void};
use std::mem::offset_of;
use std::ptr;

/// A method without arguments: `$body` of a protocol that a reference keeps alive.
macro_rules! noargs_method {
    ($name:ident, |$protocol:ident| $body:expr) => {
        unsafe extern "C" fn $name(
            object: *mut ffi::PyObject,
            _: *mut ffi::PyObject,
        ) -> *mut ffi::PyObject {
            // SAFETY: CPython calls this on an instance; the reference keeps it alive whatever runs.
            unsafe {
                let alive = Owned::from_borrowed(object);
                let $protocol = Protocol::from_object(alive.as_ptr());
                answer::none($body)
            }
        }
    };
}

noargs_method!(do_read, |protocol| reading::do_read(protocol.object()));
noargs_method!(do_write, |protocol| writing::do_write(protocol));
noargs_method!(process_outgoing, |protocol| writing::process_outgoing(
    protocol
));
noargs_method!(control_app_writing, |protocol| flow::control_app_writing(
    protocol
));
noargs_method!(control_ssl_reading, |protocol| flow::control_ssl_reading(
    protocol
));

/// The table of methods.
pub fn methods() -> *mut c_void {
    table([
        noargs(c"_do_read", do_read, c"_do_read($self, /)\n--\n\n"),
        noargs(c"_do_write", do_write, c"_do_write($self, /)\n--\n\n"),
        noargs(
            c"_process_outgoing",
            process_outgoing,
            c"_process_outgoing($self, /)\n--\n\n",
        ),
        noargs(
            c"_control_app_writing",
            control_app_writing,
            c"_control_app_writing($self, /)\n--\n\n",
        ),
        noargs(
            c"_control_ssl_reading",
            control_ssl_reading,
            c"_control_ssl_reading($self, /)\n--\n\n",
        ),
    ])
}

/// The table of plain fields.
pub fn members() -> *mut c_void {
    let at = |name: &'static CStr, kind: c_int, field: usize| ffi::PyMemberDef {
        name: name.as_ptr(),
        type_code: kind,
        offset: offset(field),
        flags: 0,
        doc: ptr::null(),
    };
    let object = |name, field| at(name, ffi::Py_T_OBJECT_EX, field);
    let flag = |name, field| at(name, ffi::Py_T_BOOL, field);
    table([
        object(c"_state", offset_of!(State, state)),
        object(c"_incoming", offset_of!(State, incoming)),
        object(c"_outgoing", offset_of!(State, outgoing)),
        object(c"_write_backlog", offset_of!(State, backlog)),
        object(c"_transport", offset_of!(State, transport)),
        at(
            c"_write_buffer_size",
            ffi::Py_T_PYSSIZET,
            offset_of!(State, backlog_size),
        ),
        flag(
            c"_ssl_writing_paused",
            offset_of!(State, ssl_writing_paused),
        ),
        flag(
            c"_app_reading_paused",
            offset_of!(State, app_reading_paused),
        ),
        flag(
            c"_ssl_reading_paused",
            offset_of!(State, ssl_reading_paused),
        ),
        flag(
            c"_app_writing_paused",
            offset_of!(State, app_writing_paused),
        ),
        flag(c"_app_protocol_is_buffer", offset_of!(State, app_is_buffer)),
    ])
}

unsafe fn get(field: *mut ffi::PyObject, name: &CStr) -> *mut ffi::PyObject {
    // SAFETY: the field's object is live, or it was never set.
    unsafe {
        if field.is_null() {
            ffi::PyErr_SetString(ffi::PyExc_AttributeError, name.as_ptr());
            return ptr::null_mut();
        }
        Owned::from_borrowed(field).into_ptr()
    }
}

unsafe fn set(field: *mut *mut ffi::PyObject, value: *mut ffi::PyObject) {
    // SAFETY: the new reference is stored before the old one is released.
    unsafe {
        ffi::Py_XINCREF(value);
        let before = std::mem::replace(&mut *field, value);
        ffi::Py_XDECREF(before);
    }
}

fn done(result: Python<()>) -> c_int {
    match result {
        Ok(()) => 0,
        Err(Raised) => -1,
    }
}

unsafe extern "C" fn get_sslobj(object: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { get(Protocol::from_object(object).state().sslobj, c"_sslobj") }
}

unsafe extern "C" fn set_sslobj(
    object: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
    _: *mut c_void,
) -> c_int {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        let protocol = Protocol::from_object(object);
        set(&raw mut protocol.state().sslobj, value);
        done(session::note(protocol))
    }
}

/// `_straight`: whether this connection's records go straight to OpenSSL; for tests.
unsafe extern "C" fn get_straight(
    object: *mut ffi::PyObject,
    _: *mut c_void,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    answer::boolean(unsafe { session::Direct::of(Protocol::from_object(object)).is_some() })
}

unsafe extern "C" fn get_app_protocol(
    object: *mut ffi::PyObject,
    _: *mut c_void,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        let field = Protocol::from_object(object).state().app_protocol;
        get(field, c"_app_protocol")
    }
}

unsafe extern "C" fn set_app_protocol(
    object: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
    _: *mut c_void,
) -> c_int {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        let state = Protocol::from_object(object).state();
        state.app_is_tls = !value.is_null() && state::is_protocol(value);
        set(&raw mut state.app_protocol, value);
        0
    }
}

/// The getter and setter of one mark.
macro_rules! mark {
    ($get:ident, $set:ident, $mark:expr, $name:literal) => {
        unsafe extern "C" fn $get(
            object: *mut ffi::PyObject,
            _: *mut c_void,
        ) -> *mut ffi::PyObject {
            // SAFETY: CPython calls this on an instance.
            unsafe {
                let marks = &Protocol::from_object(object).state().marks;
                get(marks[$mark as usize], $name)
            }
        }

        unsafe extern "C" fn $set(
            object: *mut ffi::PyObject,
            value: *mut ffi::PyObject,
            _: *mut c_void,
        ) -> c_int {
            // SAFETY: CPython calls this on an instance.
            unsafe {
                if value.is_null() {
                    raise_type_error("a mark cannot be deleted");
                    return -1;
                }
                done(flow::set_mark(Protocol::from_object(object), $mark, value))
            }
        }
    };
}

mark!(
    get_outgoing_high,
    set_outgoing_high,
    Mark::OutgoingHigh,
    c"_outgoing_high_water"
);
mark!(
    get_outgoing_low,
    set_outgoing_low,
    Mark::OutgoingLow,
    c"_outgoing_low_water"
);
mark!(
    get_incoming_high,
    set_incoming_high,
    Mark::IncomingHigh,
    c"_incoming_high_water"
);
mark!(
    get_incoming_low,
    set_incoming_low,
    Mark::IncomingLow,
    c"_incoming_low_water"
);

/// The table of attributes that something follows from.
pub fn attributes() -> *mut c_void {
    table([
        attribute(c"_sslobj", get_sslobj, Some(set_sslobj)),
        attribute(c"_straight", get_straight, None),
        attribute(c"_app_protocol", get_app_protocol, Some(set_app_protocol)),
        attribute(
            c"_outgoing_high_water",
            get_outgoing_high,
            Some(set_outgoing_high),
        ),
        attribute(
            c"_outgoing_low_water",
            get_outgoing_low,
            Some(set_outgoing_low),
        ),
        attribute(
            c"_incoming_high_water",
            get_incoming_high,
            Some(set_incoming_high),
        ),
        attribute(
            c"_incoming_low_water",
            get_incoming_low,
            Some(set_incoming_low),
        ),
    ])
}
