//! What a reader has received and nobody has read yet.
//!
//! Called by `feed` (which adds at the end) and by the reads (which take from the front). Three forms, since each is the cheapest
//! for something: the bytes object that arrived, as long as nothing comes behind it (a read of all of it copies nothing); a
//! vector, once there is more than one piece; and, from the moment that Python code asks for `_buffer`, the bytearray that it was
//! given, so that what it does there counts. A reader never leaves the third form: that code may have kept the object.
//!
//! Invariants: a held chunk is an exact bytes object and is not empty behind `start`; `start` is 0 in the third form; an emptied
//! buffer owns no large memory, since ten thousand idle connections have one each. Nothing here runs Python code.
//! Rejected: asyncio's bytearray from the start: every byte is copied twice more, and there is no C API that takes from its front.

use crate::ffi::{Python, Raised, owned::Owned};
use pyo3_ffi as ffi;
use std::ffi::c_char;
use std::{ptr, slice};

/// A vector of more bytes than this is given back when it is empty.
const KEPT: usize = 4096;

/// See the file's head.
pub struct Buffer {
    /// The chunk or the bytearray; strong, or NULL: the bytes are in `bytes`.
    object: *mut ffi::PyObject,
    /// `object` is a bytearray that Python code knows.
    shared: bool,
    /// How much of the chunk or of `bytes` was taken already.
    start: usize,
    bytes: Vec<u8>,
}

impl Buffer {
    /// Nothing.
    pub const EMPTY: Buffer = Buffer {
        object: ptr::null_mut(),
        shared: false,
        start: 0,
        bytes: Vec::new(),
    };

    /// What was not taken yet.
    ///
    /// # Safety
    /// The GIL is held, and the slice is not used once Python code ran or the buffer changed.
    #[inline]
    pub unsafe fn unread<'a>(&self) -> &'a [u8] {
        // SAFETY: the object is of the type that `shared` says; the lengths are the objects' own.
        unsafe {
            if self.object.is_null() {
                let rest = self.bytes.get_unchecked(self.start..);
                slice::from_raw_parts(rest.as_ptr(), rest.len())
            } else if self.shared {
                let len = ffi::PyByteArray_Size(self.object) as usize;
                slice::from_raw_parts(ffi::PyByteArray_AsString(self.object).cast(), len)
            } else {
                let first = ffi::PyBytes_AS_STRING(self.object).cast::<u8>();
                let len = ffi::Py_SIZE(self.object) as usize;
                slice::from_raw_parts(first.add(self.start), len - self.start)
            }
        }
    }

    /// How many bytes were not taken yet.
    #[inline]
    pub fn len(&self) -> usize {
        // SAFETY: the slice ends here.
        unsafe { self.unread().len() }
    }

    /// Whether there is nothing.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds bytes at the end. Fails where somebody holds a view of the shared bytearray.
    ///
    /// # Safety
    /// The GIL is held; `data` does not lie in this buffer.
    #[inline]
    pub unsafe fn push(&mut self, data: &[u8]) -> Python<()> {
        // SAFETY: the caller's contract.
        unsafe {
            if self.is_unused() {
                self.object = new_bytes(data)?.into_ptr();
                return Ok(());
            }
            self.append(data)
        }
    }

    /// Adds a bytes object at the end; keeps it where there is nothing else.
    ///
    /// # Safety
    /// `chunk` is an exact bytes object, and not empty.
    #[inline]
    pub unsafe fn push_chunk(&mut self, chunk: *mut ffi::PyObject) -> Python<()> {
        // SAFETY: the caller's contract.
        unsafe {
            if self.is_unused() {
                self.object = Owned::from_borrowed(chunk).into_ptr();
                return Ok(());
            }
            let first = ffi::PyBytes_AS_STRING(chunk).cast::<u8>();
            self.append(slice::from_raw_parts(first, ffi::Py_SIZE(chunk) as usize))
        }
    }

    #[inline]
    fn is_unused(&self) -> bool {
        self.object.is_null() && self.bytes.is_empty()
    }

    unsafe fn append(&mut self, data: &[u8]) -> Python<()> {
        // SAFETY: the bytearray was just made as long as what is written into it.
        unsafe {
            if self.shared {
                let len = ffi::PyByteArray_Size(self.object);
                if ffi::PyByteArray_Resize(self.object, len + data.len() as isize) != 0 {
                    return Err(Raised);
                }
                let end = ffi::PyByteArray_AsString(self.object)
                    .cast::<u8>()
                    .offset(len);
                ptr::copy_nonoverlapping(data.as_ptr(), end, data.len());
                return Ok(());
            }
            if !self.object.is_null() {
                let rest = self.unread();
                let mut bytes = Vec::with_capacity(rest.len() + data.len());
                bytes.extend_from_slice(rest);
                self.bytes = bytes;
                self.let_go();
            } else if self.start > self.bytes.len() / 2 {
                self.bytes.drain(..self.start);
                self.start = 0;
            }
            self.bytes.extend_from_slice(data);
            Ok(())
        }
    }

    /// Releases the chunk: a bytes object has no finalizer.
    unsafe fn let_go(&mut self) {
        let object = std::mem::replace(&mut self.object, ptr::null_mut());
        self.start = 0;
        // SAFETY: the reference was ours.
        unsafe { ffi::Py_DECREF(object) };
    }

    /// Takes the first `count` bytes, which there are.
    ///
    /// # Safety
    /// The GIL is held.
    #[inline]
    pub unsafe fn take(&mut self, count: usize) -> Python<Owned> {
        // SAFETY: a chunk that is taken whole is given away with its reference.
        unsafe {
            if count == 0 {
                return new_bytes(&[]);
            }
            if !self.object.is_null()
                && !self.shared
                && self.start == 0
                && ffi::Py_SIZE(self.object) as usize == count
            {
                return Ok(Owned::from_owned(std::mem::replace(
                    &mut self.object,
                    ptr::null_mut(),
                )));
            }
            let taken = new_bytes(&self.unread()[..count])?;
            self.skip(count)?;
            Ok(taken)
        }
    }

    /// Takes everything.
    ///
    /// # Safety
    /// The GIL is held.
    pub unsafe fn take_all(&mut self) -> Python<Owned> {
        // SAFETY: the caller's contract.
        unsafe { self.take(self.len()) }
    }

    /// Drops the first `count` bytes, which there are. Fails where somebody holds a view of the shared bytearray.
    ///
    /// # Safety
    /// The GIL is held.
    pub unsafe fn skip(&mut self, count: usize) -> Python<()> {
        // SAFETY: the caller's contract.
        unsafe {
            if self.shared {
                let done = ffi::PySequence_DelSlice(self.object, 0, count as isize);
                return if done == 0 { Ok(()) } else { Err(Raised) };
            }
            self.start += count;
            if self.object.is_null() {
                if self.start == self.bytes.len() {
                    self.start = 0;
                    if self.bytes.capacity() > KEPT {
                        self.bytes = Vec::new();
                    } else {
                        self.bytes.clear();
                    }
                }
            } else if self.start == ffi::Py_SIZE(self.object) as usize {
                self.let_go();
            }
            Ok(())
        }
    }

    /// Drops everything.
    ///
    /// # Safety
    /// The GIL is held.
    pub unsafe fn clear(&mut self) -> Python<()> {
        // SAFETY: the caller's contract.
        unsafe { self.skip(self.len()) }
    }

    /// The bytearray that Python code sees as `_buffer`: what it does with it counts from now on.
    ///
    /// # Safety
    /// The GIL is held.
    pub unsafe fn share(&mut self) -> Python<Owned> {
        // SAFETY: the new object is filled before the old one goes.
        unsafe {
            if !self.shared {
                let rest = self.unread();
                let made = Owned::new(ffi::PyByteArray_FromStringAndSize(
                    rest.as_ptr().cast::<c_char>(),
                    rest.len() as isize,
                ))?;
                self.become_shared(made);
            }
            Ok(Owned::from_borrowed(self.object))
        }
    }

    /// Puts a bytearray of Python code's in the place of all there was.
    ///
    /// # Safety
    /// `array` is an exact bytearray.
    pub unsafe fn become_shared(&mut self, array: Owned) {
        let old = std::mem::replace(&mut self.object, array.into_ptr());
        (self.shared, self.start, self.bytes) = (true, 0, Vec::new());
        // SAFETY: the reference was ours; neither bytes nor an exact bytearray has a finalizer.
        unsafe { ffi::Py_XDECREF(old) };
    }

    /// The object that is held, for the collector; NULL for none.
    pub fn held(&self) -> *mut ffi::PyObject {
        self.object
    }

    /// Empties it for good: the reader dies.
    ///
    /// # Safety
    /// The GIL is held.
    pub unsafe fn release(&mut self) {
        let old = std::mem::replace(self, Buffer::EMPTY);
        // SAFETY: the reference was ours.
        unsafe { ffi::Py_XDECREF(old.object) };
    }
}

/// A bytes object of these.
///
/// # Safety
/// The GIL is held.
#[inline]
pub unsafe fn new_bytes(data: &[u8]) -> Python<Owned> {
    // SAFETY: CPython copies what the slice points to.
    unsafe {
        Owned::new(ffi::PyBytes_FromStringAndSize(
            data.as_ptr().cast::<c_char>(),
            data.len() as isize,
        ))
    }
}
