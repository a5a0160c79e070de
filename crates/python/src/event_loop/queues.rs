//! The loop's queues as `rondeau._queues` shows them: `_ready`, a deque, and `_scheduled`, a list.
//!
//! Called by programs that look into a loop (monitors, debuggers) and by those that turn it themselves. What waits natively becomes
//! a handle in its place when it is shown (`item.rs`), so that what a program sees is what will run. Counting shows nothing.
//!
//! Invariant: a child and its observer are one handle, and leave the agenda together.

use super::item::{Waiting, handle_of, timer_of};
use crate::door::door;
use crate::ffi::{Python, Raised, answer, args::raise_type_error, owned::Owned};
use crate::handle;
use crate::native_loop::Loop;
use crate::ready::{Ready, What};
use crate::seconds;
use pyo3_ffi as ffi;
use rondeau_core::TimerKey;
use std::ptr;

unsafe fn list_of(objects: &[Owned]) -> Python<Owned> {
    // SAFETY: the list takes references of its own.
    unsafe {
        let list = Owned::new(ffi::PyList_New(0))?;
        for object in objects {
            if ffi::PyList_Append(list.as_ptr(), object.as_ptr()) != 0 {
                return Err(Raised);
            }
        }
        Ok(list)
    }
}

/// `_ready_count()`: how many handles asyncio would have in `_ready`.
pub unsafe extern "C" fn ready_count(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        let ready = Loop::from_object(object).parts().agenda.iter();
        let count = ready.filter(|ready| ready.what() != What::Child).count();
        ffi::PyLong_FromSize_t(count)
    }
}

/// `_ready_handles()`: all of them, in their order.
pub unsafe extern "C" fn ready_handles(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { answer::object(shown(Loop::from_object(object)).and_then(|all| list_of(&all))) }
}

/// Makes a handle of each item that is ready, in its place.
unsafe fn shown(loop_: Loop) -> Python<Vec<Owned>> {
    // SAFETY: what is drained goes back, in front of what comes meanwhile; no borrow lives while handles are made.
    unsafe {
        let mut waiting = loop_.parts().agenda.drain().collect::<Vec<_>>().into_iter();
        let (mut all, mut back, mut failed) = (Vec::new(), Vec::new(), false);
        while let Some(first) = waiting.next() {
            let second = if first.what() == What::Child {
                waiting.next()
            } else {
                None
            };
            match handle_of(loop_, (first, second)) {
                Ok(handle) => {
                    back.push(Ready::handle(handle.clone().into_ptr()));
                    all.push(handle);
                }
                Err((first, second)) => {
                    failed = true;
                    back.push(first);
                    back.extend(second);
                    break;
                }
            }
        }
        back.extend(waiting);
        for ready in back.into_iter().rev() {
            loop_.parts().agenda.push_first(ready);
        }
        if failed { Err(Raised) } else { Ok(all) }
    }
}

/// `_ready_take(last)`: takes the first handle, or the last one; None where there is none.
pub unsafe extern "C" fn ready_take(
    object: *mut ffi::PyObject,
    last: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance; the borrows end before a handle is made.
    unsafe {
        let loop_ = Loop::from_object(object);
        let last = last == ffi::Py_True();
        let agenda = &mut loop_.parts().agenda;
        let waiting: Waiting = match if last {
            agenda.pop_last()
        } else {
            agenda.pop()
        } {
            None => return answer::none(Ok(())),
            Some(observer) if last && observer.what() == What::Observer => {
                match agenda.pop_last() {
                    Some(child) => (child, Some(observer)),
                    None => (observer, None),
                }
            }
            Some(child) if child.what() == What::Child => (child, agenda.pop()),
            Some(one) => (one, None),
        };
        match handle_of(loop_, waiting) {
            Ok(handle) => handle.into_ptr(),
            Err((first, second)) if last => {
                loop_.parts().agenda.push(first);
                loop_.parts().agenda.extend(second);
                ptr::null_mut()
            }
            Err((first, second)) => {
                let agenda = &mut loop_.parts().agenda;
                second
                    .into_iter()
                    .for_each(|ready| agenda.push_first(ready));
                agenda.push_first(first);
                ptr::null_mut()
            }
        }
    }
}

/// `_ready_put_first(handle)`.
pub unsafe extern "C" fn ready_put_first(
    object: *mut ffi::PyObject,
    handle: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance; only a Handle has the slots that the turn reads.
    unsafe {
        if super::as_handle(handle).is_err() {
            return ptr::null_mut();
        }
        ffi::Py_INCREF(handle);
        let loop_ = Loop::from_object(object);
        loop_.parts().agenda.push_first(Ready::handle(handle));
        answer::none(Ok(()))
    }
}

/// `_timer_version()`: changes with every timer that comes or goes; the second number is how many there are.
pub unsafe extern "C" fn timer_version(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        let (inserted, live) = Loop::from_object(object).parts().timers.version();
        let inserted = Owned::new(ffi::PyLong_FromUnsignedLongLong(inserted.into()));
        let live = Owned::new(ffi::PyLong_FromSize_t(live));
        answer::object(inserted.and_then(|inserted| {
            let live = live?;
            Owned::new(ffi::PyTuple_Pack(2, inserted.as_ptr(), live.as_ptr()))
        }))
    }
}

/// `_timer_handles()`: what waits for its time, in the order of that.
pub unsafe extern "C" fn timer_handles(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { answer::object(timers(Loop::from_object(object))) }
}

unsafe fn timers(loop_: Loop) -> Python<Owned> {
    // SAFETY: the borrows end before a handle is made, and a timer that went meanwhile is passed over.
    unsafe {
        let mut all = Vec::new();
        for (due, key) in loop_.parts().timers.in_order() {
            let shown = loop_.parts().timers.get(key).map(Ready::is_handle);
            if shown == Some(false) {
                timer_of(loop_, due, key)?;
            }
            if let Some(ready) = loop_.parts().timers.get(key) {
                all.push(Owned::from_borrowed(ready.object()));
            }
        }
        list_of(&all)
    }
}

/// Where a timer handle waits; asyncio's own kind does not note it.
unsafe fn key_of(loop_: Loop, handle: *mut ffi::PyObject) -> Option<TimerKey> {
    // SAFETY: the loop lives; no Python code runs.
    unsafe {
        let timers = &loop_.parts().timers;
        if let Some(noted) = handle::key(handle) {
            return *noted;
        }
        timers
            .in_order()
            .into_iter()
            .map(|(_, key)| key)
            .find(|key| {
                timers
                    .get(*key)
                    .is_some_and(|ready| ready.object() == handle)
            })
    }
}

/// `_timer_take(handle)`: it waits for its time no longer.
pub unsafe extern "C" fn timer_take(
    object: *mut ffi::PyObject,
    handle: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance; what was taken out is released last.
    unsafe {
        if as_timer(handle).is_err() {
            return ptr::null_mut();
        }
        let loop_ = Loop::from_object(object);
        if let Some(key) = key_of(loop_, handle)
            && let Some(ready) = loop_.parts().timers.cancel(key)
        {
            handle::set_due(handle);
            ready.release();
        }
        answer::none(Ok(()))
    }
}

/// `_timer_put(handle)`: it waits until its `_when`.
pub unsafe extern "C" fn timer_put(
    object: *mut ffi::PyObject,
    handle: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { answer::none(put_timer(Loop::from_object(object), handle)) }
}

unsafe fn put_timer(loop_: Loop, handle: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the type is checked before the slots are read; the borrow ends before anything else.
    unsafe {
        as_timer(handle)?;
        let when = *handle::slot(handle, door().slots.when);
        if when.is_null() {
            return Err(raise_type_error("a TimerHandle without a time"));
        }
        let due = seconds::due(seconds::number(when)?);
        if key_of(loop_, handle).is_some() {
            return Ok(()); // It waits already.
        }
        ffi::Py_INCREF(handle);
        let key = loop_.parts().timers.insert(due, Ready::handle(handle));
        if handle::key(handle).is_some() {
            handle::set_scheduled(handle, key);
        }
        Ok(())
    }
}

unsafe fn as_timer(handle: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the object lives.
    unsafe {
        super::as_handle(handle)?;
        if ffi::PyObject_TypeCheck(handle, door().timer_handle) == 0 {
            return Err(raise_type_error("A TimerHandle is required here"));
        }
        Ok(())
    }
}

/// `_descriptors()`: what is watched for the program: a list of descriptors.
pub unsafe extern "C" fn descriptors(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance; the numbers are copied before objects are made.
    unsafe {
        let table = &Loop::from_object(object).parts().descriptors;
        let numbers: Vec<i32> = table.iter().map(|(fd, _)| fd).collect();
        let made: Python<Vec<Owned>> = numbers
            .into_iter()
            .map(|fd| Owned::new(ffi::PyLong_FromLong(fd.into())))
            .collect();
        answer::object(made.and_then(|all| list_of(&all)))
    }
}

/// `_driver_fd()`: the descriptor that can be read when the loop has something to do; -1 once it is closed.
pub unsafe extern "C" fn driver_fd(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        let fd = Loop::from_object(object)
            .driver()
            .map_or(-1, |driver| driver.fd());
        ffi::PyLong_FromLong(fd.into())
    }
}
