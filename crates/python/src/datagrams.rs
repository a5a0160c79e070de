//! What a datagram transport does for each packet: the type `_core.Datagrams`, one beside each `rondeau.datagrams.DatagramTransport`.
//!
//! The transport itself is asyncio's Python class (closing, pausing, what cannot be sent at once); this receives and sends. It knows the
//! descriptor as a number and does not own it: the transport asks for nothing once it is closed.
//!
//! Packets mostly come from, and go back to, whom the last one came from: that address is kept, as the kernel's and as Python's.
//! Several packets are taken at once only while there are several: the look for one more costs a system call when there is none.
//! Rejected: recvmmsg(2): what it took is ours when the protocol pauses or closes in the middle, and there is room for it nowhere.

use crate::address::{address, parse};
use crate::errors;
use crate::ffi::{
    Python, Raised, answer,
    args::Args,
    compat,
    gil::GilCell,
    names::names,
    owned::Owned,
    types::{self, Type, fast},
};
use crate::file_number::descriptor;
use crate::native_loop::descriptors::Slot;
use crate::native_loop::{Loop, is_forked};
use pyo3_ffi as ffi;
use rondeau_driver::{SockAddr, socket, unsent};
use std::ffi::{c_int, c_void};
use std::os::fd::RawFd;
use std::{io, ptr};

/// The loop's method that makes one.
pub const MAKE: ffi::PyMethodDef = fast(
    c"_datagrams",
    make,
    c"_datagrams($self, sock, connected, /)\n--\n\n",
);

/// Packets that are taken at most before others have their turn.
const BURST: usize = 16;
/// Every so often a second packet is looked for though the last time there was none.
const LOOK: u8 = 8;

#[repr(C)]
struct Object {
    ob_base: ffi::PyObject,
    fields: Fields,
}

struct Fields {
    /// The loop; strong.
    loop_: *mut ffi::PyObject,
    /// The last address as Python has it; strong, or NULL.
    seen: *mut ffi::PyObject,
    /// The same as the kernel has it.
    last: Option<SockAddr>,
    fd: RawFd,
    /// `AF_INET` and so on: an address of another one is the socket module's to refuse.
    family: i32,
    /// The socket has a peer: packets go there.
    connected: bool,
    /// There were several at the last time.
    several: bool,
    /// How often there was one.
    single: u8,
}

static TYPE: GilCell<*mut ffi::PyTypeObject> = GilCell::new(ptr::null_mut());

/// # Safety
/// `object` is a live instance; the borrow ends before Python code can run.
#[inline]
unsafe fn fields<'a>(object: *mut ffi::PyObject) -> &'a mut Fields {
    // SAFETY: the caller's contract.
    unsafe { &mut (*object.cast::<Object>()).fields }
}

unsafe extern "C" fn make(
    self_: *mut ffi::PyObject,
    args: *mut *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention, on an instance of the loop's type; the fields are written before Python code can run.
    let made = unsafe {
        (|| {
            let call = Args::new(args, count, ptr::null_mut());
            call.expect_positional("_datagrams", 2, 2)?;
            let fd = descriptor(call.positional[0])?;
            let connected = ffi::PyObject_IsTrue(call.positional[1]) == 1;
            let family = Owned::new(ffi::PyObject_GetAttr(call.positional[0], names().family))?;
            let family = ffi::PyLong_AsLong(family.as_ptr());
            if family == -1 && !ffi::PyErr_Occurred().is_null() {
                return Err(Raised);
            }
            let made = Owned::new(ffi::PyType_GenericAlloc(*TYPE.get(), 0))?;
            ffi::Py_INCREF(self_);
            (&raw mut (*made.as_ptr().cast::<Object>()).fields).write(Fields {
                loop_: self_,
                seen: ptr::null_mut(),
                last: None,
                fd,
                family: family as i32,
                connected,
                several: false,
                single: 0,
            });
            Ok(made)
        })()
    };
    answer::object(made)
}

/// Who waits to read the descriptor now; NULL where nobody does: paused or closed.
unsafe fn reader(loop_: Loop, fd: RawFd) -> *mut ffi::PyObject {
    // SAFETY: the loop lives; no Python code runs.
    match unsafe { loop_.parts().descriptors.get(fd) } {
        Some(Slot::Handles { pair, .. }) => pair.reader.object,
        _ => ptr::null_mut(),
    }
}

/// `receive(protocol)`: gives the protocol what is there. What it raises is the caller's to report.
unsafe extern "C" fn receive(
    object: *mut ffi::PyObject,
    protocol: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance, which the transport keeps alive, as it does the protocol: both are kept here as well.
    unsafe {
        let (kept, protocol) = (Owned::from_borrowed(object), Owned::from_borrowed(protocol));
        answer::none(receive_some(kept.as_ptr(), &protocol))
    }
}

unsafe fn receive_some(object: *mut ffi::PyObject, protocol: &Owned) -> Python<()> {
    // SAFETY: each borrow of the fields and of the hot buffer ends before Python code runs.
    unsafe {
        let loop_ = Loop::from_object(fields(object).loop_);
        let fd = fields(object).fd;
        if is_forked(loop_) {
            return Ok(());
        }
        let waiting = reader(loop_, fd);
        let state = fields(object);
        state.single = state.single.wrapping_add(1);
        let most = if state.several || state.single % LOOK == 0 {
            BURST
        } else {
            1
        };
        for count in 0..most {
            let Some(driver) = loop_.driver_mut() else {
                return Ok(());
            };
            let hot = driver.hot();
            let (size, sender) = match socket::try_recv_from(fd, hot) {
                Ok(packet) => packet,
                Err(error) if errors::is_passing(&error) => {
                    fields(object).several = count > 1;
                    return Ok(());
                }
                Err(error) => return tell_error(protocol, &error),
            };
            let data = Owned::new(ffi::PyBytes_FromStringAndSize(
                hot.as_ptr().cast(),
                size as ffi::Py_ssize_t,
            ))?;
            let sender = seen(object, sender)?;
            let args = [protocol.as_ptr(), data.as_ptr(), sender.as_ptr()];
            Owned::new(ffi::PyObject_VectorcallMethod(
                names().datagram_received,
                args.as_ptr(),
                3,
                ptr::null_mut(),
            ))?;
            // Paused, closed, or read by somebody else since.
            if reader(loop_, fd) != waiting {
                return Ok(());
            }
        }
        fields(object).several = most > 1;
        Ok(())
    }
}

/// The sender as Python has it: the last one's object where it is the same.
unsafe fn seen(object: *mut ffi::PyObject, sender: Option<SockAddr>) -> Python<Owned> {
    // SAFETY: as in `receive_some`.
    unsafe {
        let Some(sender) = sender else {
            return Ok(Owned::from_borrowed(ffi::Py_None()));
        };
        let state = fields(object);
        if !state.seen.is_null() && state.last.as_ref() == Some(&sender) {
            return Ok(Owned::from_borrowed(state.seen));
        }
        let made = address(&sender)?;
        keep(object, sender, made.clone());
        Ok(made)
    }
}

unsafe fn keep(object: *mut ffi::PyObject, raw: SockAddr, made: Owned) {
    // SAFETY: the new pair is stored before the old object is released.
    unsafe {
        let state = fields(object);
        state.last = Some(raw);
        let old = std::mem::replace(&mut state.seen, made.into_ptr());
        ffi::Py_XDECREF(old);
    }
}

/// `protocol.error_received(exception)`.
unsafe fn tell_error(protocol: &Owned, error: &io::Error) -> Python<()> {
    // SAFETY: the exception is ours once taken.
    unsafe {
        errors::raise_os_error(error);
        let exception = Owned::new(compat::take_raised())?;
        let args = [protocol.as_ptr(), exception.as_ptr()];
        Owned::new(ffi::PyObject_VectorcallMethod(
            names().error_received,
            args.as_ptr(),
            2,
            ptr::null_mut(),
        ))
        .map(drop)
    }
}

/// `send(data, address)`: True if it was sent, False if asyncio's own code must look (no room, an address that is no literal, odd
/// data). Raises the OSError of a send that failed.
unsafe extern "C" fn send(
    object: *mut ffi::PyObject,
    args: *mut *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention, on an instance that it keeps alive.
    unsafe {
        let call = Args::new(args, count, ptr::null_mut());
        answer::truth(
            call.expect_positional("send", 2, 2)
                .and_then(|()| send_one(object, call.positional[0], call.positional[1])),
        )
    }
}

unsafe fn send_one(
    object: *mut ffi::PyObject,
    data: *mut ffi::PyObject,
    target: *mut ffi::PyObject,
) -> Python<bool> {
    // SAFETY: the bytes stay in place: bytes never move, and a view keeps others; no Python code runs between.
    unsafe {
        if !fields(object).connected {
            if target == ffi::Py_None() {
                return Ok(false);
            }
            if fields(object).seen != target {
                let family = fields(object).family;
                let Some(raw) = parse(target).filter(|raw| raw.family() == family) else {
                    return Ok(false);
                };
                keep(object, raw, Owned::from_borrowed(target));
            }
        }
        if ffi::PyBytes_CheckExact(data) != 0 {
            let start = ffi::PyBytes_AsString(data).cast::<u8>();
            let bytes = std::slice::from_raw_parts(start, ffi::PyBytes_Size(data) as usize);
            return sent(object, bytes);
        }
        if ffi::PyByteArray_Check(data) == 0 && ffi::PyMemoryView_Check(data) == 0 {
            return Ok(false);
        }
        let mut view: ffi::Py_buffer = std::mem::zeroed();
        if ffi::PyObject_GetBuffer(data, &mut view, ffi::PyBUF_SIMPLE) != 0 {
            ffi::PyErr_Clear();
            return Ok(false);
        }
        let bytes = if view.len == 0 {
            &[][..]
        } else {
            std::slice::from_raw_parts(view.buf.cast::<u8>(), view.len as usize)
        };
        let done = sent(object, bytes);
        if done.is_err() {
            errors::keeping_raised(|| ffi::PyBuffer_Release(&mut view));
        } else {
            ffi::PyBuffer_Release(&mut view);
        }
        done
    }
}

unsafe fn sent(object: *mut ffi::PyObject, bytes: &[u8]) -> Python<bool> {
    // SAFETY: no Python code runs while the fields are borrowed.
    let state = unsafe { fields(object) };
    unsent::send_now();
    let done = match &state.last {
        Some(raw) if !state.connected => socket::send_to(state.fd, bytes, raw),
        _ => socket::try_send(state.fd, bytes),
    };
    match done {
        Ok(_) => Ok(true),
        Err(error) if errors::is_passing(&error) => Ok(false),
        Err(error) => Err(errors::raise_os_error(&error)),
    }
}

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the collector calls this on a live instance; the fields are zeroed before they are written.
    unsafe {
        let state = fields(object);
        for held in [ffi::Py_TYPE(object).cast(), state.loop_, state.seen] {
            if !held.is_null() {
                let result = visit(held, arg);
                if result != 0 {
                    return result;
                }
            }
        }
        0
    }
}

unsafe extern "C" fn clear(object: *mut ffi::PyObject) -> c_int {
    // SAFETY: nobody calls an instance that the collector found unreachable; each field is emptied before its reference goes.
    unsafe {
        let state = fields(object);
        let held = [&mut state.seen, &mut state.loop_]
            .map(|field| std::mem::replace(field, ptr::null_mut()));
        for object in held {
            ffi::Py_XDECREF(object);
        }
    }
    0
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: the last reference is gone; the fields are dropped once.
    unsafe {
        let kind = ffi::Py_TYPE(object);
        ffi::PyObject_GC_UnTrack(object.cast());
        clear(object);
        ptr::drop_in_place(&raw mut (*object.cast::<Object>()).fields);
        ffi::PyObject_GC_Del(object.cast());
        ffi::Py_DECREF(kind.cast());
    }
}

/// Makes the type and adds it to the module.
pub fn init(module: *mut ffi::PyObject) -> Python<()> {
    let methods = types::table([
        types::one(
            c"receive",
            receive,
            c"receive($self, protocol, /)\n--\n\nGive the protocol what is there.",
        ),
        fast(
            c"send",
            send,
            c"send($self, data, address, /)\n--\n\nSend at once; False if that must be done in another way.",
        ),
    ]);
    let kind = Type {
        name: c"rondeau._core.Datagrams",
        size: size_of::<Object>(),
        flags: ffi::Py_TPFLAGS_HAVE_GC | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION,
        slots: vec![
            (ffi::Py_tp_dealloc, dealloc as *mut c_void),
            (ffi::Py_tp_traverse, traverse as *mut c_void),
            (ffi::Py_tp_clear, clear as *mut c_void),
            (ffi::Py_tp_methods, methods),
        ],
    };
    // SAFETY: the slots match their numbers and the size is the instance struct's. The import runs alone.
    unsafe {
        let kind = kind.publish(module, ptr::null_mut())?;
        *TYPE.get() = kind;
    }
    Ok(())
}
