//! Which back end serves files: decided at the first operation, on the thread that submits it.
//!
//! Used by [`crate::Driver`] alone. The ring belongs to the thread that made it. A driver may move to another thread
//! between two runs: with nothing in flight the ring is made anew there; else the new thread's operations go to
//! threads, and the old ones wait for their own thread to reap them.

use std::io;

use crate::fork::Process;
use crate::op::{Done, Op, OpId};
use crate::pool::{POOL, Pool};
use crate::probe::{self, Backend, Choice};
use crate::ring::Ring;
use crate::waker::Waker;

pub(crate) struct Files {
    choice: Choice,
    waker: Waker,
    ring: Option<Ring>,
    pool: Option<Pool>,
    /// Why there is no ring, once that is known.
    refused: Option<io::Error>,
    process: Process,
}

impl Files {
    pub(crate) fn new(choice: Choice, waker: Waker) -> io::Result<Files> {
        if choice == Choice::Uring {
            probe::uring().map_err(|error| probe::refusal(&error))?;
        }
        Ok(Files {
            choice,
            waker,
            ring: None,
            pool: None,
            refused: None,
            process: Process::this(),
        })
    }

    /// The ring, if this thread may have one.
    fn ring(&mut self) -> Option<&mut Ring> {
        if self
            .ring
            .as_ref()
            .is_some_and(|ring| !ring.is_mine() && ring.in_flight() == 0)
        {
            self.ring = None;
        }
        if self.ring.is_none() && self.choice != Choice::Epoll && self.refused.is_none() {
            match Ring::new(&self.waker) {
                Ok(ring) => self.ring = Some(ring),
                Err(error) if is_passing(&error) => {}
                Err(error) => self.refused = Some(error),
            }
        }
        self.ring.as_mut().filter(|ring| ring.is_mine())
    }

    pub(crate) fn submit(&mut self, op: Op, waiter: u64) -> OpId {
        if !self.process.is_this() {
            self.leave_to_the_parent();
        }
        if !matches!(op, Op::Work(_))
            && let Some(ring) = self.ring()
        {
            return ring.submit(op, waiter);
        }
        let waker = &self.waker;
        self.pool
            .get_or_insert_with(|| Pool::new(waker))
            .submit(op, waiter)
    }

    /// The ring, if it has something to do for this thread.
    fn busy_ring(&mut self) -> Option<&mut Ring> {
        self.ring
            .as_mut()
            .filter(|ring| ring.in_flight() > 0 && ring.is_mine())
    }

    /// The pool, if it has something to do for this process.
    fn busy_pool(&mut self) -> Option<&mut Pool> {
        self.pool
            .as_mut()
            .filter(|pool| pool.in_flight() > 0 && self.process.is_this())
    }

    #[inline]
    pub(crate) fn flush(&mut self) {
        if let Some(ring) = self.busy_ring() {
            ring.flush();
        }
    }

    pub(crate) fn cancel(&mut self, id: OpId) {
        if id.0 & POOL == 0 {
            if let Some(ring) = self.busy_ring() {
                ring.cancel(id);
            }
        } else if let Some(pool) = self.busy_pool() {
            pool.cancel(id);
        }
    }

    #[inline]
    pub(crate) fn reap(&mut self) -> Option<Done> {
        if let Some(done) = self.busy_ring().and_then(Ring::reap) {
            return Some(done);
        }
        self.busy_pool().and_then(Pool::reap)
    }

    #[inline]
    pub(crate) fn in_flight(&self) -> usize {
        self.ring.as_ref().map_or(0, Ring::in_flight)
            + self.pool.as_ref().map_or(0, Pool::in_flight)
    }

    pub(crate) fn backend(&self) -> Backend {
        match (&self.ring, &self.refused, self.choice) {
            (Some(ring), ..) => Backend::Uring { mode: ring.mode() },
            (None, _, Choice::Epoll) => Backend::asked_for_threads(),
            (None, Some(error), _) => Backend::refused(error),
            (None, None, _) => probe::uring().map_or_else(
                |error| Backend::refused(&error),
                |mode| Backend::Uring { mode },
            ),
        }
    }

    /// In a forked child: the operations in flight are the parent's.
    #[cold]
    fn leave_to_the_parent(&mut self) {
        (self.ring, self.pool) = (None, None);
        self.process = Process::this();
    }
}

/// Whether a ring may be had another time: this time descriptors or memory were short.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::EAGAIN)
    )
}
