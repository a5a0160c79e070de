//! `Queue`, `LifoQueue` and `PriorityQueue`: what their coroutines and methods do.
//!
//! As in asyncio, an item is not handed over: a put wakes the first getter, which looks again in its own step and waits anew if another
//! came before it; a getter that was woken and is cancelled wakes the next. The items are in the container that asyncio's class
//! has (a deque, a list, a heap in a list), in sight as `_queue`. A class that overrides `_init`, `_get` or `_put`
//! is asyncio's code's to run.

use super::class;
use super::fields::Place;
use super::items::{self, Container};
use super::known::{Description, known};
use super::lock::{THIS, boolean, called_plainly, coroutine_for, none, plain_call};
use super::method::{self, method};
use super::primitive::{OTHER, Primitive};
use super::semaphore::count_given;
use super::waiter::{self, WAITER, Woken};
use super::{deque, event};
use crate::coroutine::{self, CoroRef, Kind, Sent};
use crate::ffi::{
    Python, Raised,
    args::{Args, raise},
    gil::GilCell,
    names::names,
    owned::Owned,
};
use crate::future::Purpose;
use pyo3_ffi as ffi;
use std::ptr;

const GETTERS: usize = 0;
const PUTTERS: usize = 1;
/// Where `put` keeps its item.
const ITEM: usize = 2;

known!();

/// asyncio's exceptions; the last is NULL where this Python has none.
static ERRORS: GilCell<[*mut ffi::PyObject; 3]> = GilCell::new([ptr::null_mut(); 3]);
const EMPTY: usize = 0;
const FULL: usize = 1;
const SHUT_DOWN: usize = 2;

method!(Init, c"__init__", kind, init_);
method!(Get, c"get", kind, get);
method!(Put, c"put", kind, put);
method!(Join, c"join", kind, join);
method!(GetNoWait, c"get_nowait", kind, get_nowait);
method!(PutNoWait, c"put_nowait", kind, put_nowait);
method!(TaskDone, c"task_done", kind, task_done);
method!(IsEmpty, c"empty", kind, is_empty);
method!(IsFull, c"full", kind, is_full);
method!(Size, c"qsize", kind, size);

static GET: Kind = Kind {
    name: c"get",
    qualname: c"Queue.get",
    resume: getting,
    notify: None,
};
static PUT: Kind = Kind {
    name: c"put",
    qualname: c"Queue.put",
    resume: putting,
    notify: None,
};
static JOIN: Kind = Kind {
    name: c"join",
    qualname: c"Queue.join",
    resume: joining,
    notify: None,
};

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
#[inline]
unsafe fn acts(this: Primitive) -> Python<Option<Container>> {
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

#[inline]
unsafe fn len(this: Primitive, container: Container) -> isize {
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

#[inline]
unsafe fn full(this: Primitive, container: Container) -> bool {
    // SAFETY: the primitive lives.
    unsafe {
        let limit = this.cell().limit;
        limit > 0 && len(this, container) as i64 >= limit
    }
}

/// `_wakeup_next`: wakes the first that is not done, and forgets those before it.
#[inline]
unsafe fn wake_next(this: Primitive, which: usize) -> Python<()> {
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
#[inline]
unsafe fn take(this: Primitive, container: Container) -> Python<Owned> {
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
        cell.number += 1;
        if !cell.finished.is_null() {
            Primitive::of(cell.finished).cell().flag = false;
        }
        wake_next(this, GETTERS)
    }
}

unsafe fn get(this: Primitive, call: Args<'_>) -> Python<Option<Owned>> {
    // SAFETY: the primitive lives.
    unsafe { called_plainly(this, call, 0, &GET) }
}

/// `get()`.
///
/// # Safety
/// The primitive lives.
pub unsafe fn getter(this: Primitive) -> Python<Owned> {
    // SAFETY: the caller's contract.
    unsafe { coroutine_for(this, &GET) }
}

unsafe fn put(this: Primitive, call: Args<'_>) -> Python<Option<Owned>> {
    // SAFETY: the primitive lives.
    unsafe {
        if !plain_call(call, 1) {
            return Ok(None);
        }
        let made = coroutine::new(&PUT)?;
        let coro = CoroRef::of(made.as_ptr());
        coro.hold(THIS, Owned::from_borrowed(this.object()).into_ptr());
        coro.hold(ITEM, Owned::from_borrowed(call.positional[0]).into_ptr());
        Ok(Some(made))
    }
}

unsafe fn join(this: Primitive, call: Args<'_>) -> Python<Option<Owned>> {
    // SAFETY: the primitive lives.
    unsafe { called_plainly(this, call, 0, &JOIN) }
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
        cell.number -= 1;
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

/// What a getter or putter does when it was woken: Some where it ends here.
#[inline]
unsafe fn woken(
    coro: CoroRef,
    this: Primitive,
    which: usize,
    exception: Option<Owned>,
) -> Python<Option<Sent>> {
    // SAFETY: the waiter is kept alive, since finishing lets go of it.
    unsafe {
        let waited = Owned::from_borrowed(coro.held(WAITER));
        match waiter::woken(waited.as_ptr(), exception) {
            Woken::Early(sent) => Ok(Some(sent)),
            Woken::Ready => Ok(None),
            Woken::Thrown(exception) => {
                give_up(this, which, &waited)?;
                Ok(Some(waiter::raise_again(exception)))
            }
        }
    }
}

/// The `except` of `get` and `put`.
#[cold]
unsafe fn give_up(this: Primitive, which: usize, waited: &Owned) -> Python<()> {
    // SAFETY: all are kept alive.
    unsafe {
        waiter::cancel(waited.as_ptr())?;
        let Some(container) = acts(this)? else {
            return give_up_to_asyncio(this, which, waited);
        };
        let waiters = this.deque(which)?;
        deque::discard(waiters.as_ptr(), waited.as_ptr())?;
        let possible = if which == GETTERS {
            len(this, container) > 0
        } else {
            !full(this, container)
        };
        if possible && !waiter::cancelled(waited.as_ptr())? {
            wake_next(this, which)?;
        }
        Ok(())
    }
}

/// The same where a program has put something of its own in since.
#[cold]
unsafe fn give_up_to_asyncio(this: Primitive, which: usize, waited: &Owned) -> Python<()> {
    let args = [this.object(), waited.as_ptr()];
    let name = if which == GETTERS {
        c"getter_left"
    } else {
        c"putter_left"
    };
    crate::door::cold(name, &args).map(drop)
}

unsafe fn getting(coro: CoroRef, exception: Option<Owned>) -> Sent {
    // SAFETY: called by `drive`.
    unsafe {
        let this = Primitive::of(coro.held(THIS));
        get_step(coro, this, exception).unwrap_or(Sent::Raised)
    }
}

#[inline]
unsafe fn get_step(coro: CoroRef, this: Primitive, exception: Option<Owned>) -> Python<Sent> {
    // SAFETY: as above.
    unsafe {
        if coro.cell().phase != 0
            && let Some(sent) = woken(coro, this, GETTERS, exception)?
        {
            return Ok(sent);
        }
        if let Some(container) = acts(this)? {
            if len(this, container) > 0 || this.cell().flag {
                return take(this, container).map(|item| Sent::Done(item.into_ptr()));
            }
            if let Some(fresh) = waiter::new(this, Purpose::QueueGet)? {
                deque::append(this.deque(GETTERS)?.as_ptr(), fresh.as_ptr())?;
                return Ok(waiter::suspend(coro, fresh));
            }
        }
        Ok(coroutine::become_(
            coro,
            method::asyncios::<Get>(&[this.object()]),
        ))
    }
}

unsafe fn putting(coro: CoroRef, exception: Option<Owned>) -> Sent {
    // SAFETY: called by `drive`.
    unsafe {
        let this = Primitive::of(coro.held(THIS));
        put_step(coro, this, exception).unwrap_or(Sent::Raised)
    }
}

#[inline]
unsafe fn put_step(coro: CoroRef, this: Primitive, exception: Option<Owned>) -> Python<Sent> {
    // SAFETY: as above.
    unsafe {
        if coro.cell().phase != 0
            && let Some(sent) = woken(coro, this, PUTTERS, exception)?
        {
            return Ok(sent);
        }
        if let Some(container) = acts(this)? {
            if !full(this, container) || this.cell().flag {
                add(this, container, coro.held(ITEM))?;
                return Ok(Sent::Done(none().into_ptr()));
            }
            if let Some(fresh) = waiter::new(this, Purpose::QueuePut)? {
                deque::append(this.deque(PUTTERS)?.as_ptr(), fresh.as_ptr())?;
                return Ok(waiter::suspend(coro, fresh));
            }
        }
        let args = [this.object(), coro.held(ITEM)];
        Ok(coroutine::become_(coro, method::asyncios::<Put>(&args)))
    }
}

unsafe fn joining(coro: CoroRef, exception: Option<Owned>) -> Sent {
    // SAFETY: called by `drive`; from the first wait on, what it holds is the event.
    unsafe {
        match join_step(coro, exception) {
            Ok(Some(sent)) => sent,
            Ok(None) => Sent::Done(none().into_ptr()),
            Err(Raised) => Sent::Raised,
        }
    }
}

unsafe fn join_step(coro: CoroRef, exception: Option<Owned>) -> Python<Option<Sent>> {
    // SAFETY: as above.
    unsafe {
        let this = Primitive::of(coro.held(THIS));
        if coro.cell().phase != 0 {
            return event::go_on(coro, this, exception);
        }
        if acts(this)?.is_none() || crate::running::native().is_none() {
            let theirs = method::asyncios::<Join>(&[this.object()]);
            return Ok(Some(coroutine::become_(coro, theirs)));
        }
        if this.cell().number <= 0 {
            return Ok(None);
        }
        let event = finished(this)?;
        coro.hold(THIS, event.clone().into_ptr());
        event::start(coro, Primitive::of(event.as_ptr()))
    }
}

/// Makes the three classes and adds them to the module.
pub fn init(module: *mut ffi::PyObject) -> Python<()> {
    items::init()?;
    let mut fields = vec![
        (c"_loop", Place::Loop),
        (c"_getters", Place::Deque(GETTERS)),
        (c"_putters", Place::Deque(PUTTERS)),
        (c"_maxsize", Place::Limit),
        (c"_unfinished_tasks", Place::Number),
        (c"_finished", Place::Finished),
        (c"_queue", Place::Queue),
    ];
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
    // SAFETY: the import runs alone.
    if unsafe { !ERRORS.get()[SHUT_DOWN].is_null() } {
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
