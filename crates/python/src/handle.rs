//! The handles that `call_soon`, `call_at` and `add_reader` return: asyncio's own `Handle` and `TimerHandle`, allocated and
//! released natively.
//!
//! The native types are subclasses without fields of their own (the timer has one): they write straight into the
//! `__slots__` of asyncio's classes, so repr, `when`, comparison, `_run` and whatever a later Python adds is asyncio's
//! code on asyncio's layout. Only what is hot is native: making (no zeroing: every slot is written), cancelling, running, freeing.
//!
//! A handle of `call_soon` is not tracked by the collector while it waits for its turn: mostly nobody keeps it, and it dies
//! right after (15 of 190 ns). If somebody does, it is tracked when its turn is over; until then the loop keeps it alive anyway. The loop's
//! traverse looks through such a handle, so that a forgotten loop with work on its agenda is still collected.
//!
//! Invariants: every slot is filled, as `Handle.__init__` does; `_args` is a tuple, or None once cancelled.
//! Rejected: a free-standing type (`isinstance(h, asyncio.Handle)` fails); a freelist (measured: no gain).

use crate::door::{Door, HandleSlots, door};
use crate::event_loop::state::Loop;
use crate::ffi::{Python, Raised, call::vectorcall, compat, gil::GilCell, names::names, owned::Owned, types};
use pyo3_ffi as ffi;
use rondeau_core::TimerKey;
use std::ptr;

static HANDLE: GilCell<*mut ffi::PyTypeObject> = GilCell::new(ptr::null_mut());
static TIMER: GilCell<*mut ffi::PyTypeObject> = GilCell::new(ptr::null_mut());

/// One slot of a handle.
///
/// # Safety
/// `handle` is an `asyncio.Handle`, and `offset` one of its slots' offsets (of a timer's for a timer).
#[inline]
pub unsafe fn slot<'a>(handle: *mut ffi::PyObject, offset: isize) -> &'a mut *mut ffi::PyObject {
    // SAFETY: the caller's contract: the slot lies inside the instance.
    unsafe { &mut *handle.byte_offset(offset).cast::<*mut ffi::PyObject>() }
}

/// Where a native timer keeps its key.
#[inline]
unsafe fn timer_key<'a>(handle: *mut ffi::PyObject) -> &'a mut Option<TimerKey> {
    // SAFETY: the caller has a native timer, whose instance ends with this field.
    unsafe { &mut *handle.byte_add(key_offset(door())).cast::<Option<TimerKey>>() }
}

fn key_offset(door: &Door) -> usize {
    door.slots.timer_size.next_multiple_of(align_of::<Option<TimerKey>>())
}

#[inline]
unsafe fn args_tuple(args: &[*mut ffi::PyObject]) -> Python<*mut ffi::PyObject> {
    // SAFETY: the arguments are live; the new tuple takes a reference to each before anyone sees it.
    unsafe {
        if args.is_empty() {
            let empty = door().empty_tuple;
            ffi::Py_INCREF(empty);
            return Ok(empty);
        }
        let tuple = ffi::PyTuple_New(args.len() as ffi::Py_ssize_t);
        if tuple.is_null() {
            return Err(Raised);
        }
        for (index, arg) in args.iter().enumerate() {
            ffi::Py_INCREF(*arg);
            ffi::PyTuple_SET_ITEM(tuple, index as ffi::Py_ssize_t, *arg);
        }
        Ok(tuple)
    }
}

/// An instance with the slots filled that every handle has: not zeroed first, and not yet known to the collector.
#[inline]
unsafe fn fill(
    kind: *mut ffi::PyTypeObject,
    loop_: Loop,
    callback: *mut ffi::PyObject,
    args: &[*mut ffi::PyObject],
    context: *mut ffi::PyObject,
) -> Python<Owned> {
    // SAFETY: `kind` is one of the two native types, so the slots lie inside; all references are made before they are stored.
    unsafe {
        let context = if context.is_null() || context == ffi::Py_None() {
            Owned::new(ffi::PyContext_CopyCurrent())?
        } else {
            Owned::from_borrowed(context)
        };
        let args = Owned::from_owned(args_tuple(args)?);
        let object = spare::take(kind);
        if object.is_null() {
            return Err(Raised);
        }
        let slots = &door().slots;
        let none = ffi::Py_None();
        ffi::Py_INCREF(callback);
        *slot(object, slots.callback) = callback;
        *slot(object, slots.args) = args.into_ptr();
        ffi::Py_INCREF(loop_.object());
        *slot(object, slots.loop_) = loop_.object();
        *slot(object, slots.context) = context.into_ptr();
        *slot(object, slots.cancelled) = ffi::Py_False();
        ffi::Py_INCREF(ffi::Py_False());
        ffi::Py_INCREF(none);
        *slot(object, slots.source_traceback) = none;
        ffi::Py_INCREF(none);
        *slot(object, slots.repr) = none;
        *slot(object, slots.weak) = ptr::null_mut();
        Ok(Owned::from_owned(object))
    }
}

/// Shows a handle whose slots are all filled to the collector, and in debug mode notes where it was made.
#[inline]
unsafe fn announce(loop_: Loop, handle: Owned) -> Python<Owned> {
    // SAFETY: the instance is whole.
    unsafe {
        ffi::PyObject_GC_Track(handle.as_ptr().cast());
        if loop_.parts().debug {
            note_source(handle.as_ptr())?;
        }
    }
    Ok(handle)
}

#[cold]
unsafe fn note_source(handle: *mut ffi::PyObject) -> Python<()> {
    let stack = crate::door::cold(c"source_traceback", &[])?;
    // SAFETY: the slot lies inside and holds None.
    unsafe { replace(slot(handle, door().slots.source_traceback), stack.into_ptr()) };
    Ok(())
}

/// Stores an owned reference and only then releases the old one, whose finalizer may look at the slot.
unsafe fn replace(slot: &mut *mut ffi::PyObject, value: *mut ffi::PyObject) {
    let old = std::mem::replace(slot, value);
    // SAFETY: the slot's reference was ours.
    unsafe { ffi::Py_XDECREF(old) };
}

/// A handle for the agenda: not tracked by the collector before its turn is over (`leave_agenda`). `context` NULL or None
/// copies the current one.
///
/// # Safety
/// The loop and the objects are live, and the handle goes onto the loop's agenda.
#[inline]
pub unsafe fn new_soon(
    loop_: Loop,
    callback: *mut ffi::PyObject,
    args: &[*mut ffi::PyObject],
    context: *mut ffi::PyObject,
) -> Python<Owned> {
    // SAFETY: the caller's contract; the type was made at import.
    unsafe {
        let handle = fill(*HANDLE.get(), loop_, callback, args, context)?;
        if loop_.parts().debug {
            note_source(handle.as_ptr())?;
        }
        Ok(handle)
    }
}

/// Releases the agenda's reference to a handle. Who else holds it may be part of a cycle with it from now on.
///
/// # Safety
/// The reference is the caller's.
#[inline]
pub unsafe fn leave_agenda(handle: *mut ffi::PyObject) {
    // SAFETY: the type is checked before the object is taken for a native handle, which is whole.
    unsafe {
        if ffi::Py_TYPE(handle) == *HANDLE.get() {
            if ffi::Py_REFCNT(handle) == 1 {
                // What DECREF comes to, without the way through the type (2 ns).
                return dealloc(handle);
            }
            if ffi::PyObject_GC_IsTracked(handle) == 0 {
                ffi::PyObject_GC_Track(handle.cast());
            }
        }
        ffi::Py_DECREF(handle);
    }
}

/// Visits what is on the agenda: a handle that only the agenda holds and that the collector does not know is visited through.
///
/// # Safety
/// Called from a loop's traverse, with a live object.
pub unsafe fn visit_on_agenda(object: *mut ffi::PyObject, visit: ffi::visitproc, arg: *mut std::ffi::c_void) -> i32 {
    // SAFETY: the type is checked before the object is taken for a native handle.
    unsafe {
        if ffi::Py_TYPE(object) == *HANDLE.get()
            && ffi::Py_REFCNT(object) == 1
            && ffi::PyObject_GC_IsTracked(object) == 0
        {
            return traverse(object, visit, arg);
        }
        visit(object, arg)
    }
}

/// A tracked handle that is not on the agenda. `context` NULL or None copies the current one.
///
/// # Safety
/// The loop and the objects are live.
#[inline]
pub unsafe fn new(
    loop_: Loop,
    callback: *mut ffi::PyObject,
    args: &[*mut ffi::PyObject],
    context: *mut ffi::PyObject,
) -> Python<Owned> {
    // SAFETY: the caller's contract; the type was made at import.
    unsafe {
        let handle = fill(*HANDLE.get(), loop_, callback, args, context)?;
        announce(loop_, handle)
    }
}

/// Makes a handle and puts it on the agenda.
///
/// # Safety
/// The loop and the objects are live.
#[inline]
pub unsafe fn call_soon(
    loop_: Loop,
    callback: *mut ffi::PyObject,
    args: &[*mut ffi::PyObject],
    context: *mut ffi::PyObject,
) -> Python<()> {
    // SAFETY: the caller's contract.
    unsafe {
        let handle = new_soon(loop_, callback, args, context)?;
        loop_.schedule(crate::ready::Ready::handle(handle.into_ptr()));
    }
    Ok(())
}

/// A timer that is not scheduled yet; `when` is the Python number that `when()` returns.
///
/// # Safety
/// The loop and the objects are live.
#[inline]
pub unsafe fn new_timer(
    loop_: Loop,
    when: Owned,
    callback: *mut ffi::PyObject,
    args: &[*mut ffi::PyObject],
    context: *mut ffi::PyObject,
) -> Python<Owned> {
    // SAFETY: the caller's contract; the extra slots lie inside a timer.
    unsafe {
        let handle = fill(*TIMER.get(), loop_, callback, args, context)?;
        let slots = &door().slots;
        *slot(handle.as_ptr(), slots.when) = when.into_ptr();
        *slot(handle.as_ptr(), slots.scheduled) = ffi::Py_False();
        ffi::Py_INCREF(ffi::Py_False());
        *timer_key(handle.as_ptr()) = None;
        announce(loop_, handle)
    }
}

/// Notes that the timer waits under `key`.
///
/// # Safety
/// `handle` is a native timer.
#[inline]
pub unsafe fn set_scheduled(handle: *mut ffi::PyObject, key: TimerKey) {
    // SAFETY: the caller's contract; True and False have no finalizer.
    unsafe {
        *timer_key(handle) = Some(key);
        ffi::Py_INCREF(ffi::Py_True());
        replace(slot(handle, door().slots.scheduled), ffi::Py_True());
    }
}

/// Notes that the timer left the timers because it is due.
///
/// # Safety
/// `handle` is a live handle.
#[inline]
pub unsafe fn set_due(handle: *mut ffi::PyObject) {
    // SAFETY: the type is checked before the layout is relied on.
    unsafe {
        if ffi::Py_TYPE(handle) == *TIMER.get() {
            *timer_key(handle) = None;
            ffi::Py_INCREF(ffi::Py_False());
            replace(slot(handle, door().slots.scheduled), ffi::Py_False());
        }
    }
}

/// Whether the handle was cancelled.
///
/// # Safety
/// `handle` is a live `asyncio.Handle`.
#[inline]
pub unsafe fn is_cancelled(handle: *mut ffi::PyObject) -> bool {
    // SAFETY: the caller's contract.
    unsafe { *slot(handle, door().slots.cancelled) == ffi::Py_True() }
}

/// Runs the callback in its context. Err only for what must leave the loop: KeyboardInterrupt and SystemExit.
///
/// # Safety
/// `handle` is a live `asyncio.Handle` that the caller keeps alive.
#[inline]
pub unsafe fn run(loop_: Loop, handle: *mut ffi::PyObject) -> Python<()> {
    let slots: &HandleSlots = &door().slots;
    // SAFETY: callback, args and context live over the call: either nobody but the caller knows the handle and can cancel it,
    // or they are kept alive here.
    unsafe {
        if is_cancelled(handle) {
            return Ok(());
        }
        let callback = *slot(handle, slots.callback);
        let args = *slot(handle, slots.args);
        let context = *slot(handle, slots.context);
        if ffi::Py_REFCNT(handle) == 1 {
            return call(loop_, handle, callback, args, context);
        }
        let kept = [callback, args, context].map(|object| Owned::from_borrowed(object));
        let done = call(loop_, handle, callback, args, context);
        if done.is_err() {
            let raised = compat::take_raised();
            drop(kept);
            compat::set_raised(raised);
        }
        done
    }
}

#[inline]
unsafe fn call(
    loop_: Loop,
    handle: *mut ffi::PyObject,
    callback: *mut ffi::PyObject,
    args: *mut ffi::PyObject,
    context: *mut ffi::PyObject,
) -> Python<()> {
    // SAFETY: the caller keeps all four alive.
    unsafe {
        if ffi::PyContext_Enter(context) != 0 {
            return failed(loop_, handle);
        }
        let items = (&raw mut (*args.cast::<ffi::PyTupleObject>()).ob_item).cast::<*mut ffi::PyObject>();
        let count = ffi::PyTuple_GET_SIZE(args) as usize;
        let result = vectorcall(callback, items, count);
        let left = ffi::PyContext_Exit(context);
        if result.is_null() || left != 0 {
            ffi::Py_XDECREF(result);
            return failed(loop_, handle);
        }
        ffi::Py_DECREF(result);
        Ok(())
    }
}

#[cold]
unsafe fn failed(loop_: Loop, handle: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: an exception is set; what leaves the loop stays set, the rest is taken and reported.
    unsafe {
        if ffi::PyErr_ExceptionMatches(ffi::PyExc_KeyboardInterrupt) != 0
            || ffi::PyErr_ExceptionMatches(ffi::PyExc_SystemExit) != 0
        {
            return Err(Raised);
        }
        let exception = Owned::new(compat::take_raised())?;
        crate::door::cold(c"callback_failed", &[loop_.object(), handle, exception.as_ptr()])?;
        Ok(())
    }
}

/// Cancels a handle of either native type: drops callback and arguments at once, and a timer's place in the loop.
///
/// # Safety
/// `handle` is a live native handle.
unsafe fn cancel_native(handle: *mut ffi::PyObject, timer: bool) -> Python<()> {
    let slots = &door().slots;
    // SAFETY: the slots lie inside; each reference is stored before the old one is released.
    unsafe {
        if is_cancelled(handle) {
            return Ok(());
        }
        ffi::Py_INCREF(ffi::Py_True());
        replace(slot(handle, slots.cancelled), ffi::Py_True());
        let loop_ = Loop::from_object(*slot(handle, slots.loop_));
        if loop_.parts().debug {
            let repr = Owned::new(ffi::PyObject_Repr(handle))?;
            replace(slot(handle, slots.repr), repr.into_ptr());
        }
        if timer && let Some(key) = timer_key(handle).take() {
            let removed = loop_.parts().timers.cancel(key);
            ffi::Py_INCREF(ffi::Py_False());
            replace(slot(handle, slots.scheduled), ffi::Py_False());
            if let Some(ready) = removed {
                ready.release();
            }
        }
        ffi::Py_INCREF(ffi::Py_None());
        replace(slot(handle, slots.callback), ffi::Py_None());
        ffi::Py_INCREF(ffi::Py_None());
        replace(slot(handle, slots.args), ffi::Py_None());
    }
    Ok(())
}

unsafe fn none_or_raised(done: Python<()>) -> *mut ffi::PyObject {
    match done {
        Ok(()) => {
            // SAFETY: None is live.
            unsafe {
                ffi::Py_INCREF(ffi::Py_None());
                ffi::Py_None()
            }
        }
        Err(Raised) => ptr::null_mut(),
    }
}

unsafe extern "C" fn cancel_handle(handle: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance of the type.
    unsafe { none_or_raised(cancel_native(handle, false)) }
}

unsafe extern "C" fn cancel_timer(handle: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance of the type; the reference keeps it alive while its own is released.
    unsafe {
        let alive = Owned::from_borrowed(handle);
        none_or_raised(cancel_native(alive.as_ptr(), true))
    }
}

/// Cancels any handle: natively where it is native, else through its method.
///
/// # Safety
/// `handle` is a live `asyncio.Handle`.
pub unsafe fn cancel(handle: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the type is checked before the layout is relied on.
    unsafe {
        let kind = ffi::Py_TYPE(handle);
        if kind == *HANDLE.get() || kind == *TIMER.get() {
            return cancel_native(handle, kind == *TIMER.get());
        }
        Owned::new(ffi::PyObject_CallMethodNoArgs(handle, names().cancel)).map(drop)
    }
}

fn all_slots(kind: *mut ffi::PyTypeObject) -> ([isize; 8], usize) {
    let s = &door().slots;
    let all = [s.callback, s.args, s.loop_, s.context, s.cancelled, s.source_traceback, s.repr, s.when];
    // SAFETY: set at import.
    let timer = unsafe { kind == *TIMER.get() };
    (all, if timer { 8 } else { 7 })
}

unsafe extern "C" fn traverse(handle: *mut ffi::PyObject, visit: ffi::visitproc, arg: *mut std::ffi::c_void) -> i32 {
    // SAFETY: the collector calls this on a live instance; the slots lie inside.
    unsafe {
        let kind = ffi::Py_TYPE(handle);
        let result = visit(kind.cast(), arg);
        if result != 0 {
            return result;
        }
        let (slots, count) = all_slots(kind);
        for offset in &slots[..count] {
            let object = *slot(handle, *offset);
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
        let (slots, count) = all_slots(ffi::Py_TYPE(handle));
        for offset in &slots[..count] {
            replace(slot(handle, *offset), ptr::null_mut());
        }
    }
    0
}

unsafe extern "C" fn dealloc(handle: *mut ffi::PyObject) {
    // SAFETY: the last reference is gone; a timer in the loop is held by the loop, so no key is left behind.
    unsafe {
        let kind = ffi::Py_TYPE(handle);
        let slots = &door().slots;
        ffi::PyObject_GC_UnTrack(handle.cast());
        if !(*slot(handle, slots.weak)).is_null() {
            ffi::PyObject_ClearWeakRefs(handle);
        }
        for offset in [slots.callback, slots.args, slots.context, slots.loop_, slots.source_traceback, slots.repr, slots.cancelled] {
            ffi::Py_XDECREF(*slot(handle, offset));
        }
        if kind == *TIMER.get() {
            ffi::Py_XDECREF(*slot(handle, slots.when));
            ffi::Py_XDECREF(*slot(handle, slots.scheduled));
        }
        if !spare::give(handle, kind) {
            ffi::PyObject_GC_Del(handle.cast());
            ffi::Py_DECREF(kind.cast());
        }
    }
}

mod spare {
    //! Memory of handles that died, for the next ones: a chain of callbacks makes and frees one a turn.
    use super::{HANDLE, ffi};
    use crate::ffi::gil::GilCell;

    const MOST: usize = 128;
    static SPARE: GilCell<(usize, [*mut ffi::PyObject; MOST])> = GilCell::new((0, [std::ptr::null_mut(); MOST]));

    /// An instance whose slots hold nothing of meaning; NULL with an exception set.
    #[inline]
    pub unsafe fn take(kind: *mut ffi::PyTypeObject) -> *mut ffi::PyObject {
        // SAFETY: what is spare is memory of a dead HANDLE, its collector's header, type and reference to the type included.
        unsafe {
            let (count, spare) = SPARE.get();
            if *count == 0 || kind != *HANDLE.get() {
                return ffi::PyObject_GC_New::<ffi::PyObject>(kind);
            }
            *count -= 1;
            spare[*count]
        }
    }

    /// Takes over the memory of a dead, untracked instance; false if it is not wanted.
    #[inline]
    pub unsafe fn give(handle: *mut ffi::PyObject, kind: *mut ffi::PyTypeObject) -> bool {
        // SAFETY: the caller has the last use of it.
        unsafe {
            let (count, spare) = SPARE.get();
            let wanted = *count < MOST && kind == *HANDLE.get();
            if wanted {
                // It lies here with the one reference that `take` gives out; a death by DECREF left none.
                if ffi::Py_REFCNT(handle) == 0 {
                    ffi::Py_INCREF(handle);
                }
                spare[*count] = handle;
                *count += 1;
            }
            wanted
        }
    }
}

/// Makes the two types and adds them to the module.
pub fn init(module: *mut ffi::PyObject) -> Python<()> {
    let door = door();
    let flags = ffi::Py_TPFLAGS_HAVE_GC | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION;
    for (name, cell, base, size, cancel) in [
        (c"rondeau._core.Handle", &HANDLE, door.handle, 0, cancel_handle as types::One),
        (c"rondeau._core.TimerHandle", &TIMER, door.timer_handle, key_offset(door) + size_of::<Option<TimerKey>>(), cancel_timer),
    ] {
        let methods = types::table([types::noargs(c"cancel", cancel, c"cancel($self, /)\n--\n\nCancel the callback.")]);
        let kind = types::Type {
            name,
            size,
            flags: flags as u64,
            slots: vec![
                (ffi::Py_tp_methods, methods),
                (ffi::Py_tp_traverse, traverse as *mut std::ffi::c_void),
                (ffi::Py_tp_clear, clear as *mut std::ffi::c_void),
                (ffi::Py_tp_dealloc, dealloc as *mut std::ffi::c_void),
            ],
        };
        // SAFETY: the slots match their numbers; the size covers asyncio's slots and the key.
        unsafe {
            let kind = kind.build(base.cast())?;
            if ffi::PyModule_AddType(module, kind.as_ptr().cast()) != 0 {
                return Err(Raised);
            }
            *cell.get() = kind.into_ptr().cast();
        }
    }
    Ok(())
}
