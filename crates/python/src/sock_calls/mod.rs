//! `loop.sock_recv` and its kin: what they return is a `_core.SocketCall`, a coroutine without a Python frame.
//!
//! `call` is what it holds, `attempt` the system call on a plain socket, `by_method` the same through the socket's own methods, `drive`
//! how it is begun, resumed and cancelled, `methods` the loop's methods. This file says what is its own on the surface that all coroutines without
//! a frame have (`coroutine::shell`).
//!
//! It is a coroutine to all that ask in asyncio's way: it does nothing before it is awaited, `asyncio.iscoroutine`,
//! `inspect.isawaitable` and `collections.abc.Coroutine` know it, tasks take it, a second await is refused, and one that is never
//! awaited warns. Not so for `inspect.iscoroutine`, which asks for CPython's own type.
//!
//! Rejected: a future that is begun at once (uvloop, rloop): a task that is cancelled before its first step loses what was read.
//! A Python `async def` round a native future: 150 ns a call.

mod attempt;
mod by_method;
mod call;
mod drive;
mod methods;
pub mod python_socket;

pub use drive::on_ready;
pub use methods::methods as loop_methods;

use crate::coroutine::{
    Frameless, Sent, no_frame,
    shell::{self, Surface},
};
use crate::ffi::{Python, Raised, gil::GilCell, owned::Owned, visit};
use call::{Call, CallObject, Fields, Kind, Progress};
use pyo3_ffi as ffi;
use std::ffi::{CStr, c_int, c_void};
use std::mem::offset_of;
use std::ptr;

static TYPE: GilCell<*mut ffi::PyTypeObject> = GilCell::new(ptr::null_mut());

/// On what a call waits.
pub struct Waits {
    /// In a word.
    pub kind: &'static str,
    /// The loop's method.
    pub method: &'static str,
    /// The socket's descriptor.
    pub fd: std::os::fd::RawFd,
}

/// On what `object` waits, if it is a call.
///
/// # Safety
/// The object lives.
pub unsafe fn wait_of(object: *mut ffi::PyObject) -> Option<Waits> {
    // SAFETY: the type is checked before the fields are read.
    unsafe {
        if ffi::Py_TYPE(object) != *TYPE.get() {
            return None;
        }
        let fields = Call::from_object(object).fields();
        Some(Waits {
            kind: fields.kind.purpose().short(),
            method: fields.kind.name().to_str().unwrap_or("?"),
            fd: fields.fd,
        })
    }
}

/// A fresh call; `first` and `second` may be NULL.
///
/// # Safety
/// The objects live, and `loop_` is a native loop.
unsafe fn new(
    loop_: *mut ffi::PyObject,
    kind: Kind,
    sock: *mut ffi::PyObject,
    first: *mut ffi::PyObject,
    second: *mut ffi::PyObject,
) -> Python<Owned> {
    // SAFETY: the instance is zeroed and tracked; its fields are written before Python code can run.
    unsafe {
        let made = Owned::new(ffi::PyType_GenericAlloc(*TYPE.get(), 0))?;
        for object in [loop_, sock, first, second] {
            ffi::Py_XINCREF(object);
        }
        (&raw mut (*made.as_ptr().cast::<CallObject>()).fields).write(Fields {
            loop_,
            sock,
            first,
            second,
            future: ptr::null_mut(),
            kind,
            progress: Progress::Fresh,
            plain: python_socket::is_plain(sock),
            frame_state: no_frame(),
            fd: -1,
            view: ptr::null_mut(),
            export: None,
            sent: 0,
            running: false,
        });
        Ok(made)
    }
}

impl Frameless for Call {
    type Object = CallObject;
    const WEAK: usize = offset_of!(CallObject, weak);
    const FRAME_STATE: usize = offset_of!(CallObject, fields.frame_state);

    #[inline]
    unsafe fn of(object: *mut ffi::PyObject) -> Call {
        // SAFETY: the caller's contract.
        unsafe { Call::from_object(object) }
    }

    unsafe fn name(self) -> &'static CStr {
        // SAFETY: the caller's contract.
        unsafe { self.fields().kind.name() }
    }

    unsafe fn qualname(self) -> &'static CStr {
        // SAFETY: the caller's contract.
        unsafe { self.fields().kind.qualname() }
    }

    unsafe fn is_running(self) -> bool {
        // SAFETY: the caller's contract.
        unsafe { self.fields().running }
    }

    #[inline]
    unsafe fn is_fresh(self) -> bool {
        // SAFETY: the caller's contract.
        unsafe { self.fields().progress == Progress::Fresh }
    }

    #[inline]
    unsafe fn is_over(self) -> bool {
        // SAFETY: the caller's contract.
        unsafe { self.fields().progress == Progress::Over }
    }

    #[inline]
    unsafe fn send(self, value: *mut ffi::PyObject) -> Sent {
        // SAFETY: the caller's contract.
        unsafe { drive::send(self, value) }
    }

    unsafe fn throw(self, exception: Owned) -> Sent {
        // SAFETY: the caller's contract.
        let Raised = unsafe { drive::throw(self, exception) };
        Sent::Raised
    }

    unsafe fn close(self) -> Python<()> {
        // SAFETY: the caller's contract.
        unsafe { drive::close(self) }
    }

    unsafe fn traverse(self, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
        // SAFETY: the collector calls this on a live instance; the fields are zeroed before they are written.
        unsafe {
            let fields = self.fields();
            let export = fields.export.as_ref();
            let held = [
                fields.loop_,
                fields.sock,
                fields.first,
                fields.second,
                fields.view,
                fields.future,
                export.map_or(ptr::null_mut(), |export| export.obj),
            ];
            visit::each(&held, visit, arg)
        }
    }

    /// Nobody reaches it: no table holds it.
    unsafe fn clear(self) {
        // SAFETY: the caller's contract.
        unsafe {
            self.fields().progress = Progress::Over;
            self.release();
        }
    }
}

/// Makes the type and adds it to the module.
pub fn init(module: *mut ffi::PyObject) -> Python<()> {
    python_socket::init()?;
    let surface = Surface {
        name: c"rondeau._core.SocketCall",
        doc: c"What a loop's sock_* method returns, to be awaited once.",
        methods: Vec::new(),
        attributes: Vec::new(),
        slots: Vec::new(),
    };
    // SAFETY: there are no slots of its own. The import runs alone.
    unsafe { *TYPE.get() = shell::build::<Call>(module, surface)? };
    Ok(())
}
