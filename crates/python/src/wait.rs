//! `wait(fs, *, timeout=None, return_when=ALL_COMPLETED)`.
//!
//! Native for a list, tuple or set of native futures of the running loop: the coroutine itself observes them, and waits for one future of
//! its own, which an alarm ends when the time is over. Else it becomes asyncio's own.

use crate::coroutine::{self, CoroRef, Kind, Sent};
use crate::ffi::{
    Python, Raised, args::Args, args::raise, compat, gil::GilCell, names::names, owned::Owned,
};
use crate::future::callbacks;
use crate::future::cell::{Entry, FutureRef, State};
use crate::future::layout::layout;
use crate::future::{self, Purpose, outcome};
use crate::seconds::plain_seconds;
use crate::sleep::{after, arm, disarm};
use crate::stand_in::{self, StandIn};
use crate::task::{awaited_by, current};
use crate::{observer, running};
use pyo3_ffi as ffi;
use std::ffi::CStr;
use std::ptr;

static KIND: Kind = Kind::new(c"wait", c"wait", resume).notify(notify);

/// asyncio's own function.
static ORIGINAL: GilCell<*mut ffi::PyObject> = GilCell::new(ptr::null_mut());

/// `held`, before the first step: the arguments, NULL where not given.
const GIVEN: usize = 0;
const TIMEOUT: usize = 1;
const RETURN_WHEN: usize = 2;
/// And from then on: a list of the futures, what is waited for, and (3.14+) the task.
const FUTURES: usize = 0;
const WAITER: usize = 1;
const TASK: usize = 2;

/// `option`: when it ends.
const ALL_COMPLETED: u8 = 0;
const FIRST_COMPLETED: u8 = 1;
const FIRST_EXCEPTION: u8 = 2;

struct Wait;

impl StandIn for Wait {
    const MODULE: &'static CStr = c"asyncio.tasks";
    const NAME: &'static CStr = c"wait";

    unsafe fn call(call: Args<'_>) -> Python<Option<Owned>> {
        // SAFETY: the arguments live.
        unsafe {
            let [given] = *call.positional else {
                return Ok(None);
            };
            let mut options = [ptr::null_mut(); 2];
            if call.keyword_count() != 0
                && call
                    .keywords("wait", [names().timeout, names().return_when], &mut options)
                    .is_err()
            {
                ffi::PyErr_Clear();
                return Ok(None);
            }
            let made = coroutine::new(&KIND)?;
            let coro = CoroRef::of(made.as_ptr());
            for (index, object) in [given, options[0], options[1]].into_iter().enumerate() {
                if !object.is_null() {
                    coro.hold(index, Owned::from_borrowed(object).into_ptr());
                }
            }
            Ok(Some(made))
        }
    }
}

unsafe fn resume(coro: CoroRef, exception: Option<Owned>) -> Sent {
    // SAFETY: called by `drive`, which keeps the coroutine alive.
    unsafe {
        if coro.cell().phase == 0 {
            return match start(coro) {
                Ok(Some(waiter)) => Sent::Pending(waiter.into_ptr()),
                Ok(None) => coroutine::become_(coro, asyncios(coro)),
                Err(Raised) => Sent::Raised,
            };
        }
        match woken(coro, exception) {
            Ok(sets) => Sent::Done(sets.into_ptr()),
            Err(Raised) => Sent::Raised,
        }
    }
}

/// `return_when` as a number; None for anything but asyncio's three strings.
unsafe fn mode(given: *mut ffi::PyObject) -> Option<u8> {
    // SAFETY: the type is checked first; the texts end in NUL.
    unsafe {
        if given.is_null() {
            return Some(ALL_COMPLETED);
        }
        if ffi::PyUnicode_CheckExact(given) == 0 {
            return None;
        }
        [
            (c"ALL_COMPLETED", ALL_COMPLETED),
            (c"FIRST_COMPLETED", FIRST_COMPLETED),
            (c"FIRST_EXCEPTION", FIRST_EXCEPTION),
        ]
        .into_iter()
        .find(|(text, _)| ffi::PyUnicode_CompareWithASCIIString(given, text.as_ptr()) == 0)
        .map(|(_, mode)| mode)
    }
}

/// Begins to wait; None where asyncio's own coroutine must.
unsafe fn start(coro: CoroRef) -> Python<Option<Owned>> {
    // SAFETY: the list is the coroutine's own. No borrow lives while Python code runs.
    unsafe {
        let (given, seconds) = (coro.held(GIVEN), coro.held(TIMEOUT));
        let timed = !seconds.is_null() && seconds != ffi::Py_None();
        let collection = ffi::PyList_CheckExact(given) != 0
            || ffi::PyTuple_CheckExact(given) != 0
            || ffi::PyAnySet_CheckExact(given) != 0;
        let (Some(mode), Some(plain), true) =
            (mode(coro.held(RETURN_WHEN)), running::plain(), collection)
        else {
            return Ok(None);
        };
        let delay = plain_seconds(if timed { seconds } else { ffi::Py_False() });
        if timed && delay.is_none() {
            return Ok(None);
        }
        let unique = Owned::new(ffi::PySet_New(given))?;
        let list = Owned::new(ffi::PySequence_List(unique.as_ptr()))?;
        let count = ffi::PyList_GET_SIZE(list.as_ptr());
        let all_native = each(&list).all(|future| {
            layout()
                .exact(future)
                .is_some_and(|future| future.cell().loop_ == plain.loop_.object())
        });
        if !all_native || count == 0 || count >= 1 << 30 {
            return Ok(None);
        }
        let task = if compat::TASKS_IN_THREAD_STATE {
            current::get(plain.loop_)?
        } else {
            None
        };
        let waiter = Owned::new(future::new_for(plain.loop_, Purpose::Wait))?;
        coro.hold(FUTURES, list.clone().into_ptr());
        coro.hold(WAITER, waiter.clone().into_ptr());
        coro.hold(TASK, task.map_or(ptr::null_mut(), Owned::into_ptr));
        let cell = coro.cell();
        (cell.phase, cell.option, cell.count) = (1, mode, count as u32);
        if let Some(delay) = delay.filter(|_| timed) {
            coro.cell().timer = Some(arm(plain.loop_, after(plain.loop_, delay), &waiter));
        }
        for object in each(&list) {
            let future = FutureRef::at(object, layout().exact_offset(object));
            let entry = Owned::from_borrowed(coro.object());
            if future.cell().state == State::Pending {
                callbacks::add(future, Entry::observer(entry.into_ptr()));
            } else {
                observer::schedule(future, entry)?;
            }
            if !coro.held(TASK).is_null() {
                awaited_by::add(object, coro.held(TASK))?;
            }
        }
        as_future(&waiter).cell().blocking = true;
        Ok(Some(waiter))
    }
}

/// The items of a list that nothing changes meanwhile, borrowed.
unsafe fn each(list: &Owned) -> impl Iterator<Item = *mut ffi::PyObject> {
    let list = list.as_ptr();
    // SAFETY: the caller's contract; the index is within the list.
    (0..unsafe { ffi::PyList_GET_SIZE(list) })
        .map(move |index| unsafe { ffi::PyList_GET_ITEM(list, index) })
}

unsafe fn as_future(future: &Owned) -> FutureRef {
    // SAFETY: what is waited for is exactly a native future.
    unsafe { FutureRef::at(future.as_ptr(), layout().future_cell) }
}

/// One of the futures is done.
unsafe fn notify(coro: CoroRef, child: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: called by the turn, which keeps both alive. No borrow lives while Python code runs.
    unsafe {
        if coro.cell().phase == 0 || coro.held(WAITER).is_null() {
            return Ok(());
        }
        let cell = coro.cell();
        cell.count = cell.count.saturating_sub(1);
        let (left, mode) = (cell.count, cell.option);
        let ends = left == 0
            || mode == FIRST_COMPLETED
            || mode == FIRST_EXCEPTION
                && layout().exact(child).is_some_and(|future| {
                    let cell = future.cell();
                    cell.log_traceback = false;
                    cell.failed
                });
        if ends {
            let waiter = Owned::from_borrowed(coro.held(WAITER));
            disarm(as_future(&waiter), coro.cell().timer.take());
            if as_future(&waiter).cell().state == State::Pending {
                outcome::set_result(as_future(&waiter), ffi::Py_None())?;
            }
        }
        if !coro.held(TASK).is_null() {
            awaited_by::discard(child, coro.held(TASK))?;
        }
    }
    Ok(())
}

/// The wait is over: `(done, pending)`.
unsafe fn woken(coro: CoroRef, exception: Option<Owned>) -> Python<Owned> {
    // SAFETY: list and waiter are kept alive. No borrow lives while Python code runs.
    unsafe {
        let waiter = Owned::from_borrowed(coro.held(WAITER));
        let list = Owned::from_borrowed(coro.held(FUTURES));
        disarm(as_future(&waiter), coro.cell().timer.take());
        for object in each(&list) {
            let future = FutureRef::at(object, layout().exact_offset(object));
            callbacks::remove_observer(future, coro.object());
            if !coro.held(TASK).is_null() {
                awaited_by::discard(object, coro.held(TASK))?;
            }
        }
        if let Some(exception) = exception {
            compat::set_raised(exception.into_ptr());
            return Err(Raised);
        }
        if as_future(&waiter).cell().state == State::Pending {
            return Err(raise(
                ffi::PyExc_RuntimeError,
                "await wasn't used with future",
            ));
        }
        Owned::new(outcome::result(as_future(&waiter)))?;
        let (done, pending) = (
            Owned::new(ffi::PySet_New(ptr::null_mut()))?,
            Owned::new(ffi::PySet_New(ptr::null_mut()))?,
        );
        for object in each(&list) {
            let future = FutureRef::at(object, layout().exact_offset(object));
            let set = if future.cell().state == State::Pending {
                &pending
            } else {
                &done
            };
            if ffi::PySet_Add(set.as_ptr(), object) != 0 {
                return Err(Raised);
            }
        }
        Owned::new(ffi::PyTuple_Pack(2, done.as_ptr(), pending.as_ptr()))
    }
}

/// asyncio's own coroutine with the same arguments.
#[cold]
unsafe fn asyncios(coro: CoroRef) -> Python<Owned> {
    // SAFETY: the function lives for good; keywords are a dict.
    unsafe {
        let options = Owned::new(ffi::PyDict_New())?;
        for (name, index) in [
            (names().timeout, TIMEOUT),
            (names().return_when, RETURN_WHEN),
        ] {
            let value = coro.held(index);
            if !value.is_null() && ffi::PyDict_SetItem(options.as_ptr(), name, value) != 0 {
                return Err(Raised);
            }
        }
        let args = [coro.held(GIVEN)];
        Owned::new(ffi::PyObject_VectorcallDict(
            *ORIGINAL.get(),
            args.as_ptr(),
            1,
            options.as_ptr(),
        ))
    }
}

/// Makes the function and adds it to the module.
pub fn init(module: *mut ffi::PyObject) -> Python<()> {
    let original = stand_in::add::<Wait>(module)?;
    // SAFETY: the import runs alone.
    unsafe { *ORIGINAL.get() = original };
    Ok(())
}
