//! The GIL, taken in short slices by a thread that Python does not know.
//!
//! Made by the walk. `breathe` gives the GIL back when a slice has lasted two milliseconds, long enough for whoever waits to get it: a
//! loop never waits longer for the walk than for another Python thread (`sys.getswitchinterval()`, 5 ms).
//!
//! Invariants: within a slice no Python code runs but what a program has made an attribute of its own tasks and locks, so what was read belongs
//! together; the collector is off, so that no finalizer of the program runs in
//! this thread. Between slices nothing is borrowed and no strong reference to an object of the program is kept.

use super::desk;
use pyo3_ffi as ffi;
use rondeau_driver::clock;
use std::ffi::c_int;
use std::thread;
use std::time::Duration;

/// A slice, in nanoseconds.
const SLICE: u64 = 2_000_000;
/// Between slices: long enough for a thread that waits for the GIL to be woken and to take it.
const PAUSE: Duration = Duration::from_micros(200);

/// The GIL, held.
pub struct Hold {
    state: ffi::PyGILState_STATE,
    collector: c_int,
    since: u64,
    /// Whether slices end: not so where what is read must belong together.
    sliced: bool,
    /// How often and how long it was held so far.
    pub held: Held,
}

/// How often and how long the GIL was held.
#[derive(Clone, Copy)]
pub struct Held {
    /// Slices.
    pub slices: u64,
    /// The longest, in nanoseconds.
    pub longest: u64,
}

/// The walk must end: the process forks, the last loop closes, or the interpreter ends.
pub struct Stopped;

impl Hold {
    /// Waits for the GIL.
    ///
    /// # Safety
    /// In a thread that does not hold it, while the interpreter lives: whoever ends that ends this thread first.
    pub unsafe fn take(sliced: bool) -> Hold {
        // SAFETY: the caller's contract.
        unsafe {
            let state = ffi::PyGILState_Ensure();
            let mut hold = Hold {
                state,
                collector: 0,
                since: 0,
                sliced,
                held: Held {
                    slices: 0,
                    longest: 0,
                },
            };
            hold.begin();
            hold
        }
    }

    unsafe fn begin(&mut self) {
        // SAFETY: the GIL is held.
        self.collector = unsafe { ffi::PyGC_Disable() };
        self.since = clock::monotonic();
        self.held.slices += 1;
    }

    unsafe fn end(&mut self) {
        self.held.longest = self.held.longest.max(clock::monotonic() - self.since);
        if self.collector != 0 {
            // SAFETY: the GIL is held.
            unsafe { ffi::PyGC_Enable() };
        }
    }

    /// Whether a slice has lasted long enough.
    pub fn is_due(&self) -> bool {
        self.sliced && clock::monotonic() - self.since >= SLICE
    }

    /// Between two tasks: lets others have the GIL if it was held for long.
    pub fn breathe(&mut self) -> Result<(), Stopped> {
        if !self.is_due() {
            return Ok(());
        }
        // SAFETY: the GIL is held, and nothing is borrowed.
        unsafe {
            self.end();
            let thread = ffi::PyEval_SaveThread();
            thread::sleep(PAUSE);
            ffi::PyEval_RestoreThread(thread);
            self.begin();
        }
        if desk::is_stopping() {
            Err(Stopped)
        } else {
            Ok(())
        }
    }
}

impl Hold {
    /// Gives the GIL back; how it was held.
    pub fn give_back(mut self) -> Held {
        // SAFETY: the GIL is held; the second `end`, of the drop, adds nothing that matters.
        unsafe { self.end() };
        let held = self.held;
        self.collector = 0;
        held
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // SAFETY: the GIL is held by this thread.
        unsafe {
            self.end();
            ffi::PyErr_Clear();
            ffi::PyGILState_Release(self.state);
        }
    }
}
