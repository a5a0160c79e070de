//! The watchdog's eyes: `_core.Watchdog`, whose `wait()` comes back when a loop is held up.
//!
//! Two threads: `eye.rs` is one of Rust's that never takes the GIL and reads each loop's counters (`metrics.rs`), a few hundred times a second at most; `object.rs` is
//! called by one of Python's (`python/rondeau/_watchdog.py`), which sleeps until there is a report and then takes the blocked thread's
//! stack. `rondeau_core::Stall` judges; `gil.rs` finds out when the loop's thread waits for the GIL. The loop pays one store an item, whether it is
//! watched or not.
//!
//! Rejected: one thread for both. While it waited for the GIL to tell of one block it did not see the next, such as a C call that
//! holds the GIL throughout.
//!
//! Invariants: the lists here are touched under the GIL only; a loop is on its list from its first run until it is freed, and a watchdog
//! holds a share of its counters, never the loop.

mod eye;
mod gil;
mod object;

use crate::ffi::{Python, gil::GilCell, owned::Owned};
use crate::metrics::Metrics;
use crate::native_loop::Loop;
use crate::onlookers;
use eye::Shared;
use pyo3_ffi as ffi;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// A loop that has run: its counters, and the object (borrowed).
struct Known(Arc<Metrics>, *mut ffi::PyObject);

/// The loops that have run and live.
static KNOWN: GilCell<Vec<Known>> = GilCell::new(Vec::new());
/// The watchdogs that look.
static LOOKING: GilCell<Vec<Arc<Shared>>> = GilCell::new(Vec::new());

/// The loop begins to run in this thread.
///
/// # Safety
/// The GIL is held and the loop lives.
pub unsafe fn enter(loop_: Loop) {
    // SAFETY: nothing here runs Python code.
    unsafe {
        let parts = loop_.parts();
        if !is_known(loop_) {
            KNOWN
                .get()
                .push(Known(parts.metrics.clone(), loop_.object()));
            for shared in LOOKING.get() {
                // In a fork the others' threads are gone, and their locks as they were.
                if shared.process == parts.process {
                    shared.add(parts.metrics.clone());
                }
            }
        }
        parts.metrics.resume();
    }
}

/// Whether it has run before.
unsafe fn is_known(loop_: Loop) -> bool {
    // SAFETY: as in `enter`.
    unsafe { loop_.parts().metrics.thread.load(Relaxed) != 0 }
}

/// It does not run any more.
///
/// # Safety
/// As for `enter`.
pub unsafe fn leave(loop_: Loop) {
    // SAFETY: the caller's contract.
    unsafe { loop_.parts().metrics.rest() };
}

/// It is about to be freed.
///
/// # Safety
/// As for `enter`.
pub unsafe fn forget(loop_: Loop) {
    // SAFETY: nothing here runs Python code.
    unsafe {
        if is_known(loop_) {
            KNOWN.get().retain(|known| known.1 != loop_.object());
        }
    }
}

/// A watchdog begins to look, at all the loops that there are.
///
/// # Safety
/// The GIL is held.
unsafe fn begin(shared: &Arc<Shared>) {
    // SAFETY: nothing here runs Python code.
    unsafe {
        for known in KNOWN.get() {
            shared.add(known.0.clone());
        }
        LOOKING.get().push(shared.clone());
        onlookers::set(onlookers::WATCHDOG, true);
    }
}

/// It looks no more.
///
/// # Safety
/// The GIL is held.
unsafe fn end(shared: &Arc<Shared>) {
    // SAFETY: nothing here runs Python code.
    unsafe {
        LOOKING
            .get()
            .retain(|looking| !Arc::ptr_eq(looking, shared));
        onlookers::set(onlookers::WATCHDOG, !LOOKING.get().is_empty());
    }
}

/// The loop that counters are of, if it lives.
///
/// # Safety
/// The GIL is held.
unsafe fn loop_of(metrics: &Arc<Metrics>) -> Option<Owned> {
    // SAFETY: who is on the list lives.
    unsafe {
        let known = KNOWN
            .get()
            .iter()
            .find(|known| Arc::ptr_eq(&known.0, metrics))?;
        Some(Owned::from_borrowed(known.1))
    }
}

/// Makes the type and adds it to the module.
pub fn init(module: *mut ffi::PyObject) -> Python<()> {
    object::init(module)
}
