//! The transport's methods and attributes as Python sees them: asyncio's, and the private ones that asyncio's own
//! TLS, sendfile and repr code reads. Each unpacks its arguments and asks the file whose subject it is.

use super::state::Transport;
use super::{close, extra, flow, interest, make, read, write};
use crate::door;
use crate::ffi::{
    Python, Raised, answer,
    args::{Args, raise},
    owned::Owned,
    types::{fast, fast_keywords, noargs, one, table},
};
use pyo3_ffi as ffi;
use rondeau_driver::Interest;
use std::ffi::c_void;
use std::ptr;

/// A method without arguments: `$body` of a transport that a reference keeps alive.
macro_rules! noargs_method {
    ($name:ident, |$transport:ident| $body:expr) => {
        unsafe extern "C" fn $name(
            object: *mut ffi::PyObject,
            _: *mut ffi::PyObject,
        ) -> *mut ffi::PyObject {
            // SAFETY: CPython calls this on an instance; the reference keeps it alive whatever runs.
            unsafe {
                let alive = Owned::from_borrowed(object);
                let $transport = Transport::from_object(alive.as_ptr());
                $body
            }
        }
    };
}

/// A method with one argument.
macro_rules! one_method {
    ($name:ident, |$transport:ident, $arg:ident| $body:expr) => {
        unsafe extern "C" fn $name(
            object: *mut ffi::PyObject,
            $arg: *mut ffi::PyObject,
        ) -> *mut ffi::PyObject {
            // SAFETY: CPython calls this on an instance; the reference keeps it alive whatever runs.
            unsafe {
                let alive = Owned::from_borrowed(object);
                let $transport = Transport::from_object(alive.as_ptr());
                $body
            }
        }
    };
}

one_method!(write_, |transport, data| answer::none(write::write(
    transport, data
)));
one_method!(writelines, |transport, list| answer::none(
    write::write_all(transport, list)
));
noargs_method!(write_eof, |transport| answer::none(write::write_eof(
    transport
)));
noargs_method!(can_write_eof, |_transport| answer::boolean(true));
noargs_method!(close_, |transport| answer::none(close::close(transport)));
noargs_method!(abort, |transport| answer::none(close::force_close(
    transport,
    ffi::Py_None()
)));
one_method!(force_close, |transport, exception| answer::none(
    close::force_close(transport, exception)
));
one_method!(call_connection_lost, |transport, exception| answer::none(
    close::finish(transport, exception)
));
noargs_method!(is_closing, |transport| answer::boolean(
    transport.state().closing
));
noargs_method!(is_reading, |transport| answer::boolean(reading(transport)));
noargs_method!(pause_reading, |transport| answer::none(pause(transport)));
noargs_method!(resume_reading, |transport| answer::none(resume(transport)));
noargs_method!(start_reading, |transport| answer::none(start(transport)));
noargs_method!(get_protocol, |transport| answer::or_none(
    transport.state().protocol
));
one_method!(set_protocol, |transport, protocol| answer::none(
    make::set_protocol(transport, protocol)
));

unsafe fn reading(transport: Transport) -> bool {
    // SAFETY: the borrow ends here.
    unsafe { !transport.state().closing && !transport.state().paused }
}

/// `pause_reading()`.
///
/// # Safety
/// The transport is kept alive by the caller.
pub unsafe fn pause(transport: Transport) -> Python<()> {
    // SAFETY: each borrow ends before Python runs.
    unsafe {
        if !reading(transport) {
            return Ok(());
        }
        transport.state().paused = true;
        // Where the kernel does not take it, it is told again when it reports.
        let _ = interest::want(transport, Interest::READ, false);
        Ok(())
    }
}

/// `resume_reading()`.
///
/// # Safety
/// The transport is kept alive by the caller.
pub unsafe fn resume(transport: Transport) -> Python<()> {
    // SAFETY: each borrow ends before Python runs.
    unsafe {
        if transport.state().closing || !transport.state().paused {
            return Ok(());
        }
        transport.state().paused = false;
        start(transport)
    }
}

/// A connection that cannot be watched would be silent for ever, and mostly nobody waits for the answer (the loop's own callback
/// starts it, TLS resumes it): it ends with the error, as where a read fails.
unsafe fn start(transport: Transport) -> Python<()> {
    // SAFETY: each borrow ends before Python runs.
    unsafe {
        if !reading(transport) {
            return Ok(());
        }
        let Err(error) = interest::want(transport, Interest::READ, true) else {
            return Ok(());
        };
        crate::errors::raise_os_error(&error);
        read::fatal(transport, c"Fatal read error on socket transport")
    }
}

noargs_method!(get_write_buffer_size, |transport| {
    // asyncio would have sent it already: whoever asks gets what the kernel did not take.
    if !interest::current(transport).contains(Interest::WRITE) && write::flush(transport).is_err() {
        return ptr::null_mut();
    }
    ffi::PyLong_FromSize_t(transport.state().out.pending())
});

noargs_method!(get_write_buffer_limits, |transport| {
    let (low, high) = (transport.state().low, transport.state().high);
    let pair = Owned::new(ffi::PyLong_FromSize_t(low))
        .and_then(|low| Ok((low, Owned::new(ffi::PyLong_FromSize_t(high))?)))
        .and_then(|(low, high)| Owned::new(ffi::PyTuple_Pack(2, low.as_ptr(), high.as_ptr())));
    pair.map_or(ptr::null_mut(), Owned::into_ptr)
});

unsafe extern "C" fn set_write_buffer_limits(
    object: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention, on an instance.
    answer::none(unsafe {
        limits(
            Transport::from_object(object),
            Args::new(args, count, keywords),
        )
    })
}

unsafe fn limits(transport: Transport, call: Args<'_>) -> Python<()> {
    // SAFETY: the arguments live for the call.
    unsafe {
        call.expect_positional("set_write_buffer_limits", 0, 2)?;
        let high = Owned::new(ffi::PyUnicode_InternFromString(c"high".as_ptr()))?;
        let low = Owned::new(ffi::PyUnicode_InternFromString(c"low".as_ptr()))?;
        let mut given = [ptr::null_mut(); 2];
        call.keywords(
            "set_write_buffer_limits",
            [high.as_ptr(), low.as_ptr()],
            &mut given,
        )?;
        for (slot, value) in given.iter_mut().zip(call.positional) {
            *slot = *value;
        }
        let number = |value: *mut ffi::PyObject| {
            if value.is_null() || value == ffi::Py_None() {
                return Ok(None);
            }
            // What does not fit is more than any queue will hold: clipped.
            let number = ffi::PyNumber_AsSsize_t(value, ptr::null_mut());
            if number == -1 && !ffi::PyErr_Occurred().is_null() {
                Err(Raised)
            } else {
                Ok(Some(number))
            }
        };
        flow::set_limits(transport, number(given[0])?, number(given[1])?)
    }
}

unsafe extern "C" fn get_extra_info(
    object: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention, on an instance; the default falls back to None.
    unsafe {
        let alive = Owned::from_borrowed(object);
        let call = Args::new(args, count, keywords);
        let found = (|| {
            let name = Owned::new(ffi::PyUnicode_InternFromString(c"name".as_ptr()))?;
            let default = Owned::new(ffi::PyUnicode_InternFromString(c"default".as_ptr()))?;
            let mut given = [ptr::null_mut(), ffi::Py_None()];
            if call.keyword_count() != 0 {
                call.keywords(
                    "get_extra_info",
                    [name.as_ptr(), default.as_ptr()],
                    &mut given,
                )?;
            }
            for (slot, value) in given.iter_mut().zip(call.positional) {
                *slot = *value;
            }
            if given[0].is_null() || call.positional.len() > 2 {
                call.expect_positional("get_extra_info", 1, 2)?;
            }
            extra::get(Transport::from_object(alive.as_ptr()), given[0], given[1])
        })();
        found.map_or(ptr::null_mut(), Owned::into_ptr)
    }
}

unsafe extern "C" fn fatal_error(
    object: *mut ffi::PyObject,
    args: *mut *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention, on an instance.
    unsafe {
        let call = Args::new(args, count, ptr::null_mut());
        let done = call.expect_positional("_fatal_error", 1, 2).and_then(|()| {
            let message = match call.positional.get(1) {
                Some(message) => Owned::from_borrowed(*message),
                None => Owned::new(ffi::PyUnicode_FromString(
                    c"Fatal error on transport".as_ptr(),
                ))?,
            };
            door::cold(
                c"fatal_error",
                &[object, call.positional[0], message.as_ptr()],
            )
            .map(drop)
        });
        answer::none(done)
    }
}

noargs_method!(make_empty_waiter, |transport| {
    if !transport.state().empty_waiter.is_null() {
        raise(ffi::PyExc_RuntimeError, "Empty waiter is already set");
        return ptr::null_mut();
    }
    let Some(loop_) = transport.event_loop() else {
        raise(ffi::PyExc_RuntimeError, "the transport is closed");
        return ptr::null_mut();
    };
    let Ok(waiter) = Owned::new(crate::future::new_for(
        loop_,
        crate::future::Purpose::SocketWrite,
    )) else {
        return ptr::null_mut();
    };
    if write::flush(transport).is_err() {
        return ptr::null_mut();
    }
    transport.state().empty_waiter = waiter.clone().into_ptr();
    if transport.state().out.is_empty() && door::cold(c"set_result", &[waiter.as_ptr()]).is_err() {
        return ptr::null_mut();
    }
    waiter.into_ptr()
});

noargs_method!(reset_empty_waiter, |transport| {
    super::state::replace(&mut transport.state().empty_waiter, ptr::null_mut());
    answer::none(Ok(()))
});

// `_lend()` and `_take_back()`: `sendfile` uses the descriptor as `sock_sendall` does, while the transport is paused and empty.
noargs_method!(lend, |transport| {
    interest::forget(transport);
    transport.state().lent = true;
    answer::none(Ok(()))
});
noargs_method!(take_back, |transport| {
    transport.state().lent = false;
    // What was resumed meanwhile had to wait.
    answer::none(interest::claim(transport).and_then(|()| start(transport)))
});

/// `repr(transport)`.
pub unsafe extern "C" fn repr(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        let transport = Transport::from_object(object);
        let asked = interest::current(transport);
        let read = answer::boolean(asked.contains(Interest::READ));
        let write = answer::boolean(asked.contains(Interest::WRITE));
        let pending = ffi::PyLong_FromSize_t(transport.state().out.pending());
        if pending.is_null() {
            return ptr::null_mut();
        }
        let text = door::cold(c"transport_repr", &[object, read, write, pending]);
        ffi::Py_DECREF(pending);
        ffi::Py_DECREF(read);
        ffi::Py_DECREF(write);
        text.map_or(ptr::null_mut(), Owned::into_ptr)
    }
}

/// The table of methods.
pub fn methods() -> *mut c_void {
    table([
        one(c"write", write_, c"write($self, data, /)\n--\n\nSend data: a bytes-like object. Never blocks."),
        one(c"writelines", writelines, c"writelines($self, list_of_data, /)\n--\n\nSend several bytes-like objects."),
        noargs(c"write_eof", write_eof, c"write_eof($self, /)\n--\n\nTell the peer that nothing more will come, once all is sent."),
        noargs(c"can_write_eof", can_write_eof, c"can_write_eof($self, /)\n--\n\nTrue."),
        noargs(c"close", close_, c"close($self, /)\n--\n\nStop reading, send what is left, then close."),
        noargs(c"abort", abort, c"abort($self, /)\n--\n\nClose at once; what is left is lost."),
        noargs(c"is_closing", is_closing, c"is_closing($self, /)\n--\n\nWhether it is closing or closed."),
        noargs(c"is_reading", is_reading, c"is_reading($self, /)\n--\n\nWhether data is passed to the protocol."),
        noargs(c"pause_reading", pause_reading, c"pause_reading($self, /)\n--\n\nPass no more data until resume_reading()."),
        noargs(c"resume_reading", resume_reading, c"resume_reading($self, /)\n--\n\nPass data again."),
        noargs(c"get_protocol", get_protocol, c"get_protocol($self, /)\n--\n\nThe protocol; None once the connection is lost."),
        one(c"set_protocol", set_protocol, c"set_protocol($self, protocol, /)\n--\n\nPass data to another protocol."),
        noargs(c"get_write_buffer_size", get_write_buffer_size, c"get_write_buffer_size($self, /)\n--\n\nBytes that the kernel has not taken."),
        noargs(c"get_write_buffer_limits", get_write_buffer_limits, c"get_write_buffer_limits($self, /)\n--\n\n(low, high) in bytes."),
        fast_keywords(c"set_write_buffer_limits", set_write_buffer_limits, c"set_write_buffer_limits($self, high=None, low=None)\n--\n\nSet the marks in bytes at which the protocol is paused and resumed."),
        fast_keywords(c"get_extra_info", get_extra_info, c"get_extra_info($self, name, default=None)\n--\n\nWhat is known of the connection: 'peername', 'sockname', 'socket', ..."),
        one(c"_force_close", force_close, c"_force_close($self, exc, /)\n--\n\n"),
        fast(c"_fatal_error", fatal_error, c"_fatal_error($self, exc, message='Fatal error on transport', /)\n--\n\n"),
        one(c"_call_connection_lost", call_connection_lost, c"_call_connection_lost($self, exc, /)\n--\n\n"),
        noargs(c"_start_reading", start_reading, c"_start_reading($self, /)\n--\n\n"),
        noargs(c"_lend", lend, c"_lend($self, /)\n--\n\n"),
        noargs(c"_take_back", take_back, c"_take_back($self, /)\n--\n\n"),
        noargs(c"_make_empty_waiter", make_empty_waiter, c"_make_empty_waiter($self, /)\n--\n\n"),
        noargs(c"_reset_empty_waiter", reset_empty_waiter, c"_reset_empty_waiter($self, /)\n--\n\n"),
    ])
}
