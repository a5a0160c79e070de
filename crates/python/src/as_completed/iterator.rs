//! What `as_completed` returns: an iterator of coroutines, and from 3.13 on an asynchronous iterator of futures too.
//!
//! It observes each future that is not done yet. One that is goes from `todo` into `done`, a native queue, from which the coroutines of
//! `next.rs` take. When the time is over, as many None go in as futures are left.
//!
//! Invariants: until it has begun, `given` and `timeout` are what it was called with (before 3.13 only); `asyncios` is set where it
//! has become asyncio's own generator. `left` counts what is yet to be yielded.

use super::{Known, known, next};
use crate::ffi::slot::{clear_slot, set_slot};
use crate::ffi::{
    Python, Raised, answer,
    args::{self, raise_type_error},
    compat,
    gil::GilCell,
    owned::Owned,
    throw as thrown,
    types::{self, Type},
};
use crate::future::callbacks;
use crate::future::cell::{Entry, FutureRef, State};
use crate::future::layout::layout;
use crate::native_loop::Loop;
use crate::observer;
use crate::sleep::{after, arm};
use crate::sync::done_queue;
use crate::task::{self, awaited_by, current};
use pyo3_ffi as ffi;
use rondeau_core::TimerKey;
use std::ffi::{CStr, c_int, c_void};
use std::ptr;

/// The fields; references are strong or NULL.
#[repr(C)]
pub struct IteratorObject {
    ob_base: ffi::PyObject,
    loop_: *mut ffi::PyObject,
    /// A set of the futures that are not done, as far as their observer was told.
    todo: *mut ffi::PyObject,
    /// A queue of those that are.
    done: *mut ffi::PyObject,
    /// 3.14+: the task that called.
    task: *mut ffi::PyObject,
    given: *mut ffi::PyObject,
    timeout: *mut ffi::PyObject,
    asyncios: *mut ffi::PyObject,
    timer: Option<TimerKey>,
    left: isize,
    /// A generator that is over.
    closed: bool,
}

static TYPE: GilCell<*mut ffi::PyTypeObject> = GilCell::new(ptr::null_mut());

/// Whether it is one.
///
/// # Safety
/// The object lives.
#[inline]
pub unsafe fn is_iterator(object: *mut ffi::PyObject) -> bool {
    // SAFETY: the type was made at import.
    unsafe { ffi::Py_TYPE(object) == *TYPE.get() }
}

/// The method that a future's list of callbacks shows.
pub const fn callback() -> &'static CStr {
    if compat::AS_COMPLETED_IS_A_GENERATOR {
        c"_on_completion"
    } else {
        c"_handle_completion"
    }
}

/// An iterator: a borrowed reference.
#[derive(Clone, Copy)]
pub struct IteratorRef(*mut IteratorObject);

impl IteratorRef {
    /// # Safety
    /// `object` is a live one.
    #[inline]
    pub unsafe fn of(object: *mut ffi::PyObject) -> IteratorRef {
        IteratorRef(object.cast())
    }

    /// The Python object, borrowed.
    #[inline]
    pub fn object(self) -> *mut ffi::PyObject {
        self.0.cast()
    }

    /// The fields.
    ///
    /// # Safety
    /// The object lives, and the borrow ends before Python code can run.
    #[inline]
    unsafe fn cell<'a>(self) -> &'a mut IteratorObject {
        // SAFETY: the caller's contract.
        unsafe { &mut *self.0 }
    }

    /// Counts one that is yielded; false if none is left.
    ///
    /// # Safety
    /// The object lives.
    pub unsafe fn count_one(self) -> bool {
        // SAFETY: the caller's contract.
        unsafe {
            let cell = self.cell();
            let any = cell.left > 0;
            cell.left -= isize::from(any);
            any
        }
    }

    /// One that was counted did not get its future after all.
    ///
    /// # Safety
    /// The object lives.
    pub unsafe fn count_back(self) {
        // SAFETY: the caller's contract.
        unsafe { self.cell().left += 1 }
    }

    /// The queue of what is done.
    ///
    /// # Safety
    /// The object lives.
    pub unsafe fn queue(self) -> Python<Owned> {
        // SAFETY: the caller's contract. Only the collector's `clear` takes it away.
        unsafe {
            if self.cell().done.is_null() {
                return Err(raise_type_error("the iterator was cleared"));
            }
            Ok(Owned::from_borrowed(self.cell().done))
        }
    }
}

/// The items of a list that nothing changes meanwhile, borrowed.
///
/// # Safety
/// A list.
pub unsafe fn each(list: &Owned) -> impl Iterator<Item = *mut ffi::PyObject> {
    let list = list.as_ptr();
    // SAFETY: the caller's contract; the index is within the list.
    (0..unsafe { ffi::PyList_GET_SIZE(list) })
        .map(move |index| unsafe { ffi::PyList_GET_ITEM(list, index) })
}

/// An iterator over nothing.
///
/// # Safety
/// The GIL is held.
pub unsafe fn new() -> Python<Owned> {
    // SAFETY: a fresh instance is zeroed, and zero is None for the timer.
    unsafe {
        let made = Owned::new(ffi::PyType_GenericAlloc(*TYPE.get(), 0))?;
        (*made.as_ptr().cast::<IteratorObject>()).timer = None;
        Ok(made)
    }
}

/// One that begins when it is first asked.
///
/// # Safety
/// The arguments live.
pub unsafe fn later(given: *mut ffi::PyObject, timeout: *mut ffi::PyObject) -> Python<Owned> {
    // SAFETY: the fields take references of their own.
    unsafe {
        let made = new()?;
        let cell = IteratorRef::of(made.as_ptr()).cell();
        cell.given = Owned::from_borrowed(given).into_ptr();
        cell.timeout = Owned::from_borrowed(timeout).into_ptr();
        Ok(made)
    }
}

/// Makes tasks of what are coroutines, and observes all of them.
///
/// # Safety
/// The iterator lives and has not begun.
pub unsafe fn begin(this: IteratorRef, known: Known) -> Python<()> {
    // SAFETY: no borrow lives while Python code runs; the lists are our own.
    unsafe {
        let Known {
            loop_,
            unique,
            eager,
            seconds,
            ..
        } = known;
        let done = done_queue::new()?;
        set_slot(&raw mut this.cell().done, done.into_ptr());
        let object = Owned::from_borrowed(loop_.object());
        set_slot(&raw mut this.cell().loop_, object.into_ptr());
        let caller = if compat::TASKS_IN_THREAD_STATE {
            current::get(loop_)?
        } else {
            None
        };
        let todo = Owned::new(ffi::PySet_New(ptr::null_mut()))?;
        // In the order in which asyncio's two sets have them.
        let given = Owned::new(ffi::PySequence_List(unique.as_ptr()))?;
        for object in each(&given) {
            let future = match layout().exact(object) {
                Some(_) => Owned::from_borrowed(object),
                None => Owned::new(task::new(
                    loop_,
                    object,
                    ptr::null_mut(),
                    ptr::null_mut(),
                    eager,
                ))?,
            };
            if ffi::PySet_Add(todo.as_ptr(), future.as_ptr()) != 0 {
                return Err(Raised);
            }
        }
        let futures = Owned::new(ffi::PySequence_List(todo.as_ptr()))?;
        for object in each(&futures) {
            let future = FutureRef::at(object, layout().exact_offset(object));
            let entry = Owned::from_borrowed(this.object());
            if future.cell().state == State::Pending {
                callbacks::add(future, Entry::observer(entry.into_ptr()));
            } else {
                observer::schedule(future, entry)?;
            }
            if let Some(caller) = &caller {
                awaited_by::add(object, caller.as_ptr())?;
            }
        }
        let cell = this.cell();
        cell.left = ffi::PyList_GET_SIZE(futures.as_ptr());
        cell.task = caller.map_or(ptr::null_mut(), Owned::into_ptr);
        cell.todo = todo.into_ptr();
        if let Some(seconds) = seconds.filter(|_| this.cell().left > 0) {
            let alarm = Owned::from_borrowed(this.object());
            this.cell().timer = Some(arm(loop_, after(loop_, seconds), &alarm));
        }
        Ok(())
    }
}

unsafe fn disarm(this: IteratorRef) {
    // SAFETY: the loop is kept alive; the borrow of its timers ends before the reference is released.
    unsafe {
        let cell = this.cell();
        if let Some(key) = cell.timer.take()
            && !cell.loop_.is_null()
            && let Some(ready) = Loop::from_object(cell.loop_).parts().timers.cancel(key)
        {
            ready.release();
        }
    }
}

/// One of the futures is done.
///
/// # Safety
/// Both live and stay alive.
pub unsafe fn child_done(object: *mut ffi::PyObject, child: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the set and the queue are kept alive by the iterator; no borrow lives while Python code runs.
    unsafe {
        let this = IteratorRef::of(object);
        let todo = this.cell().todo;
        if todo.is_null() || ffi::PySet_Size(todo) == 0 {
            // The time was over first.
            return Ok(());
        }
        if ffi::PySet_Discard(todo, child) < 0 {
            return Err(Raised);
        }
        forget_caller(this, child)?;
        done_queue::put(&this.queue()?, child)?;
        if ffi::PySet_Size(this.cell().todo) == 0 {
            disarm(this);
        }
        Ok(())
    }
}

unsafe fn forget_caller(this: IteratorRef, future: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the task is kept alive over the call.
    unsafe {
        if this.cell().task.is_null() {
            return Ok(());
        }
        let task = Owned::from_borrowed(this.cell().task);
        awaited_by::discard(future, task.as_ptr())
    }
}

/// The time is over.
///
/// # Safety
/// The iterator lives and stays alive.
pub unsafe fn run_alarm(object: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: the futures are kept alive by the list.
    unsafe {
        let this = IteratorRef::of(object);
        this.cell().timer = None;
        if this.cell().todo.is_null() {
            return Ok(());
        }
        let left = Owned::new(ffi::PySequence_List(this.cell().todo))?;
        for future in each(&left) {
            let offset = layout().exact_offset(future);
            callbacks::remove_observer(FutureRef::at(future, offset), object);
            forget_caller(this, future)?;
            done_queue::put(&this.queue()?, ffi::Py_None())?;
        }
        if ffi::PySet_Clear(this.cell().todo) < 0 {
            return Err(Raised);
        }
        Ok(())
    }
}

unsafe extern "C" fn on_completion(
    object: *mut ffi::PyObject,
    child: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    unsafe { answer::none(child_done(object, child)) }
}

/// Begins where it has not; asyncio's own generator where it is one.
unsafe fn begun(this: IteratorRef) -> Python<Option<Owned>> {
    // SAFETY: the arguments are kept alive over the call.
    unsafe {
        if !this.cell().given.is_null() {
            let take = |slot: &mut *mut ffi::PyObject| {
                Owned::from_owned(std::mem::replace(slot, ptr::null_mut()))
            };
            let given = take(&mut this.cell().given);
            let timeout = take(&mut this.cell().timeout);
            // What fails here ends the generator.
            this.cell().closed = true;
            match known(given.as_ptr(), timeout.as_ptr())? {
                Some(known) => begin(this, known)?,
                None => {
                    let theirs = super::asyncios(given.as_ptr(), timeout.as_ptr())?;
                    set_slot(&raw mut this.cell().asyncios, theirs.into_ptr());
                }
            }
            this.cell().closed = false;
        }
        let theirs = this.cell().asyncios;
        Ok((!theirs.is_null()).then(|| Owned::from_borrowed(theirs)))
    }
}

unsafe extern "C" fn iternext(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive. NULL without an exception is the end.
    unsafe {
        let this = IteratorRef::of(object);
        if this.cell().closed {
            return ptr::null_mut();
        }
        match begun(this) {
            Err(Raised) => ptr::null_mut(),
            Ok(Some(theirs)) => ffi::PyIter_Next(theirs.as_ptr()),
            Ok(None) if this.count_one() => answer::object(next::result(this)),
            Ok(None) => ptr::null_mut(),
        }
    }
}

unsafe extern "C" fn itself(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { Owned::from_borrowed(object).into_ptr() }
}

unsafe extern "C" fn anext(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { answer::object(next::future(IteratorRef::of(object))) }
}

/// The generator's `send`: only None before it has begun, and it makes nothing of what is sent later.
unsafe extern "C" fn send(
    object: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    unsafe {
        if value != ffi::Py_None() && !IteratorRef::of(object).cell().given.is_null() {
            raise_type_error("can't send non-None value to a just-started generator");
            return ptr::null_mut();
        }
        let next = iternext(object);
        if next.is_null() && ffi::PyErr_Occurred().is_null() {
            ffi::PyErr_SetNone(ffi::PyExc_StopIteration);
        }
        next
    }
}

/// The generator's `throw`: nothing in it catches.
unsafe extern "C" fn throw(
    object: *mut ffi::PyObject,
    args: *mut *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention.
    unsafe {
        let args = args::given(args, count);
        if let Ok(exception) = thrown::given(args) {
            end(IteratorRef::of(object));
            compat::set_raised(exception.into_ptr());
        }
        ptr::null_mut()
    }
}

unsafe extern "C" fn close(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    unsafe { end(IteratorRef::of(object)) };
    answer::none(Ok(()))
}

/// The generator yields nothing more; its futures go on, and are still counted.
unsafe fn end(this: IteratorRef) {
    // SAFETY: the object lives; each field is emptied before its reference is released.
    unsafe {
        this.cell().closed = true;
        for slot in [
            &raw mut this.cell().given,
            &raw mut this.cell().timeout,
            &raw mut this.cell().asyncios,
        ] {
            clear_slot(slot);
        }
    }
}

unsafe extern "C" fn repr(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: one %p.
    unsafe { ffi::PyUnicode_FromFormat(c"<generator object as_completed at %p>".as_ptr(), object) }
}

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the collector calls this on an instance and runs no Python code while it visits.
    unsafe {
        let cell = IteratorRef::of(object).cell();
        crate::ffi::visit::each(
            &[
                ffi::Py_TYPE(object).cast(),
                cell.loop_,
                cell.todo,
                cell.done,
                cell.task,
                cell.given,
                cell.timeout,
                cell.asyncios,
            ],
            visit,
            arg,
        )
    }
}

unsafe extern "C" fn clear(object: *mut ffi::PyObject) -> c_int {
    // SAFETY: each field is emptied before its reference is released.
    unsafe {
        let this = IteratorRef::of(object);
        for slot in [
            &raw mut this.cell().loop_,
            &raw mut this.cell().todo,
            &raw mut this.cell().done,
            &raw mut this.cell().task,
            &raw mut this.cell().given,
            &raw mut this.cell().timeout,
            &raw mut this.cell().asyncios,
        ] {
            clear_slot(slot);
        }
    }
    0
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: the last reference is gone, so no timer holds it.
    unsafe {
        ffi::PyObject_GC_UnTrack(object.cast());
        clear(object);
        types::free(ffi::Py_TYPE(object), object);
    }
}

/// Makes the type.
pub fn init() -> Python<()> {
    let mut slots = vec![
        (ffi::Py_tp_iter, itself as *mut c_void),
        (ffi::Py_tp_iternext, iternext as *mut c_void),
        (ffi::Py_tp_traverse, traverse as *mut c_void),
        (ffi::Py_tp_clear, clear as *mut c_void),
        (ffi::Py_tp_dealloc, dealloc as *mut c_void),
    ];
    let told = types::one(callback(), on_completion, c"");
    if compat::AS_COMPLETED_IS_A_GENERATOR {
        slots.push((ffi::Py_tp_repr, repr as *mut c_void));
        let methods = types::table([
            told,
            types::one(c"send", send, c"send($self, arg, /)\n--\n\n"),
            types::fast(
                c"throw",
                throw,
                c"throw($self, type, value=None, traceback=None, /)\n--\n\n",
            ),
            types::noargs(c"close", close, c"close($self, /)\n--\n\n"),
        ]);
        slots.push((ffi::Py_tp_methods, methods));
    } else {
        slots.push((ffi::Py_am_aiter, itself as *mut c_void));
        slots.push((ffi::Py_am_anext, anext as *mut c_void));
        slots.push((ffi::Py_tp_methods, types::table([told])));
    }
    let kind = Type {
        name: c"rondeau._AsCompletedIterator",
        size: size_of::<IteratorObject>(),
        flags: ffi::Py_TPFLAGS_HAVE_GC
            | ffi::Py_TPFLAGS_IMMUTABLETYPE
            | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION,
        slots,
    };
    // SAFETY: the slots match their numbers and the size is the instance struct's; the import runs alone.
    unsafe { *TYPE.get() = kind.build(ptr::null_mut())?.into_ptr().cast() };
    Ok(())
}
