//! What a queue has: its items, who waits for one or for room, and what it refuses. Taking and adding do not wait.
//!
//! Called by the queue's methods (`mod`) and coroutines (`waits`), and by `done_queue`.

use crate::ffi::{Python, Raised, args::raise, gil::GilCell, owned::Owned};
use crate::sync::items::Container;
use crate::sync::known::known;
use crate::sync::primitive::{OTHER, Primitive};
use crate::sync::{class, deque, event, waiter};
use pyo3_ffi as ffi;
use std::ptr;

pub const GETTERS: usize = 0;
pub const PUTTERS: usize = 1;

known!();

/// asyncio's exceptions; the last is NULL where this Python has none.
static ERRORS: GilCell<[*mut ffi::PyObject; 3]> = GilCell::new([ptr::null_mut(); 3]);
const EMPTY: usize = 0;
const FULL: usize = 1;
const SHUT_DOWN: usize = 2;

/// Looks asyncio's exceptions up; called once, at import.
pub fn init() -> Python<()> {
    let errors = [c"QueueEmpty", c"QueueFull", c"QueueShutDown"];
    for (index, name) in errors.into_iter().enumerate() {
        match class::asyncios(c"asyncio.queues", name) {
            // SAFETY: the import runs alone.
            Ok(error) => unsafe { ERRORS.get()[index] = error.into_ptr() },
            // SAFETY: the AttributeError is answered by doing without.
            Err(Raised) if index == SHUT_DOWN => unsafe { ffi::PyErr_Clear() },
            Err(Raised) => return Err(Raised),
        }
    }
    Ok(())
}

/// Whether this Python's queues can be shut down.
pub fn shuts_down() -> bool {
    // SAFETY: written at import.
    unsafe { !ERRORS.get()[SHUT_DOWN].is_null() }
}

/// A queue of the class itself, without bounds.
///
/// # Safety
/// The GIL is held.
pub unsafe fn make() -> Python<Owned> {
    // SAFETY: the caller's contract; the first form is the class's own.
    unsafe {
        let made = KNOWN.make()?;
        Primitive::of(made.as_ptr()).cell().container = 0;
        Ok(made)
    }
}

/// Raises one of asyncio's exceptions, without arguments.
#[cold]
unsafe fn refuse(which: usize) -> Raised {
    // SAFETY: the class lives.
    unsafe { ffi::PyErr_SetNone(ERRORS.get()[which]) };
    Raised
}

/// The queue's container, where native code may act.
///
/// # Safety
/// The primitive lives.
#[inline]
pub unsafe fn acts(this: Primitive) -> Python<Option<Container>> {
    // SAFETY: the primitive lives.
    unsafe {
        let Some(form) = this.mode()? else {
            return Ok(None);
        };
        let container = Container::of_form(form);
        let cell = this.cell();
        let plain = this.waits_plainly()
            && (cell.inner.is_null() || container.is(cell.inner))
            && (cell.finished.is_null() || event::is_native(cell.finished));
        Ok(plain.then_some(container))
    }
}

/// `_queue`, made where nothing was put yet.
///
/// # Safety
/// The primitive lives.
pub unsafe fn items(this: Primitive) -> Python<Owned> {
    // SAFETY: the field is written after Python code may have run.
    unsafe {
        if this.cell().inner.is_null() {
            let form = this.cell().container;
            if form == OTHER {
                return Err(raise(
                    ffi::PyExc_AttributeError,
                    "the queue has no '_queue': its _init() has set none",
                ));
            }
            let made = Container::of_form(form).empty()?;
            if this.cell().inner.is_null() {
                this.cell().inner = made.into_ptr();
            }
        }
        Ok(Owned::from_borrowed(this.cell().inner))
    }
}

/// `_finished`, made where nobody wanted it yet.
///
/// # Safety
/// The primitive lives.
pub unsafe fn finished(this: Primitive) -> Python<Owned> {
    // SAFETY: the field is written after Python code may have run.
    unsafe {
        if this.cell().finished.is_null() {
            let made = event::make(this.cell().number == 0)?;
            if this.cell().finished.is_null() {
                this.cell().finished = made.into_ptr();
            }
        }
        Ok(Owned::from_borrowed(this.cell().finished))
    }
}

/// Called before a program writes `_unfinished_tasks`: from then on the event does not follow the count by itself.
///
/// # Safety
/// The primitive lives.
pub unsafe fn before_count(this: Primitive) -> Python<()> {
    // SAFETY: the primitive lives.
    unsafe {
        if ffi::PyObject_TypeCheck(this.object(), kind()) != 0 {
            finished(this)?;
        }
    }
    Ok(())
}

/// How many items it has.
///
/// # Safety
/// The primitive lives and has this container.
#[inline]
pub unsafe fn len(this: Primitive, container: Container) -> isize {
    // SAFETY: the primitive lives.
    unsafe {
        let inner = this.cell().inner;
        if inner.is_null() {
            0
        } else {
            container.len(inner)
        }
    }
}

/// Whether it has as many as it may.
///
/// # Safety
/// The primitive lives and has this container.
#[inline]
pub unsafe fn full(this: Primitive, container: Container) -> bool {
    // SAFETY: the primitive lives.
    unsafe {
        let limit = this.cell().limit;
        limit > 0 && len(this, container) as i64 >= limit
    }
}

/// `_wakeup_next`: wakes the first that is not done, and forgets those before it.
///
/// # Safety
/// The primitive lives, and `waits_plainly`.
#[inline]
pub unsafe fn wake_next(this: Primitive, which: usize) -> Python<()> {
    // SAFETY: the deque and each waiter are kept alive.
    unsafe {
        while let Some(waiters) = this.waiters(which) {
            let waiting = deque::popleft(waiters.as_ptr())?;
            if !waiter::done(waiting.as_ptr())? {
                return waiter::wake(waiting.as_ptr(), ffi::Py_None());
            }
        }
        Ok(())
    }
}

/// `get_nowait()`.
///
/// # Safety
/// The primitive lives and has this container.
#[inline]
pub unsafe fn take(this: Primitive, container: Container) -> Python<Owned> {
    // SAFETY: the container is kept alive, since taking may run the items' comparisons.
    unsafe {
        if len(this, container) == 0 {
            let which = if this.cell().flag { SHUT_DOWN } else { EMPTY };
            return Err(refuse(which));
        }
        let inner = Owned::from_borrowed(this.cell().inner);
        let item = container.take(inner.as_ptr())?;
        wake_next(this, PUTTERS)?;
        Ok(item)
    }
}

/// `put_nowait(item)`.
///
/// # Safety
/// The primitive lives and has this container; the item lives.
#[inline]
pub unsafe fn add(this: Primitive, container: Container, item: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the container is kept alive, since adding may run the items' comparisons.
    unsafe {
        if this.cell().flag {
            return Err(refuse(SHUT_DOWN));
        }
        if full(this, container) {
            return Err(refuse(FULL));
        }
        container.add(items(this)?.as_ptr(), item)?;
        let cell = this.cell();
        cell.number = cell.number.wrapping_add(1);
        if !cell.finished.is_null() {
            Primitive::of(cell.finished).cell().flag = false;
        }
        wake_next(this, GETTERS)
    }
}
