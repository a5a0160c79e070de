//! What waits natively, as the `asyncio.Handle` that a program finds in `_ready` and `_scheduled`.
//!
//! A task's step has asyncio's own callables (`task/wrapper.rs`), in the task's context. All else becomes a handle that calls a
//! `_core.Item`: it holds what waits and runs it once. Either may be run by the loop, by whoever took it out, or put back.

use super::turn;
use crate::ffi::slot::clear_slot;
use crate::ffi::{Python, Raised, answer, gil::GilCell, owned::Owned, types::Type};
use crate::handle;
use crate::native_loop::Loop;
use crate::ready::{Ready, What};
use crate::task::{cell::TaskRef, current, wrapper};
use pyo3_ffi as ffi;
use rondeau_core::{Time, TimerKey};
use std::ffi::{c_int, c_void};
use std::ptr;

/// What waits: one item, or a child with its observer.
pub type Waiting = (Ready, Option<Ready>);

#[repr(C)]
struct Item {
    ob_base: ffi::PyObject,
    /// Strong.
    loop_: *mut ffi::PyObject,
    /// None once it ran. Zeroed memory is None.
    first: Option<Ready>,
    second: Option<Ready>,
}

static TYPE: GilCell<*mut ffi::PyTypeObject> = GilCell::new(ptr::null_mut());

/// A handle that runs what waits. Where none can be made, what waits is given back.
///
/// # Safety
/// The GIL is held; the loop lives.
pub unsafe fn handle_of(loop_: Loop, (first, second): Waiting) -> Result<Owned, Waiting> {
    // SAFETY: what is consumed is released only after the handle holds references of its own.
    unsafe {
        if first.is_handle() {
            return match first.take() {
                crate::ready::Turn::Handle(object) => Ok(Owned::from_owned(object)),
                _ => unreachable!("its tag says that it is a handle"),
            };
        }
        if first.what() == What::Task {
            return match step(loop_, &first) {
                Ok(made) => {
                    first.release();
                    Ok(made)
                }
                Err(Raised) => Err((first, second)),
            };
        }
        let Ok(made) = new(loop_) else {
            return Err((first, second));
        };
        match handle::new(loop_, made.as_ptr(), &[], ptr::null_mut()) {
            Ok(handle) => {
                fill(&made, first, second);
                Ok(handle)
            }
            Err(Raised) => Err((first, second)),
        }
    }
}

/// A timer that runs `alarm`, which waits under `key` and stays there: the timer takes its place.
///
/// # Safety
/// The GIL is held; the loop lives.
pub unsafe fn timer_of(loop_: Loop, due: Time, key: TimerKey) -> Python<()> {
    // SAFETY: the item is filled only once the timer has the alarm's place.
    unsafe {
        let made = new(loop_)?;
        let when = Owned::new(ffi::PyFloat_FromDouble(due.as_nanos() as f64 / 1e9))?;
        let timer = handle::new_timer(loop_, when, made.as_ptr(), &[], ptr::null_mut())?;
        let place = Ready::handle(timer.clone().into_ptr());
        match loop_.parts().timers.replace(key, place) {
            Ok(alarm) => {
                handle::set_scheduled(timer.as_ptr(), key);
                fill(&made, alarm, None);
            }
            Err(place) => place.release(), // It ended while these were made.
        }
        Ok(())
    }
}

/// A task's next step, as asyncio schedules it.
unsafe fn step(loop_: Loop, ready: &Ready) -> Python<Owned> {
    // SAFETY: the item keeps the task alive, and the task its waiter.
    unsafe {
        let task = TaskRef::of(ready.object());
        let waiter = task.cell().waiter;
        let context = *task.context();
        if ready.is_wakeup() && !waiter.is_null() {
            let wakeup = wrapper::wakeup(task.object())?;
            return handle::new(loop_, wakeup.as_ptr(), &[waiter], context);
        }
        let step = wrapper::step(task.object(), ptr::null_mut())?;
        handle::new(loop_, step.as_ptr(), &[], context)
    }
}

unsafe fn new(loop_: Loop) -> Python<Owned> {
    // SAFETY: a fresh instance is zeroed; it takes a reference of its own.
    unsafe {
        let made = Owned::new(ffi::PyType_GenericAlloc(*TYPE.get(), 0))?;
        ffi::Py_INCREF(loop_.object());
        (*made.as_ptr().cast::<Item>()).loop_ = loop_.object();
        Ok(made)
    }
}

unsafe fn fill(item: &Owned, first: Ready, second: Option<Ready>) {
    // SAFETY: an item, whose fields are None.
    unsafe {
        let fields = item.as_ptr().cast::<Item>();
        ptr::write(&raw mut (*fields).first, Some(first));
        ptr::write(&raw mut (*fields).second, second);
    }
}

unsafe fn take(object: *mut ffi::PyObject) -> [Option<Ready>; 2] {
    // SAFETY: an instance.
    unsafe {
        let fields = object.cast::<Item>();
        [(*fields).first.take(), (*fields).second.take()]
    }
}

unsafe extern "C" fn call(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance; loop and item are kept alive over the call.
    unsafe {
        let fields = object.cast::<Item>();
        if (*fields).loop_.is_null() {
            return answer::none(Ok(()));
        }
        let alive = Owned::from_borrowed((*fields).loop_);
        let loop_ = Loop::from_object(alive.as_ptr());
        answer::none(current::apart(loop_, || {
            for ready in take(object).into_iter().flatten() {
                turn::run_one(loop_, ready)?;
            }
            Ok(())
        }))
    }
}

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the collector calls this on an instance; what is visited is live.
    unsafe {
        let fields = object.cast::<Item>();
        let held = |ready: &Option<Ready>| ready.as_ref().map_or(ptr::null_mut(), Ready::object);
        crate::ffi::visit::each(
            &[
                ffi::Py_TYPE(object).cast(),
                (*fields).loop_,
                held(&(*fields).first),
                held(&(*fields).second),
            ],
            visit,
            arg,
        )
    }
}

unsafe extern "C" fn clear(object: *mut ffi::PyObject) -> c_int {
    // SAFETY: what is taken out is released after the fields are empty.
    unsafe {
        for ready in take(object).into_iter().flatten() {
            ready.release();
        }
        clear_slot(&raw mut (*object.cast::<Item>()).loop_);
    }
    0
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: the last reference is gone; the instance is untracked before it is taken apart.
    unsafe {
        let kind = ffi::Py_TYPE(object);
        ffi::PyObject_GC_UnTrack(object.cast());
        clear(object);
        ffi::PyObject_GC_Del(object.cast());
        ffi::Py_DECREF(kind.cast());
    }
}

/// `repr`: of what it runs.
unsafe extern "C" fn repr(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance; the format has one %R.
    unsafe {
        let fields = object.cast::<Item>();
        let ready = (*fields).second.as_ref().or((*fields).first.as_ref());
        match ready.map(Ready::object) {
            None => ffi::PyUnicode_FromString(c"<rondeau._core.Item that ran>".as_ptr()),
            Some(held) => {
                let held = Owned::from_borrowed(held);
                ffi::PyUnicode_FromFormat(c"<rondeau._core.Item of %R>".as_ptr(), held.as_ptr())
            }
        }
    }
}

/// Makes the type.
pub fn init() -> Python<()> {
    let kind = Type {
        name: c"rondeau._core.Item",
        size: size_of::<Item>(),
        flags: ffi::Py_TPFLAGS_HAVE_GC
            | ffi::Py_TPFLAGS_IMMUTABLETYPE
            | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION,
        slots: vec![
            (ffi::Py_tp_call, call as *mut c_void),
            (ffi::Py_tp_repr, repr as *mut c_void),
            (ffi::Py_tp_traverse, traverse as *mut c_void),
            (ffi::Py_tp_clear, clear as *mut c_void),
            (ffi::Py_tp_dealloc, dealloc as *mut c_void),
        ],
    };
    // SAFETY: the slots match their numbers and the size is the instance struct's; the import runs alone.
    unsafe {
        *TYPE.get() = kind.build(ptr::null_mut())?.into_ptr().cast();
    }
    Ok(())
}
