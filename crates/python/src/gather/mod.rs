//! `gather(*coros_or_futures, return_exceptions=False)`.
//!
//! Native where everything given is a coroutine or a native future of the running loop, each once: the tasks are made here, and
//! the result, a `_GatheringFuture` (`outer.rs`), observes its children (`children.rs`) without a callback for each. Else it is asyncio's own.
//!
//! Children are counted in the turn after the one that completed them, as asyncio's callbacks are; so what a gather wakes runs in
//! the same turn.

mod children;
mod outer;

pub use children::{cancel, child_done};
pub use outer::{Outer, children_of, is_outer};

use crate::coroutine;
use crate::ffi::{Python, Raised, args::Args, names::names, owned::Owned};
use crate::future::callbacks;
use crate::future::cell::{Entry, State};
use crate::future::layout::layout;
use crate::native_loop::Loop;
use crate::running;
use crate::stand_in::{self, StandIn};
use crate::task::{self, awaited_by, cell::TaskRef, current};
use pyo3_ffi as ffi;
use std::ffi::CStr;
use std::ptr;

struct Gather;

impl StandIn for Gather {
    const MODULE: &'static CStr = c"asyncio.tasks";
    const NAME: &'static CStr = c"gather";

    unsafe fn call(call: Args<'_>) -> Python<Option<Owned>> {
        // SAFETY: the arguments live.
        unsafe {
            let mut given = [ffi::Py_False()];
            if call.keyword_count() != 0
                && call
                    .keywords("gather", [names().return_exceptions], &mut given)
                    .is_err()
            {
                ffi::PyErr_Clear();
                return Ok(None);
            }
            let return_exceptions = given[0] == ffi::Py_True();
            if !return_exceptions && given[0] != ffi::Py_False() {
                return Ok(None);
            }
            let Some(plain) = running::plain() else {
                return Ok(None);
            };
            let Some(eager) = task::factory::native(plain.loop_) else {
                return Ok(None);
            };
            if !known(plain.loop_, call.positional) {
                return Ok(None);
            }
            gather(plain.loop_, call.positional, return_exceptions, eager).map(Some)
        }
    }
}

/// A coroutine that can become a task of its own.
///
/// # Safety
/// The object lives.
#[inline]
pub unsafe fn is_coroutine(object: *mut ffi::PyObject) -> bool {
    // SAFETY: the caller's contract.
    unsafe { ffi::PyCoro_CheckExact(object) != 0 || ffi::Py_TYPE(object) == coroutine::kind() }
}

/// Whether all that is given is known, and nothing twice.
unsafe fn known(loop_: Loop, given: &[*mut ffi::PyObject]) -> bool {
    // SAFETY: the arguments live.
    let each = given.iter().all(|object| unsafe {
        is_coroutine(*object)
            || layout()
                .exact(*object)
                .is_some_and(|future| future.cell().loop_ == loop_.object())
    });
    each && !given.is_empty() && !repeats(given)
}

fn repeats(given: &[*mut ffi::PyObject]) -> bool {
    if given.len() <= 16 {
        return (1..given.len()).any(|index| given[..index].contains(&given[index]));
    }
    let mut sorted = given.to_vec();
    sorted.sort_unstable();
    sorted.windows(2).any(|pair| pair[0] == pair[1])
}

unsafe fn gather(
    loop_: Loop,
    given: &[*mut ffi::PyObject],
    return_exceptions: bool,
    eager: bool,
) -> Python<Owned> {
    // SAFETY: no borrow lives while Python code runs.
    unsafe {
        let made = outer::new(loop_, given.len(), return_exceptions)?;
        let outer = Outer::of(made.as_ptr());
        match fill(loop_, outer, given, eager) {
            Ok(()) => Ok(made),
            Err(Raised) => {
                outer.abandon();
                crate::errors::keeping_raised(|| drop(made));
                Err(Raised)
            }
        }
    }
}

unsafe fn fill(loop_: Loop, outer: Outer, given: &[*mut ffi::PyObject], eager: bool) -> Python<()> {
    // SAFETY: the list is the gather's own and as long as what is given; it takes over each child's reference.
    unsafe {
        if crate::ffi::compat::TASKS_IN_THREAD_STATE {
            outer.set_task(current::get(loop_)?);
        }
        let mut done_before = Vec::new();
        for object in given {
            let (child, future) = match layout().exact(*object) {
                Some(future) => (Owned::from_borrowed(*object), future),
                None => {
                    let made = task::new(loop_, *object, ptr::null_mut(), ptr::null_mut(), eager);
                    let made = Owned::new(made)?;
                    let task = TaskRef::of(made.as_ptr());
                    task.cell().log_destroy_pending = false;
                    (made, task.future())
                }
            };
            if future.cell().state == State::Pending {
                callbacks::add(future, Entry::observer(outer.new_reference()));
                if let Some(task) = outer.task() {
                    awaited_by::add(child.as_ptr(), task.as_ptr())?;
                }
            } else {
                done_before.push(child.clone());
            }
            outer.push(child);
        }
        outer.expect(given.len());
        // Those that were done before, or ended in an eager start, are counted at once.
        for child in done_before {
            child_done(outer.object(), child.as_ptr())?;
        }
    }
    Ok(())
}

/// Makes the type and the function, and adds the latter to the module.
pub fn init(module: *mut ffi::PyObject) -> Python<()> {
    outer::init(children::table())?;
    stand_in::add::<Gather>(module).map(drop)
}
