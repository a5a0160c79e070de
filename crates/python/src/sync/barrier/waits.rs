//! What a barrier's coroutines do, step by step: each takes the condition's lock, and waits on the condition.

use super::state::{self, BROKEN, DRAINING, FILLING, RESETTING, broken, is, kind};
use crate::coroutine::{self, CoroRef, Kind, Sent};
use crate::ffi::{Python, Raised, args::Args, compat, owned::Owned};
use crate::sync::calls::{THIS, called_plainly, coroutine_for, none};
use crate::sync::condition;
use crate::sync::lock;
use crate::sync::method::{self, Method, method};
use crate::sync::primitive::Primitive;
use pyo3_ffi as ffi;

method!(Wait, c"wait", kind, wait);
method!(Enter, c"__aenter__", kind, enter);
method!(Exit, c"__aexit__", kind, exit);
method!(Reset, c"reset", kind, reset);
method!(Abort, c"abort", kind, abort);

/// Where a coroutine keeps what it awaits inside, and the condition.
const INSIDE: usize = 1;
const CONDITION: usize = 2;

/// `phase`: it takes the lock; it waits for those before to leave, and for the last to come.
const ENTERS: u8 = 1;
const BLOCKS: u8 = 2;
const BLOCKED: u8 = 3;
const FILLS: u8 = 4;
const WAITS: u8 = 5;

static WAIT: Kind = Kind::new(c"wait", c"Barrier.wait", waiting::<Wait>);
static ENTER: Kind = Kind::new(c"__aenter__", c"Barrier.__aenter__", waiting::<Enter>);
static EXIT: Kind = Kind::new(c"__aexit__", c"Barrier.__aexit__", exiting);
static RESET: Kind = Kind::new(c"reset", c"Barrier.reset", changing::<Reset>);
static ABORT: Kind = Kind::new(c"abort", c"Barrier.abort", changing::<Abort>);

unsafe fn wait(this: Primitive, call: Args<'_>) -> Python<Option<Owned>> {
    // SAFETY: the primitive lives.
    unsafe { called_plainly(this, call, 0, &WAIT) }
}

unsafe fn enter(this: Primitive, call: Args<'_>) -> Python<Option<Owned>> {
    // SAFETY: the primitive lives.
    unsafe { called_plainly(this, call, 0, &ENTER) }
}

unsafe fn exit(this: Primitive, call: Args<'_>) -> Python<Option<Owned>> {
    // SAFETY: the primitive lives.
    unsafe { called_plainly(this, call, 3, &EXIT) }
}

unsafe fn reset(this: Primitive, call: Args<'_>) -> Python<Option<Owned>> {
    // SAFETY: the primitive lives.
    unsafe { called_plainly(this, call, 0, &RESET) }
}

unsafe fn abort(this: Primitive, call: Args<'_>) -> Python<Option<Owned>> {
    // SAFETY: the primitive lives.
    unsafe { called_plainly(this, call, 0, &ABORT) }
}

/// The condition and its lock, where native code may act.
#[inline]
unsafe fn acts(this: Primitive) -> Python<Option<(Primitive, Primitive)>> {
    // SAFETY: the primitive lives, and with it its condition.
    unsafe {
        let inner = this.cell().inner;
        if this.mode()?.is_none() || inner.is_null() || !condition::is_native(inner) {
            return Ok(None);
        }
        let condition = Primitive::of(inner);
        Ok(condition::acts(condition)?.map(|lock| (condition, lock)))
    }
}

/// `self._cond.notify_all()`.
unsafe fn notify_all(condition: Primitive) -> Python<()> {
    // SAFETY: the condition is kept alive by the coroutine.
    unsafe {
        match condition::acts(condition)? {
            Some(lock) => condition::everyone(condition, lock),
            None => call(condition, c"notify_all"),
        }
    }
}

/// The lock is given back, and this is what comes of the coroutine.
unsafe fn leave(condition: Primitive, sent: Python<Sent>) -> Python<Sent> {
    // SAFETY: as above; what was raised is kept over the release.
    unsafe {
        let released = |condition| match condition::acts(condition)? {
            Some(lock) => lock::release(lock),
            None => call(condition, c"release"),
        };
        after(sent, || released(condition))
    }
}

/// What a `finally` does: its own exception takes the place of what was raised.
unsafe fn after(sent: Python<Sent>, last: impl FnOnce() -> Python<()>) -> Python<Sent> {
    // SAFETY: an exception is set where something was raised.
    unsafe {
        if let Ok(Sent::Done(value)) = sent {
            let value = Owned::from_owned(value);
            return last().map(|()| Sent::Done(value.into_ptr()));
        }
        let raised = Owned::from_owned(compat::take_raised());
        match last() {
            Ok(()) => compat::set_raised(raised.into_ptr()),
            Err(Raised) => {
                let newer = compat::take_raised();
                ffi::PyException_SetContext(newer, raised.into_ptr());
                compat::set_raised(newer);
            }
        }
        Err(Raised)
    }
}

#[cold]
unsafe fn call(condition: Primitive, name: &std::ffi::CStr) -> Python<()> {
    // SAFETY: the condition is kept alive by the coroutine.
    unsafe {
        let method = Owned::new(ffi::PyObject_GetAttrString(
            condition.object(),
            name.as_ptr(),
        ))?;
        Owned::new(ffi::PyObject_CallNoArgs(method.as_ptr())).map(drop)
    }
}

/// The first step of each: takes the lock, or begins to wait for it. None where it became asyncio's own.
unsafe fn begin<M: Method>(coro: CoroRef, this: Primitive) -> Python<Option<Sent>> {
    // SAFETY: called by a kind's code.
    unsafe {
        let Some((condition, lock)) = acts(this)? else {
            let theirs = method::asyncios::<M>(&[this.object()]);
            return Ok(Some(coroutine::become_(coro, theirs)));
        };
        coro.hold(
            CONDITION,
            Owned::from_borrowed(condition.object()).into_ptr(),
        );
        if lock::take(lock)? {
            coro.cell().phase = BLOCKS;
            return Ok(None);
        }
        inside(coro, coroutine_for(lock, &lock::ENTER)?);
        coro.cell().phase = ENTERS;
        Ok(None)
    }
}

unsafe fn inside(coro: CoroRef, awaited: Owned) {
    // SAFETY: called by a kind's code.
    unsafe { coro.hold(INSIDE, awaited.into_ptr()) }
}

/// Goes on with what is awaited inside: Ok(None) once it is over.
unsafe fn go_on(coro: CoroRef, exception: &mut Option<Owned>) -> Python<Option<Sent>> {
    // SAFETY: called by a kind's code.
    unsafe {
        match coroutine::forward(coro.held(INSIDE), exception.take()) {
            Sent::Pending(waited_for) => Ok(Some(Sent::Pending(waited_for))),
            Sent::Done(value) => {
                drop(Owned::from_owned(value));
                Ok(None)
            }
            Sent::Raised => Err(Raised),
        }
    }
}

unsafe fn waiting<M: Method>(coro: CoroRef, exception: Option<Owned>) -> Sent {
    // SAFETY: called by `drive`; the primitive is kept alive by the coroutine until it is finished.
    unsafe {
        let this = Primitive::of(coro.held(THIS));
        let sent = match coro.cell().phase {
            0 => match begin::<M>(coro, this) {
                Ok(None) => steps(coro, this, None),
                other => other.map(|sent| sent.unwrap_or(Sent::Raised)),
            },
            _ => steps(coro, this, exception),
        };
        sent.unwrap_or(Sent::Raised)
    }
}

/// `wait()` from the lock on, as far as it goes.
unsafe fn steps(coro: CoroRef, this: Primitive, mut exception: Option<Owned>) -> Python<Sent> {
    // SAFETY: as above; the condition is kept alive by the coroutine.
    unsafe {
        let condition = Primitive::of(coro.held(CONDITION));
        loop {
            match coro.cell().phase {
                ENTERS => {
                    if let Some(pending) = go_on(coro, &mut exception)? {
                        return Ok(pending);
                    }
                    coro.cell().phase = BLOCKS;
                }
                BLOCKS if is(this, DRAINING) || is(this, RESETTING) => {
                    inside(coro, coroutine_for(condition, &condition::WAIT)?);
                    coro.cell().phase = BLOCKED;
                }
                BLOCKS if is(this, BROKEN) => {
                    return leave(condition, Err(broken("Barrier aborted")));
                }
                BLOCKS => match come(coro, this, condition) {
                    Ok(true) => return done(coro, this, condition),
                    Ok(false) => coro.cell().phase = FILLS,
                    Err(Raised) => return gone(this, condition, Err(Raised)),
                },
                FILLS if is(this, FILLING) => {
                    inside(coro, coroutine_for(condition, &condition::WAIT)?);
                    coro.cell().phase = WAITS;
                }
                FILLS if is(this, BROKEN) || is(this, RESETTING) => {
                    let error = broken("Abort or reset of barrier");
                    return gone(this, condition, Err(error));
                }
                FILLS => return done(coro, this, condition),
                waits => match go_on(coro, &mut exception) {
                    Ok(Some(pending)) => return Ok(pending),
                    Ok(None) => coro.cell().phase = if waits == WAITS { FILLS } else { BLOCKS },
                    Err(Raised) if waits == WAITS => return gone(this, condition, Err(Raised)),
                    Err(Raised) => return leave(condition, Err(Raised)),
                },
            }
        }
    }
}

/// Is counted; true for the last of the parties, who lets all of them go.
unsafe fn come(coro: CoroRef, this: Primitive, condition: Primitive) -> Python<bool> {
    // SAFETY: as above.
    unsafe {
        let cell = this.cell();
        coro.cell().count = cell.number as u32;
        cell.number = cell.number.wrapping_add(1);
        let last = cell.number == cell.limit;
        if last {
            state::set(this, DRAINING);
            notify_all(condition)?;
        }
        Ok(last)
    }
}

unsafe fn done(coro: CoroRef, this: Primitive, condition: Primitive) -> Python<Sent> {
    // SAFETY: as above.
    unsafe {
        let index = Owned::new(ffi::PyLong_FromLong(coro.cell().count.into()));
        gone(
            this,
            condition,
            index.map(|index| Sent::Done(index.into_ptr())),
        )
    }
}

/// The two `finally`s: is counted no more, tells those that wait for the barrier to be empty, and gives the lock back.
unsafe fn gone(this: Primitive, condition: Primitive, sent: Python<Sent>) -> Python<Sent> {
    // SAFETY: as above.
    unsafe {
        let sent = after(sent, || {
            this.cell().number = this.cell().number.wrapping_sub(1);
            if this.cell().number != 0 {
                return Ok(());
            }
            if is(this, RESETTING) || is(this, DRAINING) {
                state::set(this, FILLING);
            }
            notify_all(condition)
        });
        leave(condition, sent)
    }
}

unsafe fn exiting(_: CoroRef, exception: Option<Owned>) -> Sent {
    // SAFETY: called by `drive`.
    unsafe {
        match exception {
            None => Sent::Done(none().into_ptr()),
            Some(exception) => {
                compat::set_raised(exception.into_ptr());
                Sent::Raised
            }
        }
    }
}

/// `reset()` and `abort()`.
unsafe fn changing<M: Method>(coro: CoroRef, exception: Option<Owned>) -> Sent {
    // SAFETY: as for `waiting`.
    unsafe {
        let this = Primitive::of(coro.held(THIS));
        let mut exception = exception;
        let sent = if coro.cell().phase == 0 {
            begin::<M>(coro, this)
        } else {
            Ok(None)
        };
        let sent = match sent {
            Ok(None) if coro.cell().phase == ENTERS => go_on(coro, &mut exception),
            other => other,
        };
        let changed = match sent {
            Ok(Some(sent)) => return sent,
            Err(Raised) => return Sent::Raised,
            Ok(None) => change::<M>(this),
        };
        let condition = Primitive::of(coro.held(CONDITION));
        let sent = changed
            .and_then(|()| notify_all(condition))
            .map(|()| Sent::Done(none().into_ptr()));
        leave(condition, sent).unwrap_or(Sent::Raised)
    }
}

unsafe fn change<M: Method>(this: Primitive) -> Python<()> {
    // SAFETY: as above.
    unsafe {
        if M::NAME == Abort::NAME {
            state::set(this, BROKEN);
        } else if this.cell().number <= 0 {
            state::set(this, FILLING);
        } else if !is(this, RESETTING) {
            state::set(this, RESETTING);
        }
        Ok(())
    }
}
