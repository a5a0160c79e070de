//! Interned attribute and keyword names, made once at import. Called wherever an attribute is looked up by name.

use super::{Python, Raised, gil::GilCell};
use pyo3_ffi as ffi;

macro_rules! names {
    ($($name:ident $(= $text:literal)?),+ $(,)?) => {
        /// The interned strings, one field a name.
        pub struct Names { $(pub $name: *mut ffi::PyObject),+ }

        static NAMES: GilCell<Names> = GilCell::new(Names { $($name: std::ptr::null_mut()),+ });

        /// Interns all names; called once, by the module's exec slot, before anything else.
        pub fn intern() -> Python<()> {
            $({
                #[allow(unused_variables)]
                let text = concat!(stringify!($name), "\0");
                $(let text = concat!($text, "\0");)?
                // SAFETY: `text` ends in NUL; the GIL is held by the import.
                let string = unsafe { ffi::PyUnicode_InternFromString(text.as_ptr().cast()) };
                if string.is_null() { return Err(Raised); }
                // SAFETY: no other borrow lives: the import runs alone.
                unsafe { NAMES.get().$name = string; }
            })+
            Ok(())
        }
    };
}

names! {
    _run_once, _process_events, _selector, call_soon, call_exception_handler, context, get_debug, name, coro, eager_start, cancel, done,
    result, exception, add_done_callback, _asyncio_future_blocking, _check_callback, _check_thread,
    data_received, datagram_received, error_received, family, eof_received, connection_made, connection_lost, pause_writing, resume_writing,
    get_buffer, buffer_updated, close, detach, fileno, get_loop, throw, set_exception, _loop, msg,
    callback, sock, n, buf, bufsize, nbytes, data, address, recv, recv_into, recvfrom, recvfrom_into, send, sendto, accept,
    connect, getsockopt, gettimeout, setblocking, _ensure_fd_no_transport,
    _do_handshake, _do_flush, _do_shutdown, _do_read, _fatal_error, _call_eof_received, _start_shutdown, _write_appdata, _sslobj,
    _msg_callback, read, write, join, append, is_closing, pending_ = "pending",
    limit, file, cancelled, set_result, value, maxsize, register, return_when, loop_ = "loop", run, _abort, _on_task_done, delay, when, time, fut, timeout, return_exceptions, acquire, release, is_running, message, future, task, source_traceback,
    block, real_work, stuck, step, io, observer, timer,
    writelines, write_eof, can_write_eof, get_extra_info, pause_reading, resume_reading, feed_data, feed_eof, _drain_helper,
    _get_close_waiter, create_future, call_soon_threadsafe, call_later, call_at, create_task, run_in_executor, slow_callback_duration,
    cr_code, co_qualname, co_filename, co_firstlineno, __self__, __qualname__, __code__, __call__, get_coro, get_name, _state, _exception, _fut_waiter,
    cr_frame, cr_await, cr_running, cr_suspended, gi_frame, gi_yieldfrom, gi_running, gi_suspended, ag_frame, ag_await, ag_running, ag_suspended,
    pending = "PENDING", finished = "FINISHED", cancelled_ = "CANCELLED",
}

/// The names.
#[inline]
pub fn names() -> &'static Names {
    // SAFETY: written once by `intern` during import and only read afterwards.
    unsafe { NAMES.get() }
}
