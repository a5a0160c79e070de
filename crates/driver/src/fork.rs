//! Whether this process is still the one that made something.
//!
//! A forked child shares epoll, eventfd and ring with its parent and has none of its threads, so a driver must not be
//! used there. What must not touch the parent's things keeps a [`Process`] and asks it. A handler of
//! `pthread_atfork(3)` counts forks; `getpid` was rejected (a system call each time), and so was comparing thread
//! ids, which a fork keeps. A raw `clone(2)` runs no handlers and is not seen.

use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

static FORKS: AtomicU32 = AtomicU32::new(0);
static WATCHED: Once = Once::new();

extern "C" fn in_the_child() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// The process something was made in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Process(u32);

impl Process {
    /// This one.
    pub(crate) fn this() -> Process {
        WATCHED.call_once(|| {
            // SAFETY: the handler adds to an atomic, which is allowed in a child of a process with threads. It fails
            // for want of memory only, and then a forked child is not recognised.
            let _ = unsafe { libc::pthread_atfork(None, None, Some(in_the_child)) };
        });
        Process(FORKS.load(Ordering::Relaxed))
    }

    /// Whether it is this one.
    #[inline]
    pub(crate) fn is_this(self) -> bool {
        self.0 == FORKS.load(Ordering::Relaxed)
    }
}
