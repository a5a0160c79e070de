//! An event loop that switches instead of waiting, for Rust futures. The Python package `rondeau` has the same loop
//! for Python coroutines.
//!
//! Two cooks take dishes from one list; while one pot simmers, the other is stirred:
//!
//! ```
//! use rondeau::{Queue, gather, sleep};
//! use std::time::{Duration, Instant};
//!
//! async fn cook(name: &str, dishes: &Queue<u64>) {
//!     while let Ok(minutes) = dishes.get_nowait() {
//!         println!("{name} puts a dish on for {minutes}");
//!         sleep(Duration::from_millis(minutes)).await;
//!     }
//! }
//!
//! fn main() {
//!     let start = Instant::now();
//!     rondeau::run(async {
//!         let dishes = Queue::unbounded();
//!         for minutes in [15, 10, 5, 2] {
//!             dishes.put(minutes).await;
//!         }
//!         gather!(cook("One", &dishes), cook("Two", &dishes));
//!     });
//!     println!("all done after {:?}, not 32 ms", start.elapsed());
//! }
//! ```
//!
//! # What is here
//!
//! | | |
//! |---|---|
//! | run a loop | [`run`], [`Runtime`], [`Builder`] |
//! | start tasks, which need not be `Send` | [`spawn`], [`JoinHandle`], [`spawn_blocking`] |
//! | wait for time | [`sleep`], [`sleep_until`], [`timeout`], [`yield_now`] |
//! | several at once in one task | [`gather!`], [`gather_all`], [`as_completed`] |
//! | the first of several | [`select!`], [`select()`], [`select_all`] |
//! | between tasks | [`Queue`], [`Event`], [`Lock`], [`Semaphore`], [`oneshot`] |
//! | the network | [`TcpListener`], [`TcpStream`] |
//! | files, and a person's input | [`fs`], [`io`] |
//!
//! asyncio's names are used for what asyncio has, and Rust's for the rest (`spawn`, `select`, `oneshot`).
//!
//! # How it runs
//!
//! A loop lives on one thread and has no global state: [`run`] makes one, and whatever is called within finds it. Each
//! turn asks the kernel when it is time to, fires the timers that are due, and polls each task that was ready once;
//! tasks that were woken meanwhile are next turn's. A waker may be used on any thread. On the loop's own it is a push
//! to a queue, without an atomic operation; from others it goes through a mailbox that ends the loop's sleep.
//!
//! When the root future is done, the tasks that still run are dropped. A panic in a task is that task's: whoever awaits
//! its handle gets it as a [`JoinError`], and if nobody does, it is reported ([`Builder::reporter`]).
//!
//! A task whose operations are always ready (a full queue, a peer that floods) gives the others their turn all the same: a
//! poll has a budget of some hundred of them, and then one waits for the next turn. What belongs to a loop and is awaited on
//! another one says so: a socket or file by an error, a sleep or task by a panic.
//!
//! # Features
//!
//! - `futures-io`: [`TcpStream`] implements `futures_io::AsyncRead` and `AsyncWrite`.
//! - `tokio-io`: it implements `tokio::io::AsyncRead` and `AsyncWrite` (the traits only; no tokio runtime is involved).
//!
//! # Limits
//!
//! Linux only. One thread a loop: for several, run several. While tasks are ready, the kernel and the
//! timers are looked at every 64 turns or once a clock tick (1 to 4 ms), so that a sleep may end that much late.

mod blocking;
mod budget;
mod completed;
mod event;
pub mod fs;
mod gather;
pub mod io;
mod line;
mod lock;
mod looper;
mod mailbox;
mod net;
pub mod oneshot;
mod panics;
mod queue;
mod report;
mod runtime;
mod select;
mod semaphore;
mod task;
mod time;
mod turn;
mod yielding;

pub use blocking::{BlockingHandle, spawn_blocking};
pub use completed::{AsCompleted, as_completed, gather_all, select_all};
pub use event::{Event, Wait};
pub use gather::Gather;
pub use lock::{Lock, LockGuard};
pub use net::{Address, ReadHalf, TcpListener, TcpStream, WriteHalf};
pub use queue::{Get, Join, Put, Queue, QueueEmpty, QueueFull};
pub use runtime::{Builder, Runtime, run};
pub use select::{Either, select};
pub use semaphore::{Acquire, Permit, Semaphore};
pub use task::{JoinError, JoinHandle, spawn};
pub use time::{Elapsed, Instant, Sleep, sleep, sleep_until, timeout};
pub use yielding::{YieldNow, yield_now};

/// README's program in Rust, run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
