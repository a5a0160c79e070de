//! `sleep(delay, result=None)`.
//!
//! Called by every program. Nothing to wait for is a bare yield, as in asyncio. Else a native future goes onto the loop's timers
//! itself, without a timer handle and a callback; it is what the task waits for. Delays that are no plain numbers, and other
//! loops, are asyncio's own.

use crate::coroutine::{self, CoroRef, Kind, Sent};
use crate::event_loop;
use crate::ffi::{
    Python, Raised, args::Args, args::raise, compat, gil::GilCell, names::names, owned::Owned,
};
use crate::future::cell::{FutureRef, State};
use crate::future::layout::layout;
use crate::future::{self, Purpose, outcome};
use crate::native_loop::Loop;
use crate::ready::Ready;
use crate::recorder;
use crate::running;
use crate::seconds::{due, plain_seconds};
use crate::stand_in::{self, StandIn};
use pyo3_ffi as ffi;
use rondeau_core::Time;
use std::ffi::CStr;
use std::ptr;

static KIND: Kind = Kind::new(c"sleep", c"sleep", resume);

/// asyncio's own function.
static ORIGINAL: GilCell<*mut ffi::PyObject> = GilCell::new(ptr::null_mut());

/// `held`: the future that is waited for, and the result (NULL for None).
const FUTURE: usize = 0;
const RESULT: usize = 1;

/// `phase`.
const YIELDED: u8 = 1;
const WAITS: u8 = 2;

struct Sleep;

impl StandIn for Sleep {
    const MODULE: &'static CStr = c"asyncio.tasks";
    const NAME: &'static CStr = c"sleep";

    unsafe fn call(call: Args<'_>) -> Python<Option<Owned>> {
        // SAFETY: the arguments live.
        unsafe {
            let mut result = [ptr::null_mut()];
            let delay = match *call.positional {
                [delay] => delay,
                [delay, given] => {
                    result[0] = given;
                    delay
                }
                _ => return Ok(None),
            };
            if call.keyword_count() != 0 {
                if !result[0].is_null() || call.keyword_count() > 1 {
                    return Ok(None);
                }
                if call
                    .keywords("sleep", [names().result], &mut result)
                    .is_err()
                {
                    ffi::PyErr_Clear();
                    return Ok(None);
                }
            }
            let Some(seconds) = plain_seconds(delay) else {
                return Ok(None);
            };
            let made = coroutine::new(&KIND)?;
            let coro = CoroRef::of(made.as_ptr());
            coro.cell().number = seconds;
            if !result[0].is_null() && result[0] != ffi::Py_None() {
                coro.hold(RESULT, Owned::from_borrowed(result[0]).into_ptr());
            }
            Ok(Some(made))
        }
    }
}

unsafe fn resume(coro: CoroRef, exception: Option<Owned>) -> Sent {
    // SAFETY: called by `drive`, which keeps the coroutine alive.
    unsafe {
        match coro.cell().phase {
            0 => start(coro),
            YIELDED => {
                if let Some(exception) = exception {
                    compat::set_raised(exception.into_ptr());
                    return Sent::Raised;
                }
                Sent::Done(result(coro))
            }
            _ => woken(coro, exception),
        }
    }
}

#[inline]
unsafe fn result(coro: CoroRef) -> *mut ffi::PyObject {
    // SAFETY: the coroutine lives.
    unsafe {
        let result = coro.held(RESULT);
        Owned::from_borrowed(if result.is_null() {
            ffi::Py_None()
        } else {
            result
        })
        .into_ptr()
    }
}

#[inline]
unsafe fn start(coro: CoroRef) -> Sent {
    // SAFETY: no borrow lives while Python code can run.
    unsafe {
        let delay = coro.cell().number;
        if delay <= 0.0 {
            coro.cell().phase = YIELDED;
            return Sent::Pending(Owned::from_borrowed(ffi::Py_None()).into_ptr());
        }
        let Some(plain) = running::plain() else {
            return coroutine::become_(coro, asyncios(coro));
        };
        let Ok(future) = Owned::new(future::new_for(plain.loop_, Purpose::Timer)) else {
            return Sent::Raised;
        };
        let due = after(plain.loop_, delay);
        coro.cell().number = due.as_nanos() as f64;
        coro.cell().timer = Some(arm(plain.loop_, due, &future));
        FutureRef::at(future.as_ptr(), layout().future_cell)
            .cell()
            .blocking = true;
        recorder::waits_for(future.as_ptr(), (delay * 1e9) as u64);
        coro.hold(FUTURE, future.clone().into_ptr());
        coro.cell().phase = WAITS;
        Sent::Pending(future.into_ptr())
    }
}

/// When a sleep ends, on the loop's clock in seconds; None for a coroutine that is no sleep, or has no timer.
///
/// # Safety
/// The coroutine lives.
pub unsafe fn ends_at(coro: CoroRef) -> Option<f64> {
    // SAFETY: the caller's contract.
    let cell = unsafe { coro.cell() };
    (ptr::eq(cell.kind, &KIND) && cell.phase == WAITS).then_some(cell.number / 1e9)
}

/// `delay` seconds from now.
///
/// # Safety
/// The loop lives.
#[inline]
pub unsafe fn after(loop_: Loop, delay: f64) -> Time {
    // SAFETY: the caller's contract. As `call_later` computes it, so that equal delays come in the same order.
    let now = unsafe { event_loop::time_or_machines(loop_) };
    due(now + delay)
}

/// Puts an alarm for `object` onto the timers.
///
/// # Safety
/// Both live.
#[inline]
pub unsafe fn arm(loop_: Loop, due: Time, object: &Owned) -> rondeau_core::TimerKey {
    // SAFETY: the borrow ends before Python code can run.
    unsafe {
        loop_
            .parts()
            .timers
            .insert(due, Ready::alarm(object.clone().into_ptr()))
    }
}

/// Takes an alarm off the timers of `future`'s loop, where it is still there.
///
/// # Safety
/// The future is a native one of a native loop, and lives.
#[inline]
pub unsafe fn disarm(future: FutureRef, key: Option<rondeau_core::TimerKey>) {
    // SAFETY: the borrow ends before the reference is released.
    unsafe {
        if let (Some(key), Some(loop_)) = (key, future.direct_loop())
            && let Some(ready) = loop_.parts().timers.cancel(key)
        {
            ready.release();
        }
    }
}

unsafe fn woken(coro: CoroRef, exception: Option<Owned>) -> Sent {
    // SAFETY: the future is kept alive by a reference of our own; the timer's, where it is left, is released first.
    unsafe {
        let future = Owned::from_borrowed(coro.held(FUTURE));
        let waited = FutureRef::at(future.as_ptr(), layout().future_cell);
        if exception.is_none() && waited.cell().state == State::Pending {
            disarm(waited, coro.cell().timer.take());
            raise(ffi::PyExc_RuntimeError, "await wasn't used with future");
            return Sent::Raised;
        }
        disarm(waited, coro.cell().timer.take());
        if let Some(exception) = exception {
            compat::set_raised(exception.into_ptr());
            return Sent::Raised;
        }
        let given = outcome::result(waited);
        if given.is_null() {
            return Sent::Raised;
        }
        drop(Owned::from_owned(given));
        Sent::Done(result(coro))
    }
}

/// asyncio's own sleep with the same arguments.
#[cold]
unsafe fn asyncios(coro: CoroRef) -> Python<Owned> {
    // SAFETY: the function lives for good.
    unsafe {
        let delay = Owned::new(ffi::PyFloat_FromDouble(coro.cell().number))?;
        let result = Owned::from_owned(result(coro));
        let args = [delay.as_ptr(), result.as_ptr()];
        Owned::new(ffi::PyObject_Vectorcall(
            *ORIGINAL.get(),
            args.as_ptr(),
            2,
            ptr::null_mut(),
        ))
    }
}

/// Makes the function and adds it to the module.
pub fn init(module: *mut ffi::PyObject) -> Python<()> {
    let original = stand_in::add::<Sleep>(module)?;
    // SAFETY: the import runs alone.
    unsafe { *ORIGINAL.get() = original };
    Ok::<(), Raised>(())
}
