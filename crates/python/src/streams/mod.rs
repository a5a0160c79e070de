//! Streams: `_core.StreamReader`, `_core.StreamWriter` and `_core.StreamReaderProtocol`, the native halves of `rondeau`'s classes.
//!
//! `python/rondeau/_streams.py` puts each in front of asyncio's class of that name, so that `isinstance` holds and what is not
//! native is asyncio's. `buffer` is what was received, `feed` how it comes in, `reads` and `until` how it is read, `waiting` how a
//! read waits, `protocol` and `writer` the other two classes, `events` what a transport tells the protocol, `drain` the writer's waits,
//! `attributes` what Python sees of the fields, `door` what is asyncio's.
//!
//! What makes them fast: a native transport's data goes from the hot buffer into the reader without a Python frame, a read that
//! finds its data makes one small coroutine and nothing else, and a woken reader's task is put on the agenda at once.

mod attributes;
mod buffer;
mod door;
mod drain;
mod events;
mod feed;
mod protocol;
mod reader;
mod reads;
mod until;
mod waiter;
mod waiting;
mod writer;

use crate::ffi::{
    Python, answer,
    holder::{self, Holder},
    owned::Owned,
    types::{Type, fast, fast_keywords, noargs, one, table_of},
};
use pyo3_ffi as ffi;
use reader::ReaderRef;
use std::ffi::{c_int, c_void};
use std::ptr;

/// The module's function that is told of the classes made in Python.
pub const ADOPT: ffi::PyMethodDef = fast(
    c"adopt_streams",
    door::adopt,
    c"adopt_streams(StreamReader, StreamWriter, StreamReaderProtocol, /)\n--\n\nServe these classes, made of the native ones and asyncio's.",
);

/// A reader's method without arguments that only touches its fields: it serves any reader.
macro_rules! of_any_reader {
    ($name:ident, |$reader:ident| $body:expr) => {
        unsafe extern "C" fn $name(
            object: *mut ffi::PyObject,
            _: *mut ffi::PyObject,
        ) -> *mut ffi::PyObject {
            // SAFETY: CPython calls this on an instance; the reference keeps it alive whatever runs.
            unsafe {
                let alive = Owned::from_borrowed(object);
                let $reader = ReaderRef::from_object(alive.as_ptr());
                $body
            }
        }
    };
}

of_any_reader!(wakeup_waiter, |reader| answer::none(feed::wake(reader)));
of_any_reader!(exception, |reader| if reader.get().limit.is_null() {
    reads::others(reader.object(), c"exception", &[])
} else {
    answer::or_none(reader.get().exception)
});
of_any_reader!(feed_eof, |reader| reader::served(
    reader.object(),
    c"feed_eof",
    &[],
    |reader| feed::feed_eof(reader).map(|()| Owned::from_borrowed(ffi::Py_None()))
));
of_any_reader!(maybe_resume, |reader| reader::served(
    reader.object(),
    c"_maybe_resume_transport",
    &[],
    |reader| feed::maybe_resume(reader).map(|()| Owned::from_borrowed(ffi::Py_None()))
));
of_any_reader!(at_eof, |reader| reader::served(
    reader.object(),
    c"at_eof",
    &[],
    |reader| {
        let fields = reader.get();
        let over = fields.eof && fields.buffer.is_empty();
        Ok(Owned::from_owned(answer::boolean(over)))
    }
));

unsafe extern "C" fn feed_data(
    object: *mut ffi::PyObject,
    data: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    unsafe {
        reader::served(object, c"feed_data", &[data], |reader| {
            feed::feed_object(reader, data).map(|()| Owned::from_borrowed(ffi::Py_None()))
        })
    }
}

unsafe extern "C" fn set_exception(
    object: *mut ffi::PyObject,
    exception: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    unsafe {
        reader::served(object, c"set_exception", &[exception], |reader| {
            feed::set_exception(reader, exception).map(|()| Owned::from_borrowed(ffi::Py_None()))
        })
    }
}

/// `repr(reader)`.
unsafe extern "C" fn repr(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        let size = ReaderRef::from_object(object).get().buffer.len();
        let text = Owned::new(ffi::PyLong_FromSize_t(size))
            .and_then(|size| crate::door::cold(c"reader_repr", &[object, size.as_ptr()]));
        answer::object(text)
    }
}

/// The reader's methods; `adopt_streams` puts them onto the class in Python as functions.
fn reader_methods() -> Vec<ffi::PyMethodDef> {
    vec![
        fast_keywords(c"read", reads::read_method, c"read($self, n=-1)\n--\n\nRead up to n bytes as soon as there are any; with -1, all until the end.\n\nReturn b'' at the end of the stream."),
        fast_keywords(c"readexactly", reads::read_exactly_method, c"readexactly($self, n)\n--\n\nRead exactly n bytes.\n\nRaise IncompleteReadError where the stream ends before."),
        fast_keywords(c"readuntil", until::read_until_method, c"readuntil($self, separator=b'\\n')\n--\n\nRead up to and with the separator (3.13+: or the first of a tuple of them).\n\nRaise IncompleteReadError where the stream ends before, LimitOverrunError (and leave the data) where there are more than\n`limit` bytes before it."),
        noargs(c"readline", until::read_line_method, c"readline($self)\n--\n\nRead a line with its b'\\n'; without it at the end of the stream.\n\nRaise ValueError where it is longer than `limit` bytes."),
        one(c"feed_data", feed_data, c"feed_data($self, data)\n--\n\nAdd bytes to the buffer."),
        noargs(c"feed_eof", feed_eof, c"feed_eof($self)\n--\n\nThe stream has ended."),
        noargs(c"exception", exception, c"exception($self)\n--\n\nThe exception that was set, or None."),
        one(c"set_exception", set_exception, c"set_exception($self, exc)\n--\n\nLet reads raise this exception."),
        noargs(c"at_eof", at_eof, c"at_eof($self)\n--\n\nWhether the stream has ended and everything was read."),
        noargs(c"_wakeup_waiter", wakeup_waiter, c"_wakeup_waiter($self)\n--\n\n"),
        noargs(c"_maybe_resume_transport", maybe_resume, c"_maybe_resume_transport($self)\n--\n\n"),
    ]
}

fn writer_methods() -> Vec<ffi::PyMethodDef> {
    vec![
        one(c"write", writer::write, c"write($self, data)\n--\n\nSend bytes. Never blocks: drain() waits until not too much is pending."),
        one(c"writelines", writer::writelines, c"writelines($self, data)\n--\n\nSend several bytes-like objects."),
        noargs(c"drain", drain::drain, c"drain($self)\n--\n\nWait until it makes sense to write more; await it after each write."),
        noargs(c"close", writer::close, c"close($self)\n--\n\nClose the connection, once all is sent."),
        noargs(c"is_closing", writer::is_closing, c"is_closing($self)\n--\n\nWhether it is closed or being closed."),
        noargs(c"wait_closed", drain::wait_closed, c"wait_closed($self)\n--\n\nWait until the connection is closed."),
        noargs(c"write_eof", writer::write_eof, c"write_eof($self)\n--\n\nTell the peer that nothing more will come, once all is sent."),
        noargs(c"can_write_eof", writer::can_write_eof, c"can_write_eof($self)\n--\n\nWhether write_eof() works here."),
        fast_keywords(c"get_extra_info", writer::get_extra_info, c"get_extra_info($self, name, default=None)\n--\n\nWhat is known of the connection; see asyncio's transports."),
    ]
}

fn protocol_methods() -> Vec<ffi::PyMethodDef> {
    vec![
        one(
            c"data_received",
            events::data_received,
            c"data_received($self, data)\n--\n\n",
        ),
        noargs(
            c"eof_received",
            events::eof_received,
            c"eof_received($self)\n--\n\n",
        ),
        one(
            c"connection_lost",
            events::connection_lost,
            c"connection_lost($self, exc)\n--\n\n",
        ),
        noargs(
            c"pause_writing",
            events::pause_writing,
            c"pause_writing($self)\n--\n\n",
        ),
        noargs(
            c"resume_writing",
            events::resume_writing,
            c"resume_writing($self)\n--\n\n",
        ),
        one(
            c"_get_close_waiter",
            protocol::get_close_waiter,
            c"_get_close_waiter($self, stream)\n--\n\n",
        ),
    ]
}

unsafe extern "C" fn new(
    kind: *mut ffi::PyTypeObject,
    _: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: a fresh instance is zeroed, which is a value of every field of writers and protocols.
    unsafe { (*kind).tp_alloc.unwrap_or(ffi::PyType_GenericAlloc)(kind, 0) }
}

/// Makes one of the types, with these slots beside those that it dies by, and adds it to the module.
fn add<H: Holder>(
    module: *mut ffi::PyObject,
    mut slots: Vec<(c_int, *mut c_void)>,
) -> Python<*mut ffi::PyTypeObject> {
    slots.extend([
        (ffi::Py_tp_traverse, holder::traverse::<H> as *mut c_void),
        (ffi::Py_tp_clear, holder::clear::<H> as *mut c_void),
        (ffi::Py_tp_dealloc, holder::dealloc::<H> as *mut c_void),
    ]);
    let kind = Type {
        name: H::NAME,
        size: size_of::<H>(),
        flags: ffi::Py_TPFLAGS_HAVE_GC | ffi::Py_TPFLAGS_BASETYPE | ffi::Py_TPFLAGS_IMMUTABLETYPE,
        slots,
    };
    // SAFETY: the slots match their numbers and the size is the instance struct's.
    unsafe { kind.publish(module, ptr::null_mut()) }
}

/// Makes the types.
pub fn init(module: *mut ffi::PyObject) -> Python<()> {
    door::open()?;
    let reader = add::<reader::Reader>(
        module,
        vec![
            (ffi::Py_tp_doc, c"StreamReader(limit=65536, loop=None)\n--\n\nThe native part of rondeau.StreamReader.".as_ptr() as *mut c_void),
            (ffi::Py_tp_new, reader::new as *mut c_void),
            (ffi::Py_tp_init, reader::init as *mut c_void),
            (ffi::Py_tp_repr, repr as *mut c_void),
            (ffi::Py_tp_setattro, reader::setattro as *mut c_void),
            (ffi::Py_am_aiter, until::aiter as *mut c_void),
            (ffi::Py_am_anext, until::anext as *mut c_void),
            (ffi::Py_tp_methods, table_of(reader_methods())),
            (ffi::Py_tp_getset, attributes::reader::table()),
        ],
    )?;
    let writer = add::<writer::Writer>(
        module,
        vec![
            (ffi::Py_tp_doc, c"StreamWriter(transport, protocol, reader, loop)\n--\n\nThe native part of rondeau.StreamWriter.".as_ptr() as *mut c_void),
            (ffi::Py_tp_new, new as *mut c_void),
            (ffi::Py_tp_init, writer::init as *mut c_void),
            (ffi::Py_tp_methods, table_of(writer_methods())),
            (ffi::Py_tp_getset, attributes::writer::table()),
        ],
    )?;
    let protocol = add::<protocol::Protocol>(
        module,
        vec![
            (ffi::Py_tp_doc, c"StreamReaderProtocol(stream_reader, client_connected_cb=None, loop=None)\n--\n\nThe native part of rondeau.StreamReaderProtocol.".as_ptr() as *mut c_void),
            (ffi::Py_tp_new, new as *mut c_void),
            (ffi::Py_tp_init, protocol::init as *mut c_void),
            (ffi::Py_tp_setattro, protocol::setattro as *mut c_void),
            (ffi::Py_tp_finalize, protocol::finalize as *mut c_void),
            (ffi::Py_tp_methods, table_of(protocol_methods())),
            (ffi::Py_tp_getset, attributes::protocol::table()),
        ],
    )?;
    crate::transport::add_consumer(
        protocol,
        events::receive,
        c"Fatal error: protocol.data_received() call failed.",
    );
    // SAFETY: the import runs alone.
    unsafe {
        door::set(|door| {
            door.native_reader = reader;
            door.native_writer = writer;
            door.native_protocol = protocol;
        });
    }
    Ok(())
}
