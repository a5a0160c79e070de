//! `as_completed(fs, *, timeout=None)`.
//!
//! Native for a list, tuple or set of coroutines and native futures of the running loop. What it returns (`iterator.rs`) observes the
//! futures (`futures.rs`) without a callback for each; each step is a native coroutine (`next.rs`). Else asyncio's own runs.
//! From 3.13 on it begins when it is called, before when it is first asked: it was a generator.

mod futures;
mod iterator;
mod next;
mod surface;

pub use futures::{child_done, run_alarm};
pub use iterator::is_iterator;
pub use surface::callback;

use crate::ffi::{Python, Raised, args::Args, compat, gil::GilCell, names::names, owned::Owned};
use crate::future::layout::layout;
use crate::native_loop::Loop;
use crate::seconds::plain_seconds;
use crate::stand_in::{self, StandIn};
use crate::{gather, running, task};
use iterator::IteratorRef;
use pyo3_ffi as ffi;
use std::ffi::CStr;
use std::ptr;

/// asyncio's own function.
static ORIGINAL: GilCell<*mut ffi::PyObject> = GilCell::new(ptr::null_mut());

struct AsCompleted;

impl StandIn for AsCompleted {
    const MODULE: &'static CStr = c"asyncio.tasks";
    const NAME: &'static CStr = c"as_completed";

    unsafe fn call(call: Args<'_>) -> Python<Option<Owned>> {
        // SAFETY: the arguments live.
        unsafe {
            let [given] = *call.positional else {
                return Ok(None);
            };
            let mut timeout = [ffi::Py_None()];
            if call.keyword_count() != 0
                && call
                    .keywords("as_completed", [names().timeout], &mut timeout)
                    .is_err()
            {
                ffi::PyErr_Clear();
                return Ok(None);
            }
            let [timeout] = timeout;
            if compat::AS_COMPLETED_IS_A_GENERATOR {
                return iterator::later(given, timeout).map(Some);
            }
            let Some(known) = known(given, timeout)? else {
                return Ok(None);
            };
            let made = iterator::new()?;
            futures::begin(IteratorRef::from_object(made.as_ptr()), known)?;
            Ok(Some(made))
        }
    }
}

/// What native code takes.
struct Known {
    loop_: Loop,
    /// The loop, alive.
    _running: running::Plain,
    /// A set of what was given.
    unique: Owned,
    /// Whether tasks start eagerly.
    eager: bool,
    seconds: Option<f64>,
}

/// What was given, where native code takes it.
unsafe fn known(given: *mut ffi::PyObject, timeout: *mut ffi::PyObject) -> Python<Option<Known>> {
    // SAFETY: the arguments live; the items of a list or tuple are kept alive by the set.
    unsafe {
        let collection = ffi::PyList_CheckExact(given) != 0
            || ffi::PyTuple_CheckExact(given) != 0
            || ffi::PyAnySet_CheckExact(given) != 0;
        let (true, Some(running)) = (collection, running::plain()) else {
            return Ok(None);
        };
        let loop_ = running.loop_;
        let Some(eager) = task::factory::native(loop_) else {
            return Ok(None);
        };
        let seconds = plain_seconds(timeout);
        if timeout != ffi::Py_None() && seconds.is_none() {
            return Ok(None);
        }
        let items = Owned::new(ffi::PySequence_List(given))?;
        let all_known = futures::each(&items).all(|object| {
            gather::is_coroutine(object)
                || layout()
                    .exact(object)
                    .is_some_and(|future| future.cell().loop_ == loop_.object())
        });
        if !all_known {
            return Ok(None);
        }
        Ok(Some(Known {
            loop_,
            _running: running,
            unique: Owned::new(ffi::PySet_New(given))?,
            eager,
            seconds,
        }))
    }
}

/// asyncio's own, with the same arguments.
#[cold]
unsafe fn asyncios(given: *mut ffi::PyObject, timeout: *mut ffi::PyObject) -> Python<Owned> {
    // SAFETY: the function lives for good; the arguments live for the call.
    unsafe {
        let options = Owned::new(ffi::PyDict_New())?;
        if ffi::PyDict_SetItem(options.as_ptr(), names().timeout, timeout) != 0 {
            return Err(Raised);
        }
        let args = [given];
        Owned::new(ffi::PyObject_VectorcallDict(
            *ORIGINAL.get(),
            args.as_ptr(),
            1,
            options.as_ptr(),
        ))
    }
}

/// Makes the types and the function, and adds the latter to the module.
pub fn init(module: *mut ffi::PyObject) -> Python<()> {
    surface::init()?;
    let original = stand_in::add::<AsCompleted>(module)?;
    // SAFETY: the import runs alone.
    unsafe { *ORIGINAL.get() = original };
    Ok(())
}
