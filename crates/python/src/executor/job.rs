//! One call for a thread: a function, its arguments, and the loop's future that gets what comes of it.
//!
//! Made by `run_in_executor` on the loop's thread, run by a worker, and handed back as an alarm. A future that was cancelled meanwhile
//! keeps the call from running, or drops its outcome.

use crate::door::{attribute, import};
use crate::ffi::slot::{clear_slot, set_slot};
use crate::ffi::{
    Python, Raised, compat,
    gil::GilCell,
    holder::{self, Holder},
    owned::Owned,
    types,
};
use crate::future::cell::{FutureRef, State};
use crate::future::layout::layout;
use crate::future::outcome;
use crate::future::{self, Purpose};
use crate::native_loop::Loop;
use crate::ready::Ready;
use crate::stand_in::class;
use pyo3_ffi as ffi;
use rondeau_driver::Waker;
use std::ffi::CStr;
use std::mem::offset_of;
use std::ptr;

/// The fields; strong or NULL.
#[repr(C)]
struct JobObject {
    ob_base: ffi::PyObject,
    function: *mut ffi::PyObject,
    /// A tuple.
    args: *mut ffi::PyObject,
    /// A native future.
    future: *mut ffi::PyObject,
    /// What came of it: a result, or an exception if `failed`.
    value: *mut ffi::PyObject,
    failed: bool,
}

impl Holder for JobObject {
    const NAME: &'static CStr = c"rondeau._core.Job";

    unsafe fn held(this: *mut Self) -> impl IntoIterator<Item = *mut *mut ffi::PyObject> {
        // SAFETY: the caller's contract.
        unsafe {
            [
                &raw mut (*this).function,
                &raw mut (*this).args,
                &raw mut (*this).future,
                &raw mut (*this).value,
            ]
        }
    }
}

static TYPE: GilCell<*mut ffi::PyTypeObject> = GilCell::new(ptr::null_mut());

/// Whether it is a job.
///
/// # Safety
/// The object lives.
#[inline]
pub unsafe fn is_job(object: *mut ffi::PyObject) -> bool {
    // SAFETY: the type was made at import.
    unsafe { ffi::Py_TYPE(object) == *TYPE.get() }
}

/// A job, and the future that it is for.
///
/// # Safety
/// The objects live; `args` is a tuple.
pub unsafe fn new(
    loop_: Loop,
    function: *mut ffi::PyObject,
    args: *mut ffi::PyObject,
) -> Python<(Owned, Owned)> {
    // SAFETY: a fresh instance is zeroed; its fields take references of their own.
    unsafe {
        let future = Owned::new(future::new_for(loop_, Purpose::Thread))?;
        let made = Owned::new(ffi::PyType_GenericAlloc(*TYPE.get(), 0))?;
        let job = made.as_ptr().cast::<JobObject>();
        (*job).function = Owned::from_borrowed(function).into_ptr();
        (*job).args = Owned::from_borrowed(args).into_ptr();
        (*job).future = future.clone().into_ptr();
        Ok((made, future))
    }
}

/// Runs it in this thread and hands it back to its loop; returns what wakes this, where it must be woken.
///
/// # Safety
/// The job lives and stays alive; called once.
pub unsafe fn run(object: *mut ffi::PyObject) -> Option<Waker> {
    // SAFETY: the fields change only here and in `clear`, under the GIL; each object is kept alive while it is used.
    unsafe {
        let job = object.cast::<JobObject>();
        if (*job).future.is_null() {
            return None;
        }
        let future = Owned::from_borrowed((*job).future);
        if as_future(&future).cell().state != State::Pending {
            return None;
        }
        let (function, args) = (
            Owned::from_borrowed((*job).function),
            Owned::from_borrowed((*job).args),
        );
        let items = (&raw mut (*args.as_ptr().cast::<ffi::PyTupleObject>()).ob_item)
            .cast::<*mut ffi::PyObject>();
        let count = ffi::PyTuple_GET_SIZE(args.as_ptr()) as usize;
        let result = crate::ffi::call::vectorcall(function.as_ptr(), items, count);
        (*job).failed = result.is_null();
        let value = if result.is_null() {
            compat::take_raised()
        } else {
            result
        };
        set_slot(&raw mut (*job).value, value);
        drop((function, args));
        clear_slot(&raw mut (*job).function);
        clear_slot(&raw mut (*job).args);
        let loop_ = as_future(&future).direct_loop()?;
        if loop_.parts().closed {
            return None;
        }
        ffi::Py_INCREF(object);
        loop_.schedule_quietly(Ready::alarm(object))
    }
}

unsafe fn as_future(future: &Owned) -> FutureRef {
    // SAFETY: a job's future is exactly a native one.
    unsafe { FutureRef::at(future.as_ptr(), layout().future_cell) }
}

/// Back on the loop: the future gets what came of it.
///
/// # Safety
/// The job lives and stays alive.
pub unsafe fn run_alarm(object: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: no borrow lives while Python code runs.
    unsafe {
        let job = object.cast::<JobObject>();
        let value = std::mem::replace(&mut (*job).value, ptr::null_mut());
        if value.is_null() || (*job).future.is_null() {
            return Ok(());
        }
        let value = Owned::from_owned(value);
        let future = Owned::from_borrowed((*job).future);
        if as_future(&future).cell().state != State::Pending {
            return Ok(());
        }
        if !(*job).failed {
            return outcome::set_result(as_future(&future), value.as_ptr());
        }
        failed(as_future(&future), &value)
    }
}

/// The function raised: asyncio turns a few classes of `concurrent.futures` into its own.
#[cold]
unsafe fn failed(future: FutureRef, exception: &Owned) -> Python<()> {
    // SAFETY: the caller keeps both alive.
    unsafe {
        let convert = attribute(&import(c"asyncio.futures")?, c"_convert_future_exc")?;
        let exception = Owned::new(ffi::PyObject_CallOneArg(
            convert.as_ptr(),
            exception.as_ptr(),
        ))?;
        outcome::set_exception(future, exception.as_ptr())
    }
}

/// Makes the type.
pub fn init() -> Python<()> {
    // SAFETY: the slots match their numbers; the import runs alone.
    unsafe {
        {
            let members = types::table([class::member(c"future", offset_of!(JobObject, future))]);
            *TYPE.get() = holder::build::<JobObject>(vec![(ffi::Py_tp_members, members)])?
        }
    };
    Ok::<(), Raised>(())
}
