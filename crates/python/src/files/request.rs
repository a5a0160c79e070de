//! What is asked of the kernel: kept by an operation until its completion, so that an interrupted one can be asked again.
//!
//! `op` builds the driver's form; the memory that it lends belongs to the [`FileOp`](super::op) which holds this request.

use crate::ffi::{Python, Raised, owned::Owned};
use pyo3_ffi as ffi;
use rondeau_driver::{Buf, HERE, INLINE, Lent, LentParts, Op, SharedFd, file};
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::ptr;

/// A borrowed buffer of a Python object, given back when it is dropped (the GIL is held wherever one is).
pub struct Export(Box<ffi::Py_buffer>);

impl Export {
    /// `data`'s bytes, contiguous; writable ones where `writable`. Raises what the object says.
    ///
    /// # Safety
    /// `data` lives and the GIL is held.
    pub unsafe fn new(data: *mut ffi::PyObject, writable: bool) -> Python<Export> {
        let flags = if writable {
            ffi::PyBUF_WRITABLE
        } else {
            ffi::PyBUF_SIMPLE
        };
        // SAFETY: all zeros is a buffer that exports nothing; CPython fills it or raises.
        unsafe {
            let mut view: Box<ffi::Py_buffer> = Box::new(std::mem::zeroed());
            if ffi::PyObject_GetBuffer(data, &mut *view, flags) != 0 {
                return Err(Raised);
            }
            Ok(Export(view))
        }
    }

    pub fn len(&self) -> usize {
        self.0.len as usize
    }

    pub fn start(&self) -> *mut u8 {
        self.0.buf.cast()
    }

    /// Whose they are; NULL for nobody's.
    pub fn object(&self) -> *mut ffi::PyObject {
        self.0.obj
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        // SAFETY: filled by `new`, released once.
        unsafe { ffi::PyBuffer_Release(&mut *self.0) }
    }
}

/// A request. Paths are in the file system's encoding.
pub enum Request {
    Open {
        path: CString,
        flags: i32,
        mode: u32,
    },
    /// Into a fresh bytes object of `count`.
    Read {
        fd: SharedFd,
        count: usize,
        offset: Option<u64>,
    },
    /// The same, copied into the user's buffers when it is there: the kernel is never given memory that a cancelled waiter may use again.
    ReadInto {
        fd: SharedFd,
        to: Vec<Export>,
        count: usize,
        offset: Option<u64>,
    },
    Write {
        fd: SharedFd,
        data: Vec<Export>,
        offset: Option<u64>,
        /// Until all is written; else once.
        all: bool,
    },
    Sync {
        fd: SharedFd,
        data_only: bool,
    },
    StatOpen(SharedFd),
    Stat {
        path: CString,
        follow: bool,
    },
    Close(Option<OwnedFd>),
    Unlink(CString),
    Rename(CString, CString),
    /// Work for the pool, with the buffer that it reads.
    Work(Option<Op>, Option<Export>),
}

impl Request {
    /// Whether it is a large read at an offset, which the kernel's threads copy: a stream's waits for what comes, and may wait for ever.
    #[inline]
    pub fn is_large_read(&self) -> bool {
        matches!(
            self,
            Request::Read { count, offset: Some(_), .. } | Request::ReadInto { count, offset: Some(_), .. }
                if *count > INLINE
        )
    }

    /// The driver's form of what is still to be done behind `done` bytes, and the bytes object that it fills. None: there is nothing to do.
    ///
    /// # Safety
    /// The caller keeps the request and the bytes object until the operation was reaped.
    pub unsafe fn op(&mut self, done: usize) -> Python<Option<(Op, Option<Owned>)>> {
        let behind = |offset: Option<u64>| match offset {
            Some(offset) if offset != HERE => Some(offset + done as u64),
            own => own,
        };
        let op = match self {
            Request::Open { path, flags, mode } => Op::Open {
                path: path.clone(),
                flags: *flags,
                mode: *mode,
            },
            Request::Read { fd, count, offset }
            | Request::ReadInto {
                fd, count, offset, ..
            } => {
                if *count == 0 {
                    return Ok(None);
                }
                // SAFETY: a fresh bytes object, which nobody else sees before the kernel has filled it.
                let (target, to) = unsafe {
                    let target =
                        Owned::new(ffi::PyBytes_FromStringAndSize(ptr::null(), *count as isize))?;
                    let start = ffi::PyBytes_AsString(target.as_ptr()).cast();
                    (target, Lent::new(start, *count))
                };
                let op = Op::ReadInto {
                    fd: fd.clone(),
                    to,
                    offset: *offset,
                };
                return Ok(Some((op, Some(target))));
            }
            Request::Write {
                fd, data, offset, ..
            } => {
                let mut skip = done;
                let mut parts = Vec::with_capacity(data.len());
                for part in data.iter() {
                    let from = skip.min(part.len());
                    skip -= from;
                    if from < part.len() {
                        // SAFETY: the export is held by the request; `from` lies within it.
                        parts.push(unsafe { Lent::new(part.start().add(from), part.len() - from) });
                    }
                }
                let (fd, offset) = (fd.clone(), behind(*offset));
                match parts.len() {
                    0 => return Ok(None),
                    1 => Op::Write {
                        fd,
                        buf: Buf::Lent(parts.remove(0)),
                        offset,
                    },
                    _ => Op::Writev {
                        fd,
                        parts: LentParts::new(parts),
                        offset,
                    },
                }
            }
            Request::Sync { fd, data_only } => Op::Fsync {
                fd: fd.clone(),
                data_only: *data_only,
            },
            Request::StatOpen(fd) => file::stat_of_open(fd.clone()),
            Request::Stat { path, follow } => file::stat_of(path.clone(), *follow),
            Request::Close(fd) => match fd.take() {
                Some(fd) => Op::Close(fd),
                None => return Ok(None),
            },
            Request::Unlink(path) => Op::Unlink { path: path.clone() },
            Request::Rename(from, to) => Op::Rename {
                from: from.clone(),
                to: to.clone(),
            },
            Request::Work(work, _) => match work.take() {
                Some(op) => op,
                None => return Ok(None),
            },
        };
        Ok(Some((op, None)))
    }

    /// Whether it may be asked again where it was interrupted.
    pub fn repeats(&self) -> bool {
        !matches!(self, Request::Close(_) | Request::Work(..))
    }

    /// The buffers that it borrows, for the collector.
    pub fn exports(&self) -> &[Export] {
        match self {
            Request::ReadInto { to, .. } => to,
            Request::Write { data, .. } => data,
            Request::Work(_, Some(data)) => std::slice::from_ref(data),
            _ => &[],
        }
    }
}
