//! The native reader: `_core.StreamReader`, its fields and its life. `python/rondeau/streams.py` puts it in front of asyncio's class.
//!
//! Made by the stream functions and by programs; filled by `feed`, emptied by `read` and `until`.
//!
//! asyncio's reader calls its own methods (`readline` calls `self.readuntil`), which a subclass may override and a program may
//! replace on one reader. So the native code serves a reader only while it is `plain`: none of these was touched. For any other
//! reader each method here calls asyncio's own Python function, which works on the same attributes.
//! Limit: a method that is replaced on the class itself, after readers were made, is not seen by the native code.

use super::buffer::Buffer;
use super::door::{delegate, door};
use crate::door as core_door;
use crate::ffi::{
    Python, Raised,
    args::raise,
    compat,
    holder::{self, Holder},
    instance::Instance,
    names::names,
    owned::Owned,
};
use crate::future::status;
use crate::native_loop::Loop;
use pyo3_ffi as ffi;
use std::ffi::{CStr, c_int};
use std::ptr;

/// asyncio's limit where none is given, in bytes.
pub const DEFAULT_LIMIT: usize = 1 << 16;

/// The methods that asyncio's code and ours call on a reader: whoever replaces one of them gets asyncio's code.
const METHODS: [&CStr; 10] = [
    c"read",
    c"readline",
    c"readuntil",
    c"feed_data",
    c"feed_eof",
    c"exception",
    c"set_exception",
    c"_wait_for_data",
    c"_wakeup_waiter",
    c"_maybe_resume_transport",
];

/// The attributes that ours reads as fields: whoever makes a property of one gets asyncio's code.
const ATTRIBUTES: [&CStr; 8] = [
    c"_buffer",
    c"_limit",
    c"_eof",
    c"_waiter",
    c"_exception",
    c"_transport",
    c"_paused",
    c"_loop",
];

/// An instance. References are strong; NULL stands for None, but for `limit`: NULL before `__init__`.
#[repr(C)]
pub struct Reader {
    ob_base: ffi::PyObject,
    pub loop_: *mut ffi::PyObject,
    pub limit: *mut ffi::PyObject,
    pub transport: *mut ffi::PyObject,
    pub waiter: *mut ffi::PyObject,
    pub exception: *mut ffi::PyObject,
    pub source_traceback: *mut ffi::PyObject,
    pub buffer: Buffer,
    /// `limit` as a number, where it is one; a plain reader's always is.
    pub most: usize,
    pub eof: bool,
    pub paused: bool,
    /// See the file's head.
    pub plain: bool,
    /// The loop is native: waiters are made without asking it.
    pub direct: bool,
}

/// A live reader, borrowed.
pub type ReaderRef = Instance<Reader>;

impl ReaderRef {
    /// The reader that `object` is, if the native code may serve it.
    ///
    /// # Safety
    /// `object` is live.
    #[inline]
    pub unsafe fn plain(object: *mut ffi::PyObject) -> Option<ReaderRef> {
        // SAFETY: the type is checked before the layout is relied on.
        unsafe {
            let door = door();
            if ffi::Py_TYPE(object) != door.reader
                && ffi::PyObject_TypeCheck(object, door.native_reader) == 0
            {
                return None;
            }
            let reader = ReaderRef::from_object(object);
            reader.get().plain.then_some(reader)
        }
    }
}

/// `tp_new`: an instance that is not initialised.
pub unsafe extern "C" fn new(
    kind: *mut ffi::PyTypeObject,
    _: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: a fresh instance is zeroed; the one field for which that is no value is written before anyone sees it.
    unsafe {
        let object = (*kind).tp_alloc.unwrap_or(ffi::PyType_GenericAlloc)(kind, 0);
        if !object.is_null() {
            (&raw mut (*object.cast::<Reader>()).buffer).write(Buffer::EMPTY);
        }
        object
    }
}

/// `tp_init`: `StreamReader(limit=65536, loop=None)`.
pub unsafe extern "C" fn init(
    object: *mut ffi::PyObject,
    args: *mut ffi::PyObject,
    keywords: *mut ffi::PyObject,
) -> c_int {
    // SAFETY: CPython calls this on an instance; the format asks for two objects.
    unsafe {
        let mut given = [ptr::null_mut(); 2];
        let known = [c"limit".as_ptr(), c"loop".as_ptr(), ptr::null()];
        if !compat::parse_objects(args, keywords, c"|OO:StreamReader", &known, &mut given) {
            return -1;
        }
        status(initialise(
            ReaderRef::from_object(object),
            given[0],
            given[1],
        ))
    }
}

unsafe fn initialise(
    reader: ReaderRef,
    limit: *mut ffi::PyObject,
    loop_: *mut ffi::PyObject,
) -> Python<()> {
    // SAFETY: each field is written after the Python code that its value needs.
    unsafe {
        let limit = if limit.is_null() {
            Owned::new(ffi::PyLong_FromSize_t(DEFAULT_LIMIT))?
        } else {
            Owned::from_borrowed(limit)
        };
        let zero = Owned::new(ffi::PyLong_FromLong(0))?;
        match ffi::PyObject_RichCompareBool(limit.as_ptr(), zero.as_ptr(), ffi::Py_LE) {
            -1 => return Err(Raised),
            0 => {}
            _ => return Err(raise(ffi::PyExc_ValueError, "Limit cannot be <= 0")),
        }
        let loop_ = given_loop(loop_)?;
        let plain = is_plain_type(ffi::Py_TYPE(reader.object()))?;
        holder::forget::<Reader>(reader.object());
        reader.get().plain = plain;
        set_limit(reader, limit);
        let debug = debug_of(loop_.as_ptr())?;
        reader.get().direct = Loop::direct(loop_.as_ptr()).is_some();
        set(&raw mut reader.get().loop_, loop_.into_ptr());
        if debug {
            let stack = core_door::cold(c"source_traceback", &[])?;
            set(&raw mut reader.get().source_traceback, stack.into_ptr());
        }
        Ok(())
    }
}

/// The loop that was given, or the current one, as the stream classes ask for it.
pub unsafe fn given_loop(loop_: *mut ffi::PyObject) -> Python<Owned> {
    // SAFETY: live or NULL.
    unsafe {
        if loop_.is_null() || loop_ == ffi::Py_None() {
            return core_door::cold(c"stream_loop", &[]);
        }
        Ok(Owned::from_borrowed(loop_))
    }
}

/// `loop.get_debug()`.
pub unsafe fn debug_of(loop_: *mut ffi::PyObject) -> Python<bool> {
    // SAFETY: the loop lives; the borrow of its parts ends at once.
    unsafe {
        if let Some(native) = Loop::direct(loop_) {
            return Ok(native.parts().debug);
        }
        let debug = Owned::new(ffi::PyObject_CallMethodNoArgs(loop_, names().get_debug))?;
        match ffi::PyObject_IsTrue(debug.as_ptr()) {
            -1 => Err(Raised),
            truth => Ok(truth == 1),
        }
    }
}

/// Whether the native code may serve instances of this type.
unsafe fn is_plain_type(kind: *mut ffi::PyTypeObject) -> Python<bool> {
    // SAFETY: both types are live.
    unsafe {
        let exact = door().reader;
        Ok(super::door::overrides_nothing(kind, exact, &METHODS)?
            && super::door::overrides_nothing(kind, exact, &ATTRIBUTES)?)
    }
}

/// Notes the limit; what is no positive number that fits is left to asyncio's code.
pub unsafe fn set_limit(reader: ReaderRef, limit: Owned) {
    // SAFETY: the type is checked before the number is asked for.
    unsafe {
        let number = if ffi::PyLong_CheckExact(limit.as_ptr()) != 0 {
            ffi::PyLong_AsSsize_t(limit.as_ptr())
        } else {
            -1
        };
        if number == -1 && !ffi::PyErr_Occurred().is_null() {
            ffi::PyErr_Clear();
        }
        if (1..isize::MAX / 4).contains(&number) {
            reader.get().most = number as usize;
        } else {
            reader.get().plain = false;
        }
        set(&raw mut reader.get().limit, limit.into_ptr());
    }
}

/// Stores an owned reference (or NULL) and only then releases the old one.
///
/// # Safety
/// The slot owns its reference; Python code may run.
#[inline]
pub unsafe fn set(slot: *mut *mut ffi::PyObject, value: *mut ffi::PyObject) {
    // SAFETY: the caller's contract.
    unsafe { crate::ffi::slot::set_slot(slot, value) }
}

impl Holder for Reader {
    const NAME: &'static CStr = c"rondeau._core.StreamReader";

    unsafe fn held(this: *mut Self) -> impl IntoIterator<Item = *mut *mut ffi::PyObject> {
        // SAFETY: the caller's contract.
        unsafe {
            [
                &raw mut (*this).transport,
                &raw mut (*this).waiter,
                &raw mut (*this).exception,
                &raw mut (*this).source_traceback,
                &raw mut (*this).limit,
                &raw mut (*this).loop_,
            ]
        }
    }

    unsafe fn other(this: *mut Self) -> *mut ffi::PyObject {
        // SAFETY: the caller's contract.
        unsafe { (*this).buffer.held() }
    }

    unsafe fn reset(this: *mut Self) {
        // SAFETY: the caller's contract.
        unsafe {
            (*this).buffer.release();
            ((*this).plain, (*this).eof, (*this).paused) = (false, false, false);
        }
    }
}

/// `tp_setattro`: a method of the reader's own that is set on one instance counts.
pub unsafe extern "C" fn setattro(
    object: *mut ffi::PyObject,
    name: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
) -> c_int {
    // SAFETY: CPython calls this on an instance with a str.
    unsafe {
        if super::door::is_one_of(name, &METHODS) {
            ReaderRef::from_object(object).get().plain = false;
        }
        ffi::PyObject_GenericSetAttr(object, name, value)
    }
}

/// Runs `native` on a plain reader, and asyncio's function of that name on any other.
///
/// # Safety
/// `object` is a live reader that the caller keeps alive; the arguments live.
#[inline]
pub unsafe fn served(
    object: *mut ffi::PyObject,
    name: &CStr,
    args: &[*mut ffi::PyObject],
    native: impl FnOnce(ReaderRef) -> Python<Owned>,
) -> *mut ffi::PyObject {
    // SAFETY: the caller's contract.
    unsafe {
        let reader = ReaderRef::from_object(object);
        let done = if reader.get().plain {
            native(reader)
        } else {
            delegate(door().reader_base, name, object, args)
        };
        crate::ffi::answer::object(done)
    }
}
