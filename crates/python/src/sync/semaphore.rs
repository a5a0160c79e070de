//! `Semaphore` and `BoundedSemaphore`: a number of places, waiters in the order in which they came.
//!
//! As in asyncio, a release gives its place to the first waiter at once (the value does not rise meanwhile), so nobody can
//! take it past those that wait. What a cancelled waiter does with a place that it was given differs between Python's patch
//! releases; `KEEPS_WAKING` tells which of the two asyncio here has.

use super::calls::{THIS, boolean, called_plainly, none, plain_call};
use super::class;
use super::deque;
use super::fields::{Place, plain_int};
use super::known::{Description, known};
use super::method::{self, Method, method};
use super::primitive::Primitive;
use super::waiter::{self, WAITER, Woken, all_cancelled, is_cancelled_error, leave};
use crate::coroutine::{self, CoroRef, Kind, Sent};
use crate::ffi::{Python, Raised, args::Args, args::raise, compat, gil::GilCell, owned::Owned};
use crate::future::Purpose;
use pyo3_ffi as ffi;
use std::ptr;

known!(limit: i64::MAX);

/// Whoever leaves wakes as many as there are places for (3.13, and later releases of 3.11 and 3.12).
static KEEPS_WAKING: GilCell<bool> = GilCell::new(true);

method!(Init, c"__init__", kind, init_);
method!(BoundedInit, c"__init__", kind, bounded_init);
method!(Locked, c"locked", kind, locked);
method!(Acquire, c"acquire", kind, acquire);
method!(Release, c"release", kind, release_method);
method!(BoundedRelease, c"release", kind, release_method);
method!(Enter, c"__aenter__", kind, enter);
method!(Exit, c"__aexit__", kind, exit);

static ACQUIRE: Kind = Kind::new(c"acquire", c"Semaphore.acquire", acquiring::<Acquire>);
static ENTER: Kind = Kind::new(
    c"__aenter__",
    c"_ContextManagerMixin.__aenter__",
    acquiring::<Enter>,
);
static EXIT: Kind = Kind::new(c"__aexit__", c"_ContextManagerMixin.__aexit__", exiting);

/// The forms, in the order of `init`.
const BOUNDED: u8 = 1;

/// The one argument that a constructor was given, where it is an int that native code can hold; `absent` for none.
///
/// # Safety
/// The arguments live.
pub unsafe fn count_given(
    call: Args<'_>,
    name: *mut ffi::PyObject,
    absent: i64,
) -> Python<Option<i64>> {
    // SAFETY: the caller's contract.
    unsafe {
        let mut value = [ptr::null_mut()];
        match (call.positional, call.keyword_count()) {
            ([], 0) => return Ok(Some(absent)),
            ([given], 0) => value[0] = *given,
            ([], 1) => {
                if call.keywords("__init__", [name], &mut value).is_err() {
                    ffi::PyErr_Clear();
                    return Ok(None);
                }
            }
            _ => return Ok(None),
        }
        Ok(plain_int(value[0]))
    }
}

unsafe fn init_(this: Primitive, call: Args<'_>) -> Python<Option<Owned>> {
    // SAFETY: the primitive lives.
    unsafe {
        match count_given(call, crate::ffi::names::names().value, 1)? {
            Some(value) if value >= 0 && !this.cell().shadowed => {
                let cell = this.cell();
                cell.number = value;
                this.set(&raw mut cell.waiters[0], ptr::null_mut());
                Ok(Some(none()))
            }
            _ => Ok(None),
        }
    }
}

unsafe fn bounded_init(this: Primitive, call: Args<'_>) -> Python<Option<Owned>> {
    // SAFETY: the primitive lives.
    unsafe {
        let done = init_(this, call)?;
        if done.is_some() {
            this.cell().limit = this.cell().number;
        }
        Ok(done)
    }
}

unsafe fn acts(this: Primitive) -> Python<Option<u8>> {
    // SAFETY: the primitive lives.
    unsafe { Ok(this.mode()?.filter(|_| this.waits_plainly())) }
}

#[inline]
unsafe fn is_locked(this: Primitive) -> Python<bool> {
    // SAFETY: the primitive lives.
    unsafe { Ok(this.cell().number == 0 || !all_cancelled(this)?) }
}

unsafe fn locked(this: Primitive, call: Args<'_>) -> Python<Option<Owned>> {
    // SAFETY: the primitive lives.
    unsafe {
        if !plain_call(call, 0) || this.cell().shadowed || !this.waits_plainly() {
            return Ok(None);
        }
        is_locked(this).map(|locked| Some(boolean(locked)))
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

unsafe fn release_method(this: Primitive, call: Args<'_>) -> Python<Option<Owned>> {
    // SAFETY: the primitive lives.
    unsafe {
        if !plain_call(call, 0) {
            return Ok(None);
        }
        match acts(this)? {
            Some(form) => release(this, form).map(|()| Some(none())),
            None => Ok(None),
        }
    }
}

unsafe fn release(this: Primitive, form: u8) -> Python<()> {
    // SAFETY: the primitive lives.
    unsafe {
        if form == BOUNDED && this.cell().number >= this.cell().limit {
            return Err(raise(
                ffi::PyExc_ValueError,
                "BoundedSemaphore released too many times",
            ));
        }
        let Some(raised) = this.cell().number.checked_add(1) else {
            return Err(raise(
                ffi::PyExc_OverflowError,
                "a semaphore's value does not fit",
            ));
        };
        this.cell().number = raised;
        wake_next(this).map(drop)
    }
}

/// `_wake_up_next`: whether somebody was woken.
unsafe fn wake_next(this: Primitive) -> Python<bool> {
    // SAFETY: the deque and each waiter are kept alive; the length is asked anew after each question.
    unsafe {
        let Some(waiters) = this.waiters(0) else {
            return Ok(false);
        };
        let mut index = 0;
        while index < deque::len(waiters.as_ptr()) {
            let waiting = deque::at(waiters.as_ptr(), index)?;
            if !waiter::done(waiting.as_ptr())? {
                this.cell().number = this.cell().number.wrapping_sub(1);
                waiter::wake(waiting.as_ptr(), ffi::Py_True())?;
                return Ok(true);
            }
            index += 1;
        }
        Ok(false)
    }
}

#[inline]
fn given<M: Method>() -> Sent {
    let given = if M::NAME == Enter::NAME {
        none()
    } else {
        boolean(true)
    };
    Sent::Done(given.into_ptr())
}

unsafe fn acquiring<M: Method>(coro: CoroRef, exception: Option<Owned>) -> Sent {
    // SAFETY: called by `drive`.
    unsafe {
        let this = Primitive::of(coro.held(THIS));
        let sent = if coro.cell().phase == 0 {
            start::<M>(coro, this)
        } else {
            go_on::<M>(coro, this, exception)
        };
        sent.unwrap_or(Sent::Raised)
    }
}

#[inline]
unsafe fn start<M: Method>(coro: CoroRef, this: Primitive) -> Python<Sent> {
    // SAFETY: as above.
    unsafe {
        if acts(this)?.is_some() {
            if !is_locked(this)? {
                this.cell().number = this.cell().number.wrapping_sub(1);
                return Ok(given::<M>());
            }
            if let Some(fresh) = waiter::new(this, Purpose::Semaphore)? {
                deque::append(this.deque(0)?.as_ptr(), fresh.as_ptr())?;
                return Ok(waiter::suspend(coro, fresh));
            }
        }
        Ok(coroutine::become_(
            coro,
            method::asyncios::<M>(&[this.object()]),
        ))
    }
}

unsafe fn go_on<M: Method>(
    coro: CoroRef,
    this: Primitive,
    exception: Option<Owned>,
) -> Python<Sent> {
    // SAFETY: as above; the waiter is kept alive, since finishing lets go of it.
    unsafe {
        let waited = Owned::from_borrowed(coro.held(WAITER));
        let thrown = match waiter::woken(waited.as_ptr(), exception) {
            Woken::Early(sent) => return Ok(sent),
            Woken::Ready => None,
            Woken::Thrown(exception) => Some(exception),
        };
        leave(this, &waited)?;
        let new = *KEEPS_WAKING.get();
        if let Some(exception) = &thrown
            && is_cancelled_error(exception)
        {
            let given_up = !waiter::cancelled(waited.as_ptr())?;
            if given_up && (!new || waiter::done(waited.as_ptr())?) {
                this.cell().number = this.cell().number.wrapping_add(1);
                if !new {
                    wake_next(this)?;
                }
            }
        }
        if new {
            while this.cell().number > 0 && wake_next(this)? {}
        } else if thrown.is_none() && this.cell().number > 0 {
            wake_next(this)?;
        }
        Ok(match thrown {
            None => given::<M>(),
            Some(exception) => waiter::raise_again(exception),
        })
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
            Ok(Some(form)) => match release(this, form) {
                Ok(()) => Sent::Done(none().into_ptr()),
                Err(Raised) => Sent::Raised,
            },
            Ok(None) => {
                let nothing = ffi::Py_None();
                let args = [this.object(), nothing, nothing, nothing];
                coroutine::become_(coro, method::asyncios::<Exit>(&args))
            }
            Err(Raised) => Sent::Raised,
        }
    }
}

/// Which of the two ways asyncio's semaphore here has: the newer one tells whether it woke somebody.
fn probe(theirs: &Owned) -> Python<bool> {
    // SAFETY: the class lives.
    unsafe {
        let sample = Owned::new(ffi::PyObject_CallNoArgs(theirs.as_ptr()))?;
        let wake = crate::door::attribute(&sample, c"_wake_up_next")?;
        let answer = Owned::new(ffi::PyObject_CallNoArgs(wake.as_ptr()))?;
        Ok(answer.as_ptr() == ffi::Py_False())
    }
}

/// Makes both classes and adds them to the module.
pub fn init(module: *mut ffi::PyObject) -> Python<()> {
    let theirs = class::asyncios(c"asyncio.locks", c"Semaphore")?;
    // SAFETY: the import runs alone.
    unsafe { *KEEPS_WAKING.get() = probe(&theirs)? };
    let described = Description {
        module: c"asyncio.locks",
        name: c"Semaphore",
        native: c"rondeau._core._Semaphore",
        new,
        fields: vec![
            (c"_loop", Place::Loop),
            (c"_waiters", Place::Waiters),
            (c"_value", Place::Number),
            (c"_bound_value", Place::Limit),
        ],
        methods: vec![
            method::of::<Init>(),
            method::of::<Locked>(),
            method::of::<Acquire>(),
            method::of::<Release>(),
            method::of::<Enter>(),
            method::of::<Exit>(),
        ],
        counted_on: vec!["acquire", "release", "locked", "_wake_up_next", "_get_loop"],
        derived: vec![(
            c"BoundedSemaphore",
            vec![method::of::<BoundedInit>(), method::of::<BoundedRelease>()],
        )],
    };
    KNOWN.publish(module, described)
}
