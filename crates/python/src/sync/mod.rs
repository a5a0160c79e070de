//! asyncio's primitives, native: Lock, Event, Condition, Barrier, Semaphore, BoundedSemaphore, Queue, LifoQueue, PriorityQueue.
//!
//! `primitive` is what each holds, `class` how its class is made (a native type in front of asyncio's class), `known` what stays of that, `method` its methods
//! (asyncio's own functions, called natively), `fields` asyncio's attributes, `waiter` and `deque` what waits and where. One file for each
//! primitive says what it does.
//!
//! The semantics are asyncio's to the step: who is woken in which order, wake-then-recheck, what a cancellation leaves behind. Native code
//! acts where everything is as asyncio made it; wherever a program has changed something, and on every loop that is not
//! Rondeau's, asyncio's own Python code acts on the same fields.

mod barrier;
mod calls;
mod class;
mod condition;
mod deque;
pub mod done_queue;
mod event;
mod fields;
mod items;
mod known;
mod lock;
mod method;
mod primitive;
mod queue;
mod semaphore;
mod waiter;

pub use primitive::Primitive;

use crate::ffi::Python;
use pyo3_ffi as ffi;

/// Makes the classes and adds them to the module.
pub fn init(module: *mut ffi::PyObject) -> Python<()> {
    deque::init()?;
    lock::init(module)?;
    event::init(module)?;
    condition::init(module)?;
    barrier::init(module)?;
    semaphore::init(module)?;
    queue::init(module)
}
