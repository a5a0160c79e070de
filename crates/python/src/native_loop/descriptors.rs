//! Who waits for which descriptor: one 16-byte slot each, indexed by the descriptor's number.
//!
//! Asked by `add_reader` and its kin, by transports, and by the turn for each event. It only notes; the caller talks to the
//! driver and releases what is returned. A slot owns a reference to its transport while the kernel is asked for anything, as
//! asyncio's loop holds a transport by its reader; with an empty interest it only borrows it, and the transport empties its
//! slot before it dies.
//!
//! The epoll token is the descriptor. A stale event for a number that was closed and reused within one park is harmless:
//! what it reports is asked again from the kernel by a non-blocking call. Rejected: a hash map (40 ns a look-up against 2).

use pyo3_ffi as ffi;
use rondeau_driver::Interest;
use std::os::fd::RawFd;
use std::ptr::{self, NonNull};

/// The two handles that may wait for one descriptor; NULL where none does. Strong references.
pub struct Pair {
    /// Called when it can be read.
    pub reader: *mut ffi::PyObject,
    /// Called when it can be written.
    pub writer: *mut ffi::PyObject,
}

/// Who waits for a descriptor.
#[derive(Default)]
pub enum Slot {
    /// Nobody: the kernel does not watch it for this loop.
    #[default]
    Empty,
    /// `add_reader` and `add_writer`.
    Handles {
        /// The handles.
        pair: Box<Pair>,
        /// What the kernel was asked for.
        interest: Interest,
    },
    /// A native transport; owned while `interest` is not empty.
    Transport {
        /// The transport object.
        object: NonNull<ffi::PyObject>,
        /// What the kernel was asked for; empty when it is not registered there.
        interest: Interest,
    },
}

impl Slot {
    /// The references that the slot owns; NULL for none.
    pub fn held(&self) -> [*mut ffi::PyObject; 2] {
        match self {
            Slot::Handles { pair, .. } => [pair.reader, pair.writer],
            Slot::Transport { object, interest } if !interest.is_empty() => {
                [object.as_ptr(), ptr::null_mut()]
            }
            _ => [ptr::null_mut(); 2],
        }
    }
}

/// The table.
#[derive(Default)]
pub struct Descriptors {
    slots: Vec<Slot>,
}

impl Descriptors {
    /// The slot of `fd`, if it was ever used.
    #[inline]
    pub fn get(&mut self, fd: RawFd) -> Option<&mut Slot> {
        self.slots.get_mut(usize::try_from(fd).ok()?)
    }

    /// The slot of `fd`, made if need be. `fd` is not negative.
    pub fn entry(&mut self, fd: RawFd) -> &mut Slot {
        let index = fd as usize;
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, Slot::default);
        }
        &mut self.slots[index]
    }

    /// All slots in use, with their descriptors.
    pub fn iter(&self) -> impl Iterator<Item = (RawFd, &Slot)> {
        self.slots
            .iter()
            .enumerate()
            .map(|(fd, slot)| (fd as RawFd, slot))
            .filter(|(_, slot)| !matches!(slot, Slot::Empty))
    }

    /// Empties the table.
    pub fn take(&mut self) -> Vec<Slot> {
        std::mem::take(&mut self.slots)
    }
}

impl Pair {
    /// Nobody waits yet.
    pub fn empty() -> Box<Pair> {
        Box::new(Pair {
            reader: ptr::null_mut(),
            writer: ptr::null_mut(),
        })
    }

    /// The handle for one direction.
    pub fn side(&mut self, write: bool) -> &mut *mut ffi::PyObject {
        if write {
            &mut self.writer
        } else {
            &mut self.reader
        }
    }

    /// What the kernel must be asked for.
    pub fn interest(&self) -> Interest {
        let read = if self.reader.is_null() {
            Interest::default()
        } else {
            Interest::READ
        };
        if self.writer.is_null() {
            read
        } else {
            read | Interest::WRITE
        }
    }
}
