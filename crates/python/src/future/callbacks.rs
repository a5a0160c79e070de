//! Done-callbacks: adding, removing, listing, scheduling. Called by the methods, by completion and by waiting tasks.
//!
//! A waiting native task is an entry of its own kind: no wake-up object, no handle. Where Python looks at the list, the
//! wake-up callable that asyncio's C code would hold is made for the look and not kept: kept from a finalizer's repr it
//! would resurrect the task.

use super::cell::{Entry, FutureRef};
use super::soon;
use crate::ffi::{Python, Raised, owned::Owned};
use crate::observer;
use crate::ready::Ready;
use crate::task::{cell::TaskRef, wrapper};
use pyo3_ffi as ffi;

/// Adds an entry to a pending future; takes it over.
///
/// # Safety
/// The future lives and is pending.
#[inline]
pub unsafe fn add(future: FutureRef, entry: Entry) {
    // SAFETY: pushing runs no Python code.
    unsafe {
        let cell = future.cell();
        if cell.first.is_empty() {
            cell.first = entry;
        } else {
            cell.more.get_or_insert_default().push(entry);
        }
    }
}

/// Takes all entries out of a future that is done and schedules them in order.
///
/// # Safety
/// The future lives and stays alive.
#[inline]
pub unsafe fn schedule_all(future: FutureRef) -> Python<()> {
    // SAFETY: the entries are ours once taken; no borrow lives while one is scheduled.
    unsafe {
        let first = std::mem::replace(&mut future.cell().first, Entry::EMPTY);
        if first.is_empty() {
            return Ok(());
        }
        let more = future.cell().more.take();
        let done = schedule(future, first);
        match more {
            None => done,
            Some(more) => schedule_more(future, *more, done),
        }
    }
}

#[cold]
unsafe fn schedule_more(future: FutureRef, more: Vec<Entry>, mut done: Python<()>) -> Python<()> {
    for entry in more {
        // SAFETY: each entry is ours; after a failure the rest is dropped, as asyncio does. But where there was no memory for one's handle,
        // a task among the rest needs none, and would never be woken.
        unsafe {
            if done.is_ok() {
                done = schedule(future, entry);
            } else if ffi::PyErr_ExceptionMatches(ffi::PyExc_MemoryError) != 0 {
                crate::errors::keeping_raised(|| {
                    if schedule(future, entry).is_err() {
                        ffi::PyErr_Clear();
                    }
                });
            } else {
                entry.release();
            }
        }
    }
    done
}

/// Schedules one entry of a done future; takes it over.
///
/// # Safety
/// The future lives and stays alive.
#[inline]
pub unsafe fn schedule(future: FutureRef, entry: Entry) -> Python<()> {
    // SAFETY: the entry's references are ours: the agenda takes over a task's, the others are released here.
    unsafe {
        if entry.is_task() {
            if let Some(loop_) = future.direct_loop() {
                return soon::push(loop_, Ready::wakeup(entry.object()));
            }
            let task = Owned::from_owned(entry.object());
            let wakeup = wrapper::wakeup(task.as_ptr())?;
            let context = *TaskRef::of(task.as_ptr()).context();
            return soon::call(future, wakeup.as_ptr(), future.object(), context);
        }
        if entry.is_observer() {
            return observer::schedule(future, Owned::from_owned(entry.object()));
        }
        let callable = Owned::from_owned(entry.object());
        let context = Owned::from_owned(entry.context);
        soon::call(future, callable.as_ptr(), future.object(), context.as_ptr())
    }
}

/// An entry as it was, whose objects stay alive whatever happens to the list.
struct Kept {
    entry: Entry,
    object: Owned,
    context: Option<Owned>,
}

unsafe fn kept(future: FutureRef) -> Vec<Kept> {
    // SAFETY: the copies and their references are made before any Python code can run.
    unsafe {
        let cell = future.cell();
        if cell.first.is_empty() {
            return Vec::new();
        }
        let all = std::iter::once(&cell.first).chain(cell.more.iter().flat_map(|more| more.iter()));
        all.map(|entry| Kept {
            entry: *entry,
            object: Owned::from_borrowed(entry.object()),
            context: (!entry.context.is_null()).then(|| Owned::from_borrowed(entry.context)),
        })
        .collect()
    }
}

impl Kept {
    /// The callable that Python sees.
    unsafe fn callable(&self) -> Python<Owned> {
        if self.entry.is_task() {
            // SAFETY: kept alive; the entry says that it is a native task.
            return unsafe { wrapper::wakeup(self.object.as_ptr()) };
        }
        if self.entry.is_observer() {
            // SAFETY: kept alive; the entry says that it is an observer.
            return unsafe { observer::callable(self.object.as_ptr()) };
        }
        Ok(self.object.clone())
    }

    /// The context that Python sees.
    unsafe fn context(&self) -> Owned {
        if let Some(context) = &self.context {
            return context.clone();
        }
        if self.entry.is_observer() {
            // SAFETY: None lives. An observer runs in no context of its own.
            return unsafe { Owned::from_borrowed(ffi::Py_None()) };
        }
        // SAFETY: kept alive; an entry without context is a native task's.
        unsafe {
            let context = *TaskRef::of(self.object.as_ptr()).context();
            Owned::from_borrowed(if context.is_null() {
                ffi::Py_None()
            } else {
                context
            })
        }
    }
}

/// Removes an observer's entries.
///
/// # Safety
/// The objects live and stay alive.
pub unsafe fn remove_observer(future: FutureRef, observer: *mut ffi::PyObject) {
    // SAFETY: the entries are taken out before one is released.
    unsafe {
        let cell = future.cell();
        let wanted = Entry::observer(observer);
        let mut count = 0;
        if let Some(more) = &mut cell.more {
            let before = more.len();
            more.retain(|entry| *entry != wanted);
            count += before - more.len();
        }
        if cell.first == wanted {
            count += 1;
            cell.first = match &mut cell.more {
                Some(more) if !more.is_empty() => more.remove(0),
                _ => Entry::EMPTY,
            };
        }
        if cell.more.as_ref().is_some_and(|more| more.is_empty()) {
            cell.more = None;
        }
        for _ in 0..count {
            wanted.release();
        }
    }
}

/// Removes every entry whose callable equals `callable`; how many.
///
/// # Safety
/// The objects live and stay alive.
pub unsafe fn remove(future: FutureRef, callable: *mut ffi::PyObject) -> Python<usize> {
    // SAFETY: a comparison may change the list, so it runs over a copy whose objects are kept alive, and what matched is
    // taken out of what the list is then.
    unsafe {
        let mut matched = Vec::new();
        for item in kept(future) {
            let shown = item.callable()?;
            match ffi::PyObject_RichCompareBool(shown.as_ptr(), callable, ffi::Py_EQ) {
                -1 => return Err(Raised),
                0 => {}
                _ => matched.push(item),
            }
        }
        if matched.is_empty() {
            return Ok(0);
        }
        let cell = future.cell();
        let first = std::mem::replace(&mut cell.first, Entry::EMPTY);
        let more = cell.more.take().map_or_else(Vec::new, |more| *more);
        let now = std::iter::once(first)
            .filter(|first| !first.is_empty())
            .chain(more);
        let (removed, left): (Vec<Entry>, Vec<Entry>) =
            now.partition(|entry| matched.iter().any(|item| item.entry == *entry));
        let mut left = left.into_iter();
        cell.first = left.next().unwrap_or(Entry::EMPTY);
        cell.more = if left.len() == 0 {
            None
        } else {
            Some(Box::new(left.collect()))
        };
        let count = removed.len();
        removed.into_iter().for_each(|entry| entry.release());
        Ok(count)
    }
}

/// `_callbacks`: None, or a list of `(callable, context)`.
///
/// # Safety
/// The future lives.
pub unsafe fn list(future: FutureRef) -> Python<Owned> {
    // SAFETY: the list and the tuples are fresh and take over new references.
    unsafe {
        let all = kept(future);
        if all.is_empty() {
            return Ok(Owned::from_borrowed(ffi::Py_None()));
        }
        let list = Owned::new(ffi::PyList_New(0))?;
        for item in all {
            let (callable, context) = (item.callable()?, item.context());
            let pair = Owned::new(ffi::PyTuple_Pack(2, callable.as_ptr(), context.as_ptr()))?;
            if ffi::PyList_Append(list.as_ptr(), pair.as_ptr()) != 0 {
                return Err(Raised);
            }
        }
        Ok(list)
    }
}

/// `add_done_callback(fn, *, context=None)`.
///
/// # Safety
/// The objects live; `context` may be NULL or None: the current one is copied.
pub unsafe fn add_callable(
    future: FutureRef,
    callable: *mut ffi::PyObject,
    context: *mut ffi::PyObject,
) -> Python<()> {
    // SAFETY: the references are made before they are stored.
    unsafe {
        let context = if context.is_null() || context == ffi::Py_None() {
            Owned::new(ffi::PyContext_CopyCurrent())?
        } else {
            Owned::from_borrowed(context)
        };
        if future.cell().state == super::cell::State::Pending {
            ffi::Py_INCREF(callable);
            add(future, Entry::call(callable, context.into_ptr()));
            return Ok(());
        }
        soon::call(future, callable, future.object(), context.as_ptr())
    }
}
