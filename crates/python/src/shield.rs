//! `shield(arg)`.
//!
//! Native for a coroutine or a native future of the running loop: one `Shield` observes both sides, the inner future for its outcome
//! and the outer one for its cancellation. Else it is asyncio's own.

use crate::ffi::{
    Python, Raised, answer,
    args::Args,
    args::raise,
    compat,
    gil::GilCell,
    holder::{self, Holder},
    owned::Owned,
    types,
};
use crate::future::callbacks;
use crate::future::cell::{Entry, FutureRef, State};
use crate::future::door::door;
use crate::future::layout::layout;
use crate::future::{self, Purpose, outcome};
use crate::observer;
use crate::stand_in::{self, StandIn};
use crate::task::{awaited_by, current, request::Request};
use crate::{gather, running};
use pyo3_ffi as ffi;
use std::ffi::CStr;
use std::ptr;

/// The fields; strong or NULL.
#[repr(C)]
struct ShieldObject {
    ob_base: ffi::PyObject,
    inner: *mut ffi::PyObject,
    outer: *mut ffi::PyObject,
    /// 3.14+: the task that shields.
    task: *mut ffi::PyObject,
}

impl Holder for ShieldObject {
    const NAME: &'static CStr = c"rondeau._core.Shield";

    unsafe fn held(this: *mut Self) -> impl IntoIterator<Item = *mut *mut ffi::PyObject> {
        // SAFETY: the caller's contract.
        unsafe {
            [
                &raw mut (*this).inner,
                &raw mut (*this).outer,
                &raw mut (*this).task,
            ]
        }
    }
}

static TYPE: GilCell<*mut ffi::PyTypeObject> = GilCell::new(ptr::null_mut());

/// Whether it is one.
///
/// # Safety
/// The object lives.
#[inline]
pub unsafe fn is_shield(object: *mut ffi::PyObject) -> bool {
    // SAFETY: the type was made at import.
    unsafe { ffi::Py_TYPE(object) == *TYPE.get() }
}

/// What `object` shields, if it is a shield whose outside is `outer`: borrowed.
///
/// # Safety
/// Both live.
pub unsafe fn inner_of(
    object: *mut ffi::PyObject,
    outer: *mut ffi::PyObject,
) -> Option<*mut ffi::PyObject> {
    // SAFETY: the type is checked before the fields are read.
    unsafe {
        if !is_shield(object) {
            return None;
        }
        let fields = object.cast::<ShieldObject>();
        ((*fields).outer == outer && !(*fields).inner.is_null()).then_some((*fields).inner)
    }
}

struct ShieldFunction;

impl StandIn for ShieldFunction {
    const MODULE: &'static CStr = c"asyncio.tasks";
    const NAME: &'static CStr = c"shield";

    unsafe fn call(call: Args<'_>) -> Python<Option<Owned>> {
        // SAFETY: the arguments live. No borrow lives while Python code runs.
        unsafe {
            let [given] = *call.positional else {
                return Ok(None);
            };
            let (Some(plain), 0) = (running::plain(), call.keyword_count()) else {
                return Ok(None);
            };
            let inner = match layout().exact(given) {
                Some(future) if future.cell().loop_ == plain.loop_.object() => {
                    Owned::from_borrowed(given)
                }
                None if gather::is_coroutine(given) => {
                    match Request::of(given).make(plain.loop_)? {
                        Some(task) => task,
                        None => return Ok(None),
                    }
                }
                _ => return Ok(None),
            };
            let future = as_future(inner.as_ptr());
            if future.cell().state != State::Pending {
                return Ok(Some(inner));
            }
            let outer = Owned::new(future::new_for(plain.loop_, Purpose::Shield))?;
            let link = Owned::new(ffi::PyType_GenericAlloc(*TYPE.get(), 0))?;
            let fields = link.as_ptr().cast::<ShieldObject>();
            (*fields).inner = inner.clone().into_ptr();
            (*fields).outer = outer.clone().into_ptr();
            if compat::TASKS_IN_THREAD_STATE
                && let Some(task) = current::get(plain.loop_)?
            {
                awaited_by::add(inner.as_ptr(), task.as_ptr())?;
                (*fields).task = task.into_ptr();
            }
            callbacks::add(future, Entry::observer(link.clone().into_ptr()));
            callbacks::add(as_future(outer.as_ptr()), Entry::observer(link.into_ptr()));
            Ok(Some(outer))
        }
    }
}

unsafe fn as_future(object: *mut ffi::PyObject) -> FutureRef {
    // SAFETY: both sides are exactly native futures.
    unsafe { FutureRef::at(object, layout().exact_offset(object)) }
}

/// One side is done.
///
/// # Safety
/// Both live and stay alive.
pub unsafe fn side_done(object: *mut ffi::PyObject, side: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the sides are kept alive. No borrow lives while Python code runs.
    unsafe {
        let fields = object.cast::<ShieldObject>();
        if (*fields).inner.is_null() || (*fields).outer.is_null() {
            return Ok(());
        }
        let inner = Owned::from_borrowed((*fields).inner);
        let outer = Owned::from_borrowed((*fields).outer);
        let (within, without) = (as_future(inner.as_ptr()), as_future(outer.as_ptr()));
        if side == outer.as_ptr() {
            if within.cell().state == State::Pending {
                callbacks::remove_observer(within, object);
                return forget_task(fields, &inner);
            }
            return Ok(());
        }
        forget_task(fields, &inner)?;
        if without.cell().state == State::Cancelled {
            if compat::SHIELD_RETRIEVES && within.cell().state != State::Cancelled {
                within.cell().log_traceback = false;
            }
            return Ok(());
        }
        let cell = within.cell();
        match cell.state {
            // `__init__` ran again on it.
            State::Pending => Err(raise(door().invalid_state, "Exception is not set.")),
            State::Cancelled => outcome::cancel(without, ptr::null_mut()).map(drop),
            _ if cell.failed => {
                cell.log_traceback = false;
                let exception = Owned::from_borrowed(cell.value);
                outcome::set_exception(without, exception.as_ptr())
            }
            _ => {
                let result = Owned::from_borrowed(cell.value);
                outcome::set_result(without, result.as_ptr())
            }
        }
    }
}

unsafe fn forget_task(fields: *mut ShieldObject, inner: &Owned) -> Python<()> {
    // SAFETY: the caller keeps the shield alive.
    unsafe {
        let task = std::mem::replace(&mut (*fields).task, ptr::null_mut());
        if task.is_null() {
            return Ok(());
        }
        let task = Owned::from_owned(task);
        awaited_by::discard(inner.as_ptr(), task.as_ptr())
    }
}

unsafe extern "C" fn on_completion(
    object: *mut ffi::PyObject,
    side: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    unsafe { answer::none(observer::check_done(side).and_then(|()| side_done(object, side))) }
}

/// Makes the type and the function, and adds the latter to the module.
pub fn init(module: *mut ffi::PyObject) -> Python<()> {
    let methods = types::table([types::one(
        c"_on_completion",
        on_completion,
        c"_on_completion($self, future, /)\n--\n\n",
    )]);
    // SAFETY: the slots match their numbers; the import runs alone.
    unsafe { *TYPE.get() = holder::build::<ShieldObject>(vec![(ffi::Py_tp_methods, methods)])? };
    stand_in::add::<ShieldFunction>(module)?;
    Ok::<(), Raised>(())
}
