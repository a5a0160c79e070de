//! A group's `__aenter__` and `__aexit__`.
//!
//! The wait for the tasks is native; what there is to raise afterwards is raised by asyncio's own `__aexit__`, which finds no task
//! left and so does not wait. It is told of a cancellation that came meanwhile as if it had come from the body: to asyncio's code
//! the two are the same once the group is aborting.

use super::object::{self, GroupObject, fields, set, task_count};
use crate::coroutine::{self, CoroRef, Kind, Sent};
use crate::door::attribute;
use crate::ffi::slot::set_slot;
use crate::ffi::{
    Python, Raised, answer, args::raise, compat, gil::GilCell, names::names, owned::Owned, types,
};
use crate::future::cell::{FutureRef, State};
use crate::future::door::door;
use crate::future::layout::layout;
use crate::future::{self, Purpose, outcome};
use crate::running;
use crate::task::current;
use pyo3_ffi as ffi;
use std::ptr;

/// `__aenter__`.
pub const AENTER: ffi::PyMethodDef = types::noargs(
    c"__aenter__",
    aenter,
    c"__aenter__($self, /)\n--\n\nEnter the group.",
);
/// `__aexit__`.
pub const AEXIT: ffi::PyMethodDef = types::fast(
    c"__aexit__",
    aexit,
    c"__aexit__($self, et, exc, tb, /)\n--\n\nWait for the tasks; raise what failed.",
);

static ENTER: Kind = Kind::new(c"__aenter__", c"TaskGroup.__aenter__", resume_enter);

static EXIT: Kind = Kind::new(c"__aexit__", c"TaskGroup.__aexit__", resume_exit);

/// What of asyncio's class is called here. Strong references that live as long as the process.
struct Asyncios {
    aenter: *mut ffi::PyObject,
    aexit: *mut ffi::PyObject,
    /// Its `__aexit__` takes its own request to cancel the parent back before it waits, and only then.
    uncancels_first: bool,
}

static ASYNCIOS: GilCell<Asyncios> = GilCell::new(Asyncios {
    aenter: ptr::null_mut(),
    aexit: ptr::null_mut(),
    uncancels_first: false,
});

/// `held`: the group, and what `__aexit__` was given, of which it then keeps the cancellations that came while it waited.
const SELF: usize = 0;
const KIND: usize = 1;
const VALUE: usize = 2;
const TRACEBACK: usize = 3;
/// The cancellation to raise.
const PROPAGATE: usize = 1;
/// The last one.
const PENDING: usize = 2;

unsafe extern "C" fn aenter(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        answer::object(coroutine::new(&ENTER).inspect(|made| {
            CoroRef::of(made.as_ptr()).hold(SELF, Owned::from_borrowed(object).into_ptr());
        }))
    }
}

unsafe extern "C" fn aexit(
    object: *mut ffi::PyObject,
    args: *mut *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention, on an instance.
    unsafe {
        if count != 3 {
            let given = (0..count as usize).map(|index| *args.add(index));
            let all: Vec<_> = [object].into_iter().chain(given).collect();
            return ffi::PyObject_Vectorcall(
                ASYNCIOS.get().aexit,
                all.as_ptr(),
                all.len(),
                ptr::null_mut(),
            );
        }
        answer::object(coroutine::new(&EXIT).inspect(|made| {
            let coro = CoroRef::of(made.as_ptr());
            coro.hold(SELF, Owned::from_borrowed(object).into_ptr());
            for index in 0..3 {
                coro.hold(1 + index, Owned::from_borrowed(*args.add(index)).into_ptr());
            }
        }))
    }
}

unsafe fn resume_enter(coro: CoroRef, _: Option<Owned>) -> Sent {
    // SAFETY: called by `drive`; a coroutine that has not started is never thrown into here.
    unsafe {
        let object = Owned::from_borrowed(coro.held(SELF));
        match enter(object.as_ptr()) {
            Ok(true) => return Sent::Done(object.into_ptr()),
            Ok(false) => {}
            Err(Raised) => return Sent::Raised,
        }
        let args = [object.as_ptr()];
        let asyncios = Owned::new(ffi::PyObject_Vectorcall(
            ASYNCIOS.get().aenter,
            args.as_ptr(),
            1,
            ptr::null_mut(),
        ));
        coroutine::become_(coro, asyncios)
    }
}

/// Enters on a native loop; false where asyncio's own method must do it.
#[inline]
unsafe fn enter(object: *mut ffi::PyObject) -> Python<bool> {
    // SAFETY: raw pointers, so that no borrow lives while a finalizer runs.
    unsafe {
        let Some(plain) = running::plain() else {
            return Ok(false);
        };
        let group = object.cast::<GroupObject>();
        if (*group).entered != ffi::Py_False()
            || (*group).cancel_on_enter != ffi::Py_False()
            || (*group).loop_ != ffi::Py_None()
        {
            return Ok(false);
        }
        let Some(task) = current::get(plain.loop_)? else {
            return Ok(false);
        };
        set(&raw mut (*group).loop_, plain.loop_.object());
        set_slot(&raw mut (*group).parent_task, task.into_ptr());
        set(&raw mut (*group).entered, ffi::Py_True());
        Ok(true)
    }
}

unsafe fn resume_exit(coro: CoroRef, exception: Option<Owned>) -> Sent {
    // SAFETY: called by `drive`, which keeps the coroutine alive.
    unsafe {
        let object = Owned::from_borrowed(coro.held(SELF));
        if coro.cell().phase == 0 {
            if !can_wait(coro, object.as_ptr()) {
                let [kind, value, traceback] =
                    [KIND, VALUE, TRACEBACK].map(|index| coro.held(index));
                let asyncios = asyncios_exit(object.as_ptr(), kind, value, traceback);
                return coroutine::become_(coro, asyncios);
            }
            coro.cell().phase = 1;
            set(
                &raw mut (*object.as_ptr().cast::<GroupObject>()).exiting,
                ffi::Py_True(),
            );
            for index in [KIND, VALUE, TRACEBACK] {
                coro.hold(index, ptr::null_mut());
            }
        } else if let Err(Raised) = woken(coro, object.as_ptr(), exception) {
            if compat::GROUP_FORGETS {
                crate::errors::keeping_raised(|| forget(object.as_ptr()));
            }
            return Sent::Raised;
        }
        match task_count(object.as_ptr()) {
            Some(0) => end(coro, &object),
            Some(_) => wait(object.as_ptr()),
            None => {
                raise(ffi::PyExc_TypeError, "TaskGroup._tasks is not a set");
                Sent::Raised
            }
        }
    }
}

/// Whether the wait can be native: the body has not raised, and all is as usual.
#[inline]
unsafe fn can_wait(coro: CoroRef, object: *mut ffi::PyObject) -> bool {
    // SAFETY: the objects live; the borrow ends here.
    unsafe {
        let group = fields(object);
        coro.held(KIND) == ffi::Py_None()
            && group.entered == ffi::Py_True()
            && group.on_completed_fut == ffi::Py_None()
            && !(ASYNCIOS.get().uncancels_first && group.parent_cancel_requested != ffi::Py_False())
            && !group.loop_.is_null()
            && running::as_plain(group.loop_).is_some()
            && task_count(object).is_some()
    }
}

/// Waits until all tasks are done.
unsafe fn wait(object: *mut ffi::PyObject) -> Sent {
    // SAFETY: the loop is a native one, which the group keeps alive.
    unsafe {
        let Some(loop_) = running::as_plain(fields(object).loop_) else {
            raise(
                ffi::PyExc_RuntimeError,
                "the loop of a TaskGroup was closed or set to debug mode while it waited",
            );
            return Sent::Raised;
        };
        let Ok(waiter) = Owned::new(future::new_for(loop_, Purpose::Group)) else {
            return Sent::Raised;
        };
        set(
            &raw mut (*object.cast::<GroupObject>()).on_completed_fut,
            waiter.as_ptr(),
        );
        FutureRef::at(waiter.as_ptr(), layout().future_cell)
            .cell()
            .blocking = true;
        Sent::Pending(waiter.into_ptr())
    }
}

/// The wait ended. Err with what leaves the group at once.
unsafe fn woken(coro: CoroRef, object: *mut ffi::PyObject, exception: Option<Owned>) -> Python<()> {
    // SAFETY: no borrow lives while Python code runs.
    unsafe {
        let waiter = Owned::from_borrowed(fields(object).on_completed_fut);
        let exception = match exception {
            Some(exception) => Some(exception),
            None => match layout().exact(waiter.as_ptr()) {
                Some(future) if future.cell().state == State::Pending => {
                    return Err(raise(
                        ffi::PyExc_RuntimeError,
                        "await wasn't used with future",
                    ));
                }
                Some(future) => {
                    let result = outcome::result(future);
                    if result.is_null() {
                        Some(Owned::new(compat::take_raised())?)
                    } else {
                        drop(Owned::from_owned(result));
                        None
                    }
                }
                None => None,
            },
        };
        if let Some(exception) = exception {
            let cancelled =
                ffi::PyErr_GivenExceptionMatches(exception.as_ptr(), door().cancelled_error) != 0;
            if !cancelled {
                compat::set_raised(exception.into_ptr());
                return Err(Raised);
            }
            coro.hold(PENDING, exception.clone().into_ptr());
            if fields(object).aborting != ffi::Py_True() {
                coro.hold(PROPAGATE, exception.into_ptr());
                Owned::new(ffi::PyObject_CallMethodNoArgs(object, names()._abort))?;
            }
        }
        set(
            &raw mut (*object.cast::<GroupObject>()).on_completed_fut,
            ffi::Py_None(),
        );
    }
    Ok(())
}

/// All tasks are done: returns, or has asyncio's own method raise what there is to raise.
unsafe fn end(coro: CoroRef, object: &Owned) -> Sent {
    // SAFETY: no borrow lives while Python code runs.
    unsafe {
        let group = fields(object.as_ptr());
        let no_errors = !group.errors.is_null()
            && ffi::PyList_CheckExact(group.errors) != 0
            && ffi::PyList_GET_SIZE(group.errors) == 0;
        if no_errors
            && group.base_error == ffi::Py_None()
            && group.parent_cancel_requested == ffi::Py_False()
            && coro.held(PROPAGATE).is_null()
        {
            if compat::GROUP_FORGETS {
                forget(object.as_ptr());
            }
            let answer = if compat::GROUP_HAS_CANCEL {
                ffi::Py_True()
            } else {
                ffi::Py_None()
            };
            return Sent::Done(Owned::from_borrowed(answer).into_ptr());
        }
        let mut cancellation = coro.held(PROPAGATE);
        if cancellation.is_null() && compat::GROUP_HAS_CANCEL {
            cancellation = coro.held(PENDING);
        }
        if ASYNCIOS.get().uncancels_first {
            // This version does so before it waits only.
            set(
                &raw mut (*object.as_ptr().cast::<GroupObject>()).parent_cancel_requested,
                ffi::Py_False(),
            );
        }
        let none = ffi::Py_None();
        let asyncios = if cancellation.is_null() {
            asyncios_exit(object.as_ptr(), none, none, none)
        } else {
            asyncios_exit(object.as_ptr(), door().cancelled_error, cancellation, none)
        };
        coroutine::become_(coro, asyncios)
    }
}

/// asyncio's own `__aexit__`.
unsafe fn asyncios_exit(
    object: *mut ffi::PyObject,
    kind: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
    traceback: *mut ffi::PyObject,
) -> Python<Owned> {
    let args = [object, kind, value, traceback];
    // SAFETY: the objects live.
    unsafe {
        Owned::new(ffi::PyObject_Vectorcall(
            ASYNCIOS.get().aexit,
            args.as_ptr(),
            4,
            ptr::null_mut(),
        ))
    }
}

/// 3.14+: a group that is left lets go of what could be part of a cycle.
unsafe fn forget(object: *mut ffi::PyObject) {
    // SAFETY: raw pointers, so that no borrow lives while a finalizer runs.
    unsafe {
        let group = object.cast::<GroupObject>();
        for slot in [
            &raw mut (*group).parent_task,
            &raw mut (*group).errors,
            &raw mut (*group).base_error,
        ] {
            object::set(slot, ffi::Py_None());
        }
    }
}

/// Looks asyncio's methods up; called once, at import.
pub fn init(asyncios: &Owned) -> Python<()> {
    let aexit = attribute(asyncios, c"__aexit__")?;
    let names = attribute(&attribute(&aexit, c"__code__")?, c"co_names")?;
    let place = |name: &std::ffi::CStr| -> Python<ffi::Py_ssize_t> {
        // SAFETY: the names are a tuple of str.
        unsafe {
            let name = Owned::new(ffi::PyUnicode_FromString(name.as_ptr()))?;
            Ok(
                match ffi::PySequence_Contains(names.as_ptr(), name.as_ptr()) {
                    -1 => return Err(Raised),
                    0 => ffi::Py_ssize_t::MAX,
                    _ => ffi::PySequence_Index(names.as_ptr(), name.as_ptr()),
                },
            )
        }
    };
    // Names stand in the order of their first use.
    let uncancels_first = place(c"_parent_cancel_requested")? < place(c"_tasks")?;
    // SAFETY: the import runs alone.
    unsafe {
        *ASYNCIOS.get() = Asyncios {
            aenter: attribute(asyncios, c"__aenter__")?.into_ptr(),
            aexit: aexit.into_ptr(),
            uncancels_first,
        };
    }
    Ok(())
}
