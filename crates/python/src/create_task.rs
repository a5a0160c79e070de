//! `create_task(coro, *, name=None, context=None)` and `ensure_future(coro_or_future, *, loop=None)`.
//!
//! Native for a coroutine on a running loop of ours without a task factory of the program's, and for a native future that is
//! passed through. Else asyncio's own.

use crate::ffi::{Python, args::Args, names::names, owned::Owned};
use crate::future::layout::layout;
use crate::gather;
use crate::running;
use crate::stand_in::{self, StandIn};
use crate::task::request::Request;
use pyo3_ffi as ffi;
use std::ffi::CStr;

struct CreateTask;

impl StandIn for CreateTask {
    const MODULE: &'static CStr = c"asyncio.tasks";
    const NAME: &'static CStr = c"create_task";

    unsafe fn call(call: Args<'_>) -> Python<Option<Owned>> {
        // SAFETY: the arguments live.
        unsafe {
            match (Request::read(&call), running::plain()) {
                (Some(request), Some(plain)) => request.make(plain.loop_),
                _ => Ok(None),
            }
        }
    }
}

struct EnsureFuture;

impl StandIn for EnsureFuture {
    const MODULE: &'static CStr = c"asyncio.tasks";
    const NAME: &'static CStr = c"ensure_future";

    unsafe fn call(call: Args<'_>) -> Python<Option<Owned>> {
        // SAFETY: the arguments live.
        unsafe {
            let [given] = *call.positional else {
                return Ok(None);
            };
            let mut loop_ = [ffi::Py_None()];
            if call.keyword_count() != 0
                && call
                    .keywords("ensure_future", [names().loop_], &mut loop_)
                    .is_err()
            {
                ffi::PyErr_Clear();
                return Ok(None);
            }
            let [loop_] = loop_;
            if let Some(future) = layout().exact(given) {
                let same = loop_ == ffi::Py_None() || loop_ == future.cell().loop_;
                return Ok(same.then(|| Owned::from_borrowed(given)));
            }
            if !gather::is_coroutine(given) {
                return Ok(None);
            }
            match running::plain() {
                Some(plain) if loop_ == ffi::Py_None() || loop_ == plain.loop_.object() => {
                    Request::of(given).make(plain.loop_)
                }
                _ => Ok(None),
            }
        }
    }
}

/// Makes the functions and adds them to the module.
pub fn init(module: *mut ffi::PyObject) -> Python<()> {
    stand_in::add::<CreateTask>(module)?;
    stand_in::add::<EnsureFuture>(module).map(drop)
}
