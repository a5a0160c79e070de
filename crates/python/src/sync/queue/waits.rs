//! What waits at a queue: the coroutines of `get`, `put` and `join`.
//!
//! A woken one looks again in its own step, and waits anew if another came before it; one that was woken and is cancelled wakes the next.

use super::state::{GETTERS, PUTTERS, acts, add, finished, full, kind, len, take, wake_next};
use crate::coroutine::{self, CoroRef, Kind, Sent};
use crate::ffi::{Python, Raised, args::Args, owned::Owned};
use crate::future::Purpose;
use crate::sync::calls::{THIS, called_plainly, coroutine_for, none, plain_call};
use crate::sync::method::{self, method};
use crate::sync::primitive::Primitive;
use crate::sync::waiter::{self, WAITER, Woken};
use crate::sync::{deque, event};

/// Where `put` keeps its item.
const ITEM: usize = 2;

method!(Get, c"get", kind, get);
method!(Put, c"put", kind, put);
method!(Join, c"join", kind, join);

static GET: Kind = Kind::new(c"get", c"Queue.get", getting);
static PUT: Kind = Kind::new(c"put", c"Queue.put", putting);
static JOIN: Kind = Kind::new(c"join", c"Queue.join", joining);

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
