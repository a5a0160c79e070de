//! Who an event names: what is kept of a task or a callback, so that it can be told later who it was.
//!
//! Made by the hooks, read by `snapshot`. While a task lives, its name and state are read off it; when it ends, what matters is
//! copied, and the pointer is given up. Nothing here keeps a task, a coroutine or a bound object alive.

use super::place::{self, Made};
use crate::coroutine::{self, CoroRef};
use crate::ffi::owned::Owned;
use crate::task::cell::TaskRef;
use pyo3_ffi as ffi;
use rondeau_driver::SockAddr;
use std::ffi::CStr;
use std::ptr;

/// What a subject is known for.
pub enum Subject {
    /// A task, native or not.
    Task(TaskEntry),
    /// A callable that the loop calls.
    Callback(CallbackEntry),
    /// The other end of a connection.
    Peer(PeerEntry),
}

/// What code a task or a callback runs. Its name and lines are found when they are asked for.
pub enum Code {
    /// Nothing is known.
    Unknown,
    /// A code object.
    Object(Owned),
    /// A name that lives for good: a native coroutine's.
    Native(&'static CStr),
    /// Known by its name: a str.
    Name(Owned),
    /// A method of a class: its name, and its code where it is Python's. Not the class, whose functions would keep alive what
    /// they close over.
    Method(Owned, Option<Owned>),
}

/// A task's name as its field has it.
pub enum Name {
    /// `Task-<number>`.
    Number(u64),
    /// A str.
    Text(Owned),
}

/// What a task does, as far as was recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Doing {
    /// Made, or not seen yet.
    Unknown,
    /// On the agenda.
    Ready,
    /// In its step.
    Running,
    /// It waits: on what, and the rest.
    Waiting(u8, u64),
}

/// What is kept of a task.
pub struct TaskEntry {
    /// Never used again, unlike its number in the ring.
    pub serial: u64,
    /// The task, borrowed; NULL from its end or its death on. A task that is not native is known by `weak`.
    pub task: *mut ffi::PyObject,
    /// Where the task is or was: with a mark that agrees, it is this one.
    pub address: usize,
    /// A weak reference to a task that is not native.
    pub weak: Option<Owned>,
    /// What it runs.
    pub code: Code,
    /// Its name when it ended; None while it lives.
    pub name: Option<Name>,
    /// The serial number of who made it.
    pub creator: u64,
    /// Where.
    pub made: Option<Made>,
    /// What it does now.
    pub doing: Doing,
}

impl TaskEntry {
    /// A native task's.
    ///
    /// # Safety
    /// The task lives.
    pub unsafe fn of(task: TaskRef, serial: u64, made: Option<Made>, creator: u64) -> TaskEntry {
        // SAFETY: the caller's contract; `code_of` runs no Python code.
        unsafe {
            TaskEntry {
                serial,
                task: task.object(),
                address: task.object().addr(),
                weak: None,
                code: code_of(*task.coro()),
                name: None,
                creator,
                made,
                doing: Doing::Unknown,
            }
        }
    }

    /// The task has ended or dies: copies what will be asked.
    ///
    /// # Safety
    /// Its fields are still there.
    pub unsafe fn end(&mut self) {
        if !self.task.is_null() {
            // SAFETY: the caller's contract.
            self.name = Some(unsafe { name_of(TaskRef::of(self.task)) });
            self.task = ptr::null_mut();
        }
    }
}

/// What is kept of a callable.
pub struct CallbackEntry {
    /// Never used again, unlike its number in the ring.
    pub serial: u64,
    /// What runs.
    pub code: Code,
    /// The number of the last event that names it.
    pub last: u64,
    /// A weak reference to the class by whose address it is known, so that another class there is told from it.
    pub class: Option<Owned>,
    /// Whether it makes a task's step.
    pub steps: Steps,
}

/// What is kept of a peer.
pub struct PeerEntry {
    /// Where the transport is: with a mark that agrees, it is this one's. 0 of a socket of the program's own.
    pub address: usize,
    /// Its address.
    pub peer: SockAddr,
    /// It is encrypted.
    pub tls: bool,
    /// The number of the last event that names it.
    pub last: u64,
}

/// Whether a callable makes a task's step, so that it is no callback of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Steps {
    /// It does not.
    No,
    /// A native task's, which records itself.
    Native,
    /// Another's: its object's.
    Foreign,
}

/// The code that a coroutine runs.
///
/// # Safety
/// `coro` lives or is NULL.
pub unsafe fn code_of(coro: *mut ffi::PyObject) -> Code {
    // SAFETY: the type is checked first.
    unsafe {
        if coro.is_null() {
            return Code::Unknown;
        }
        if ffi::Py_TYPE(coro) == coroutine::kind() {
            return Code::Native((*CoroRef::of(coro).cell().kind).qualname);
        }
        if ffi::PyCoro_CheckExact(coro) != 0 {
            return place::code_of_coroutine(coro).map_or(Code::Unknown, Code::Object);
        }
        place::qualified(ffi::Py_TYPE(coro)).map_or(Code::Unknown, Code::Name)
    }
}

/// A native task's name as it is now.
///
/// # Safety
/// The task lives.
pub unsafe fn name_of(task: TaskRef) -> Name {
    // SAFETY: the field holds a str, an int or NULL.
    unsafe {
        let name = *task.name();
        if name.is_null() || ffi::PyUnicode_Check(name) == 0 {
            return Name::Number(task.cell().number);
        }
        Name::Text(Owned::from_borrowed(name))
    }
}
