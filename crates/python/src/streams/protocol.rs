//! The native protocol: `_core.StreamReaderProtocol`, between a transport and a reader.
//!
//! This file is what it holds, how it is made and what makes it plain; `events` is what a transport tells it. What runs once
//! a connection (`connection_made`) is asyncio's own Python code; `python/rondeau/_streams.py` puts it there.
//!
//! `_closed` and `_drain_waiters` are made when somebody asks for them: most connections never do, and each costs 100 to 600 bytes.

use super::door::{door, overrides_nothing};
use super::feed;
use super::reader::{given_loop, set};
use super::waiter::new_future;
use crate::door as core_door;
use crate::ffi::{
    Python, Raised, answer,
    args::raise,
    compat,
    holder::{self, Holder},
    instance::Instance,
    names::names,
    owned::Owned,
};
use crate::future::Purpose;
use crate::future::cell::State;
use crate::future::layout::layout;
use crate::future::status;
use crate::native_loop::Loop;
use pyo3_ffi as ffi;
use std::ffi::{CStr, c_int};
use std::ptr;

/// What a plain protocol has as asyncio has it.
const INTERNAL: [&CStr; 5] = [
    c"data_received",
    c"_drain_helper",
    c"_get_close_waiter",
    c"_stream_reader",
    c"_stream_reader_wr",
];

/// An instance. References are strong; NULL stands for None, or for what was not made yet.
#[repr(C)]
pub struct Protocol {
    ob_base: ffi::PyObject,
    /// NULL before `__init__`.
    pub loop_: *mut ffi::PyObject,
    pub transport: *mut ffi::PyObject,
    /// A weak reference to the reader.
    pub reader: *mut ffi::PyObject,
    /// The reader, until a server's connection is made.
    pub strong_reader: *mut ffi::PyObject,
    pub connected_cb: *mut ffi::PyObject,
    pub task: *mut ffi::PyObject,
    /// 3.11 and 3.12 keep the writer here.
    pub writer: *mut ffi::PyObject,
    pub source_traceback: *mut ffi::PyObject,
    pub closed: *mut ffi::PyObject,
    /// What `closed` will be done with, where the connection was lost before anyone asked for it.
    pub lost_with: *mut ffi::PyObject,
    pub drain_waiters: *mut ffi::PyObject,
    pub paused: bool,
    pub lost: bool,
    pub reject: bool,
    pub over_ssl: bool,
    /// The native code may stand for this protocol's methods.
    pub plain: bool,
    pub direct: bool,
}

/// A live protocol, borrowed.
pub type ProtocolRef = Instance<Protocol>;

impl ProtocolRef {
    /// The protocol that `object` is, if it is native and the native code may stand for its methods.
    ///
    /// # Safety
    /// `object` is live.
    #[inline]
    pub unsafe fn plain(object: *mut ffi::PyObject) -> Option<ProtocolRef> {
        // SAFETY: the type is checked before the layout is relied on.
        unsafe {
            let door = door();
            if ffi::Py_TYPE(object) != door.protocol
                && ffi::PyObject_TypeCheck(object, door.native_protocol) == 0
            {
                return None;
            }
            let protocol = ProtocolRef::from_object(object);
            protocol.get().plain.then_some(protocol)
        }
    }

    /// `_stream_reader`: None where there is no reader any more.
    ///
    /// # Safety
    /// The object lives.
    #[inline]
    pub unsafe fn reader(self) -> Python<Option<Owned>> {
        // SAFETY: the field is NULL, a weak reference, or what a program put there to be called like one.
        unsafe {
            let weak = self.get().reader;
            if weak.is_null() {
                return Ok(None);
            }
            if ffi::PyWeakref_CheckRef(weak) == 0 {
                let found = Owned::new(ffi::PyObject_CallNoArgs(weak))?;
                return Ok((found.as_ptr() != ffi::Py_None()).then_some(found));
            }
            let mut found = ptr::null_mut();
            if ffi::compat::PyWeakref_GetRef(weak, &mut found) < 0 {
                return Err(Raised);
            }
            Ok((!found.is_null()).then(|| Owned::from_owned(found)))
        }
    }

    /// `_closed`, made where absent.
    ///
    /// # Safety
    /// The object lives and is initialised.
    pub unsafe fn closed(self) -> Python<Owned> {
        // SAFETY: each borrow ends before Python code runs.
        unsafe {
            if self.get().closed.is_null() {
                let made = new_future(self.get().loop_, self.get().direct, Purpose::SocketClose)?;
                if self.get().closed.is_null() {
                    set(&raw mut self.get().closed, made.into_ptr());
                    if self.get().lost {
                        let with = self.get().lost_with;
                        let with = (!with.is_null()).then(|| Owned::from_borrowed(with));
                        close_with(self, with.as_ref())?;
                    }
                }
            }
            Ok(Owned::from_borrowed(self.get().closed))
        }
    }

    /// `_drain_waiters`, made where absent.
    ///
    /// # Safety
    /// The object lives.
    pub unsafe fn drain_waiters(self) -> Python<Owned> {
        // SAFETY: the new deque is stored before the old reference goes.
        unsafe {
            if self.get().drain_waiters.is_null() {
                let made = Owned::new(ffi::PyObject_CallNoArgs(door().deque))?;
                set(&raw mut self.get().drain_waiters, made.into_ptr());
            }
            Ok(Owned::from_borrowed(self.get().drain_waiters))
        }
    }
}

/// Ends `_closed`, which exists, unless it is done.
///
/// # Safety
/// The object lives and is initialised.
pub unsafe fn close_with(protocol: ProtocolRef, exception: Option<&Owned>) -> Python<()> {
    // SAFETY: the future is kept alive.
    unsafe {
        let closed = Owned::from_borrowed(protocol.get().closed);
        if !is_done(&closed)? {
            feed::end(&closed, exception.map_or(ptr::null_mut(), Owned::as_ptr))?;
        }
        Ok(())
    }
}

/// `future.done()`.
///
/// # Safety
/// The GIL is held.
pub unsafe fn is_done(future: &Owned) -> Python<bool> {
    // SAFETY: the future lives.
    unsafe {
        if let Some(native) = layout().exact(future.as_ptr()) {
            return Ok(native.cell().state != State::Pending);
        }
        let done = Owned::new(ffi::PyObject_CallMethodNoArgs(
            future.as_ptr(),
            names().done,
        ))?;
        match ffi::PyObject_IsTrue(done.as_ptr()) {
            -1 => Err(Raised),
            truth => Ok(truth == 1),
        }
    }
}

/// `tp_init`: `StreamReaderProtocol(stream_reader, client_connected_cb=None, loop=None)`.
pub unsafe extern "C" fn init(
    object: *mut ffi::PyObject,
    args: *mut ffi::PyObject,
    keywords: *mut ffi::PyObject,
) -> c_int {
    // SAFETY: CPython calls this on an instance; the format asks for three objects.
    unsafe {
        let mut given = [ptr::null_mut(); 3];
        let known = [
            c"stream_reader".as_ptr(),
            c"client_connected_cb".as_ptr(),
            c"loop".as_ptr(),
            ptr::null(),
        ];
        let format = c"O|OO:StreamReaderProtocol";
        if !compat::parse_objects(args, keywords, format, &known, &mut given) {
            return -1;
        }
        status(initialise(ProtocolRef::from_object(object), given))
    }
}

unsafe fn initialise(protocol: ProtocolRef, given: [*mut ffi::PyObject; 3]) -> Python<()> {
    // SAFETY: each field is written after the Python code that its value needs.
    unsafe {
        let [reader, callback, loop_] = given;
        let loop_ = given_loop(loop_)?;
        let kind = ffi::Py_TYPE(protocol.object());
        let plain = overrides_nothing(kind, door().protocol, &INTERNAL)?;
        holder::forget::<Protocol>(protocol.object());
        let fields = protocol.as_ptr();
        (*fields).direct = Loop::direct(loop_.as_ptr()).is_some();
        set(&raw mut (*fields).loop_, loop_.into_ptr());
        if reader != ffi::Py_None() {
            let weak = Owned::new(ffi::PyWeakref_NewRef(reader, ptr::null_mut()))?;
            set(&raw mut (*fields).reader, weak.into_ptr());
            let source = Owned::new(ffi::PyObject_GetAttrString(
                reader,
                c"_source_traceback".as_ptr(),
            ))?;
            if source.as_ptr() != ffi::Py_None() {
                set(&raw mut (*fields).source_traceback, source.into_ptr());
            }
        }
        if !callback.is_null() && callback != ffi::Py_None() {
            let callback = Owned::from_borrowed(callback);
            set(&raw mut (*fields).connected_cb, callback.into_ptr());
            if reader != ffi::Py_None() {
                let reader = Owned::from_borrowed(reader);
                set(&raw mut (*fields).strong_reader, reader.into_ptr());
            }
        }
        (*fields).plain = plain;
        Ok(())
    }
}

impl Holder for Protocol {
    const NAME: &'static CStr = c"rondeau._core.StreamReaderProtocol";

    unsafe fn held(this: *mut Self) -> impl IntoIterator<Item = *mut *mut ffi::PyObject> {
        // SAFETY: the caller's contract.
        unsafe {
            [
                &raw mut (*this).transport,
                &raw mut (*this).reader,
                &raw mut (*this).strong_reader,
                &raw mut (*this).connected_cb,
                &raw mut (*this).task,
                &raw mut (*this).writer,
                &raw mut (*this).source_traceback,
                &raw mut (*this).closed,
                &raw mut (*this).lost_with,
                &raw mut (*this).drain_waiters,
                &raw mut (*this).loop_,
            ]
        }
    }

    unsafe fn reset(this: *mut Self) {
        // SAFETY: the caller's contract.
        unsafe {
            ((*this).plain, (*this).paused) = (false, false);
            ((*this).lost, (*this).reject, (*this).over_ssl) = (false, false, false);
        }
    }
}

/// Fails as asyncio's class would where `__init__` did not run.
pub unsafe fn initialised(protocol: ProtocolRef) -> Python<()> {
    // SAFETY: AttributeError is live.
    unsafe {
        if protocol.get().loop_.is_null() {
            return Err(raise(
                ffi::PyExc_AttributeError,
                "'StreamReaderProtocol' object has no attribute '_loop'",
            ));
        }
        Ok(())
    }
}

/// `_get_close_waiter(stream)`.
pub unsafe extern "C" fn get_close_waiter(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    unsafe {
        let protocol = ProtocolRef::from_object(object);
        answer::object(initialised(protocol).and_then(|()| protocol.closed()))
    }
}

/// `tp_setattro`: a method of the protocol's own that is set on one instance counts.
pub unsafe extern "C" fn setattro(
    object: *mut ffi::PyObject,
    name: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
) -> c_int {
    // SAFETY: CPython calls this on an instance with a str.
    unsafe {
        if super::door::is_one_of(name, &INTERNAL[..3]) {
            ProtocolRef::from_object(object).get().plain = false;
        }
        ffi::PyObject_GenericSetAttr(object, name, value)
    }
}

/// `tp_finalize`: nobody is told of an exception in `_closed`.
pub unsafe extern "C" fn finalize(object: *mut ffi::PyObject) {
    // SAFETY: CPython calls this on an instance that it keeps alive; an exception on its way is put aside.
    unsafe {
        let closed = ProtocolRef::from_object(object).get().closed;
        if closed.is_null() {
            return;
        }
        let closed = Owned::from_borrowed(closed);
        if let Some(native) = layout().exact(closed.as_ptr()) {
            native.cell().log_traceback = false;
            return;
        }
        let raised = compat::take_raised();
        if core_door::cold(c"forget_exception", &[closed.as_ptr()]).is_err() {
            ffi::PyErr_WriteUnraisable(object);
        }
        compat::set_raised(raised);
    }
}
