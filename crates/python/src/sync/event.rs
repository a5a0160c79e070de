//! `Event`: a flag that tasks wait for; setting it wakes all of them, in the order in which they came.

use super::calls::{THIS, boolean, called_plainly, called_quickly, none, plain_call};
use super::deque;
use super::fields::Place;
use super::known::{Description, known};
use super::method::{self, method};
use super::primitive::Primitive;
use super::waiter::{self, WAITER, Woken, leave};
use crate::coroutine::{self, CoroRef, Kind, Sent};
use crate::ffi::{Python, Raised, args::Args, owned::Owned};
use crate::future::Purpose;
use pyo3_ffi as ffi;
use std::ptr;

known!();

/// An event of the class itself, set or not.
///
/// # Safety
/// The GIL is held.
pub unsafe fn make(set: bool) -> Python<Owned> {
    // SAFETY: the caller's contract.
    unsafe {
        let made = KNOWN.make()?;
        Primitive::of(made.as_ptr()).cell().flag = set;
        Ok(made)
    }
}

/// Whether `object` is an event of the class itself.
///
/// # Safety
/// The object lives.
#[inline]
pub unsafe fn is_native(object: *mut ffi::PyObject) -> bool {
    // SAFETY: the caller's contract.
    unsafe { KNOWN.is_exact(object) }
}

method!(Init, c"__init__", kind, init_);
method!(IsSet, c"is_set", kind, is_set);
method!(Set, c"set", kind, set_method, set_quickly);
method!(Clear, c"clear", kind, clear, clear_quickly);
method!(Wait, c"wait", kind, wait, wait_quickly);

static WAIT: Kind = Kind::new(c"wait", c"Event.wait", waiting).at_once(at_once);

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

unsafe fn is_set(this: Primitive, call: Args<'_>) -> Python<Option<Owned>> {
    // SAFETY: the primitive lives.
    unsafe {
        if !plain_call(call, 0) || this.cell().shadowed {
            return Ok(None);
        }
        Ok(Some(boolean(this.cell().flag)))
    }
}

unsafe fn clear(this: Primitive, call: Args<'_>) -> Python<Option<Owned>> {
    // SAFETY: the primitive lives.
    unsafe {
        if !plain_call(call, 0) || this.cell().shadowed {
            return Ok(None);
        }
        this.cell().flag = false;
        Ok(Some(none()))
    }
}

#[inline(always)]
unsafe fn clear_quickly(this: Primitive, count: usize) -> Option<*mut ffi::PyObject> {
    // SAFETY: the primitive lives.
    unsafe {
        if count != 0 || this.cell().shadowed {
            return None;
        }
        this.cell().flag = false;
        Some(none().into_ptr())
    }
}

#[inline(always)]
unsafe fn set_quickly(this: Primitive, count: usize) -> Option<*mut ffi::PyObject> {
    // SAFETY: the primitive lives; nobody has waited for it yet.
    unsafe {
        if count != 0 || this.cell().shadowed || !this.has_no_deque() {
            return None;
        }
        this.cell().flag = true;
        Some(none().into_ptr())
    }
}

unsafe fn set_method(this: Primitive, call: Args<'_>) -> Python<Option<Owned>> {
    // SAFETY: the primitive lives.
    unsafe {
        if !plain_call(call, 0) || this.cell().shadowed || !this.waits_plainly() {
            return Ok(None);
        }
        set(this).map(|()| Some(none()))
    }
}

/// `set()`.
///
/// # Safety
/// The primitive lives, its waiters are in a deque.
pub unsafe fn set(this: Primitive) -> Python<()> {
    // SAFETY: the deque and each waiter are kept alive. An iterator of the deque's own, which fails as in asyncio where
    // another loop's code changes the deque meanwhile.
    unsafe {
        if this.cell().flag {
            return Ok(());
        }
        this.cell().flag = true;
        let Some(waiters) = this.waiters(0) else {
            return Ok(());
        };
        if deque::len(waiters.as_ptr()) == 1 {
            return wake(&deque::at(waiters.as_ptr(), 0)?);
        }
        let all = Owned::new(ffi::PyObject_GetIter(waiters.as_ptr()))?;
        while let Ok(waiting) = Owned::new(ffi::PyIter_Next(all.as_ptr())) {
            wake(&waiting)?;
        }
        if ffi::PyErr_Occurred().is_null() {
            Ok(())
        } else {
            Err(Raised)
        }
    }
}

#[inline]
unsafe fn wake(waiting: &Owned) -> Python<()> {
    // SAFETY: the waiter is kept alive.
    unsafe {
        if waiter::done(waiting.as_ptr())? {
            return Ok(());
        }
        waiter::wake(waiting.as_ptr(), ffi::Py_True())
    }
}

unsafe fn wait(this: Primitive, call: Args<'_>) -> Python<Option<Owned>> {
    // SAFETY: the primitive lives.
    unsafe { called_plainly(this, call, 0, &WAIT) }
}

#[inline(always)]
unsafe fn wait_quickly(this: Primitive, count: usize) -> Option<*mut ffi::PyObject> {
    // SAFETY: the primitive lives.
    unsafe { called_quickly(this, count == 0, &WAIT) }
}

unsafe fn at_once(this: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: a coroutine of the kind holds its event.
    unsafe {
        let this = Primitive::of(this);
        if this.cell().flag && this.acts_at_once() {
            return boolean(true).into_ptr();
        }
        ptr::null_mut()
    }
}

unsafe fn waiting(coro: CoroRef, exception: Option<Owned>) -> Sent {
    // SAFETY: called by `drive`.
    unsafe {
        let this = Primitive::of(coro.held(THIS));
        let sent = if coro.cell().phase == 0 {
            start(coro, this)
        } else {
            go_on(coro, this, exception)
        };
        match sent {
            Ok(Some(sent)) => sent,
            Ok(None) => Sent::Done(boolean(true).into_ptr()),
            Err(Raised) => Sent::Raised,
        }
    }
}

/// The first step of waiting for the event: None where it is set.
///
/// # Safety
/// Called by a kind's code, which keeps the event alive.
#[inline]
pub unsafe fn start(coro: CoroRef, this: Primitive) -> Python<Option<Sent>> {
    // SAFETY: the caller's contract.
    unsafe {
        if this.mode()?.is_some() && this.waits_plainly() {
            if this.cell().flag {
                return Ok(None);
            }
            if let Some(fresh) = waiter::new(this, Purpose::Event)? {
                deque::append(this.deque(0)?.as_ptr(), fresh.as_ptr())?;
                return Ok(Some(waiter::suspend(coro, fresh)));
            }
        }
        let theirs = method::asyncios::<Wait>(&[this.object()]);
        Ok(Some(coroutine::become_(coro, theirs)))
    }
}

/// A later step: None where the event was set.
///
/// # Safety
/// As for `start`.
#[inline]
pub unsafe fn go_on(
    coro: CoroRef,
    this: Primitive,
    exception: Option<Owned>,
) -> Python<Option<Sent>> {
    // SAFETY: the waiter is kept alive, since finishing lets go of it.
    unsafe {
        let waited = Owned::from_borrowed(coro.held(WAITER));
        let thrown = match waiter::woken(waited.as_ptr(), exception) {
            Woken::Early(sent) => return Ok(Some(sent)),
            Woken::Ready => None,
            Woken::Thrown(exception) => Some(exception),
        };
        leave(this, &waited)?;
        Ok(thrown.map(|exception| waiter::raise_again(exception)))
    }
}

/// Makes the class and adds it to the module.
pub fn init(module: *mut ffi::PyObject) -> Python<()> {
    let described = Description {
        module: c"asyncio.locks",
        name: c"Event",
        native: c"rondeau._core._Event",
        new,
        fields: vec![
            (c"_loop", Place::Loop),
            (c"_waiters", Place::Deque(0)),
            (c"_value", Place::Flag),
        ],
        methods: vec![
            method::of::<Init>(),
            method::of::<IsSet>(),
            method::builtin_of::<Set>(),
            method::builtin_of::<Clear>(),
            method::of::<Wait>(),
        ],
        counted_on: vec!["is_set", "set", "clear", "wait", "_get_loop"],
        derived: Vec::new(),
    };
    KNOWN.publish(module, described)
}
