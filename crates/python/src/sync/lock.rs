//! `Lock`: one holder, waiters in the order in which they came.
//!
//! As in asyncio, a release does not hand the lock over: it wakes the first waiter, which takes it in its own step, and a lock whose
//! waiters were all cancelled may be taken past them.

use super::calls::{THIS, boolean, called_plainly, called_quickly, none, plain_call};
use super::deque;
use super::fields::Place;
use super::known::{Description, known};
use super::method::{self, Method, method};
use super::primitive::Primitive;
use super::waiter::{self, WAITER, Woken, all_cancelled, is_cancelled_error, leave};
use crate::coroutine::{self, CoroRef, Kind, Sent};
use crate::ffi::{Python, Raised, args::Args, args::raise, compat, owned::Owned};
use crate::future::Purpose;
use crate::recorder;
use pyo3_ffi as ffi;
use std::ptr;

known!();

/// A lock of the class itself.
pub fn make() -> Python<Owned> {
    // SAFETY: called under the GIL.
    unsafe { KNOWN.make() }
}

/// Whether `object` is a lock of the class itself.
///
/// # Safety
/// The object lives.
#[inline]
pub unsafe fn is_native(object: *mut ffi::PyObject) -> bool {
    // SAFETY: the caller's contract.
    unsafe { KNOWN.is_exact(object) }
}

method!(Init, c"__init__", kind, init_);
method!(Acquire, c"acquire", kind, acquire, acquire_quickly);
method!(Release, c"release", kind, release_method);
method!(Locked, c"locked", kind, locked);
method!(Enter, c"__aenter__", kind, enter, enter_quickly);
method!(Exit, c"__aexit__", kind, exit, exit_quickly);

static ACQUIRE: Kind = Kind::new(c"acquire", c"Lock.acquire", acquiring::<Acquire>)
    .at_once(acquire_at_once::<Acquire>);
/// `async with`.
pub static ENTER: Kind = Kind::new(
    c"__aenter__",
    c"_ContextManagerMixin.__aenter__",
    acquiring::<Enter>,
)
.at_once(acquire_at_once::<Enter>);
/// The end of `async with`.
pub static EXIT: Kind =
    Kind::new(c"__aexit__", c"_ContextManagerMixin.__aexit__", exiting).at_once(exit_at_once);

unsafe fn init_(this: Primitive, call: Args<'_>) -> Python<Option<Owned>> {
    // SAFETY: the primitive lives.
    unsafe {
        if !plain_call(call, 0) || this.cell().shadowed {
            return Ok(None);
        }
        let cell = this.cell();
        cell.flag = false;
        this.set(&raw mut cell.waiters[0], ptr::null_mut());
        Ok(Some(none()))
    }
}

unsafe fn acquire(this: Primitive, call: Args<'_>) -> Python<Option<Owned>> {
    // SAFETY: the primitive lives.
    unsafe { called_plainly(this, call, 0, &ACQUIRE) }
}

unsafe fn enter(this: Primitive, call: Args<'_>) -> Python<Option<Owned>> {
    // SAFETY: the primitive lives.
    unsafe { called_plainly(this, call, 0, &ENTER) }
}

unsafe fn exit(this: Primitive, call: Args<'_>) -> Python<Option<Owned>> {
    // SAFETY: the primitive lives.
    unsafe { called_plainly(this, call, 3, &EXIT) }
}

#[inline(always)]
unsafe fn acquire_quickly(this: Primitive, count: usize) -> Option<*mut ffi::PyObject> {
    // SAFETY: the primitive lives.
    unsafe { called_quickly(this, count == 0, &ACQUIRE) }
}

#[inline(always)]
unsafe fn enter_quickly(this: Primitive, count: usize) -> Option<*mut ffi::PyObject> {
    // SAFETY: the primitive lives.
    unsafe { called_quickly(this, count == 0, &ENTER) }
}

#[inline(always)]
unsafe fn exit_quickly(this: Primitive, count: usize) -> Option<*mut ffi::PyObject> {
    // SAFETY: the primitive lives.
    unsafe { called_quickly(this, count == 3, &EXIT) }
}

unsafe fn locked(this: Primitive, call: Args<'_>) -> Python<Option<Owned>> {
    // SAFETY: the primitive lives.
    unsafe {
        if !plain_call(call, 0) || this.cell().shadowed {
            return Ok(None);
        }
        Ok(Some(boolean(this.cell().flag)))
    }
}

unsafe fn release_method(this: Primitive, call: Args<'_>) -> Python<Option<Owned>> {
    // SAFETY: the primitive lives.
    unsafe {
        if !plain_call(call, 0) || !acts(this)? {
            return Ok(None);
        }
        release(this).map(|()| Some(none()))
    }
}

/// Whether native code may act.
///
/// # Safety
/// The lock lives.
#[inline]
pub unsafe fn acts(this: Primitive) -> Python<bool> {
    // SAFETY: the primitive lives.
    unsafe { Ok(this.mode()?.is_some() && this.waits_plainly()) }
}

/// Takes the lock where nobody has it and nobody waits for it; false where it must be waited for.
///
/// # Safety
/// The lock lives, and native code may act.
#[inline]
pub unsafe fn take(this: Primitive) -> Python<bool> {
    // SAFETY: the caller's contract.
    unsafe {
        let free = !this.cell().flag && all_cancelled(this)?;
        if free {
            this.cell().flag = true;
            if recorder::is_on() {
                recorder::holds(this);
            }
        }
        Ok(free)
    }
}

/// `release()`, where native code may act.
///
/// # Safety
/// The lock lives.
pub unsafe fn release(this: Primitive) -> Python<()> {
    // SAFETY: the primitive lives.
    unsafe {
        if !this.cell().flag {
            return Err(raise(ffi::PyExc_RuntimeError, "Lock is not acquired."));
        }
        this.cell().flag = false;
        wake_first(this)
    }
}

/// `_wake_up_first`.
#[inline]
unsafe fn wake_first(this: Primitive) -> Python<()> {
    // SAFETY: the deque and the waiter are kept alive.
    unsafe {
        let Some(waiters) = this.waiters(0) else {
            return Ok(());
        };
        let first = deque::at(waiters.as_ptr(), 0)?;
        if waiter::done(first.as_ptr())? {
            return Ok(());
        }
        waiter::wake(first.as_ptr(), ffi::Py_True())
    }
}

/// True for `acquire`, None for `async with`.
#[inline]
fn given<M: Method>() -> *mut ffi::PyObject {
    let given = if M::NAME == Enter::NAME {
        none()
    } else {
        boolean(true)
    };
    given.into_ptr()
}

#[inline]
unsafe fn acquired<M: Method>(this: Primitive) -> Sent {
    // SAFETY: the primitive lives.
    unsafe {
        this.cell().flag = true;
        if recorder::is_on() {
            recorder::holds(this);
        }
    }
    Sent::Done(given::<M>())
}

unsafe fn acquire_at_once<M: Method>(this: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: a coroutine of the kind holds its lock.
    unsafe {
        let this = Primitive::of(this);
        if this.cell().flag || !this.acts_at_once() || recorder::is_on() {
            return ptr::null_mut();
        }
        this.cell().flag = true;
        given::<M>()
    }
}

unsafe fn exit_at_once(this: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: a coroutine of the kind holds its lock.
    unsafe {
        let this = Primitive::of(this);
        if !this.cell().flag || !this.acts_at_once() {
            return ptr::null_mut();
        }
        this.cell().flag = false;
        none().into_ptr()
    }
}

unsafe fn acquiring<M: Method>(coro: CoroRef, exception: Option<Owned>) -> Sent {
    // SAFETY: called by `drive`; the primitive is kept alive by the coroutine until it is finished.
    unsafe {
        let this = Primitive::of(coro.held(THIS));
        if coro.cell().phase != 0 {
            return go_on::<M>(coro, this, exception);
        }
        start::<M>(coro, this).unwrap_or(Sent::Raised)
    }
}

#[inline]
unsafe fn start<M: Method>(coro: CoroRef, this: Primitive) -> Python<Sent> {
    // SAFETY: as above.
    unsafe {
        if !acts(this)? {
            return Ok(coroutine::become_(
                coro,
                method::asyncios::<M>(&[this.object()]),
            ));
        }
        if !this.cell().flag && all_cancelled(this)? {
            return Ok(acquired::<M>(this));
        }
        let Some(fresh) = waiter::new(this, Purpose::Lock)? else {
            return Ok(coroutine::become_(
                coro,
                method::asyncios::<M>(&[this.object()]),
            ));
        };
        if recorder::is_on() {
            recorder::waits_for_lock(fresh.as_ptr(), this);
        }
        deque::append(this.deque(0)?.as_ptr(), fresh.as_ptr())?;
        Ok(waiter::suspend(coro, fresh))
    }
}

unsafe fn go_on<M: Method>(coro: CoroRef, this: Primitive, exception: Option<Owned>) -> Sent {
    // SAFETY: as above; the waiter is kept alive, since finishing lets go of it.
    unsafe {
        let waited = Owned::from_borrowed(coro.held(WAITER));
        let thrown = match waiter::woken(waited.as_ptr(), exception) {
            Woken::Early(sent) => return sent,
            Woken::Ready => None,
            Woken::Thrown(exception) => Some(exception),
        };
        if leave(this, &waited).is_err() {
            return Sent::Raised;
        }
        match thrown {
            None => acquired::<M>(this),
            Some(exception) => {
                let cancelled = is_cancelled_error(&exception);
                if cancelled && !this.cell().flag && wake_first(this).is_err() {
                    return Sent::Raised;
                }
                waiter::raise_again(exception)
            }
        }
    }
}

unsafe fn exiting(coro: CoroRef, exception: Option<Owned>) -> Sent {
    // SAFETY: called by `drive`.
    unsafe {
        if let Some(exception) = exception {
            compat::set_raised(exception.into_ptr());
            return Sent::Raised;
        }
        let this = Primitive::of(coro.held(THIS));
        match acts(this) {
            Ok(true) => match release(this) {
                Ok(()) => Sent::Done(none().into_ptr()),
                Err(Raised) => Sent::Raised,
            },
            Ok(false) => {
                let nothing = ffi::Py_None();
                let args = [this.object(), nothing, nothing, nothing];
                coroutine::become_(coro, method::asyncios::<Exit>(&args))
            }
            Err(Raised) => Sent::Raised,
        }
    }
}

/// Makes the class and adds it to the module.
pub fn init(module: *mut ffi::PyObject) -> Python<()> {
    let described = Description {
        module: c"asyncio.locks",
        name: c"Lock",
        native: c"rondeau._core._Lock",
        new,
        fields: vec![
            (c"_loop", Place::Loop),
            (c"_waiters", Place::Waiters),
            (c"_locked", Place::Flag),
        ],
        methods: vec![
            method::of::<Init>(),
            method::of::<Acquire>(),
            method::of::<Release>(),
            method::of::<Locked>(),
            method::of::<Enter>(),
            method::of::<Exit>(),
        ],
        counted_on: vec!["acquire", "release", "_wake_up_first", "_get_loop"],
        derived: Vec::new(),
    };
    KNOWN.publish(module, described)
}
