//! The desk: the thread at which others ask, when it is there, and what it says without the GIL.
//!
//! Opened by the first loop that runs, closed with the last (`meet` and `forget`), round each fork, and when the interpreter ends. Whatever
//! goes wrong in opening it is nobody's business: the program runs on and cannot be asked.
//!
//! Rejected: a thread only when somebody comes, which would save a program that runs a loop for a moment its start and end. Whoever starts it
//! must notice the guest while the loop is blocked, for that is when people ask: the loop's own poll does not, a signal (`F_SETSIG`) ends the
//! program's blocking calls early, and a loop that is watched only once it has run for a while hides the block in its first callback.
//!
//! Invariants: the desk's thread never takes the GIL, so joining it never waits for Python; the walk's may wait for it, so it is joined
//! with the GIL released. At most one walk at a time: its flag is taken by the desk and given back by the walk.

use super::{json, loops, walk};
use crate::ffi::{answer, types};
use pyo3_ffi as ffi;
use rondeau_driver::porter::{Bell, Guest, Peer, Porter, Visit};
use rondeau_driver::{Quiet, clock, courier, user};
use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// The version of the messages.
const PROTOCOL: u32 = 1;
/// Stacks, of which a few pages are ever touched: libraries with much thread-local memory need their share of it.
const DESK_STACK: usize = 128 * 1024;
const WALK_STACK: usize = 512 * 1024;

struct Open {
    bell: Bell,
    thread: Quiet,
}

static OPEN: Mutex<Option<Open>> = Mutex::new(None);
static WALK: Mutex<Option<Quiet>> = Mutex::new(None);
static WALKING: AtomicBool = AtomicBool::new(false);
static STOPPING: AtomicBool = AtomicBool::new(false);
/// The interpreter ends: it is not opened again.
static OVER: AtomicBool = AtomicBool::new(false);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a walk must end.
pub fn is_stopping() -> bool {
    STOPPING.load(Ordering::Relaxed)
}

fn is_wanted() -> bool {
    static WANTED: OnceLock<bool> = OnceLock::new();
    *WANTED.get_or_init(|| std::env::var_os("RONDEAU_INSPECT").is_none_or(|value| value != "0"))
}

/// Opens it, where it is not open.
pub fn open() {
    if !is_wanted() || OVER.load(Ordering::Relaxed) {
        return;
    }
    let mut open = lock(&OPEN);
    if open.is_some() {
        return;
    }
    let Ok(porter) = Porter::open(&format!("rondeau/{}", std::process::id())) else {
        return;
    };
    let bell = porter.bell();
    if let Ok(thread) = Quiet::start("rondeau-inspect", DESK_STACK, move || serve(porter)) {
        *open = Some(Open { bell, thread });
    }
}

/// Closes it and ends the walk, and waits until both threads are gone, and the courier, the third that no program has started.
///
/// # Safety
/// The GIL is held; it is released meanwhile.
pub unsafe fn close() {
    courier::stop();
    let Some(Open { bell, thread }) = lock(&OPEN).take() else {
        return;
    };
    STOPPING.store(true, Ordering::Relaxed);
    let rang = bell.ring();
    // SAFETY: the GIL is held. It is given up only for a walk, which may wait for it: the desk's thread is gone in microseconds.
    unsafe {
        let walks = WALKING.load(Ordering::Acquire);
        let state = if walks {
            ffi::PyEval_SaveThread()
        } else {
            std::ptr::null_mut()
        };
        if rang {
            thread.join();
        }
        // Bound first: the lock must not be held while waiting.
        let walk = lock(&WALK).take();
        if let Some(walk) = walk {
            if state.is_null() {
                // It began after all, or has ended and was never joined.
                let state = ffi::PyEval_SaveThread();
                walk.join();
                ffi::PyEval_RestoreThread(state);
            } else {
                walk.join();
            }
        }
        if !state.is_null() {
            ffi::PyEval_RestoreThread(state);
        }
    }
    STOPPING.store(false, Ordering::Relaxed);
}

fn serve(mut porter: Porter) {
    loop {
        match porter.next(greet) {
            Visit::Asked(guest, question) => asked(&guest, &question),
            Visit::TooLong(guest) => {
                let _ = guest.tell(br#"{"error":"the question is too long"}"#);
            }
            Visit::Over => return,
        }
    }
}

/// What whoever comes is told first: that this is a program of another user, or what is known without the GIL.
fn greet(peer: Peer) -> Result<Vec<u8>, Vec<u8>> {
    let own = user();
    if peer.uid != own && peer.uid != 0 {
        let refusal = format!(r#"{{"protocol":{PROTOCOL},"refused":{own}}}"#);
        return Err(refusal.into_bytes());
    }
    let mut out = String::new();
    json::number(
        &mut out,
        format_args!(r#"{{"protocol":{PROTOCOL},"pid":{}"#, std::process::id()),
    );
    out.push_str(r#","rondeau":"#);
    json::text(&mut out, env!("CARGO_PKG_VERSION"));
    out.push_str(r#","loops":"#);
    pulses(&mut out);
    out.push('}');
    Ok(out.into_bytes())
}

/// What each loop counts, for a reader that cannot wait for the GIL.
fn pulses(out: &mut String) {
    let now = clock::monotonic();
    let loops = loops();
    // A message has its limit; who has a hundred loops sees the rest by asking for the metrics.
    json::list(out, loops.all.iter().take(100), |out, known| {
        let metrics = &known.metrics;
        let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        json::number(out, format_args!(r#"{{"number":{}"#, known.number));
        json::number(
            out,
            format_args!(
                r#","running":{},"parked":{},"thread":{},"turns":{}"#,
                load(&metrics.running_since) != 0,
                metrics.parked.load(Ordering::Relaxed),
                metrics.thread.load(Ordering::Relaxed),
                load(&metrics.turns),
            ),
        );
        let last = now.saturating_sub(load(&metrics.last_ask));
        out.push_str(r#","last_ask":"#);
        json::seconds(out, Some(last as f64 / 1e9));
        out.push('}');
    });
}

fn asked(guest: &Arc<Guest>, question: &[u8]) {
    let question = match walk::parse(question) {
        Ok(question) => question,
        Err(reason) => {
            let mut out = String::from(r#"{"error":"#);
            json::text(&mut out, reason);
            out.push('}');
            let _ = guest.tell(out.as_bytes());
            return;
        }
    };
    if WALKING.swap(true, Ordering::AcqRel) {
        let _ = guest.tell(br#"{"busy":true}"#);
        return;
    }
    // The one before has given its flag back: it is gone, or will be in a moment.
    let before = lock(&WALK).take();
    if let Some(before) = before {
        before.join();
    }
    let told = guest.clone();
    let started = Quiet::start("rondeau-inspect", WALK_STACK, move || {
        if !is_stopping() {
            walk::answer(&told, question);
        }
        WALKING.store(false, Ordering::Release);
    });
    match started {
        Ok(thread) => *lock(&WALK) = Some(thread),
        Err(_) => {
            WALKING.store(false, Ordering::Release);
            let _ = guest.tell(br#"{"error":"no thread could be started for the answer"}"#);
        }
    }
}

unsafe extern "C" fn forking(_: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this with the GIL held.
    unsafe { close() };
    answer::none(Ok(()))
}

unsafe extern "C" fn parent(_: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // Python 3.13 counts the threads, to warn of them, after these hooks: hence not before the fork has returned, which the main
    // thread tells by its next pending call. If another thread has forked, the main one may sleep for long.
    // SAFETY: CPython calls this with the GIL held, and so it does the pending call.
    unsafe {
        let is_main = u32::try_from(libc::gettid()) == Ok(std::process::id());
        if !is_main || ffi::Py_AddPendingCall(Some(again), ptr::null_mut()) != 0 {
            again(ptr::null_mut());
        }
    }
    answer::none(Ok(()))
}

extern "C" fn again(_: *mut c_void) -> c_int {
    if !loops().all.is_empty() {
        open();
    }
    0
}

unsafe extern "C" fn forked(_: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // The loops are the parent's; one of this process's own opens the desk again.
    loops().all.clear();
    answer::none(Ok(()))
}

unsafe extern "C" fn leave(_: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
    OVER.store(true, Ordering::Relaxed);
    courier::leave();
    // SAFETY: CPython calls this with the GIL held.
    unsafe { close() };
    answer::none(Ok(()))
}

/// Before a fork.
pub const FORKING: ffi::PyMethodDef = types::noargs(
    c"inspect_forking",
    forking,
    c"inspect_forking()\n--\n\nClose the desk: a fork follows.",
);
/// After it, in the parent.
pub const PARENT: ffi::PyMethodDef = types::noargs(
    c"inspect_parent",
    parent,
    c"inspect_parent()\n--\n\nOpen the desk again.",
);
/// After it, in the child.
pub const FORKED: ffi::PyMethodDef = types::noargs(
    c"inspect_forked",
    forked,
    c"inspect_forked()\n--\n\nForget the parent's loops.",
);
/// The interpreter ends.
pub const LEAVE: ffi::PyMethodDef = types::noargs(
    c"inspect_leave",
    leave,
    c"inspect_leave()\n--\n\nClose the desk for good.",
);
