//! `run`, `Runtime` and its `Builder`: how a loop begins and ends.

use std::fmt;
use std::future::Future;
use std::io;
use std::rc::Rc;

use rondeau_core::{Clock, Time};
use rondeau_driver::Choice;

use crate::looper::{Entered, Loop};
use crate::report::{Reporter, report_to_stderr};
use crate::task::{JoinError, JoinHandle, run as tasks};

/// Runs `future` on a new loop of this thread until it is done, and returns its value.
///
/// Tasks that it spawned and that still run then are dropped; blocking work that has started is waited for. The future
/// may borrow from the caller; what it spawns may not.
///
/// # Panics
/// With the future's own panic; when a loop already runs on this thread; when no loop can be made (no descriptors
/// left, or `RONDEAU_DRIVER` names no driver). [`Builder::build`] returns that error instead.
///
/// # Examples
/// ```
/// let answer = rondeau::run(async {
///     rondeau::yield_now().await;
///     42
/// });
/// assert_eq!(answer, 42);
/// ```
#[track_caller]
pub fn run<F: Future>(future: F) -> F::Output {
    match Runtime::new() {
        Ok(runtime) => runtime.block_on(future),
        Err(error) => panic!("no loop can be made: {error}"),
    }
}

/// How a [`Runtime`] is to be.
///
/// # Examples
/// An hour passes at once, on a clock that moves when everybody waits:
/// ```
/// use std::time::Duration;
/// let runtime = rondeau::Builder::new().virtual_clock().build()?;
/// let slept = runtime.block_on(async {
///     let start = rondeau::Instant::now();
///     rondeau::sleep(Duration::from_secs(3600)).await;
///     start.elapsed()
/// });
/// assert_eq!(slept, Duration::from_secs(3600));
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "a builder does nothing until `build`"]
pub struct Builder {
    virtual_clock: bool,
    blocking_threads: usize,
    reporter: Reporter,
}

impl Builder {
    /// The defaults: the real clock, at most 32 threads for blocking work, reports to stderr.
    pub fn new() -> Self {
        Builder {
            virtual_clock: false,
            blocking_threads: 32,
            reporter: Rc::new(report_to_stderr),
        }
    }

    /// A clock that stands still while anything runs and jumps to the next timer when everything waits. While
    /// [`spawn_blocking`](crate::spawn_blocking) work is under way it does not jump. Sockets do not hold it: what is
    /// still on its way through the kernel when everything waits comes after the jump.
    pub fn virtual_clock(mut self) -> Self {
        self.virtual_clock = true;
        self
    }

    /// How many threads may do blocking work at once. They are started when needed and end after ten idle seconds.
    ///
    /// # Panics
    /// When `limit` is 0.
    pub fn blocking_threads(mut self, limit: usize) -> Self {
        assert!(limit > 0, "blocking work needs at least one thread");
        self.blocking_threads = limit;
        self
    }

    /// Who is told of a panic that nobody can await: of a detached task, or of a handle dropped without an `await`.
    /// Called on the loop's thread, and not to panic itself. The default prints one line to stderr.
    ///
    /// ```
    /// use std::{cell::RefCell, rc::Rc};
    /// let seen = Rc::new(RefCell::new(Vec::new()));
    /// let log = Rc::clone(&seen);
    /// let runtime = rondeau::Builder::new()
    ///     .reporter(move |error| log.borrow_mut().push(error.to_string()))
    ///     .build()?;
    /// runtime.block_on(async {
    ///     drop(rondeau::spawn(async { panic!("the cake fell") }));
    ///     rondeau::yield_now().await;
    /// });
    /// assert_eq!(*seen.borrow(), ["the task panicked: the cake fell"]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn reporter(mut self, reporter: impl Fn(&JoinError) + 'static) -> Self {
        self.reporter = Rc::new(reporter);
        self
    }

    /// Makes the loop.
    ///
    /// # Errors
    /// `InvalidInput` when `RONDEAU_DRIVER` names no driver, else what `epoll_create1(2)` or `eventfd(2)` failed with.
    pub fn build(self) -> io::Result<Runtime> {
        let choice =
            Choice::from_env().map_err(|bad| io::Error::new(io::ErrorKind::InvalidInput, bad))?;
        let clock = if self.virtual_clock {
            Clock::virtual_at(Time::from_nanos(0))
        } else {
            Clock::real()
        };
        Ok(Runtime {
            owner: Loop::new(choice, clock, self.blocking_threads, self.reporter)?,
        })
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("virtual_clock", &self.virtual_clock)
            .field("blocking_threads", &self.blocking_threads)
            .finish_non_exhaustive()
    }
}

/// A loop, for those who run several futures on it one after the other; [`run`] is enough otherwise.
///
/// It belongs to the thread that made it. Spawned tasks live from one [`block_on`](Self::block_on) to the next, and run
/// only during one. Dropping the runtime drops them all; it does so within the loop, so their destructors may spawn
/// and wake (what they spawn is cancelled at once). A waker, reporter or destructor that panics meanwhile does not keep
/// the end from being finished; the first such panic goes on then.
///
/// # Examples
/// ```
/// let runtime = rondeau::Runtime::new()?;
/// let task = runtime.block_on(async { rondeau::spawn(async { 6 * 7 }) });
/// assert_eq!(runtime.block_on(task).unwrap(), 42);
/// # Ok::<(), std::io::Error>(())
/// ```
/// It cannot be taken to another thread:
/// ```compile_fail,E0277
/// let runtime = rondeau::Runtime::new().unwrap();
/// std::thread::spawn(move || drop(runtime));
/// ```
pub struct Runtime {
    owner: Rc<Loop>,
}

impl Runtime {
    /// A loop with [`Builder`]'s defaults.
    ///
    /// # Errors
    /// Those of [`Builder::build`].
    pub fn new() -> io::Result<Self> {
        Builder::new().build()
    }

    /// Runs the loop until `future` is done.
    ///
    /// # Panics
    /// With the future's own panic, or when a loop already runs on this thread.
    #[track_caller]
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        let _entered = Entered::enter(&self.owner);
        let end = CloseOnPanic(&self.owner);
        // SAFETY: this is the loop's thread, and it is entered. What the future borrows outlives the task's use of it:
        // this function returns when the outcome is taken, and unwinds after `close` has dropped the future.
        let mut root = unsafe { JoinHandle::new(tasks::spawn(&self.owner, future)) };
        let outcome = loop {
            if let Some(outcome) = root.try_take() {
                break outcome;
            }
            self.owner.turn();
        };
        drop(root);
        std::mem::forget(end);
        match outcome {
            Ok(value) => value,
            Err(error) => match error.into_panic() {
                Some(payload) => std::panic::resume_unwind(payload),
                None => panic!("the future was cancelled: this loop has ended in a panic"),
            },
        }
    }
}

/// If the loop itself panics (a foreign waker, a reporter), the borrowed root future must not outlive this frame, and
/// what the cells hold is no longer sure: the loop ends, and cancels whatever it is given later.
struct CloseOnPanic<'a>(&'a Loop);

impl Drop for CloseOnPanic<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if self.owner.closing.get() {
            return;
        }
        let _entered = Entered::enter_instead(&self.owner);
        self.owner.close();
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("tasks", &self.owner.tasks.len())
            .finish_non_exhaustive()
    }
}
