//! Answering `python -m rondeau ps`, `pstree` and `top`: what another process of the same user may ask of this one.
//!
//! `desk` is the thread that others find, which never takes the GIL; `walk` is the thread that it starts for a question about tasks, which
//! takes the GIL in short slices (`hold`); `tasks` says which tasks there are, `chain` what one is suspended in, `waits` what that
//! means (`known` has the functions), `answer` writes it down with `tables`, which keeps each text once, `figures` adds the loops', and `json` writes. docs/seeing.md has the messages.
//!
//! The desk is open while there is a loop that has run and is not closed. It is part of the process and not of the program: no
//! signal goes to its thread, no module knows it, `os.fork` happens without it (so that CPython does not warn of threads), and the loop's
//! turn does not know that it is there.
//! Rejected: a table in shared memory that the loop keeps up to date (a store for each change of each task, and a reader that races
//! them); reading this process's memory from outside (`process_vm_readv` and 3.14's remote debugging: many machines forbid both).

mod answer;
mod chain;
mod desk;
mod figures;
mod hold;
mod json;
mod known;
mod references;
mod tables;
mod tasks;
mod waits;
mod walk;

pub use desk::{FORKED, FORKING, LEAVE, PARENT};

use crate::metrics::Metrics;
use crate::native_loop::Loop;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A loop that has run and is not closed.
struct Known {
    /// Counted from 1.
    number: u64,
    /// Used under the GIL only.
    loop_: Loop,
    metrics: Arc<Metrics>,
}

// SAFETY: the pointer is used by threads that hold the GIL; the entry goes before the loop does.
unsafe impl Send for Known {}

struct Loops {
    all: Vec<Known>,
    last: u64,
}

static LOOPS: Mutex<Loops> = Mutex::new(Loops {
    all: Vec::new(),
    last: 0,
});

/// Nothing that can panic, block or run Python code happens under this lock.
fn loops() -> MutexGuard<'static, Loops> {
    LOOPS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The loop runs for the first time: it can be asked about from now on.
///
/// # Safety
/// The GIL is held and the loop lives.
#[cold]
pub unsafe fn meet(loop_: Loop) {
    // SAFETY: the caller's contract.
    let parts = unsafe { loop_.parts() };
    parts.known = true;
    {
        let mut loops = loops();
        loops.last += 1;
        let number = loops.last;
        loops.all.push(Known {
            number,
            loop_,
            metrics: parts.metrics.clone(),
        });
    }
    desk::open();
}

/// The loop is closed, or goes.
///
/// # Safety
/// The GIL is held and the loop lives.
pub unsafe fn forget(loop_: Loop) {
    // SAFETY: the caller's contract.
    let parts = unsafe { loop_.parts() };
    if !std::mem::replace(&mut parts.known, false) {
        return;
    }
    let left = {
        let mut loops = loops();
        loops.all.retain(|known| known.loop_ != loop_);
        loops.all.len()
    };
    if left == 0 {
        // SAFETY: the GIL is held.
        unsafe { desk::close() };
    }
}
