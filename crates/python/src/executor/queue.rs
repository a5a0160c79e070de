//! The queue between a loop and its threads, and what a thread does: `_core.JobQueue`.
//!
//! `put`, `get_nowait` and `put(None)` are what `concurrent.futures` does with the queue of a pool (`shutdown`, and the joining of
//! threads when the interpreter ends). An item is a job, or anything with a `run()` (what `submit` makes).

use super::job;
use crate::ffi::{
    Python, Raised, answer,
    args::{Args, raise, raise_type_error},
    gil::GilCell,
    names::names,
    owned::Owned,
    types::{self, Type},
};
use crate::native_loop::{Loop, loop_type};
use crate::seconds;
use pyo3_ffi as ffi;
use rondeau_driver::Waker;
use std::collections::VecDeque;
use std::ffi::{c_int, c_void};
use std::ptr::{self, NonNull};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// An item, a strong reference. Only counted, never looked at, without the GIL.
struct Item(NonNull<ffi::PyObject>);

// SAFETY: the pointer crosses threads; whoever takes it out uses it under the GIL only.
unsafe impl Send for Item {}

/// How long a wait of Python's goes without looking for signals.
const SLICE: Duration = Duration::from_millis(50);

#[derive(Default)]
struct State {
    items: VecDeque<Item>,
    /// Threads that wait for an item.
    idle: usize,
    /// No item will come: threads end when none is left.
    closing: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    arrived: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an item; true if no thread is left for it.
    fn push(&self, item: Item) -> bool {
        let mut state = self.lock();
        state.items.push_back(item);
        let short = state.items.len() > state.idle;
        drop(state);
        self.arrived.notify_one();
        short
    }

    fn close(&self) {
        self.lock().closing = true;
        self.arrived.notify_all();
    }

    /// The next item, waited for so long at most. None: there was none.
    fn wait_for(&self, pause: Duration) -> Option<Item> {
        let until = Instant::now() + pause;
        let mut state = self.lock();
        loop {
            if let Some(item) = state.items.pop_front() {
                return Some(item);
            }
            if state.closing {
                return None;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            state = self
                .arrived
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// The next item; waits for one, without the GIL. None: the queue closed.
    fn wait(&self) -> Option<Item> {
        let mut state = self.lock();
        loop {
            if let Some(item) = state.items.pop_front() {
                return Some(item);
            }
            if state.closing {
                return None;
            }
            state.idle += 1;
            state = self
                .arrived
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }
}

#[repr(C)]
struct QueueObject {
    ob_base: ffi::PyObject,
    shared: Arc<Shared>,
}

static TYPE: GilCell<*mut ffi::PyTypeObject> = GilCell::new(ptr::null_mut());

unsafe fn shared<'a>(object: *mut ffi::PyObject) -> &'a Arc<Shared> {
    // SAFETY: the caller has a live queue, whose field is never replaced.
    unsafe { &(*object.cast::<QueueObject>()).shared }
}

unsafe extern "C" fn new(
    kind: *mut ffi::PyTypeObject,
    _: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the field is written before anyone else sees the instance; no collection can run in between.
    unsafe {
        let object = ffi::PyType_GenericAlloc(kind, 0);
        if !object.is_null() {
            (&raw mut (*object.cast::<QueueObject>()).shared).write(Arc::default());
        }
        object
    }
}

fn item(object: Owned) -> Item {
    // SAFETY: an owned reference is not NULL.
    Item(unsafe { NonNull::new_unchecked(object.into_ptr()) })
}

/// How many items wait for a thread, and how many threads for an item; None where `object` is no such queue.
///
/// # Safety
/// The object lives.
pub unsafe fn lengths(object: *mut ffi::PyObject) -> Option<(usize, usize)> {
    // SAFETY: the type is checked before the field is read.
    unsafe {
        if ffi::Py_TYPE(object) != *TYPE.get() {
            return None;
        }
        let state = shared(object).lock();
        Some((state.items.len(), state.idle))
    }
}

/// `call(loop, function, args)`: a job on its way, its future, and whether there should be another thread: `(future, short)`.
unsafe extern "C" fn call(
    object: *mut ffi::PyObject,
    args: *mut *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention; the types are checked before they are relied on.
    unsafe {
        if count != 3
            || ffi::PyObject_TypeCheck(*args, loop_type()) == 0
            || ffi::PyTuple_CheckExact(*args.add(2)) == 0
        {
            raise_type_error("call() takes a native loop, a function and a tuple");
            return ptr::null_mut();
        }
        let made = job::new(Loop::from_object(*args), *args.add(1), *args.add(2));
        answer::object(made.and_then(|(job, future)| {
            let short = shared(object).push(item(job));
            let short = if short {
                ffi::Py_True()
            } else {
                ffi::Py_False()
            };
            Owned::new(ffi::PyTuple_Pack(2, future.as_ptr(), short))
        }))
    }
}

/// `put(item)`: something with `run()`, or None: no more will come. Returns whether there should be another thread.
unsafe extern "C" fn put(
    object: *mut ffi::PyObject,
    given: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        if given == ffi::Py_None() {
            shared(object).close();
            return answer::boolean(false);
        }
        answer::boolean(shared(object).push(item(Owned::from_borrowed(given))))
    }
}

/// `get_nowait()`: raises `queue.Empty` where there is no item.
unsafe extern "C" fn get_nowait(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance; the lock is not held while Python runs.
    unsafe {
        let first = shared(object).lock().items.pop_front();
        if let Some(item) = first {
            return item.0.as_ptr();
        }
        raise_empty()
    }
}

unsafe fn raise_empty() -> *mut ffi::PyObject {
    let empty =
        crate::door::import(c"queue").and_then(|queue| crate::door::attribute(&queue, c"Empty"));
    if let Ok(empty) = empty {
        // SAFETY: the class lives.
        unsafe { ffi::PyErr_SetNone(empty.as_ptr()) };
    }
    ptr::null_mut()
}

/// `get(block=True, timeout=None)`: as `queue.SimpleQueue.get`.
unsafe extern "C" fn get(
    object: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention, on an instance that it keeps alive.
    unsafe {
        let mut given = [ffi::Py_True(), ffi::Py_None()];
        let call = Args::new(args, count, keywords);
        let waits = fill(&call, &mut given).and_then(|()| patience(given));
        let Ok(waits) = waits else {
            return ptr::null_mut();
        };
        let shared = Arc::clone(shared(object));
        let first = shared.lock().items.pop_front();
        let first = match (first, waits) {
            (None, Some(pause)) => match waited(&shared, pause) {
                Ok(found) => found,
                Err(Raised) => return ptr::null_mut(),
            },
            (first, _) => first,
        };
        first.map_or_else(|| raise_empty(), |item| item.0.as_ptr())
    }
}

/// Waits without the GIL, in slices: a signal's handler may run in between, as in `queue.SimpleQueue.get`.
unsafe fn waited(shared: &Shared, pause: Option<Duration>) -> Python<Option<Item>> {
    let until = pause.and_then(|pause| Instant::now().checked_add(pause));
    loop {
        let left = until.map_or(SLICE, |until| {
            until.saturating_duration_since(Instant::now())
        });
        // SAFETY: the GIL is held by who calls `get`, and nothing of Python is touched without it.
        let (found, is_interrupted) = unsafe {
            let thread = ffi::PyEval_SaveThread();
            let found = shared.wait_for(left.min(SLICE));
            ffi::PyEval_RestoreThread(thread);
            (found, ffi::PyErr_CheckSignals() != 0)
        };
        if is_interrupted {
            if let Some(item) = found {
                shared.lock().items.push_front(item); // It was nobody's yet.
            }
            return Err(Raised);
        }
        if found.is_some() || left.is_zero() || shared.lock().closing {
            return Ok(found);
        }
    }
}

fn fill(call: &Args<'_>, given: &mut [*mut ffi::PyObject; 2]) -> Python<()> {
    call.expect_positional("get", 0, 2)?;
    call.keywords("get", [names().block, names().timeout], given)?;
    given[..call.positional.len()].copy_from_slice(call.positional);
    Ok(())
}

/// How long is waited; None: not at all.
unsafe fn patience([block, timeout]: [*mut ffi::PyObject; 2]) -> Python<Option<Option<Duration>>> {
    // SAFETY: the caller keeps both alive.
    unsafe {
        match ffi::PyObject_IsTrue(block) {
            -1 => return Err(Raised),
            0 => return Ok(None),
            _ if timeout == ffi::Py_None() => return Ok(Some(None)),
            _ => {}
        }
        let seconds = seconds::number(timeout)?;
        if seconds < 0.0 {
            return Err(raise(
                ffi::PyExc_ValueError,
                "'timeout' must be a non-negative number",
            ));
        }
        Ok(Some(Duration::try_from_secs_f64(seconds).ok()))
    }
}

/// `qsize()`: how many items wait for a thread.
unsafe extern "C" fn qsize(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { ffi::PyLong_FromSize_t(shared(object).lock().items.len()) }
}

/// `empty()`: whether none does.
unsafe extern "C" fn empty(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { answer::boolean(shared(object).lock().items.is_empty()) }
}

/// `work()`: what a thread runs, until the queue closes.
unsafe extern "C" fn work(object: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance; the shared part outlives it. Items are used under the GIL only.
    unsafe {
        let shared = Arc::clone(shared(object));
        let mut woken: Option<Waker> = None;
        loop {
            let at_hand = shared.lock().items.pop_front();
            let waker = woken.take();
            let next = match at_hand {
                Some(item) => {
                    wake(waker);
                    Some(item)
                }
                None => {
                    let thread = ffi::PyEval_SaveThread();
                    // Not before: the loop would find the GIL taken and sleep once more.
                    wake(waker);
                    let next = shared.wait();
                    ffi::PyEval_RestoreThread(thread);
                    next
                }
            };
            let Some(item) = next else {
                return answer::none(Ok(()));
            };
            woken = run(Owned::from_owned(item.0.as_ptr()));
        }
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Runs an item; what is then to be woken.
unsafe fn run(item: Owned) -> Option<Waker> {
    // SAFETY: the item is kept alive.
    unsafe {
        if job::is_job(item.as_ptr()) {
            return job::run(item.as_ptr());
        }
        if Owned::new(ffi::PyObject_CallMethodNoArgs(item.as_ptr(), names().run)).is_err() {
            ffi::PyErr_WriteUnraisable(item.as_ptr());
        }
        None
    }
}

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the collector calls this on an instance, under the GIL, and runs no Python code while it visits.
    unsafe {
        let mut result = visit(ffi::Py_TYPE(object).cast(), arg);
        for item in &shared(object).lock().items {
            if result == 0 {
                result = visit(item.0.as_ptr(), arg);
            }
        }
        result
    }
}

unsafe extern "C" fn clear(object: *mut ffi::PyObject) -> c_int {
    // SAFETY: the items are taken out before they are released, without the lock.
    unsafe {
        let items = std::mem::take(&mut shared(object).lock().items);
        for item in items {
            ffi::Py_DECREF(item.0.as_ptr());
        }
    }
    0
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: the last reference is gone: no thread works, since `work` holds one.
    unsafe {
        ffi::PyObject_GC_UnTrack(object.cast());
        clear(object);
        ptr::drop_in_place(&raw mut (*object.cast::<QueueObject>()).shared);
        types::free(ffi::Py_TYPE(object), object);
    }
}

/// Makes the type and adds it to the module.
pub fn init(module: *mut ffi::PyObject) -> Python<()> {
    let kind = Type {
        name: c"rondeau._core.JobQueue",
        size: size_of::<QueueObject>(),
        flags: ffi::Py_TPFLAGS_HAVE_GC | ffi::Py_TPFLAGS_IMMUTABLETYPE,
        slots: vec![
            (
                ffi::Py_tp_doc,
                c"JobQueue()\n--\n\nCalls on their way from loops to threads.".as_ptr()
                    as *mut c_void,
            ),
            (ffi::Py_tp_new, new as *mut c_void),
            (ffi::Py_tp_traverse, traverse as *mut c_void),
            (ffi::Py_tp_clear, clear as *mut c_void),
            (ffi::Py_tp_dealloc, dealloc as *mut c_void),
            (
                ffi::Py_tp_methods,
                types::table([
                    types::fast(
                        c"call",
                        call,
                        c"call($self, loop, function, args, /)\n--\n\nHave a thread call it; return (future, whether a thread is missing).",
                    ),
                    types::one(
                        c"put",
                        put,
                        c"put($self, item, /)\n--\n\nHave a thread call item.run(); None ends the threads. Return whether a thread is missing.",
                    ),
                    types::one(
                        c"put_nowait",
                        put,
                        c"put_nowait($self, item, /)\n--\n\nAs put.",
                    ),
                    types::fast_keywords(
                        c"get",
                        get,
                        c"get($self, /, block=True, timeout=None)\n--\n\nTake an item back; raise queue.Empty where there is none in time.",
                    ),
                    types::noargs(
                        c"qsize",
                        qsize,
                        c"qsize($self, /)\n--\n\nHow many items wait for a thread.",
                    ),
                    types::noargs(
                        c"empty",
                        empty,
                        c"empty($self, /)\n--\n\nWhether no item waits for a thread.",
                    ),
                    types::noargs(
                        c"get_nowait",
                        get_nowait,
                        c"get_nowait($self, /)\n--\n\nTake an item back.",
                    ),
                    types::noargs(
                        c"work",
                        work,
                        c"work($self, /)\n--\n\nRun what comes, until None was put.",
                    ),
                ]),
            ),
        ],
    };
    // SAFETY: the slots match their numbers and the size is the instance struct's; the import runs alone.
    unsafe {
        let kind = kind.publish(module, ptr::null_mut())?;
        *TYPE.get() = kind;
    }
    Ok(())
}
