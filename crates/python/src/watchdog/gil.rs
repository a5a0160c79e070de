//! Whether a thread that sleeps waits for the GIL: found by looking at what a thread sleeps on that is known to wait for it.
//!
//! Called by the watchdog. CPython's GIL is a condition variable, so a thread that waits for it sleeps in futex(2) on a word inside it;
//! `/proc/self/task/TID/syscall` (proc(5)) names that word. `learn` has a thread of ours wait for the GIL while this one holds it.
//! Where the kernel does not show system calls, or the C library waits elsewhere (musl), nothing is learned, and a wait for the GIL is told as a
//! wait.

use pyo3_ffi as ffi;
use rondeau_driver::thread::{self, Doing};
use std::sync::OnceLock;
use std::sync::mpsc;
use std::time::Duration;

/// A word of the GIL's, once looked for.
static WORD: OnceLock<Option<u64>> = OnceLock::new();
/// How far from it the GIL's other words lie at most: it is two condition variables and two mutexes (Include/internal/pycore_gil.h).
const AROUND: u64 = 160;

/// Finds the word; once.
///
/// # Safety
/// The GIL is held.
pub unsafe fn learn() {
    WORD.get_or_init(|| {
        let (tell, told) = mpsc::channel();
        let started = std::thread::Builder::new()
            .name("rondeau gil".to_owned())
            .spawn(move || {
                if tell.send(thread::number()).is_err() {
                    return;
                }
                // SAFETY: a thread that CPython does not know gets a state for the time between the two.
                unsafe {
                    let state = ffi::PyGILState_Ensure();
                    ffi::PyGILState_Release(state);
                }
            });
        if started.is_err() {
            return None;
        }
        let waiting = told.recv().ok()?;
        // Its way to the lock is short, but a processor may be long in coming: nothing is lost where it takes too long.
        for _ in 0..200 {
            match thread::doing(waiting) {
                Doing::Call(libc::SYS_futex, word) => return Some(word),
                _ => std::thread::sleep(Duration::from_micros(100)),
            }
        }
        None
    });
}

/// Whether a thread that sleeps in futex(2) on this word waits for the GIL.
pub fn is_at(word: u64) -> bool {
    WORD.get()
        .copied()
        .flatten()
        .is_some_and(|known| word.abs_diff(known) <= AROUND)
}
