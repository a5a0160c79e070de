//! The bits of a task's state, one paragraph each.
//!
//! Only the loop's own thread reads or writes them (another thread's wake travels through the mailbox), so they are a
//! plain byte in a `Cell` and a transition costs a load and a store. An atomic state as async-task and tokio have it
//! costs about 5 ns a transition on this path, and a spawn with its join makes eight of them.

/// The task waits in the agenda, or was woken while its future was being polled and goes there when the poll returns.
/// Set by a wake, cleared just before the poll. While it is set a further wake does nothing, so a task is in the
/// agenda at most once.
pub(crate) const SCHEDULED: u8 = 1;

/// The future is being polled. A wake that meets this bit sets `SCHEDULED` and leaves the push to the end of the poll:
/// if the future completes, nothing was pushed, and the agenda never holds a task that is closed.
pub(crate) const RUNNING: u8 = 1 << 1;

/// Someone asked for cancellation. The task is scheduled once more, and that run drops the future where it would have
/// polled it. Never cleared; without effect on a task that is closed.
pub(crate) const CANCELLED: u8 = 1 << 2;

/// The future is gone, or its destructor runs at this moment. Nothing polls or schedules it again: wakes are ignored.
/// Set before the future's destructor, so a destructor that wakes or cancels its own task is harmless.
pub(crate) const CLOSED: u8 = 1 << 3;

/// The memory of the future now holds the outcome (`Result<T, JoinError>`). Comes after `CLOSED`; between the two the
/// memory holds neither.
pub(crate) const FINISHED: u8 = 1 << 4;

/// The outcome was moved out by the handle, or dropped because there is no handle. Comes after `FINISHED`; the memory
/// holds nothing from here on.
pub(crate) const TAKEN: u8 = 1 << 5;

/// The `JoinHandle` exists. Set at birth, cleared when it is dropped. Decides who drops the outcome: the handle if it
/// is there, else the run that finishes the task.
pub(crate) const HANDLE: u8 = 1 << 6;
