//! What `create_task(coro, *, name=None, context=None)` asks for, where it is what native code takes. Called by the module's
//! function, by `ensure_future` and by groups.

use super::factory;
use crate::ffi::{Python, args::Args, names::names, owned::Owned};
use crate::gather;
use crate::native_loop::Loop;
use pyo3_ffi as ffi;
use std::ptr;

/// A task to be made; all borrowed, name and context NULL where not given.
pub struct Request {
    pub coro: *mut ffi::PyObject,
    name: *mut ffi::PyObject,
    context: *mut ffi::PyObject,
}

impl Request {
    /// A task of nothing but a coroutine.
    pub fn of(coro: *mut ffi::PyObject) -> Request {
        Request {
            coro,
            name: ptr::null_mut(),
            context: ptr::null_mut(),
        }
    }

    /// The same task, in this context.
    pub fn in_context(self, context: *mut ffi::PyObject) -> Request {
        Request { context, ..self }
    }

    /// Reads the arguments; None for what asyncio's own function must look at.
    ///
    /// # Safety
    /// The arguments live.
    #[inline]
    pub unsafe fn read(call: &Args<'_>) -> Option<Request> {
        // SAFETY: the caller's contract; an error is answered by asyncio's own function.
        unsafe {
            let [coro] = *call.positional else {
                return None;
            };
            if !gather::is_coroutine(coro) {
                return None;
            }
            let mut given = [ptr::null_mut(); 2];
            if call.keyword_count() != 0
                && call
                    .keywords("create_task", [names().name, names().context], &mut given)
                    .is_err()
            {
                ffi::PyErr_Clear();
                return None;
            }
            let [name, context] = given.map(|given| {
                if given == ffi::Py_None() {
                    ptr::null_mut()
                } else {
                    given
                }
            });
            Some(Request {
                coro,
                name,
                context,
            })
        }
    }

    /// Makes the task; None where a task factory must, or where an eager task is to be named: when it gets its name differs within 3.13.
    ///
    /// # Safety
    /// The objects live.
    #[inline]
    pub unsafe fn make(&self, loop_: Loop) -> Python<Option<Owned>> {
        // SAFETY: the caller's contract.
        unsafe {
            let Some(eager) = factory::native(loop_) else {
                return Ok(None);
            };
            if eager && !self.name.is_null() {
                return Ok(None);
            }
            let made = super::new(loop_, self.coro, self.name, self.context, eager);
            Owned::new(made).map(Some)
        }
    }
}
