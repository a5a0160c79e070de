//! Who waits for which descriptor: one 16-byte slot each, indexed by the descriptor's number.
//!
//! Asked by `add_reader` and its kin, by transports, and by the turn for each event. It only notes; the caller talks to the
//! driver and releases what is returned. A slot owns a reference to its transport while the kernel is asked for anything, as
//! asyncio's loop holds a transport by its reader; with an empty interest it only borrows it, and the transport empties its
//! slot before it dies.
//!
//! The epoll token is the descriptor. A stale event for a number that was closed and reused within one park is harmless:
//! what it reports is asked again from the kernel by a non-blocking call. Rejected: a hash map (40 ns a look-up against 2).

use crate::ffi::owned::Owned;
use crate::ready::Ready;
use pyo3_ffi as ffi;
use rondeau_driver::Interest;
use std::os::fd::RawFd;
use std::ptr::{self, NonNull};

/// Who waits for one direction of a descriptor; a strong reference.
#[derive(Clone, Copy)]
pub struct Waiter {
    /// A handle or a call; NULL where nobody waits.
    pub object: *mut ffi::PyObject,
    /// It is a `sock_*` call (`sock_calls`): told once, while a handle is told as long as the descriptor is ready.
    pub is_call: bool,
}

impl Waiter {
    /// Nobody.
    pub const NOBODY: Waiter = Waiter {
        object: ptr::null_mut(),
        is_call: false,
    };

    /// The handle of `add_reader` or `add_writer`.
    pub fn handle(object: *mut ffi::PyObject) -> Waiter {
        Waiter {
            object,
            is_call: false,
        }
    }

    /// A `sock_*` call.
    pub fn call(object: *mut ffi::PyObject) -> Waiter {
        Waiter {
            object,
            is_call: true,
        }
    }

    /// Whether somebody waits.
    pub fn waits(&self) -> bool {
        !self.object.is_null()
    }

    /// What gets a turn when the descriptor is ready, with a reference of its own.
    ///
    /// # Safety
    /// Somebody waits; the GIL is held.
    pub unsafe fn ready(&self) -> Ready {
        // SAFETY: the slot's reference keeps the object alive.
        unsafe { ffi::Py_INCREF(self.object) };
        if self.is_call {
            Ready::call(self.object)
        } else {
            Ready::handle(self.object)
        }
    }
}

/// The two that may wait for one descriptor.
pub struct Pair {
    /// Told when it can be read.
    pub reader: Waiter,
    /// Told when it can be written.
    pub writer: Waiter,
    /// What `add_reader` or `add_writer` was given for the number, if it was an object: kept alive, so that it is not closed by the
    /// collector, and known again by `remove_reader` when it was closed. Strong, or NULL; there while a handle waits.
    pub file: *mut ffi::PyObject,
}

/// Who waits for a descriptor.
#[derive(Default)]
pub enum Slot {
    /// Nobody: the kernel does not watch it for this loop.
    #[default]
    Empty,
    /// `add_reader`, `add_writer` and `sock_*`.
    Handles {
        /// The two.
        pair: Box<Pair>,
        /// What the kernel is asked for now; `ONCE` alone when a call was told and nobody asked again: registered, and silent.
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
    pub fn held(&self) -> [*mut ffi::PyObject; 3] {
        match self {
            Slot::Handles { pair, .. } => [pair.reader.object, pair.writer.object, pair.file],
            Slot::Transport { object, interest } if !interest.is_empty() => {
                [object.as_ptr(), ptr::null_mut(), ptr::null_mut()]
            }
            _ => [ptr::null_mut(); 3],
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

    /// Where `file` is watched, though it tells no number any more.
    pub fn find(&self, file: *mut ffi::PyObject) -> Option<RawFd> {
        self.iter()
            .find(|(_, slot)| matches!(slot, Slot::Handles { pair, .. } if pair.file == file))
            .map(|(fd, _)| fd)
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
            reader: Waiter::NOBODY,
            writer: Waiter::NOBODY,
            file: ptr::null_mut(),
        })
    }

    /// Whether a handle waits, which is told of a state for as long as it lasts, and not only calls.
    fn has_handle(&self) -> bool {
        [self.reader, self.writer]
            .iter()
            .any(|waiter| waiter.waits() && !waiter.is_call)
    }

    /// Keeps `file` (borrowed, or NULL) if nothing is kept, or `anew`; lets go of what is kept for nobody. Returns what is not kept
    /// any more.
    ///
    /// # Safety
    /// The GIL is held and `file` lives. No Python code runs.
    pub unsafe fn keep(&mut self, file: *mut ffi::PyObject, anew: bool) -> Option<Owned> {
        let keeps = self.has_handle();
        if keeps && !anew && (file.is_null() || !self.file.is_null()) {
            return None;
        }
        let new = if keeps { file } else { ptr::null_mut() };
        let old = std::mem::replace(&mut self.file, new);
        // SAFETY: `file` lives; the old reference was the pair's.
        unsafe {
            ffi::Py_XINCREF(new);
            (!old.is_null()).then(|| Owned::from_owned(old))
        }
    }

    /// Who waits for one direction.
    pub fn side(&mut self, write: bool) -> &mut Waiter {
        if write {
            &mut self.writer
        } else {
            &mut self.reader
        }
    }

    /// What the kernel must be asked for. A handle is told of a state for as long as it lasts, so one of them makes both sides so.
    pub fn interest(&self) -> Interest {
        let mut wanted = Interest::NONE;
        for (waiter, direction) in [
            (self.reader, Interest::READ),
            (self.writer, Interest::WRITE),
        ] {
            if waiter.waits() {
                wanted = wanted | direction;
            }
        }
        if wanted.is_empty() || self.has_handle() {
            wanted
        } else {
            wanted | Interest::ONCE
        }
    }
}
