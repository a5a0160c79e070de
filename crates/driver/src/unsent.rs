//! What waits to be sent, where every thread of the process can send it: the loop's own, one that is about to do something that could
//! overtake it, and the courier (`courier.rs`), which sees to it that nothing waits for long.
//!
//! A writer hands over the address of each piece and keeps the buffer alive until it has taken the list back with [`take`]; what was
//! sent meanwhile is told by an [`Outcome`] each. So a send needs no lock of an interpreter and runs none of its code. All of it belongs
//! to one owner at a time, a loop: another one is refused until the list is empty, so that the order of bytes is that of the writes
//! over all connections.
//!
//! Invariants: the list is read and written under the lock alone; a piece lives as long as it is in the list; each entry is tried once;
//! nothing is taken in while nobody is on watch. A fork happens with an empty list (`pthread_atfork`): what waits is sent before.
//!
//! Rejected: a list for each loop (two loops' writes lose their order); `std::sync::Mutex` (it cannot be held over a fork, and a child
//! would find it locked); a list without a lock, by `membarrier(2)` (it saves 8 ns of a write's 3 µs).

use std::cell::UnsafeCell;
use std::io;
use std::ops::{Deref, DerefMut, Range};
use std::os::fd::RawFd;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::socket;
use crate::together::TOGETHER;

/// Up to so many bytes are copied together for a plain send.
const GATHERED: usize = 4096;

/// What became of one connection's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Nobody has tried.
    Untried,
    /// The kernel took so many, and then no more, or there were no more.
    Sent(usize),
    /// The kernel took so many, then gave this errno.
    Failed(usize, i32),
}

/// How a write was received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pushed {
    /// It waits.
    Waits,
    /// Nobody is on watch: it must be sent at once.
    Unwatched,
    /// The owner must take the list back first: it is full, or was sent already.
    Full,
    /// Another owner's is not empty.
    Busy,
}

#[derive(Clone, Copy)]
struct Piece(*const u8, usize);

struct Entry {
    fd: RawFd,
    pieces: Range<usize>,
    outcome: Outcome,
}

/// The list. Behind the lock.
pub(crate) struct List {
    entries: Vec<Entry>,
    pieces: Vec<Piece>,
    owner: usize,
    tried: bool,
    /// The courier looks at it.
    pub(crate) watched: bool,
    /// How often it was taken back.
    pub(crate) rounds: u64,
    /// How often something was added to what waited already: what waiting is for.
    pub(crate) joined: u64,
}

// SAFETY: the pieces point to bytes that do not change and live while they are in the list (`push`).
unsafe impl Send for List {}

impl List {
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Sends what nobody has tried, in the order of the writes.
    pub(crate) fn send(&mut self) {
        if self.entries.is_empty() || std::mem::replace(&mut self.tried, true) {
            return;
        }
        PENDING.store(false, Ordering::Relaxed);
        for entry in &mut self.entries {
            entry.outcome = send(entry.fd, &self.pieces[entry.pieces.clone()]);
        }
    }
}

/// Whether something waits that nobody has tried: a hint for those who do not have the lock.
static PENDING: AtomicBool = AtomicBool::new(false);
/// Grows with whatever may have changed what a send comes to.
static TOUCHED: AtomicU64 = AtomicU64::new(0);

struct Lock {
    held: AtomicBool,
    list: UnsafeCell<List>,
}

// SAFETY: the list is reached through `lock` alone, which lets one thread in at a time.
unsafe impl Sync for Lock {}

static LOCK: Lock = Lock {
    held: AtomicBool::new(false),
    list: UnsafeCell::new(List {
        entries: Vec::new(),
        pieces: Vec::new(),
        owner: 0,
        tried: false,
        watched: false,
        rounds: 0,
        joined: 0,
    }),
};

/// Access to the list.
pub(crate) struct Locked(());

impl Deref for Locked {
    type Target = List;

    fn deref(&self) -> &List {
        // SAFETY: this thread holds the lock.
        unsafe { &*LOCK.list.get() }
    }
}

impl DerefMut for Locked {
    fn deref_mut(&mut self) -> &mut List {
        // SAFETY: this thread holds the lock.
        unsafe { &mut *LOCK.list.get() }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        LOCK.held.store(false, Ordering::Release);
    }
}

#[inline]
pub(crate) fn lock() -> Locked {
    if LOCK.held.swap(true, Ordering::Acquire) {
        wait();
    }
    Locked(())
}

/// The lock is held for as long as some sends take.
#[cold]
fn wait() {
    let mut looks = 0_u32;
    while LOCK.held.swap(true, Ordering::Acquire) {
        looks += 1;
        match looks {
            0..64 => std::hint::spin_loop(),
            64..128 => std::thread::yield_now(),
            // A thread of a lower priority may hold it, which yielding does not let run.
            _ => std::thread::sleep(Duration::from_micros(20)),
        }
    }
}

extern "C" fn before_fork() {
    let mut locked = lock();
    locked.send();
    std::mem::forget(locked);
}

extern "C" fn in_the_parent() {
    LOCK.held.store(false, Ordering::Release);
}

extern "C" fn in_the_child() {
    // SAFETY: the child's only thread holds the lock since before the fork. The entries are the parent's; clearing frees nothing.
    unsafe {
        let list = &mut *LOCK.list.get();
        list.entries.clear();
        list.pieces.clear();
        list.tried = false;
        list.watched = false;
    }
    LOCK.held.store(false, Ordering::Release);
}

/// Sees to forks. Called before anything is pushed.
pub(crate) fn prepare() {
    static PREPARED: Once = Once::new();
    PREPARED.call_once(|| {
        // SAFETY: the handlers take a lock of this file's own and send; in the child only memory that is there is written. It fails
        // for want of memory only, and then a child may send what its parent wrote.
        let _ = unsafe {
            libc::pthread_atfork(Some(before_fork), Some(in_the_parent), Some(in_the_child))
        };
    });
}

/// Hands over bytes for `fd` that `owner` wrote. `new` begins a connection's entry, else they follow the last piece.
///
/// # Safety
/// Where the answer is [`Pushed::Waits`], the bytes neither change nor go before `owner` has called [`take`] (or [`disarm`]).
#[inline]
pub unsafe fn push(owner: usize, fd: RawFd, bytes: &[u8], new: bool) -> Pushed {
    let mut list = lock();
    if !list.watched {
        return Pushed::Unwatched;
    }
    if !list.entries.is_empty() {
        if list.owner != owner {
            return Pushed::Busy;
        }
        if list.tried || (new && list.entries.len() == TOGETHER) {
            return Pushed::Full;
        }
        list.joined += 1;
    }
    let list = &mut *list;
    list.pieces.push(Piece(bytes.as_ptr(), bytes.len()));
    let end = list.pieces.len();
    match list.entries.last_mut() {
        Some(entry) if !new => entry.pieces.end = end,
        _ => list.entries.push(Entry {
            fd,
            pieces: end - 1..end,
            outcome: Outcome::Untried,
        }),
    }
    list.owner = owner;
    PENDING.store(true, Ordering::Relaxed);
    Pushed::Waits
}

/// Takes the list back: what became of each of `owner`'s entries, in their order.
#[inline]
pub fn take(owner: usize) -> [Outcome; TOGETHER] {
    let mut outcomes = [Outcome::Untried; TOGETHER];
    let mut list = lock();
    if list.owner == owner {
        PENDING.store(false, Ordering::Relaxed);
        for (outcome, entry) in outcomes.iter_mut().zip(&list.entries) {
            *outcome = entry.outcome;
        }
        list.entries.clear();
        list.pieces.clear();
        list.tried = false;
        list.owner = 0;
        list.rounds += 1;
    }
    outcomes
}

/// Sends what waits and forgets the buffers; the outcomes stay for [`take`].
pub fn disarm(owner: usize) {
    let mut list = lock();
    if list.owner == owner {
        list.send();
        list.pieces.clear();
    }
}

/// Sends what waits, of whichever owner. One load where nothing does.
#[inline]
pub fn send_now() {
    if PENDING.load(Ordering::Relaxed) {
        lock().send();
    }
}

/// How much is waiting and was not tried, in bytes.
#[must_use]
pub fn waiting() -> usize {
    let list = lock();
    if list.tried {
        return 0;
    }
    list.pieces.iter().map(|piece| piece.1).sum()
}

/// Something was done that may change what a send comes to, or told the program that something has: a descriptor closed, a message read.
#[inline]
pub fn touch() {
    // A lost update is as good as one: it differs from what was noted before.
    TOUCHED.store(
        TOUCHED.load(Ordering::Relaxed).wrapping_add(1),
        Ordering::Relaxed,
    );
}

/// How often. Equal to an earlier answer: nothing was done since.
#[inline]
#[must_use]
pub fn touched() -> u64 {
    TOUCHED.load(Ordering::Relaxed)
}

fn send(fd: RawFd, pieces: &[Piece]) -> Outcome {
    let mut sent = 0;
    let mut rest = pieces;
    while !rest.is_empty() {
        let (count, size) = run(rest);
        let outcome = if count == 1 {
            // SAFETY: a piece in the list lives (`push`).
            socket::try_send(fd, unsafe {
                std::slice::from_raw_parts(rest[0].0, rest[0].1)
            })
        } else {
            gathered(fd, &rest[..count])
        };
        match outcome {
            Ok(taken) => sent += taken,
            Err(error) => return failed(sent, &error),
        }
        if outcome.is_ok_and(|taken| taken < size) {
            break;
        }
        rest = &rest[count..];
    }
    Outcome::Sent(sent)
}

fn failed(sent: usize, error: &io::Error) -> Outcome {
    match error.raw_os_error().unwrap_or(libc::EIO) {
        // What is no socket is written to by its owner.
        libc::EAGAIN | libc::EINTR | libc::ENOTSOCK => Outcome::Sent(sent),
        errno => Outcome::Failed(sent, errno),
    }
}

/// How many of the first pieces leave in one send, and their bytes.
fn run(pieces: &[Piece]) -> (usize, usize) {
    let (mut count, mut size) = (1, pieces[0].1);
    while count < pieces.len() && size + pieces[count].1 <= GATHERED {
        size += pieces[count].1;
        count += 1;
    }
    (count, size)
}

fn gathered(fd: RawFd, pieces: &[Piece]) -> io::Result<usize> {
    let mut room = [0; GATHERED];
    let mut filled = 0;
    for piece in pieces {
        // SAFETY: a piece in the list lives (`push`).
        let bytes = unsafe { std::slice::from_raw_parts(piece.0, piece.1) };
        room[filled..filled + bytes.len()].copy_from_slice(bytes);
        filled += bytes.len();
    }
    socket::try_send(fd, &room[..filled])
}

#[cfg(test)]
mod tests;
