//! A `Timeout`'s fields, its alarm, and what CPython asks of its type.

use super::asyncios;
use crate::event_loop;
use crate::ffi::slot::{clear_slot, set_slot};
use crate::ffi::{
    Python, Raised,
    args::raise,
    gil::GilCell,
    owned::Owned,
    types::{self, Type},
};
use crate::native_loop::Loop;
use crate::ready::Ready;
use crate::stand_in::class;
use crate::task::{cancel::cancel_object, current};
use pyo3_ffi as ffi;
use rondeau_core::{Time, TimerKey};
use std::ffi::{c_int, c_void};
use std::mem::offset_of;
use std::ptr;

/// The fields. The objects are asyncio's attributes of these names; strong or NULL.
#[repr(C)]
pub struct TimeoutObject {
    ob_base: ffi::PyObject,
    weak: *mut ffi::PyObject,
    dict: *mut ffi::PyObject,
    state: *mut ffi::PyObject,
    /// asyncio's own handle, on another loop; None here.
    timeout_handler: *mut ffi::PyObject,
    task: *mut ffi::PyObject,
    when: *mut ffi::PyObject,
    cancelling: *mut ffi::PyObject,
    /// The native loop that it was armed on; strong or NULL.
    loop_: *mut ffi::PyObject,
    timer: Armed,
    /// Alarms on the agenda that count no more.
    stale: u32,
}

/// Where its alarm is. Zeroed memory is `No`.
#[repr(u8)]
#[derive(Clone, Copy)]
enum Armed {
    /// Nowhere.
    No = 0,
    /// On the timers, or on the agenda since it is due.
    Timer(TimerKey),
    /// On the agenda.
    Soon,
}

static TYPE: GilCell<*mut ffi::PyTypeObject> = GilCell::new(ptr::null_mut());

/// A native `Timeout`: a borrowed reference.
#[derive(Clone, Copy)]
pub struct TimeoutRef(*mut TimeoutObject);

/// Whether it is one, or an instance of a subclass.
///
/// # Safety
/// The object lives.
#[inline]
pub unsafe fn is_timeout(object: *mut ffi::PyObject) -> bool {
    // SAFETY: the type was made at import.
    unsafe { ffi::PyObject_TypeCheck(object, *TYPE.get()) != 0 }
}

/// `Timeout(when)`.
///
/// # Safety
/// The object lives.
#[inline]
pub unsafe fn new(when: *mut ffi::PyObject) -> Python<Owned> {
    // SAFETY: a fresh instance is zeroed; its fields take references of their own.
    unsafe {
        let made = Owned::new(ffi::PyType_GenericAlloc(*TYPE.get(), 0))?;
        TimeoutRef::of(made.as_ptr()).set_up(when);
        Ok(made)
    }
}

impl TimeoutRef {
    /// # Safety
    /// `object` is a live `Timeout`.
    #[inline]
    pub unsafe fn of(object: *mut ffi::PyObject) -> TimeoutRef {
        TimeoutRef(object.cast())
    }

    /// The Python object, borrowed.
    #[inline]
    pub fn object(self) -> *mut ffi::PyObject {
        self.0.cast()
    }

    /// # Safety
    /// The object lives, and the borrow ends before Python code can run.
    #[inline]
    unsafe fn cell<'a>(self) -> &'a mut TimeoutObject {
        // SAFETY: the caller's contract.
        unsafe { &mut *self.0 }
    }

    /// What `__init__` does.
    ///
    /// # Safety
    /// The objects live; what was there may run a finalizer.
    #[inline]
    pub unsafe fn set_up(self, when: *mut ffi::PyObject) {
        // SAFETY: each reference is made before it is stored; raw pointers, so that no borrow lives while a finalizer runs.
        unsafe {
            let none = || Owned::from_borrowed(ffi::Py_None()).into_ptr();
            set_slot(&raw mut (*self.0).timeout_handler, none());
            set_slot(&raw mut (*self.0).task, none());
            set_slot(
                &raw mut (*self.0).when,
                Owned::from_borrowed(when).into_ptr(),
            );
            self.set_state(asyncios().created);
        }
    }

    /// `_state is state`.
    ///
    /// # Safety
    /// The object lives.
    #[inline]
    pub unsafe fn is(self, state: *mut ffi::PyObject) -> bool {
        // SAFETY: the caller's contract.
        unsafe { self.cell().state == state }
    }

    /// Sets `_state`.
    ///
    /// # Safety
    /// The object lives.
    #[inline]
    pub unsafe fn set_state(self, state: *mut ffi::PyObject) {
        // SAFETY: the caller's contract; asyncio's states live as long as the process.
        unsafe {
            set_slot(
                &raw mut (*self.0).state,
                Owned::from_borrowed(state).into_ptr(),
            )
        }
    }

    /// `_when`, borrowed; NULL where the program deleted it.
    ///
    /// # Safety
    /// The object lives.
    #[inline]
    pub unsafe fn when(self) -> *mut ffi::PyObject {
        // SAFETY: the caller's contract.
        unsafe { self.cell().when }
    }

    /// Whether asyncio's own handle is what will strike.
    ///
    /// # Safety
    /// The object lives.
    #[inline]
    pub unsafe fn has_handle(self) -> bool {
        // SAFETY: the caller's contract.
        unsafe { self.cell().timeout_handler != ffi::Py_None() }
    }

    /// Sets `_when`.
    ///
    /// # Safety
    /// The objects live.
    pub unsafe fn set_when(self, when: *mut ffi::PyObject) {
        // SAFETY: as in `set_up`.
        unsafe {
            set_slot(
                &raw mut (*self.0).when,
                Owned::from_borrowed(when).into_ptr(),
            )
        }
    }

    /// Enters: notes the task, how often it was cancelled by now, and the loop.
    ///
    /// # Safety
    /// The objects live.
    #[inline]
    pub unsafe fn enter(self, loop_: Loop, task: Owned, cancels: u32) -> Python<()> {
        // SAFETY: as in `set_up`.
        unsafe {
            let count = Owned::new(ffi::PyLong_FromLong(cancels.into()))?;
            set_slot(&raw mut (*self.0).cancelling, count.into_ptr());
            set_slot(&raw mut (*self.0).task, task.into_ptr());
            set_slot(
                &raw mut (*self.0).loop_,
                Owned::from_borrowed(loop_.object()).into_ptr(),
            );
            self.set_state(asyncios().entered);
        }
        Ok(())
    }

    /// The native loop that it was entered on, if any.
    ///
    /// # Safety
    /// The object lives.
    #[inline]
    pub unsafe fn loop_(self) -> Option<Loop> {
        // SAFETY: the field holds a native loop or NULL.
        unsafe {
            let loop_ = self.cell().loop_;
            (!loop_.is_null()).then(|| Loop::from_object(loop_))
        }
    }

    /// Arms the alarm for `when` seconds of the loop's time.
    ///
    /// # Safety
    /// It was entered on this loop and is not armed.
    #[inline]
    pub unsafe fn arm(self, loop_: Loop, when: f64) {
        // SAFETY: no borrow lives while Python code can run; neither queue runs any.
        unsafe {
            ffi::Py_INCREF(self.object());
            let alarm = Ready::alarm(self.object());
            let now = event_loop::time_or_machines(loop_);
            if when <= now {
                loop_.schedule(alarm);
                self.cell().timer = Armed::Soon;
                return;
            }
            let due: Time = crate::seconds::due(when);
            let key = loop_.parts().timers.insert(due, alarm);
            self.cell().timer = Armed::Timer(key);
        }
    }

    /// Takes the alarm back.
    ///
    /// # Safety
    /// The caller keeps the object alive.
    #[inline]
    pub unsafe fn disarm(self) {
        // SAFETY: the borrow of the timers ends before the reference is released, which is not the last.
        unsafe {
            match std::mem::replace(&mut self.cell().timer, Armed::No) {
                Armed::No => {}
                Armed::Soon => self.cell().stale += 1,
                Armed::Timer(key) => {
                    let Some(loop_) = self.loop_() else { return };
                    match loop_.parts().timers.cancel(key) {
                        Some(alarm) => alarm.release(),
                        None => self.cell().stale += 1,
                    }
                }
            }
        }
    }
}

/// The alarm's turn: the time-out strikes, unless it was left or put off since.
///
/// # Safety
/// `object` is a live `Timeout`, kept alive by the caller.
pub unsafe fn run_alarm(loop_: Loop, object: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: no borrow lives while Python code runs.
    unsafe {
        let timeout = TimeoutRef::of(object);
        if timeout.cell().stale > 0 {
            timeout.cell().stale -= 1;
            return Ok(());
        }
        current::settle(loop_);
        timeout.cell().timer = Armed::No;
        if !timeout.is(asyncios().entered) {
            return Err(raise(ffi::PyExc_AssertionError, ""));
        }
        let task = Owned::from_borrowed(timeout.cell().task);
        cancel_object(&task, ptr::null_mut())?;
        timeout.set_state(asyncios().expiring);
        Ok(())
    }
}

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the collector calls this on an instance and runs no Python code while it visits.
    unsafe {
        let cell = TimeoutRef::of(object).cell();
        crate::ffi::visit::each(
            &[
                ffi::Py_TYPE(object).cast(),
                cell.dict,
                cell.state,
                cell.timeout_handler,
                cell.task,
                cell.when,
                cell.cancelling,
                cell.loop_,
            ],
            visit,
            arg,
        )
    }
}

unsafe extern "C" fn clear(object: *mut ffi::PyObject) -> c_int {
    // SAFETY: each field is emptied before its reference is released.
    unsafe {
        let cell = object.cast::<TimeoutObject>();
        for slot in [
            &raw mut (*cell).dict,
            &raw mut (*cell).timeout_handler,
            &raw mut (*cell).task,
            &raw mut (*cell).when,
            &raw mut (*cell).cancelling,
            &raw mut (*cell).loop_,
            &raw mut (*cell).state,
        ] {
            clear_slot(slot);
        }
    }
    0
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: the last reference is gone; an alarm would hold one.
    unsafe {
        ffi::PyObject_GC_UnTrack(object.cast());
        if !(*object.cast::<TimeoutObject>()).weak.is_null() {
            ffi::PyObject_ClearWeakRefs(object);
        }
        clear(object);
        types::free(ffi::Py_TYPE(object), object);
    }
}

/// Makes the type with these methods and adds it to the module as `Timeout`.
pub fn init(module: *mut ffi::PyObject, asyncios: &Owned, methods: *mut c_void) -> Python<()> {
    let members = types::table([
        class::offset_member(c"__dictoffset__", offset_of!(TimeoutObject, dict)),
        class::offset_member(c"__weaklistoffset__", offset_of!(TimeoutObject, weak)),
        class::member(c"_state", offset_of!(TimeoutObject, state)),
        class::member(
            c"_timeout_handler",
            offset_of!(TimeoutObject, timeout_handler),
        ),
        class::member(c"_task", offset_of!(TimeoutObject, task)),
        class::member(c"_when", offset_of!(TimeoutObject, when)),
        class::member(c"_cancelling", offset_of!(TimeoutObject, cancelling)),
    ]);
    let kind = Type {
        name: c"rondeau._core.Timeout",
        size: size_of::<TimeoutObject>(),
        flags: ffi::Py_TPFLAGS_HAVE_GC | ffi::Py_TPFLAGS_BASETYPE,
        slots: vec![
            (
                ffi::Py_tp_doc,
                c"Timeout(when)\n--\n\nAn asynchronous context manager that cancels what is overdue; timeout() makes it."
                    .as_ptr() as *mut c_void,
            ),
            (ffi::Py_tp_new, ffi::PyType_GenericNew as *mut c_void),
            (ffi::Py_tp_traverse, traverse as *mut c_void),
            (ffi::Py_tp_clear, clear as *mut c_void),
            (ffi::Py_tp_dealloc, dealloc as *mut c_void),
            (ffi::Py_tp_members, members),
            (ffi::Py_tp_getset, types::table([types::attribute(
                c"__dict__",
                dict,
                None,
            )])),
            (ffi::Py_tp_methods, methods),
        ],
    };
    // SAFETY: the slots match their numbers and the size is the instance struct's; the import runs alone.
    unsafe {
        let kind = kind.build(ptr::null_mut())?;
        crate::stand_in::native::put(kind.as_ptr(), kind.as_ptr().cast(), asyncios, &[])?;
        class::complete(&kind, asyncios)?;
        if ffi::PyModule_AddObjectRef(module, c"Timeout".as_ptr(), kind.as_ptr()) != 0 {
            return Err(Raised);
        }
        *TYPE.get() = kind.into_ptr().cast();
    }
    Ok(())
}

unsafe extern "C" fn dict(object: *mut ffi::PyObject, closure: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance, whose dict is at the type's offset.
    unsafe { ffi::PyObject_GenericGetDict(object, closure) }
}
