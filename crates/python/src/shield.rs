//! `shield(arg)`.
//!
//! Native for a coroutine or a native future of the running loop: one `Shield` observes both sides, the inner future for its outcome
//! and the outer one for its cancellation. Else it is asyncio's own.

use crate::ffi::{
    Python, Raised, answer,
    args::Args,
    compat,
    gil::GilCell,
    owned::Owned,
    types::{self, Type},
};
use crate::future::callbacks;
use crate::future::cell::{Entry, FutureRef, State, clear_slot};
use crate::future::layout::layout;
use crate::future::{self, Purpose, outcome};
use crate::stand_in::{self, StandIn};
use crate::task::{awaited_by, current, request::Request};
use crate::{gather, running};
use pyo3_ffi as ffi;
use std::ffi::{CStr, c_int, c_void};
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
    unsafe { answer::none(side_done(object, side)) }
}

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the collector calls this on an instance and runs no Python code while it visits.
    unsafe {
        let fields = object.cast::<ShieldObject>();
        crate::ffi::visit::each(
            &[
                ffi::Py_TYPE(object).cast(),
                (*fields).inner,
                (*fields).outer,
                (*fields).task,
            ],
            visit,
            arg,
        )
    }
}

unsafe extern "C" fn clear(object: *mut ffi::PyObject) -> c_int {
    // SAFETY: each field is emptied before its reference is released.
    unsafe {
        let fields = object.cast::<ShieldObject>();
        clear_slot(&raw mut (*fields).inner);
        clear_slot(&raw mut (*fields).outer);
        clear_slot(&raw mut (*fields).task);
    }
    0
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: the last reference is gone.
    unsafe {
        ffi::PyObject_GC_UnTrack(object.cast());
        clear(object);
        crate::future::lifecycle::free(ffi::Py_TYPE(object), object);
    }
}

/// Makes the type and the function, and adds the latter to the module.
pub fn init(module: *mut ffi::PyObject) -> Python<()> {
    let kind = Type {
        name: c"rondeau._core.Shield",
        size: size_of::<ShieldObject>(),
        flags: ffi::Py_TPFLAGS_HAVE_GC
            | ffi::Py_TPFLAGS_IMMUTABLETYPE
            | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION,
        slots: vec![
            (ffi::Py_tp_traverse, traverse as *mut c_void),
            (ffi::Py_tp_clear, clear as *mut c_void),
            (ffi::Py_tp_dealloc, dealloc as *mut c_void),
            (
                ffi::Py_tp_methods,
                types::table([types::one(
                    c"_on_completion",
                    on_completion,
                    c"_on_completion($self, future, /)\n--\n\n",
                )]),
            ),
        ],
    };
    // SAFETY: the slots match their numbers and the size is the instance struct's; the import runs alone.
    unsafe { *TYPE.get() = kind.build(ptr::null_mut())?.into_ptr().cast() };
    stand_in::add::<ShieldFunction>(module)?;
    Ok::<(), Raised>(())
}
