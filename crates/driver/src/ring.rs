//! Files on io_uring: operations queued in shared memory, entered together, completed through the loop's eventfd.
//!
//! Made by [`crate::files`] at the first operation, on the loop's thread, and used on that thread alone. With
//! `IORING_SETUP_SINGLE_ISSUER | DEFER_TASKRUN` (Linux 6.1) the kernel runs the completion work only inside this
//! thread's own `io_uring_enter`, which is what makes the ring cheap, and ties it to the thread. Older kernels get
//! `COOP_TASKRUN` (5.19) or neither.
//!
//! The eventfd of [`Waker`] is registered with the ring (`IORING_REGISTER_EVENTFD`), so a completion ends a park like
//! any wake. It is signalled when completion work is waiting and again when that work posts its completions, so a
//! batch that completed later than its submission costs one empty park more (1000 such batches: 2000 parks). Polling
//! the ring's own descriptor was not tried. `IORING_REGISTER_EVENTFD_ASYNC` was rejected: it says nothing of completions that come
//! from an interrupt, which a buffered read's do.
//!
//! Invariants: the kernel may use the memory of every flight in `flights` until it has landed; `flights` is emptied
//! before the ring goes, or leaked. The completion queue may overflow: the kernel then keeps the rest (`NODROP`, 5.5)
//! and says so, and the next enter brings it.

use io_uring::{EnterFlags, IoUring, opcode, squeue, types};
use std::collections::VecDeque;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use crate::copying::{self, Copying};
use crate::encode::{INLINE_TOGETHER, encode};
use crate::flight::Flights;
use crate::fork::Process;
use crate::op::{Done, Op, OpId};
use crate::waker::Waker;

/// Entries of the submission queue; more operations wait in `backlog`.
const ENTRIES: u32 = 256;
/// Entries of the completion queue.
const COMPLETIONS: u32 = 1024;
/// Marks the completion of a cancel request, which nobody waits for.
const CANCEL: u64 = u64::MAX;
/// Marks the end of the time that large writes are given (see [`copying`]).
const TIMER: u64 = u64::MAX - 1;
/// That time, as the kernel reads it.
static PATIENCE_OF_WRITES: types::Timespec =
    types::Timespec::new().nsec(copying::PATIENCE.subsec_nanos());
/// How long a dropped ring waits for operations that it has cancelled before it leaks them.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Ring {
    uring: ManuallyDrop<IoUring>,
    mode: &'static str,
    flights: Flights,
    /// What found no room in the submission queue, in order.
    backlog: VecDeque<squeue::Entry>,
    copying: Copying<squeue::Entry>,
    /// How many bytes the next enter may still copy for large reads.
    room: usize,
    /// What was cancelled before the kernel had it.
    landed: VecDeque<Done>,
    waker: Waker,
    owner: ThreadId,
    process: Process,
}

impl Ring {
    pub(crate) fn new(waker: &Waker) -> io::Result<Ring> {
        let (uring, mode) = build(ENTRIES)?;
        uring.submitter().register_eventfd(waker.fd())?;
        Ok(Ring {
            uring: ManuallyDrop::new(uring),
            mode,
            flights: Flights::default(),
            backlog: VecDeque::new(),
            copying: Copying::new(thread::available_parallelism().map_or(1, usize::from)),
            room: INLINE_TOGETHER,
            landed: VecDeque::new(),
            waker: waker.clone(),
            owner: thread::current().id(),
            process: Process::this(),
        })
    }

    pub(crate) fn mode(&self) -> &'static str {
        self.mode
    }

    /// Whether this thread may use the ring: the one that made it, in the process that made it.
    pub(crate) fn is_mine(&self) -> bool {
        self.process.is_this() && self.owner == thread::current().id()
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.flights.len()
    }

    pub(crate) fn submit(&mut self, op: Op, waiter: u64) -> OpId {
        let copies = copying::counts(&op);
        let flight = self.flights.board(op, waiter);
        let (id, entry) = (flight.id, encode(flight, &mut self.room));
        if !copies {
            self.push(entry);
        } else if let Some(entry) = self.copying.begin(id, entry) {
            self.push(entry);
        } else {
            self.time_writes();
        }
        id
    }

    /// Begins the timer that large writes are waited for, if one is due.
    fn time_writes(&mut self) {
        if self.copying.wants_timer() {
            let timer = opcode::Timeout::new(&raw const PATIENCE_OF_WRITES);
            self.push(timer.build().user_data(TIMER));
        }
    }

    /// Gives the kernel the large writes that may begin now: at once, since who reaps may park next.
    fn release(&mut self) {
        while let Some(entry) = self.copying.next() {
            self.push(entry);
        }
        self.time_writes();
        self.flush();
    }

    pub(crate) fn cancel(&mut self, id: OpId) {
        if self.copying.forget(id) {
            if let Some(flight) = self.flights.land(id) {
                // SAFETY: never begun, which is what ECANCELED says.
                self.landed
                    .push_back(unsafe { flight.finish(-libc::ECANCELED) });
                self.waker.wake();
            }
        } else if self.flights.holds(id) {
            self.push(opcode::AsyncCancel::new(id.0).build().user_data(CANCEL));
        }
    }

    fn push(&mut self, entry: squeue::Entry) {
        if !self.backlog.is_empty() || !self.queue(&entry) {
            self.backlog.push_back(entry);
            self.flush();
        }
    }

    /// Puts an entry into the submission queue; `false` when it is full.
    fn queue(&mut self, entry: &squeue::Entry) -> bool {
        // SAFETY: what the entry points to belongs to a flight that stays in `flights` until its completion has come.
        unsafe { self.uring.submission().push(entry) }.is_ok()
    }

    /// Gives the kernel all that is queued.
    pub(crate) fn flush(&mut self) {
        self.room = INLINE_TOGETHER;
        loop {
            while let Some(entry) = self.backlog.pop_front() {
                if !self.queue(&entry) {
                    self.backlog.push_front(entry);
                    break;
                }
            }
            let queued = self.uring.submission().len();
            if queued == 0 {
                return;
            }
            match self.enter(queued as u32, 0) {
                Ok(taken) if taken > 0 => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // EBUSY: completions have to be reaped first; EAGAIN: no memory just now. Either way again at the
                // next flush, which the wake brings about.
                _ => return self.waker.wake(),
            }
        }
    }

    fn enter(&self, submit: u32, wait: u32) -> io::Result<usize> {
        // SAFETY: no argument is passed beside the numbers; the entries' pointers are vouched for in `queue`.
        unsafe {
            self.uring.submitter().enter::<libc::sigset_t>(
                submit,
                wait,
                EnterFlags::GETEVENTS.bits(),
                None,
            )
        }
    }

    /// The next operation that has ended.
    pub(crate) fn reap(&mut self) -> Option<Done> {
        if let Some(done) = self.landed.pop_front() {
            return Some(done);
        }
        loop {
            loop {
                let next = self.uring.completion().next();
                let Some(completion) = next else {
                    break;
                };
                if completion.user_data() == TIMER {
                    self.copying.time_has_passed();
                    self.release();
                    continue;
                }
                if let Some(flight) = self.flights.land(OpId(completion.user_data())) {
                    if self.copying.ended(flight.id) {
                        self.release();
                    }
                    // SAFETY: the id in the completion says that this is the kernel's answer to this flight.
                    return Some(unsafe { flight.finish(completion.result()) });
                }
            }
            let submission = self.uring.submission();
            let more = submission.taskrun() || submission.cq_overflow();
            drop(submission);
            // An enter that fails (interrupted, say) is made up for at the next reap: the flag stays.
            if !more || self.enter(0, 0).is_err() || self.uring.completion().is_empty() {
                return None;
            }
        }
    }

    /// Cancels all and waits for the completions, for at most [`PATIENCE`].
    fn land_all(&mut self) {
        self.flush();
        self.flights
            .ids()
            .into_iter()
            .for_each(|id| self.cancel(id));
        let begun = Instant::now();
        let pause = io_uring::types::Timespec::new().nsec(50_000_000);
        let wait = io_uring::types::SubmitArgs::new().timespec(&pause);
        while self.flights.len() > 0 && begun.elapsed() < PATIENCE {
            self.flush();
            // Its failures (a timeout, a signal) are the loop's to bear; EINVAL before 5.11 makes it a busy wait.
            let _ = self.uring.submitter().submit_with_args(1, &wait);
            while let Some(done) = self.reap() {
                drop(done);
            }
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // In a forked child the operations are the parent's; on another thread the kernel refuses to complete them.
        if self.is_mine() {
            self.land_all();
        }
        self.flights.abandon();
        // SAFETY: `uring` is taken once, here, and not used afterwards.
        let uring = unsafe { ManuallyDrop::take(&mut self.uring) };
        if self.process.is_this() {
            drop(uring);
        } else {
            close_unmapped(uring);
        }
    }
}

/// Closes a ring in a forked child, where its memory is not mapped (`MADV_DONTFORK`): unmapping it, as a drop does, would hit
/// whatever is at that address now.
pub(crate) fn close_unmapped(uring: IoUring) {
    let fd = uring.as_raw_fd();
    std::mem::forget(uring);
    // SAFETY: the ring is forgotten, so this descriptor is closed by nobody else.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
}

/// A ring in the best mode that this kernel has, with all opcodes that are needed.
pub(crate) fn build(entries: u32) -> io::Result<(IoUring, &'static str)> {
    let mut deferred = IoUring::builder();
    deferred
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag();
    let mut cooperative = IoUring::builder();
    cooperative.setup_coop_taskrun().setup_taskrun_flag();
    let modes = [
        (deferred, "single issuer, deferred task work"),
        (cooperative, "cooperative task work"),
        (IoUring::builder(), "plain"),
    ];
    let mut refused = io::Error::from_raw_os_error(libc::ENOSYS);
    for (mut builder, mode) in modes {
        builder
            .dontfork()
            .setup_clamp()
            .setup_cqsize(COMPLETIONS.max(entries));
        match builder.build(entries) {
            Ok(uring) => return check_features(&uring).map(|()| (uring, mode)),
            Err(error) => refused = error,
        }
        // Only a flag that is unknown is worth another try.
        if refused.raw_os_error() != Some(libc::EINVAL) {
            break;
        }
    }
    Err(refused)
}

/// A ring without a mode, which any thread may enter.
pub(crate) fn plain(entries: u32) -> io::Result<IoUring> {
    let uring = IoUring::builder().dontfork().setup_clamp().build(entries)?;
    check_features(&uring).map(|()| uring)
}

fn check_features(uring: &IoUring) -> io::Result<()> {
    let mut probe = io_uring::Probe::new();
    uring.submitter().register_probe(&mut probe)?;
    let params = uring.params();
    let complete = params.is_feature_nodrop() && params.is_feature_rw_cur_pos();
    if complete
        && crate::encode::NEEDED
            .iter()
            .all(|code| probe.is_supported(*code))
    {
        Ok(())
    } else {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "this kernel's io_uring lacks file operations (5.11 has them)",
        ))
    }
}
