//! A thread that no program notices: for what serves a process without being part of its program.

use std::io;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, JoinHandle};

/// The user of this process (geteuid(2)).
#[must_use]
pub fn user() -> u32 {
    // SAFETY: geteuid takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

/// A thread that takes no signal and has a small stack.
#[derive(Debug)]
pub struct Quiet {
    handle: JoinHandle<()>,
    number: Arc<AtomicU32>,
}

impl Quiet {
    /// Starts it. The name is what `top -H` shows: 15 bytes.
    ///
    /// # Errors
    /// `EAGAIN`: no thread or no memory can be had.
    pub fn start(
        name: &str,
        stack: usize,
        body: impl FnOnce() + Send + 'static,
    ) -> io::Result<Quiet> {
        let number = Arc::new(AtomicU32::new(0));
        let told = number.clone();
        // The new thread inherits the mask of the one that starts it. SAFETY: a zeroed set is a place for one to be written to.
        let started = unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            let mut before: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
            let started = thread::Builder::new()
                .name(name.to_owned())
                .stack_size(stack)
                .spawn(move || {
                    told.store(crate::thread::number(), Ordering::Release);
                    body();
                });
            libc::pthread_sigmask(libc::SIG_SETMASK, &before, ptr::null_mut());
            started
        };
        started.map(|handle| Quiet { handle, number })
    }

    /// Waits until it has ended and the kernel does not count it any more: `/proc/self/stat`, where CPython looks before it warns of a
    /// fork with threads, still counts a thread that `join` has seen end.
    pub fn join(self) {
        // A panic of its own was reported when it happened.
        let _ = self.handle.join();
        let number = self.number.load(Ordering::Acquire) as libc::c_long;
        let process = std::process::id() as libc::c_long;
        // SAFETY: no pointers; signal 0 only asks whether the thread is there. It fails with ESRCH once it is not.
        let is_counted = || unsafe { libc::syscall(libc::SYS_tgkill, process, number, 0) } == 0;
        while number != 0 && is_counted() {
            thread::yield_now();
        }
    }
}
