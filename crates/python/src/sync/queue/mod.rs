//! `Queue`, `LifoQueue` and `PriorityQueue`: their classes, and the methods that do not wait. `state` is what a queue has, `waits` what waits at it.
//!
//! As in asyncio, an item is not handed over: a put wakes the first getter, which looks again in its own step and waits anew if another
//! came before it; a getter that was woken and is cancelled wakes the next. The items are in the container that asyncio's class
//! has (a deque, a list, a heap in a list), in sight as `_queue`. A class that overrides `_init`, `_get` or `_put`
//! is asyncio's code's to run.

mod state;
mod waits;

pub use state::{add, before_count, finished, items, make};
pub use waits::getter;

use super::calls::{boolean, none, plain_call};
use super::event;
use super::fields::Place;
use super::items;
use super::known::Description;
use super::method::{self, method};
use super::primitive::{OTHER, Primitive};
use super::semaphore::count_given;
use crate::ffi::{Python, args::Args, names::names, owned::Owned};
use pyo3_ffi as ffi;
use state::{GETTERS, KNOWN, PUTTERS, acts, full, kind, len, new, take};
use std::ptr;
use waits::{Get, Join, Put};

method!(Init, c"__init__", kind, init_);
method!(GetNoWait, c"get_nowait", kind, get_nowait);
method!(PutNoWait, c"put_nowait", kind, put_nowait);
method!(TaskDone, c"task_done", kind, task_done);
method!(IsEmpty, c"empty", kind, is_empty);
method!(IsFull, c"full", kind, is_full);
method!(Size, c"qsize", kind, size);

unsafe fn init_(this: Primitive, call: Args<'_>) -> Python<Option<Owned>> {
    // SAFETY: the primitive lives.
    unsafe {
        let Some(limit) = count_given(call, names().maxsize, 0)? else {
            return Ok(None);
        };
        let Some(form) = this.mode()? else {
            this.cell().container = OTHER;
            return Ok(None);
        };
        let cell = this.cell();
        cell.container = form;
        cell.limit = limit;
        cell.number = 0;
        cell.flag = false;
        for slot in [
            &raw mut cell.waiters[GETTERS],
            &raw mut cell.waiters[PUTTERS],
            &raw mut cell.inner,
            &raw mut cell.finished,
        ] {
            this.set(slot, ptr::null_mut());
        }
        Ok(Some(none()))
    }
}

unsafe fn get_nowait(this: Primitive, call: Args<'_>) -> Python<Option<Owned>> {
    // SAFETY: the primitive lives.
    unsafe {
        match acts(this)? {
            Some(container) if plain_call(call, 0) => take(this, container).map(Some),
            _ => Ok(None),
        }
    }
}

unsafe fn put_nowait(this: Primitive, call: Args<'_>) -> Python<Option<Owned>> {
    // SAFETY: the primitive lives.
    unsafe {
        match acts(this)? {
            Some(container) if plain_call(call, 1) => {
                add(this, container, call.positional[0]).map(|()| Some(none()))
            }
            _ => Ok(None),
        }
    }
}

unsafe fn task_done(this: Primitive, call: Args<'_>) -> Python<Option<Owned>> {
    // SAFETY: the primitive lives; the event is kept alive.
    unsafe {
        if !plain_call(call, 0) || acts(this)?.is_none() || this.cell().number <= 0 {
            return Ok(None);
        }
        let cell = this.cell();
        cell.number = cell.number.wrapping_sub(1);
        if cell.number == 0 && !cell.finished.is_null() {
            let event = Owned::from_borrowed(cell.finished);
            event::set(Primitive::of(event.as_ptr()))?;
        }
        Ok(Some(none()))
    }
}

unsafe fn is_empty(this: Primitive, call: Args<'_>) -> Python<Option<Owned>> {
    // SAFETY: the primitive lives.
    unsafe {
        match acts(this)? {
            Some(container) if plain_call(call, 0) => Ok(Some(boolean(len(this, container) == 0))),
            _ => Ok(None),
        }
    }
}

unsafe fn is_full(this: Primitive, call: Args<'_>) -> Python<Option<Owned>> {
    // SAFETY: the primitive lives.
    unsafe {
        match acts(this)? {
            Some(container) if plain_call(call, 0) => Ok(Some(boolean(full(this, container)))),
            _ => Ok(None),
        }
    }
}

unsafe fn size(this: Primitive, call: Args<'_>) -> Python<Option<Owned>> {
    // SAFETY: the primitive lives.
    unsafe {
        match acts(this)? {
            Some(container) if plain_call(call, 0) => {
                Owned::new(ffi::PyLong_FromSsize_t(len(this, container))).map(Some)
            }
            _ => Ok(None),
        }
    }
}

/// Makes the three classes and adds them to the module.
pub fn init(module: *mut ffi::PyObject) -> Python<()> {
    items::init()?;
    state::init()?;
    let mut fields = vec![
        (c"_loop", Place::Loop),
        (c"_getters", Place::Deque(GETTERS)),
        (c"_putters", Place::Deque(PUTTERS)),
        (c"_maxsize", Place::Limit),
        (c"_unfinished_tasks", Place::Number),
        (c"_finished", Place::Finished),
        (c"_queue", Place::Queue),
    ];
    if state::shuts_down() {
        fields.push((c"_is_shutdown", Place::Flag));
    }
    let described = Description {
        module: c"asyncio.queues",
        name: c"Queue",
        native: c"rondeau._core._Queue",
        new,
        fields,
        methods: vec![
            method::of::<Init>(),
            method::of::<Get>(),
            method::of::<Put>(),
            method::of::<Join>(),
            method::of::<GetNoWait>(),
            method::of::<PutNoWait>(),
            method::of::<TaskDone>(),
            method::of::<IsEmpty>(),
            method::of::<IsFull>(),
            method::of::<Size>(),
        ],
        counted_on: vec![
            "_init",
            "_get",
            "_put",
            "empty",
            "full",
            "qsize",
            "get_nowait",
            "put_nowait",
            "_wakeup_next",
            "_get_loop",
            "maxsize",
        ],
        // In the order of `Container::of_form`.
        derived: vec![(c"LifoQueue", Vec::new()), (c"PriorityQueue", Vec::new())],
    };
    KNOWN.publish(module, described)
}
