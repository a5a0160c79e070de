//! What a `sock_*` call is: its instance, its life in three states, and how the other files of the room get at it.
//!
//! Invariants: `future` is set while it waits, and only then; the table of descriptors may hold it only while it waits (a reference of
//! its own); `running` is true while one of its methods may run Python code, which then cannot resume it.

use crate::ffi::instance::Instance;
use crate::future::Purpose;
use crate::native_loop::Loop;
use pyo3_ffi as ffi;
use std::ffi::CStr;
use std::os::fd::RawFd;
use std::ptr;

/// Which of the loop's methods made it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Recv,
    RecvInto,
    Recvfrom,
    RecvfromInto,
    Sendall,
    Sendto,
    Accept,
    Connect,
}

impl Kind {
    /// Whether it waits until the socket can be written.
    pub fn writes(self) -> bool {
        matches!(self, Kind::Sendall | Kind::Sendto | Kind::Connect)
    }

    /// What somebody waits for who awaits it.
    pub fn purpose(self) -> Purpose {
        match self {
            Kind::Accept => Purpose::SocketAccept,
            Kind::Connect => Purpose::SocketConnect,
            Kind::Sendall | Kind::Sendto => Purpose::SocketWrite,
            _ => Purpose::SocketRead,
        }
    }

    /// The method's name.
    pub fn name(self) -> &'static CStr {
        let name = &self.qualname().to_bytes_with_nul()["EventLoop.".len()..];
        CStr::from_bytes_with_nul(name).expect("the end of a C string is a C string")
    }

    /// The method's name with its class.
    pub fn qualname(self) -> &'static CStr {
        match self {
            Kind::Recv => c"EventLoop.sock_recv",
            Kind::RecvInto => c"EventLoop.sock_recv_into",
            Kind::Recvfrom => c"EventLoop.sock_recvfrom",
            Kind::RecvfromInto => c"EventLoop.sock_recvfrom_into",
            Kind::Sendall => c"EventLoop.sock_sendall",
            Kind::Sendto => c"EventLoop.sock_sendto",
            Kind::Accept => c"EventLoop.sock_accept",
            Kind::Connect => c"EventLoop.sock_connect",
        }
    }
}

/// Where it is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// Nobody awaited it yet: nothing was tried.
    Fresh,
    /// The socket was not ready.
    Waiting,
    /// It returned, raised or was closed.
    Over,
}

/// An instance: CPython's header, then ours.
#[repr(C)]
pub struct CallObject {
    ob_base: ffi::PyObject,
    /// Weak references to it begin here.
    pub weak: *mut ffi::PyObject,
    pub fields: Fields,
}

/// The fields; all references are strong, NULL where there is none. Their order puts `frame_state` where `shell` wants it.
#[repr(C)]
pub struct Fields {
    pub loop_: *mut ffi::PyObject,
    pub sock: *mut ffi::PyObject,
    /// How much, the buffer, or the data.
    pub first: *mut ffi::PyObject,
    /// The address, or how much of the buffer.
    pub second: *mut ffi::PyObject,
    /// What its task waits for.
    pub future: *mut ffi::PyObject,
    pub kind: Kind,
    pub progress: Progress,
    /// The socket is exactly a `socket.socket`: its descriptor is used directly.
    pub plain: bool,
    /// What a reader in another process takes for a generator's: that there is no frame.
    pub frame_state: u8,
    /// The descriptor that is watched; valid while it waits.
    pub fd: RawFd,
    /// A memoryview of `first` while part of it is sent by the socket's own method.
    pub view: *mut ffi::PyObject,
    /// `first` as bytes while part of it is sent: its owner cannot resize it meanwhile.
    pub export: Option<Box<ffi::Py_buffer>>,
    /// Bytes of `first` that were sent.
    pub sent: usize,
    pub running: bool,
}

/// A live call, borrowed.
pub type Call = Instance<CallObject>;

impl Call {
    /// The fields, to read or write.
    ///
    /// # Safety
    /// The GIL is held and the borrow ends before Python code can run.
    #[inline]
    pub unsafe fn fields<'a>(self) -> &'a mut Fields {
        // SAFETY: the caller's contract.
        unsafe { &mut self.get().fields }
    }

    /// The loop.
    ///
    /// # Safety
    /// The call is not over: it refers to its loop.
    #[inline]
    pub unsafe fn event_loop(self) -> Loop {
        // SAFETY: only a native loop makes calls.
        unsafe { Loop::from_object(self.fields().loop_) }
    }

    /// Lets go of everything.
    ///
    /// # Safety
    /// The caller keeps the call alive; any Python code may run.
    pub unsafe fn release(self) {
        // SAFETY: each field is emptied before its reference goes.
        unsafe {
            let fields = self.fields();
            let export = fields.export.take();
            let held = [
                &mut fields.view,
                &mut fields.first,
                &mut fields.second,
                &mut fields.sock,
                &mut fields.future,
                &mut fields.loop_,
            ]
            .map(|field| std::mem::replace(field, ptr::null_mut()));
            if let Some(mut export) = export {
                ffi::PyBuffer_Release(&mut *export);
            }
            for object in held {
                ffi::Py_XDECREF(object);
            }
        }
    }
}
