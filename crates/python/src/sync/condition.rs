//! `Condition`: a lock, and waiters that whoever holds it notifies.
//!
//! Native where the lock is a native one that nothing was done to; with any other lock asyncio's own code acts. `acquire`, `release`
//! and `locked` are the lock's, as attributes of the instance; `wait_for` is asyncio's, since it calls the program's predicate in any case.
//! Waiting takes the lock again whatever happens, and keeps the cancellation that came meanwhile for afterwards. What is raised
//! then, and whether another waiter is notified instead, differs between Python's patch releases: `NOTIFIES`.

use super::calls::{THIS, boolean, called_plainly, coroutine_for, none, plain_call};
use super::class;
use super::fields::Place;
use super::known::{Description, known};
use super::lock;
use super::method::{self, method};
use super::primitive::Primitive;
use super::waiter::{self, WAITER, Woken, is_cancelled_error, leave};
use super::{deque, fields};
use crate::coroutine::{self, CoroRef, Kind, Sent};
use crate::ffi::{Python, args::Args, args::raise, compat, gil::GilCell, owned::Owned};
use crate::future::Purpose;
use crate::future::door::door;
use pyo3_ffi as ffi;
use std::ptr;

/// Where `wait` keeps the coroutine that takes the lock again, and what is to be raised once it did.
const TAKING: usize = 2;
const RAISING: usize = 3;
/// What `wait` does.
const NOTIFIED: u8 = 1;
const TAKES: u8 = 2;

known!();

/// A waiter that ends with an exception notifies another (3.13, and later releases of 3.12).
static NOTIFIES: GilCell<bool> = GilCell::new(true);

method!(Init, c"__init__", kind, init_);
method!(Enter, c"__aenter__", kind, enter);
method!(Exit, c"__aexit__", kind, exit);
method!(Wait, c"wait", kind, wait);
method!(Notify, c"notify", kind, notify_method);
method!(NotifyAll, c"notify_all", kind, notify_all);

/// `wait()`.
pub static WAIT: Kind = Kind::new(c"wait", c"Condition.wait", waiting);

/// A condition of the class itself.
///
/// # Safety
/// The GIL is held.
pub unsafe fn make() -> Python<Owned> {
    // SAFETY: the caller's contract.
    unsafe {
        let made = KNOWN.make()?;
        Primitive::of(made.as_ptr()).cell().inner = lock::make()?.into_ptr();
        Ok(made)
    }
}

/// Whether `object` is a condition of the class itself.
///
/// # Safety
/// The object lives.
#[inline]
pub unsafe fn is_native(object: *mut ffi::PyObject) -> bool {
    // SAFETY: the caller's contract.
    unsafe { KNOWN.is_exact(object) }
}

/// The lock, where native code may act.
///
/// # Safety
/// The condition lives.
#[inline]
pub unsafe fn acts(this: Primitive) -> Python<Option<Primitive>> {
    // SAFETY: the primitive lives, and with it its lock.
    unsafe {
        if this.mode()?.is_none() || !this.waits_plainly() {
            return Ok(None);
        }
        let inner = this.cell().inner;
        if inner.is_null() || !lock::is_native(inner) {
            return Ok(None);
        }
        let inner = Primitive::of(inner);
        Ok(lock::acts(inner)?.then_some(inner))
    }
}

unsafe fn init_(this: Primitive, call: Args<'_>) -> Python<Option<Owned>> {
    // SAFETY: the primitive lives.
    unsafe {
        let given = match call.positional {
            [] => ffi::Py_None(),
            [lock] => *lock,
            _ => return Ok(None),
        };
        if call.keyword_count() != 0 || this.mode()?.is_none() {
            return Ok(None);
        }
        let lock = if given == ffi::Py_None() {
            lock::make()?
        } else if lock::is_native(given) {
            Owned::from_borrowed(given)
        } else {
            return Ok(None);
        };
        let cell = this.cell();
        this.set(&raw mut cell.inner, lock.into_ptr());
        this.set(&raw mut this.cell().waiters[0], ptr::null_mut());
        Ok(Some(none()))
    }
}

unsafe fn enter(this: Primitive, call: Args<'_>) -> Python<Option<Owned>> {
    // SAFETY: the primitive lives.
    unsafe {
        match acts(this)? {
            Some(lock) if plain_call(call, 0) => coroutine_for(lock, &lock::ENTER).map(Some),
            _ => Ok(None),
        }
    }
}

unsafe fn exit(this: Primitive, call: Args<'_>) -> Python<Option<Owned>> {
    // SAFETY: the primitive lives.
    unsafe {
        match acts(this)? {
            Some(lock) if plain_call(call, 3) => coroutine_for(lock, &lock::EXIT).map(Some),
            _ => Ok(None),
        }
    }
}

unsafe fn wait(this: Primitive, call: Args<'_>) -> Python<Option<Owned>> {
    // SAFETY: the primitive lives.
    unsafe { called_plainly(this, call, 0, &WAIT) }
}

unsafe fn notify_method(this: Primitive, call: Args<'_>) -> Python<Option<Owned>> {
    // SAFETY: the primitive lives; an int is read.
    unsafe {
        let count = match call.positional {
            [] => Some(1),
            [count] => fields::plain_int(*count),
            _ => None,
        };
        match (acts(this)?, count) {
            (Some(lock), Some(count)) if call.keyword_count() == 0 => {
                checked(lock)?;
                notify(this, count).map(|()| Some(none()))
            }
            _ => Ok(None),
        }
    }
}

unsafe fn notify_all(this: Primitive, call: Args<'_>) -> Python<Option<Owned>> {
    // SAFETY: the primitive lives.
    unsafe {
        match acts(this)? {
            Some(lock) if plain_call(call, 0) => everyone(this, lock).map(|()| Some(none())),
            _ => Ok(None),
        }
    }
}

/// `notify_all()`, of a condition with this lock.
///
/// # Safety
/// Both live, and native code may act.
pub unsafe fn everyone(this: Primitive, lock: Primitive) -> Python<()> {
    // SAFETY: the caller's contract.
    unsafe {
        checked(lock)?;
        notify(this, i64::MAX)
    }
}

unsafe fn checked(lock: Primitive) -> Python<()> {
    // SAFETY: the lock lives; RuntimeError is live.
    unsafe {
        if lock.cell().flag {
            return Ok(());
        }
        Err(raise(
            ffi::PyExc_RuntimeError,
            "cannot notify on un-acquired lock",
        ))
    }
}

/// `_notify(n)`.
unsafe fn notify(this: Primitive, count: i64) -> Python<()> {
    // SAFETY: the deque and each waiter are kept alive; the length is asked anew after each one.
    unsafe {
        let Some(waiters) = this.waiters(0) else {
            return Ok(());
        };
        let (mut index, mut woken) = (0, 0);
        while woken < count && index < deque::len(waiters.as_ptr()) {
            let waiting = deque::at(waiters.as_ptr(), index)?;
            if !waiter::done(waiting.as_ptr())? {
                woken += 1;
                waiter::wake(waiting.as_ptr(), ffi::Py_False())?;
            }
            index += 1;
        }
        Ok(())
    }
}

unsafe fn waiting(coro: CoroRef, exception: Option<Owned>) -> Sent {
    // SAFETY: called by `drive`.
    unsafe {
        let this = Primitive::of(coro.held(THIS));
        let sent = match coro.cell().phase {
            0 => start(coro, this),
            NOTIFIED => notified(coro, this, exception),
            _ => taking(coro, this, exception),
        };
        sent.unwrap_or(Sent::Raised)
    }
}

unsafe fn start(coro: CoroRef, this: Primitive) -> Python<Sent> {
    // SAFETY: as above.
    unsafe {
        if let Some(lock) = acts(this)? {
            if !lock.cell().flag {
                return Err(raise(
                    ffi::PyExc_RuntimeError,
                    "cannot wait on un-acquired lock",
                ));
            }
            if let Some(fresh) = waiter::new(this, Purpose::Condition)? {
                lock::release(lock)?;
                deque::append(this.deque(0)?.as_ptr(), fresh.as_ptr())?;
                return Ok(waiter::suspend(coro, fresh));
            }
        }
        Ok(coroutine::become_(
            coro,
            method::asyncios::<Wait>(&[this.object()]),
        ))
    }
}

unsafe fn notified(coro: CoroRef, this: Primitive, exception: Option<Owned>) -> Python<Sent> {
    // SAFETY: as above.
    unsafe {
        let waited = Owned::from_borrowed(coro.held(WAITER));
        match waiter::woken(waited.as_ptr(), exception) {
            Woken::Early(sent) => return Ok(sent),
            Woken::Ready => {}
            Woken::Thrown(exception) => coro.hold(RAISING, exception.into_ptr()),
        }
        leave(this, &waited)?;
        coro.cell().phase = TAKES;
        take(coro, this)?;
        taking(coro, this, None)
    }
}

/// Begins to take the lock again.
unsafe fn take(coro: CoroRef, this: Primitive) -> Python<()> {
    // SAFETY: the attribute is the lock's, or what a program put in its place.
    unsafe {
        let acquire = Owned::new(ffi::PyObject_GetAttr(
            this.object(),
            crate::ffi::names::names().acquire,
        ))?;
        let taking = Owned::new(ffi::PyObject_CallNoArgs(acquire.as_ptr()))?;
        let taking = if ffi::Py_TYPE(taking.as_ptr()) == coroutine::kind() {
            taking
        } else {
            crate::door::cold(c"awaited", &[taking.as_ptr()])?
        };
        coro.hold(TAKING, taking.into_ptr());
        Ok(())
    }
}

/// Goes on with taking the lock, and ends once it is taken.
unsafe fn taking(coro: CoroRef, this: Primitive, exception: Option<Owned>) -> Python<Sent> {
    // SAFETY: as above.
    unsafe {
        let mut exception = exception;
        loop {
            match coroutine::forward(coro.held(TAKING), exception.take()) {
                Sent::Pending(waited_for) => return Ok(Sent::Pending(waited_for)),
                Sent::Done(value) => {
                    drop(Owned::from_owned(value));
                    return end(coro, this);
                }
                Sent::Raised => {
                    let raised = Owned::from_owned(compat::take_raised());
                    if !is_cancelled_error(&raised) {
                        another(this)?;
                        return Ok(waiter::raise_again(raised));
                    }
                    let raised = if *NOTIFIES.get() {
                        raised
                    } else {
                        Owned::new(ffi::PyObject_CallNoArgs(door().cancelled_error))?
                    };
                    coro.hold(RAISING, raised.into_ptr());
                    take(coro, this)?;
                }
            }
        }
    }
}

unsafe fn end(coro: CoroRef, this: Primitive) -> Python<Sent> {
    // SAFETY: as above.
    unsafe {
        let raising = coro.held(RAISING);
        if raising.is_null() {
            return Ok(Sent::Done(boolean(true).into_ptr()));
        }
        let raising = Owned::from_borrowed(raising);
        another(this)?;
        Ok(waiter::raise_again(raising))
    }
}

/// A waiter ends with an exception: another one may have to be notified instead.
#[cold]
unsafe fn another(this: Primitive) -> Python<()> {
    // SAFETY: the primitive lives.
    unsafe {
        if !*NOTIFIES.get() {
            return Ok(());
        }
        if this.mode()?.is_some() && this.waits_plainly() {
            return notify(this, 1);
        }
        crate::door::cold(c"notify_another", &[this.object()]).map(drop)
    }
}

/// Makes the class and adds it to the module.
pub fn init(module: *mut ffi::PyObject) -> Python<()> {
    let theirs = class::asyncios(c"asyncio.locks", c"Condition")?;
    let mut counted_on = vec!["acquire", "release", "locked", "notify", "_get_loop"];
    // SAFETY: the import runs alone; the class lives.
    unsafe {
        *NOTIFIES.get() = ffi::PyObject_HasAttrString(theirs.as_ptr(), c"_notify".as_ptr()) == 1;
        if *NOTIFIES.get() {
            counted_on.push("_notify");
        }
    }
    let described = Description {
        module: c"asyncio.locks",
        name: c"Condition",
        native: c"rondeau._core._Condition",
        new,
        fields: vec![
            (c"_loop", Place::Loop),
            (c"_waiters", Place::Deque(0)),
            (c"_lock", Place::Inner),
            (c"acquire", Place::OfInner),
            (c"release", Place::OfInner),
            (c"locked", Place::OfInner),
        ],
        methods: vec![
            method::of::<Init>(),
            method::of::<Enter>(),
            method::of::<Exit>(),
            method::of::<Wait>(),
            method::of::<Notify>(),
            method::of::<NotifyAll>(),
        ],
        counted_on,
        derived: Vec::new(),
    };
    KNOWN.publish(module, described)
}
