//! Ciphertext without a detour: OpenSSL reads from the slice that the driver lent and writes into the bytes object that is sent.
//!
//! Called by `reading` and `writing`, for one call of OpenSSL each. For that long a BIO of ours stands where the session has its
//! `ssl.MemoryBIO`; afterwards the MemoryBIO is back, so that a handshake, a shutdown or the program finds what asyncio's code
//! leaves there. Through MemoryBIOs each byte is copied twice more and their memory is cleared for each (`BUF_MEM_grow_clean`):
//! 12 of 92 µs for an echo of 64 KiB.
//!
//! A thread has one pair of BIOs, which point to what the current call works on. A call inside a call (a server-name callback during
//! a renegotiation that reads from another session) puts back what it found.

use super::openssl::{Bio, BioMethod, Functions, Ssl};
use crate::ffi::{Python, Raised, gil::GilCell, owned::Owned};
use pyo3_ffi as ffi;
use std::cell::OnceCell;
use std::ffi::{c_char, c_int, c_long, c_void};
use std::ptr;

/// `BIO_TYPE_SOURCE_SINK`.
const SOURCE_SINK: c_int = 0x0400;
/// `BIO_FLAGS_READ | BIO_FLAGS_SHOULD_RETRY`: there will be more.
const RETRY_READ: c_int = 0x09;
/// `BIO_FLAGS_RWS | BIO_FLAGS_SHOULD_RETRY`.
const ALL_RETRY: c_int = 0x0f;
/// `BIO_CTRL_FLUSH`.
const FLUSH: c_int = 11;
/// The most plaintext in one record (RFC 8446, 5.1).
pub const RECORD: usize = 16 * 1024;
/// What a record may add to its plaintext: header, nonce, tag, padding. More than any usual cipher does; a sink grows if need be.
const RECORD_EXTRA: usize = 96;

/// Ciphertext that came.
pub struct Source {
    next: *const u8,
    left: usize,
}

impl Source {
    /// Reads from `slice`, which outlives the calls that read.
    pub fn new(slice: &[u8]) -> Source {
        Source {
            next: slice.as_ptr(),
            left: slice.len(),
        }
    }

    /// What was not read.
    ///
    /// # Safety
    /// The slice that this was made of lives.
    pub unsafe fn rest<'a>(&self) -> &'a [u8] {
        // SAFETY: the caller's contract: `left` bytes of the slice lie there.
        unsafe { std::slice::from_raw_parts(self.next, self.left) }
    }
}

/// A bytes object under construction; nobody else has seen it.
pub struct Sink {
    bytes: *mut ffi::PyObject,
    used: usize,
    room: usize,
}

impl Sink {
    /// An empty one with `room` bytes.
    pub fn with_room(room: usize) -> Python<Sink> {
        // SAFETY: a bytes object of that size, not initialised: CPython's own way to make one.
        let bytes =
            unsafe { ffi::PyBytes_FromStringAndSize(ptr::null(), room.max(1) as ffi::Py_ssize_t) };
        if bytes.is_null() {
            return Err(Raised);
        }
        Ok(Sink {
            bytes,
            used: 0,
            room: room.max(1),
        })
    }

    /// One with room for the records of so many bytes of plaintext, written in so many pieces.
    pub fn for_plaintext(length: usize, pieces: usize) -> Python<Sink> {
        Sink::with_room(length + (length / RECORD + pieces) * RECORD_EXTRA)
    }

    /// The room that is left: its start and its length.
    pub fn room(&mut self) -> (*mut u8, usize) {
        // SAFETY: `used` is within the object.
        unsafe { (start(self.bytes).add(self.used), self.room - self.used) }
    }

    /// `count` bytes of the room were written.
    pub fn advance(&mut self, count: usize) {
        self.used += count;
    }

    /// Appends, growing if need be.
    pub fn push(&mut self, data: &[u8]) -> Python<()> {
        if data.len() > self.room - self.used {
            let wanted = (self.used + data.len()).max(self.room * 2);
            // SAFETY: the object is ours alone; on failure CPython releases it and sets the pointer to NULL.
            if unsafe { _PyBytes_Resize(&mut self.bytes, wanted as ffi::Py_ssize_t) } != 0 {
                (self.used, self.room) = (0, 0);
                return Err(Raised);
            }
            self.room = wanted;
        }
        // SAFETY: there is room for all of it now, in an object of ours.
        unsafe {
            ptr::copy_nonoverlapping(data.as_ptr(), start(self.bytes).add(self.used), data.len());
        }
        self.used += data.len();
        Ok(())
    }

    /// The bytes object, cut to what was written; None if nothing was.
    pub fn finish(mut self) -> Python<Option<Owned>> {
        let bytes = std::mem::replace(&mut self.bytes, ptr::null_mut());
        if bytes.is_null() {
            return Err(Raised);
        }
        // SAFETY: the object is ours alone, so that its size may change; a little unused memory at the end is no matter, more is given back.
        unsafe {
            let mut bytes = bytes;
            if self.used == 0 {
                ffi::Py_DECREF(bytes);
                return Ok(None);
            }
            if self.room - self.used > 512 + self.used / 16 {
                if _PyBytes_Resize(&mut bytes, self.used as ffi::Py_ssize_t) != 0 {
                    return Err(Raised);
                }
            } else {
                (*bytes.cast::<ffi::PyVarObject>()).ob_size = self.used as ffi::Py_ssize_t;
                *start(bytes).add(self.used) = 0;
            }
            Ok(Some(Owned::from_owned(bytes)))
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // SAFETY: the reference is ours, or NULL. A bytes object has no finalizer.
        unsafe { ffi::Py_XDECREF(self.bytes) }
    }
}

unsafe extern "C" {
    // pyo3-ffi keeps this one to itself (Include/cpython/bytesobject.h).
    fn _PyBytes_Resize(bytes: *mut *mut ffi::PyObject, size: ffi::Py_ssize_t) -> c_int;
}

/// Where a bytes object's bytes begin.
fn start(bytes: *mut ffi::PyObject) -> *mut u8 {
    // SAFETY: only the field's address is taken, of an object that is a bytes.
    unsafe { (&raw mut (*bytes.cast::<ffi::PyBytesObject>()).ob_sval).cast() }
}

static METHOD: GilCell<*mut BioMethod> = GilCell::new(ptr::null_mut());

/// A thread's two BIOs.
struct Pair {
    functions: &'static Functions,
    reader: *mut Bio,
    writer: *mut Bio,
}

impl Drop for Pair {
    fn drop(&mut self) {
        // SAFETY: the thread's own references; no session has them, since each call puts back what it found.
        unsafe {
            (self.functions.bio_free)(self.reader);
            (self.functions.bio_free)(self.writer);
        }
    }
}

thread_local! {
    static PAIR: OnceCell<Pair> = const { OnceCell::new() };
}

/// The thread's BIOs (reader, writer), made at the first call; None without memory.
fn pair(functions: &'static Functions) -> Option<(*mut Bio, *mut Bio)> {
    PAIR.with(|cell| {
        if cell.get().is_none() {
            // SAFETY: the GIL is held, and each is checked before it is used.
            let made = unsafe {
                let method = method(functions)?;
                let [reader, writer] = [(functions.bio_new)(method), (functions.bio_new)(method)];
                if reader.is_null() || writer.is_null() {
                    (functions.bio_free)(reader);
                    (functions.bio_free)(writer);
                    return None;
                }
                (functions.bio_set_init)(reader, 1);
                (functions.bio_set_init)(writer, 1);
                Pair {
                    functions,
                    reader,
                    writer,
                }
            };
            let _ = cell.set(made);
        }
        cell.get().map(|pair| (pair.reader, pair.writer))
    })
}

unsafe fn method(functions: &Functions) -> Option<*mut BioMethod> {
    // SAFETY: the GIL guards the cell; a method lives as long as the process.
    unsafe {
        if METHOD.get().is_null() {
            let index = (functions.method_index)();
            let made = (functions.method_new)(index | SOURCE_SINK, c"rondeau".as_ptr());
            if made.is_null() {
                return None;
            }
            (functions.method_read)(made, read);
            (functions.method_write)(made, write);
            (functions.method_control)(made, control);
            *METHOD.get() = made;
        }
        Some(*METHOD.get())
    }
}

unsafe extern "C" fn read(bio: *mut Bio, out: *mut c_char, length: c_int) -> c_int {
    // SAFETY: OpenSSL calls this inside `reading_from`, whose source the BIO points to; `out` has room for `length` bytes.
    unsafe {
        let Some(functions) = super::openssl::functions() else {
            return -1;
        };
        (functions.bio_clear_flags)(bio, ALL_RETRY);
        let source = (functions.bio_data)(bio).cast::<Source>();
        if source.is_null() || (*source).left == 0 {
            (functions.bio_set_flags)(bio, RETRY_READ);
            return -1;
        }
        let count = (length.max(0) as usize).min((*source).left);
        ptr::copy_nonoverlapping((*source).next, out.cast::<u8>(), count);
        (*source).next = (*source).next.add(count);
        (*source).left -= count;
        count as c_int
    }
}

unsafe extern "C" fn write(bio: *mut Bio, data: *const c_char, length: c_int) -> c_int {
    // SAFETY: OpenSSL calls this inside `writing_to`, whose sink the BIO points to; `data` holds `length` bytes.
    unsafe {
        let Some(functions) = super::openssl::functions() else {
            return -1;
        };
        (functions.bio_clear_flags)(bio, ALL_RETRY);
        let sink = (functions.bio_data)(bio).cast::<Sink>();
        if sink.is_null() || length < 0 {
            return -1;
        }
        let data = std::slice::from_raw_parts(data.cast::<u8>(), length as usize);
        match (*sink).push(data) {
            Ok(()) => length,
            Err(Raised) => -1,
        }
    }
}

unsafe extern "C" fn control(_: *mut Bio, command: c_int, _: c_long, _: *mut c_void) -> c_long {
    c_long::from(command == FLUSH)
}

/// What `call` returns, which calls OpenSSL: meanwhile `ssl` reads from `source`. None without memory for a BIO.
///
/// # Safety
/// `ssl` lives; `call` runs no Python code but what OpenSSL's own callbacks run.
pub unsafe fn reading_from<T>(
    functions: &'static Functions,
    ssl: *mut Ssl,
    source: &mut Source,
    call: impl FnOnce() -> T,
) -> Option<T> {
    let (reader, _) = pair(functions)?;
    // SAFETY: `SSL_set0_rbio` takes over a reference of the new BIO and releases one of the old: each gets one more before.
    unsafe {
        let before = (functions.bio_data)(reader);
        let own = (functions.reader)(ssl);
        (functions.bio_set_data)(reader, ptr::from_mut(source).cast());
        (functions.bio_up_ref)(own);
        (functions.bio_up_ref)(reader);
        (functions.set_reader)(ssl, reader);
        let answer = call();
        (functions.set_reader)(ssl, own);
        (functions.bio_set_data)(reader, before);
        Some(answer)
    }
}

/// The same for what `ssl` writes.
///
/// # Safety
/// As for `reading_from`.
pub unsafe fn writing_to<T>(
    functions: &'static Functions,
    ssl: *mut Ssl,
    sink: &mut Sink,
    call: impl FnOnce() -> T,
) -> Option<T> {
    let (_, writer) = pair(functions)?;
    // SAFETY: as in `reading_from`.
    unsafe {
        let before = (functions.bio_data)(writer);
        let own = (functions.writer)(ssl);
        (functions.bio_set_data)(writer, ptr::from_mut(sink).cast());
        (functions.bio_up_ref)(own);
        (functions.bio_up_ref)(writer);
        (functions.set_writer)(ssl, writer);
        let answer = call();
        (functions.set_writer)(ssl, own);
        (functions.bio_set_data)(writer, before);
        Some(answer)
    }
}
