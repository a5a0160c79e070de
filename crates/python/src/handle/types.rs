//! What CPython asks of the handle types: traverse, clear, dealloc, and their making at import.

use super::cancel::{cancel_handle, cancel_threadsafe, cancel_timer, cancelled_threadsafe};
use super::{HANDLE, THREADSAFE, TIMER, is, key_offset, replace, slot, spare};
use crate::door::door;
use crate::ffi::{Python, compat, gil::GilCell, types};
use pyo3_ffi as ffi;
use rondeau_core::TimerKey;
use std::ffi::{CStr, c_void};
use std::ptr;

/// The slots of an instance that may hold something the collector must see.
fn visited(kind: *mut ffi::PyTypeObject) -> impl Iterator<Item = isize> {
    let s = &door().slots;
    // SAFETY: set at import.
    let (timer, threadsafe) = unsafe { (kind == *TIMER.get(), kind == *THREADSAFE.get()) };
    let every = [
        s.callback,
        s.args,
        s.loop_,
        s.context,
        s.cancelled,
        s.source_traceback,
        s.repr,
    ];
    every
        .into_iter()
        .chain(timer.then_some(s.when))
        .chain(threadsafe.then_some(s.lock))
}

unsafe extern "C" fn traverse(
    handle: *mut ffi::PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> i32 {
    // SAFETY: the collector calls this on a live instance; the slots lie inside.
    unsafe {
        let kind = ffi::Py_TYPE(handle);
        let result = visit(kind.cast(), arg);
        if result != 0 {
            return result;
        }
        for offset in visited(kind) {
            let object = *slot(handle, offset);
            if !object.is_null() {
                let result = visit(object, arg);
                if result != 0 {
                    return result;
                }
            }
        }
    }
    0
}

unsafe extern "C" fn clear(handle: *mut ffi::PyObject) -> i32 {
    // SAFETY: as in traverse; each slot is emptied before its reference is released.
    unsafe {
        for offset in visited(ffi::Py_TYPE(handle)) {
            replace(slot(handle, offset), ptr::null_mut());
        }
    }
    0
}

/// Frees an instance. The last reference is gone, or is the caller's and there are no weak ones.
pub unsafe extern "C" fn dealloc(handle: *mut ffi::PyObject) {
    // SAFETY: nobody else knows it any more; a timer in the loop is held by the loop, so no key is left behind.
    unsafe {
        let kind = ffi::Py_TYPE(handle);
        let slots = &door().slots;
        ffi::PyObject_GC_UnTrack(handle.cast());
        if !(*slot(handle, slots.weak)).is_null() {
            ffi::PyObject_ClearWeakRefs(handle);
        }
        for offset in [slots.callback, slots.args, slots.context, slots.loop_] {
            ffi::Py_XDECREF(*slot(handle, offset));
        }
        for offset in [slots.source_traceback, slots.repr] {
            let held = *slot(handle, offset);
            if !compat::SINGLETONS_ARE_IMMORTAL || held != ffi::Py_None() {
                ffi::Py_XDECREF(held);
            }
        }
        if !compat::SINGLETONS_ARE_IMMORTAL {
            ffi::Py_XDECREF(*slot(handle, slots.cancelled));
        }
        if kind == *TIMER.get() {
            ffi::Py_XDECREF(*slot(handle, slots.when));
            ffi::Py_XDECREF(*slot(handle, slots.scheduled));
        } else if kind == *THREADSAFE.get() {
            ffi::Py_XDECREF(*slot(handle, slots.lock));
        }
        if !spare::give(handle, kind) {
            ffi::PyObject_GC_Del(handle.cast());
            ffi::Py_DECREF(kind.cast());
        }
    }
}

/// Visits what the loop holds, on the agenda or among the timers. A handle that the collector does not know is visited through:
/// one of the agenda's where nobody else holds it, and a sleeper's timer, which only the sleeper's frame may hold too.
///
/// # Safety
/// Called from a loop's traverse, with a live object.
pub unsafe fn visit_held(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> i32 {
    // SAFETY: the type is checked before the object is taken for a native handle.
    unsafe {
        let timer = is(object, &TIMER);
        if (timer || is(object, &HANDLE) || is(object, &THREADSAFE))
            && (timer || ffi::Py_REFCNT(object) == 1)
            && ffi::PyObject_GC_IsTracked(object) == 0
        {
            let result = traverse(object, visit, arg);
            if result == 0 && timer {
                return traverse_untracked(*slot(object, door().slots.args), visit, arg);
            }
            return result;
        }
        visit(object, arg)
    }
}

/// The items of an arguments tuple that the collector does not know either.
unsafe fn traverse_untracked(
    args: *mut ffi::PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> i32 {
    // SAFETY: a handle's arguments are a tuple, None or NULL; the items are borrowed.
    unsafe {
        if args.is_null()
            || ffi::PyTuple_CheckExact(args) == 0
            || ffi::PyObject_GC_IsTracked(args) != 0
        {
            return 0;
        }
        (0..ffi::PyTuple_GET_SIZE(args))
            .map(|index| visit(ffi::PyTuple_GET_ITEM(args, index), arg))
            .find(|result| *result != 0)
            .unwrap_or(0)
    }
}

/// Lets the collector know a handle that others may hold from now on, and its arguments.
///
/// # Safety
/// `handle` is a live native handle, whole.
#[inline]
pub unsafe fn show(handle: *mut ffi::PyObject) {
    // SAFETY: the slots lie inside.
    unsafe {
        if ffi::PyObject_GC_IsTracked(handle) != 0 {
            return;
        }
        ffi::PyObject_GC_Track(handle.cast());
        let args = *slot(handle, door().slots.args);
        if !args.is_null()
            && ffi::PyTuple_CheckExact(args) != 0
            && ffi::PyTuple_GET_SIZE(args) > 0
            && ffi::PyObject_GC_IsTracked(args) == 0
        {
            ffi::PyObject_GC_Track(args.cast());
        }
    }
}

/// `_lock` of a thread-safe handle: made when its callback runs, or when somebody who runs it by `_run()` asks.
unsafe extern "C" fn get_lock(handle: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance of the type, which has the slot.
    unsafe { crate::ffi::answer::object(super::run::lock_of(handle)) }
}

/// Makes the types and adds them to the module.
pub fn init(module: *mut ffi::PyObject) -> Python<()> {
    let door = door();
    let cancel = |function| {
        types::noargs(
            c"cancel",
            function,
            c"cancel($self, /)\n--\n\nCancel the callback.",
        )
    };
    let plain = types::table([cancel(cancel_handle)]);
    let timer = types::table([cancel(cancel_timer)]);
    let locked = types::table([
        cancel(cancel_threadsafe),
        types::noargs(
            c"cancelled",
            cancelled_threadsafe,
            c"cancelled($self, /)\n--\n\nWhether it was cancelled.",
        ),
    ]);
    let with_key = key_offset(door) + size_of::<Option<TimerKey>>();
    make(
        module,
        &HANDLE,
        c"rondeau._core.Handle",
        door.handle,
        0,
        plain,
        &[],
    )?;
    make(
        module,
        &TIMER,
        c"rondeau._core.TimerHandle",
        door.timer_handle,
        with_key,
        timer,
        &[],
    )?;
    if !door.threadsafe_handle.is_null() {
        make(
            module,
            &THREADSAFE,
            c"rondeau._core._ThreadSafeHandle",
            door.threadsafe_handle,
            0,
            locked,
            &[types::attribute(c"_lock", get_lock, None)],
        )?;
    }
    Ok(())
}

fn make(
    module: *mut ffi::PyObject,
    cell: &GilCell<*mut ffi::PyTypeObject>,
    name: &'static CStr,
    base: *mut ffi::PyTypeObject,
    size: usize,
    methods: *mut c_void,
    attributes: &[ffi::PyGetSetDef],
) -> Python<()> {
    let kind = types::Type {
        name,
        size,
        flags: ffi::Py_TPFLAGS_HAVE_GC | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION,
        slots: vec![
            (
                ffi::Py_tp_doc,
                c"What a callback is scheduled with; cancel() takes it back.".as_ptr()
                    as *mut c_void,
            ),
            (ffi::Py_tp_methods, methods),
            (ffi::Py_tp_getset, types::table_of(attributes.to_vec())),
            (ffi::Py_tp_traverse, traverse as *mut c_void),
            (ffi::Py_tp_clear, clear as *mut c_void),
            (ffi::Py_tp_dealloc, dealloc as *mut c_void),
        ],
    };
    // SAFETY: the slots match their numbers; the size covers asyncio's slots and the key.
    unsafe {
        let kind = kind.publish(module, base.cast())?;
        let theirs = crate::ffi::owned::Owned::from_borrowed(base.cast());
        crate::stand_in::native::put(kind.cast(), kind, &theirs, &[c"cancel"])?;
        *cell.get() = kind;
    }
    Ok(())
}
