//! The futures that an iterator observes: each that is done goes from `todo` into `done`, a native queue, from which the coroutines of
//! `next` take. When the time is over, as many None go in as futures are left.

use super::Known;
use super::iterator::IteratorRef;
use crate::ffi::slot::set_slot;
use crate::ffi::{Python, Raised, compat, owned::Owned};
use crate::future::callbacks;
use crate::future::cell::{Entry, FutureRef, State};
use crate::future::layout::layout;
use crate::native_loop::Loop;
use crate::observer;
use crate::sleep::{after, arm};
use crate::sync::done_queue;
use crate::task::{self, awaited_by, current};
use pyo3_ffi as ffi;
use std::ptr;

/// The items of a list that nothing changes meanwhile, borrowed.
///
/// # Safety
/// A list.
pub unsafe fn each(list: &Owned) -> impl Iterator<Item = *mut ffi::PyObject> {
    let list = list.as_ptr();
    // SAFETY: the caller's contract; the index is within the list.
    (0..unsafe { ffi::PyList_GET_SIZE(list) })
        .map(move |index| unsafe { ffi::PyList_GET_ITEM(list, index) })
}

/// Makes tasks of what are coroutines, and observes all of them.
///
/// # Safety
/// The iterator lives and has not begun.
pub unsafe fn begin(this: IteratorRef, known: Known) -> Python<()> {
    // SAFETY: no borrow lives while Python code runs; the lists are our own.
    unsafe {
        let Known {
            loop_,
            unique,
            eager,
            seconds,
            ..
        } = known;
        let done = done_queue::new()?;
        set_slot(&raw mut this.get().done, done.into_ptr());
        let object = Owned::from_borrowed(loop_.object());
        set_slot(&raw mut this.get().loop_, object.into_ptr());
        let caller = if compat::TASKS_IN_THREAD_STATE {
            current::get(loop_)?
        } else {
            None
        };
        let todo = Owned::new(ffi::PySet_New(ptr::null_mut()))?;
        // In the order in which asyncio's two sets have them.
        let given = Owned::new(ffi::PySequence_List(unique.as_ptr()))?;
        for object in each(&given) {
            let future = match layout().exact(object) {
                Some(_) => Owned::from_borrowed(object),
                None => Owned::new(task::new(
                    loop_,
                    object,
                    ptr::null_mut(),
                    ptr::null_mut(),
                    eager,
                ))?,
            };
            if ffi::PySet_Add(todo.as_ptr(), future.as_ptr()) != 0 {
                return Err(Raised);
            }
        }
        let futures = Owned::new(ffi::PySequence_List(todo.as_ptr()))?;
        for object in each(&futures) {
            let future = FutureRef::at(object, layout().exact_offset(object));
            let entry = Owned::from_borrowed(this.object());
            if future.cell().state == State::Pending {
                callbacks::add(future, Entry::observer(entry.into_ptr()));
            } else {
                observer::schedule(future, entry)?;
            }
            if let Some(caller) = &caller {
                awaited_by::add(object, caller.as_ptr())?;
            }
        }
        let cell = this.get();
        cell.left = ffi::PyList_GET_SIZE(futures.as_ptr());
        cell.task = caller.map_or(ptr::null_mut(), Owned::into_ptr);
        cell.todo = todo.into_ptr();
        if let Some(seconds) = seconds.filter(|_| this.get().left > 0) {
            let alarm = Owned::from_borrowed(this.object());
            this.get().timer = Some(arm(loop_, after(loop_, seconds), &alarm));
        }
        Ok(())
    }
}

unsafe fn disarm(this: IteratorRef) {
    // SAFETY: the loop is kept alive; the borrow of its timers ends before the reference is released.
    unsafe {
        let cell = this.get();
        if let Some(key) = cell.timer.take()
            && !cell.loop_.is_null()
            && let Some(ready) = Loop::from_object(cell.loop_).parts().timers.cancel(key)
        {
            ready.release();
        }
    }
}

/// One of the futures is done.
///
/// # Safety
/// Both live and stay alive.
pub unsafe fn child_done(object: *mut ffi::PyObject, child: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the set and the queue are kept alive by the iterator; no borrow lives while Python code runs.
    unsafe {
        let this = IteratorRef::from_object(object);
        let todo = this.get().todo;
        if todo.is_null() || ffi::PySet_Size(todo) == 0 {
            // The time was over first.
            return Ok(());
        }
        if ffi::PySet_Discard(todo, child) < 0 {
            return Err(Raised);
        }
        forget_caller(this, child)?;
        done_queue::put(&this.queue()?, child)?;
        if ffi::PySet_Size(this.get().todo) == 0 {
            disarm(this);
        }
        Ok(())
    }
}

unsafe fn forget_caller(this: IteratorRef, future: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the task is kept alive over the call.
    unsafe {
        if this.get().task.is_null() {
            return Ok(());
        }
        let task = Owned::from_borrowed(this.get().task);
        awaited_by::discard(future, task.as_ptr())
    }
}

/// The time is over.
///
/// # Safety
/// The iterator lives and stays alive.
pub unsafe fn run_alarm(object: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the futures are kept alive by the list.
    unsafe {
        let this = IteratorRef::from_object(object);
        this.get().timer = None;
        if this.get().todo.is_null() {
            return Ok(());
        }
        let left = Owned::new(ffi::PySequence_List(this.get().todo))?;
        for future in each(&left) {
            let offset = layout().exact_offset(future);
            callbacks::remove_observer(FutureRef::at(future, offset), object);
            forget_caller(this, future)?;
            done_queue::put(&this.queue()?, ffi::Py_None())?;
        }
        if ffi::PySet_Clear(this.get().todo) < 0 {
            return Err(Raised);
        }
        Ok(())
    }
}
