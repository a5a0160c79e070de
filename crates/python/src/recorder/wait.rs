//! On what a task waits: the future says what it is for (`future::Purpose`, a byte that is always there), and who made it says
//! the rest while the recorder is on.

use super::subject::{Doing, PeerEntry, Subject};
use super::{Mark, State, state};
use crate::door as core_door;
use crate::future::Purpose;
use crate::future::door::door;
use crate::future::layout::layout;
use crate::running;
use crate::sync::Primitive;
use crate::task::cell::TaskRef;
use crate::{tls, transport};
use pyo3_ffi as ffi;
use rondeau_driver::SockAddr;
use std::collections::HashMap;
use std::ffi::CStr;

/// Notes what is known of the wait that begins: a delay in nanoseconds, a descriptor, the holder's serial number.
///
/// # Safety
/// The future lives.
#[inline]
pub unsafe fn waits_for(future: *mut ffi::PyObject, detail: u64) {
    // SAFETY: the borrow ends here.
    unsafe {
        if super::is_on()
            && let Some(state) = state()
        {
            state.waits = (future.addr(), detail);
        }
    }
}

/// The peers that were seen.
pub struct Peers {
    numbers: Vec<u32>,
    /// Of the program's own sockets, by descriptor: whose it was lately.
    by_descriptor: HashMap<i32, u32>,
    /// They are looked through when there are as many.
    limit: usize,
}

impl Default for Peers {
    fn default() -> Self {
        Peers {
            numbers: Vec::new(),
            by_descriptor: HashMap::new(),
            limit: 1024,
        }
    }
}

/// A socket's detail: a descriptor, or with this bit the number of a peer.
const PEER: u64 = 1 << 63;

/// Notes whose data is waited for: the peer of a native transport, or of the one below its encryption.
///
/// # Safety
/// Both live, or the transport is NULL. Only while on.
pub unsafe fn waits_for_peer(future: *mut ffi::PyObject, transport: *mut ffi::PyObject) {
    // SAFETY: no Python code runs; a peer holds no reference.
    unsafe {
        if transport.is_null() {
            return;
        }
        let (transport, tls) = tls::beneath(transport);
        if transport.is_null() || !transport::is_socket_transport(transport) {
            return;
        }
        let Some(state) = state() else { return };
        let (mark, peer) = transport::mark_and_peer(transport);
        if mark.session == state.session
            && state.waits_for_known(future, mark.number, transport.addr(), None, tls)
        {
            return;
        }
        let Some(peer) = peer else { return };
        let number = state.waits_for_new(future, transport.addr(), peer.clone(), tls);
        *mark = Mark {
            session: state.session,
            number,
        };
    }
}

/// Notes for whose descriptor a `sock_*` call waits: its peer, where it has one.
///
/// # Safety
/// The future lives.
#[inline]
pub unsafe fn waits_for_socket(future: *mut ffi::PyObject, fd: i32) {
    // SAFETY: the caller's contract.
    unsafe {
        if super::is_on() {
            socket_peer(future, fd);
        }
    }
}

#[cold]
unsafe fn socket_peer(future: *mut ffi::PyObject, fd: i32) {
    // SAFETY: no Python code runs.
    unsafe {
        let purpose = layout().exact(future).map(|future| future.cell().purpose);
        let connected = matches!(purpose, Some(Purpose::SocketRead | Purpose::SocketWrite));
        // Asked each time (0.1 µs, beside the calls that a wait for a socket takes): a number may be another socket's by now.
        let peer = if connected {
            rondeau_driver::socket::peer_addr(fd).ok()
        } else {
            None
        };
        // A Unix socket without a name is better told by its descriptor.
        let peer = peer.filter(|peer| peer.as_unix() != Some(&[]));
        let (Some(peer), Some(state)) = (peer, state()) else {
            return waits_for(future, u64::from(fd.unsigned_abs()));
        };
        if let Some(number) = state.peers.by_descriptor.get(&fd).copied()
            && state.waits_for_known(future, number, 0, Some(&peer), false)
        {
            return;
        }
        let number = state.waits_for_new(future, 0, peer, false);
        state.peers.by_descriptor.insert(fd, number);
    }
}

/// How many events may come between what is noted of a wait and its event: what one step wakes.
const SLACK: u64 = 1 << 12;

impl State {
    /// Notes that the peer of this number is waited for, if that is still who it was.
    fn waits_for_known(
        &mut self,
        future: *mut ffi::PyObject,
        number: u32,
        address: usize,
        peer: Option<&SockAddr>,
        tls: bool,
    ) -> bool {
        let next = self.ring.head() + 1;
        match self.subjects.get_mut(number) {
            Some(Subject::Peer(entry))
                if entry.address == address
                    && entry.tls == tls
                    && peer.is_none_or(|peer| entry.peer == *peer) =>
            {
                // The event comes later: a wait that begins in this step is among the next few.
                entry.last = next + SLACK;
            }
            _ => return false,
        }
        self.waits = (future.addr(), PEER | u64::from(number));
        true
    }

    /// Notes that a peer is waited for that was not seen before; its number.
    #[cold]
    fn waits_for_new(
        &mut self,
        future: *mut ffi::PyObject,
        address: usize,
        peer: SockAddr,
        tls: bool,
    ) -> u32 {
        self.forget_peers();
        let last = self.ring.head() + 1 + SLACK;
        let number = self.subjects.add(Subject::Peer(PeerEntry {
            address,
            peer,
            tls,
            last,
        }));
        self.peers.numbers.push(number);
        self.waits = (future.addr(), PEER | u64::from(number));
        number
    }

    #[cold]
    fn forget_peers(&mut self) {
        if self.peers.numbers.len() < self.peers.limit {
            return;
        }
        let (lost, subjects) = (self.ring.lost(), &mut self.subjects);
        self.peers.numbers.retain(|number| {
            let named = match subjects.get(*number) {
                Some(Subject::Peer(entry)) => entry.last > lost,
                _ => false,
            };
            if !named {
                subjects.take(*number);
            }
            named
        });
        self.peers.limit = 1024.max(self.peers.numbers.len() * 2);
    }
}

/// A timer is made; where it is `asyncio.sleep`'s, it ends the wait for the future that its callback is given.
///
/// # Safety
/// All live. Only while on.
#[cold]
pub unsafe fn sleeps(callback: *mut ffi::PyObject, args: &[*mut ffi::PyObject], delay: f64) {
    if callback == core_door::door().wake_sleeper
        && let [future, ..] = *args
    {
        // SAFETY: the caller's contract.
        unsafe { waits_for(future, (delay * 1e9) as u64) };
    }
}

/// Notes that who runs holds the lock from now on.
///
/// # Safety
/// The lock lives. Only while on.
#[cold]
pub unsafe fn holds(lock: Primitive) {
    // SAFETY: each borrow ends before another is taken.
    unsafe {
        let Some(session) = state().map(|state| state.session) else {
            return;
        };
        let of_loop = running::native().map(|plain| plain.loop_.parts().record);
        let serial = match of_loop {
            Some(of_loop) if of_loop.session == session => of_loop.serial,
            _ => 0,
        };
        let cell = lock.cell();
        (cell.number, cell.limit) = (serial as i64, session.into());
    }
}

/// Notes who holds the lock that is waited for.
///
/// # Safety
/// Both live. Only while on.
#[cold]
pub unsafe fn waits_for_lock(future: *mut ffi::PyObject, lock: Primitive) {
    // SAFETY: each borrow ends before another is taken.
    unsafe {
        let cell = lock.cell();
        let (holder, session) = (cell.number as u64, cell.limit);
        let known = state().is_some_and(|state| i64::from(state.session) == session);
        waits_for(future, if known { holder } else { 0 });
    }
}

/// On what a task waits whose step is over, and the rest.
///
/// # Safety
/// Task and waiter live; no Python code runs.
pub unsafe fn of(state: &mut State, task: TaskRef) -> (u8, u64) {
    // SAFETY: the type is checked before the layout is relied on.
    unsafe {
        let waiter = task.cell().waiter;
        if waiter.is_null() {
            return (Purpose::Other as u8, 0);
        }
        let Some(future) = layout().exact(waiter) else {
            return (foreign(waiter) as u8, 0);
        };
        if ffi::Py_TYPE(waiter) == layout().task {
            let number = state.task(TaskRef::of(waiter));
            let serial = state.entry(number).map_or(0, |entry| entry.serial);
            return (Purpose::Task as u8, serial);
        }
        let cell = future.cell();
        let (of, detail) = state.waits;
        if of == waiter.addr() {
            state.waits = (0, 0);
            return (cell.purpose as u8, detail);
        }
        let detail = if cell.purpose == Purpose::Future {
            cell.origin
        } else {
            0
        };
        (cell.purpose as u8, detail.into())
    }
}

/// What a future is for that is not native.
///
/// # Safety
/// The future lives; no Python code runs.
pub unsafe fn foreign(future: *mut ffi::PyObject) -> Purpose {
    // SAFETY: a type's name ends in NUL.
    unsafe {
        if ffi::PyObject_TypeCheck(future, door().task_base) != 0 {
            return Purpose::Task;
        }
        let name = CStr::from_ptr((*ffi::Py_TYPE(future)).tp_name);
        if name == c"_GatheringFuture" {
            Purpose::Gather
        } else {
            Purpose::Foreign
        }
    }
}

/// What a READY event says of the wait that it ends, in its `wait`, so that the kind is known where the ring begins in the midst of it.
pub fn ended(doing: Doing) -> u8 {
    match doing {
        Doing::Waiting(wait, _) => wait + 1,
        _ => 0,
    }
}

/// The wait that a READY event ended.
pub fn before(ended: u8) -> u8 {
    ended.checked_sub(1).unwrap_or(Purpose::Other as u8)
}

/// Whether a wait's detail is the serial number of a task: the one that is awaited, or who holds the lock.
pub fn names_a_task(wait: u8) -> bool {
    wait == Purpose::Task as u8 || wait == Purpose::Lock as u8
}

/// A wait's kind, as the file names it, and a person's words for it.
pub fn words(wait: u8, detail: u64, more: &str) -> (&'static str, String) {
    let purpose = Purpose::of(wait);
    let words = purpose.words();
    let text = match purpose {
        Purpose::Timer if detail != 0 => format!("{} {} s", words.text, detail as f64 / 1e9),
        Purpose::Future => more.to_owned(),
        Purpose::SocketRead => socket(words.text, " from ", detail, more),
        Purpose::SocketWrite => socket(words.text, " to ", detail, more),
        Purpose::SocketAccept => socket(words.text, " on ", detail, more),
        Purpose::SocketConnect => socket(words.text, " of ", detail, more),
        _ => words.text.to_owned(),
    };
    (words.kind, text)
}

fn socket(what: &str, joint: &str, detail: u64, peer: &str) -> String {
    match detail {
        0 => what.to_owned(),
        _ if !peer.is_empty() => format!("{what}{joint}{peer}"),
        _ if detail & PEER != 0 => what.to_owned(),
        fd => format!("{what}{joint}fd {fd}"),
    }
}

/// The number of the peer in a socket's detail.
pub fn peer_of(wait: u8, detail: u64) -> Option<u32> {
    let socket = wait == Purpose::SocketRead as u8 || wait == Purpose::SocketWrite as u8;
    (socket && detail & PEER != 0).then_some(detail as u32)
}

/// Whether a wait's detail is an origin.
pub fn has_origin(wait: u8) -> bool {
    wait == Purpose::Future as u8
}
