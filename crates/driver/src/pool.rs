//! Files on threads, where io_uring is not allowed: up to four of them, started when there is work.
//!
//! Made by [`crate::files`] in place of the ring. The loop's thread queues; a worker takes one operation at a time,
//! carries it out with a blocking call, puts it among the finished and wakes the loop through the same eventfd as
//! everybody. A worker owns its operation meanwhile, so nothing the kernel writes to can be freed.
//!
//! A stream operation (a pipe, a terminal) may block for ever, so the worker first waits in `poll(2)` for the
//! descriptor or for its own `stop` eventfd: that is how a cancel and the end of the pool reach it. Another process
//! that takes the bytes between the poll and the read can still make it block; the pool then waits [`PATIENCE`] for
//! it and leaves it to itself.
//!
//! Workers block all signals: they belong to the thread that parks. Rejected: threads that end when idle (a file a
//! second would start one each time).

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::errno::Errno;
use crate::fork::Process;
use crate::op::{Done, Flight, Op, OpId};
use crate::perform::{perform, waits_for};
use crate::waker::Waker;

/// At most so many threads: files are the disk's work, not the processor's.
const THREADS: usize = 4;
/// How long the end of the pool waits for operations that cannot be interrupted.
const PATIENCE: Duration = Duration::from_secs(5);
/// Marks the ids of the pool, against those of the ring.
pub(crate) const POOL: u64 = 1 << 63;

pub(crate) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    in_flight: usize,
    next: u64,
    process: Process,
}

struct Shared {
    state: Mutex<State>,
    /// There is something to do, or the pool ends.
    work: Condvar,
    /// A worker has ended.
    ended: Condvar,
    waker: Waker,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Flight>,
    finished: VecDeque<Done>,
    idle: usize,
    /// The workers that run: what each is at, and its stop.
    workers: Vec<(Option<OpId>, Waker)>,
    running: usize,
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    pub(crate) fn new(waker: &Waker) -> Pool {
        let shared = Shared {
            state: Mutex::default(),
            work: Condvar::new(),
            ended: Condvar::new(),
            waker: waker.clone(),
        };
        Pool {
            shared: Arc::new(shared),
            workers: Vec::new(),
            in_flight: 0,
            next: 0,
            process: Process::this(),
        }
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub(crate) fn submit(&mut self, op: Op, waiter: u64) -> OpId {
        let id = OpId(POOL | self.next);
        self.next = (self.next + 1) % POOL;
        self.in_flight += 1;
        let mut state = self.shared.lock();
        state.queue.push_back(Flight::new(id, waiter, op));
        let short = state.idle < state.queue.len() && self.workers.len() < THREADS;
        drop(state);
        if short {
            match start(&self.shared) {
                Ok(worker) => self.workers.push(worker),
                Err(error) if self.workers.is_empty() => self.refuse(id, &error),
                Err(_) => {} // the workers there are will come to it
            }
        }
        self.shared.work.notify_one();
        id
    }

    /// No thread could be started at all: the operation fails with the reason.
    fn refuse(&mut self, id: OpId, error: &io::Error) {
        let mut state = self.shared.lock();
        if let Some(flight) = take(&mut state.queue, id) {
            let errno = error.raw_os_error().unwrap_or(libc::EAGAIN);
            drop(state);
            // Without the lock, as everywhere: what was to be done is dropped there, which may run a face's code.
            // SAFETY: never begun, which is what ECANCELED says: a close then closes on its own.
            let mut done = unsafe { flight.finish(-libc::ECANCELED) };
            done.result = Err(Errno(errno));
            self.shared.lock().finished.push_back(done);
            self.shared.waker.wake();
        }
    }

    pub(crate) fn cancel(&mut self, id: OpId) {
        let mut state = self.shared.lock();
        if let Some(flight) = take(&mut state.queue, id) {
            drop(state);
            // SAFETY: never begun, which is what ECANCELED says.
            let done = unsafe { flight.finish(-libc::ECANCELED) };
            self.shared.lock().finished.push_back(done);
            self.shared.waker.wake();
        } else if let Some((_, stop)) = state.workers.iter().find(|(at, _)| *at == Some(id)) {
            stop.wake();
        }
    }

    pub(crate) fn reap(&mut self) -> Option<Done> {
        let done = self.shared.lock().finished.pop_front()?;
        self.in_flight -= 1;
        Some(done)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let workers = std::mem::take(&mut self.workers);
        if !self.process.is_this() {
            // A forked child has none of the threads, and the lock may be held by one of them.
            return std::mem::forget(workers);
        }
        let mut state = self.shared.lock();
        state.closed = true;
        let queue = std::mem::take(&mut state.queue);
        for (_, stop) in &state.workers {
            stop.wake();
        }
        self.shared.work.notify_all();
        let waited = self
            .shared
            .ended
            .wait_timeout_while(state, PATIENCE, |state| state.running > 0);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let finished = std::mem::take(&mut state.finished);
        let all_ended = state.running == 0;
        drop(state);
        drop((queue, finished)); // buffers freed, descriptors closed
        if all_ended {
            // They are on their last steps; with them goes their hold on the wake's descriptor.
            workers.into_iter().for_each(|worker| drop(worker.join()));
        }
    }
}

fn take(queue: &mut VecDeque<Flight>, id: OpId) -> Option<Flight> {
    let at = queue.iter().position(|flight| flight.id == id)?;
    queue.remove(at)
}

/// Starts a worker with all signals blocked, which it inherits.
fn start(shared: &Arc<Shared>) -> io::Result<JoinHandle<()>> {
    let stop = Waker::new()?;
    let number = {
        let mut state = shared.lock();
        state.workers.push((None, stop.clone()));
        state.running += 1;
        state.workers.len() - 1
    };
    let theirs = Arc::clone(shared);
    let spawned = signals_blocked(|| {
        thread::Builder::new()
            .name(format!("rondeau-file-{number}"))
            .spawn(move || serve(&theirs, number, &stop))
    });
    if spawned.is_err() {
        let mut state = shared.lock();
        state.workers.pop();
        state.running -= 1;
    }
    spawned
}

fn signals_blocked<T>(run: impl FnOnce() -> T) -> T {
    let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `sigfillset` initialises `all`, which is then valid to pass; `before` is filled by the call.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
    }
    let result = run();
    // SAFETY: `before` is what the call above filled in.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut()) };
    result
}

/// A worker's life.
fn serve(shared: &Shared, number: usize, stop: &Waker) {
    let mut state = shared.lock();
    while !state.closed {
        let Some(mut flight) = state.queue.pop_front() else {
            state.idle += 1;
            state = shared
                .work
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
            continue;
        };
        state.workers[number].0 = Some(flight.id);
        stop.clear(); // a stop meant for the operation before; none is lost, since they are sent under the lock
        drop(state);
        let answer = if may_begin(&flight.op, stop) {
            perform(&mut flight)
        } else {
            -libc::ECANCELED
        };
        // SAFETY: the answer of `perform` to this flight, or that it was never begun.
        let done = unsafe { flight.finish(answer) };
        state = shared.lock();
        state.workers[number].0 = None;
        state.finished.push_back(done);
        shared.waker.wake();
    }
    state.running -= 1;
    shared.ended.notify_one();
}

/// Waits until a stream is ready (`true`) or the operation is cancelled.
fn may_begin(op: &Op, stop: &Waker) -> bool {
    let Some((fd, events)) = waits_for(op) else {
        return true;
    };
    let mut watched = [
        libc::pollfd {
            fd,
            events,
            revents: 0,
        },
        libc::pollfd {
            fd: stop.fd(),
            events: libc::POLLIN,
            revents: 0,
        },
    ];
    loop {
        // SAFETY: two valid pollfds; the descriptors are kept open by `op` and `stop`.
        let ready = unsafe { libc::poll(watched.as_mut_ptr(), 2, -1) };
        if ready > 0 {
            return watched[1].revents == 0;
        }
    }
}
