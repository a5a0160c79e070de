//! The mechanics of CPython objects: references, slots, versions, names. Nothing here knows what a loop is.
//!
//! Called by every file of this crate. Two invariants hold throughout the crate and are not repeated:
//! every function that takes or returns a `*mut PyObject` is called with the GIL held, and `Err(Raised)`
//! means that a Python exception is set in the current thread.
//!
//! Rejected: high-level PyO3 on this path costs 2–4 times raw ffi (a `#[pyclass]` callback 157–223 ns, raw 67–96).

pub mod answer;
pub mod args;
pub mod call;
pub mod compat;
pub mod depth;
pub mod gil;
pub mod holder;
pub mod instance;
pub mod names;
pub mod owned;
pub mod sent;
pub mod slot;
pub mod source;
pub mod stop_iteration;
pub mod suspended;
pub mod throw;
pub mod types;
pub mod visit;

/// A Python exception is set in this thread; whoever receives this passes it on or clears it.
#[derive(Debug)]
pub struct Raised;

/// The result of a call into Python.
pub type Python<T> = Result<T, Raised>;
