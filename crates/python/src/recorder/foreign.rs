//! Tasks that are not native, on a native loop: asyncio's own of a task factory, or a program's class of them.
//!
//! Called where a handle is made and where it runs. Such a task is known by the callable that makes its step; it is asked for
//! its state by the attributes that every asyncio.Task has, which may be Python code: so it costs more than a native one, and no
//! borrow lives meanwhile.

use super::subject::{Code, Doing, Name, Subject, TaskEntry};
use super::{callable::Who, item::Begun, place, state};
use crate::errors;
use crate::ffi::{Python, compat, names::names, owned::Owned};
use crate::future::Purpose;
use crate::future::door::door;
use crate::future::layout::layout;
use crate::native_loop::Loop;
use crate::ready::Ready;
use crate::task::{cell::TaskRef, wrapper};
use pyo3_ffi as ffi;
use rondeau_core::record::Kind;
use std::ffi::CStr;
use std::ptr;

/// Whether a function makes the step of such a task: asyncio's C wrapper, its `task_wakeup`, or its Python `Task.__step`.
///
/// # Safety
/// The function lives; no Python code runs.
pub unsafe fn is_step(function: *mut ffi::PyObject) -> bool {
    // SAFETY: each type is checked before its layout is relied on; names end in NUL.
    unsafe {
        let kind = ffi::Py_TYPE(function);
        if kind == &raw mut ffi::PyCFunction_Type {
            let builtin = function.cast::<ffi::PyCFunctionObject>();
            let owner = (*builtin).m_self;
            return !owner.is_null()
                && ffi::PyObject_TypeCheck(owner, door().task_base) != 0
                && CStr::from_ptr((*(*builtin).m_ml).ml_name) == c"task_wakeup";
        }
        if kind == &raw mut ffi::PyFunction_Type {
            let code = ffi::PyFunction_GetCode(function);
            let name = Owned::new(ffi::PyObject_GetAttr(code, names().co_qualname));
            let Ok(name) = name else {
                ffi::PyErr_Clear();
                return false;
            };
            let name = place::text_of(name.as_ptr());
            return matches!(name, Some("Task.__step" | "Task.__wakeup"));
        }
        CStr::from_ptr((*kind).tp_name)
            .to_bytes()
            .ends_with(b"TaskStepMethWrapper")
            && !wrapper::is_step(function)
    }
}

/// The task whose step a callable makes.
unsafe fn task_of(callable: *mut ffi::PyObject) -> Option<Owned> {
    // SAFETY: the callable lives; `__self__` is a C getter of each of the three types.
    unsafe {
        let object = ffi::PyObject_GetAttr(callable, names().__self__);
        if object.is_null() {
            ffi::PyErr_Clear();
            return None;
        }
        Some(Owned::from_owned(object))
    }
}

/// A handle was made for a callable; where it makes a task's step, the task is ready.
///
/// # Safety
/// Loop and callable live. Only while on.
#[cold]
#[inline(never)]
pub unsafe fn scheduled(loop_: Loop, callable: *mut ffi::PyObject) {
    // SAFETY: each borrow ends before Python code can run.
    unsafe {
        if ffi::Py_TYPE(callable) == &raw mut ffi::PyFunction_Type {
            return;
        }
        let Some((who, gone)) = state().map(|state| state.who(callable)) else {
            return;
        };
        drop(gone);
        match who {
            Who::Callback(..) => return,
            Who::Own => {
                // The step of a native task that goes through a call: what it waited for is not native, or an error is thrown.
                let task = wrapper::task_of(callable);
                if !task.is_null() {
                    super::ready(TaskRef::of(task));
                }
                return;
            }
            Who::Foreign => {}
        }
        let raised = compat::take_raised();
        if let Some(task) = task_of(callable)
            && let Some(number) = number_of(loop_, &task)
            && let Some(state) = state()
        {
            let of_loop = *state.of_loop(loop_);
            state.ready(number, of_loop);
        }
        compat::set_raised(raised);
    }
}

/// A task factory made a task. Where nothing was seen of it, it has started within the call, as eager ones do.
///
/// # Safety
/// Both live. Only while on.
#[cold]
pub unsafe fn made(loop_: Loop, task: &Owned, coro: Option<*mut ffi::PyObject>) {
    // SAFETY: each borrow ends before Python code can run.
    unsafe {
        let address = task.as_ptr().addr();
        let native = ffi::PyObject_TypeCheck(task.as_ptr(), layout().task) != 0;
        if native || state().is_none_or(|state| state.foreign.contains_key(&address)) {
            return;
        }
        let begun = known_or(loop_, task, coro).and_then(|number| begin(loop_, number));
        ended(loop_, task, begun);
    }
}

unsafe fn begin(loop_: Loop, number: u32) -> Option<Begun> {
    // SAFETY: the loop lives.
    unsafe {
        let state = state()?;
        let entry = state.entry(number)?;
        entry.doing = Doing::Running;
        let serial = entry.serial;
        Some(state.begin(loop_, Kind::Run, number, serial))
    }
}

/// The number of a task, which is met now if it was not before.
unsafe fn number_of(loop_: Loop, task: &Owned) -> Option<u32> {
    // SAFETY: the caller's contract.
    unsafe { known_or(loop_, task, None) }
}

/// The same, where its coroutine is known: a task that has ended has none any more.
unsafe fn known_or(loop_: Loop, task: &Owned, coro: Option<*mut ffi::PyObject>) -> Option<u32> {
    // SAFETY: no borrow lives while Python code runs; a weak reference tells a task from another at its address.
    unsafe {
        let address = task.as_ptr().addr();
        {
            let state = state()?;
            if let Some(number) = state.foreign.get(&address).copied()
                && let Some(entry) = state.entry(number)
                && let Some(weak) = &entry.weak
                && compat::weak_target(weak.as_ptr()) == task.as_ptr()
            {
                return Some(number);
            }
        }
        let weak = Owned::new(ffi::PyWeakref_NewRef(task.as_ptr(), ptr::null_mut()));
        let coro = match coro {
            Some(coro) => Ok(Owned::from_borrowed(coro)),
            None => Owned::new(ffi::PyObject_CallMethodNoArgs(
                task.as_ptr(),
                names().get_coro,
            )),
        };
        let code = match &coro {
            Ok(coro) => super::subject::code_of(coro.as_ptr()),
            Err(_) => Code::Unknown,
        };
        ffi::PyErr_Clear();
        let name = name_of(task);
        let made = place::caller();
        let state = state()?;
        let of_loop = *state.of_loop(loop_);
        let serial = state.next_serial();
        let entry = TaskEntry {
            serial,
            task: ptr::null_mut(),
            address,
            weak: weak.ok(),
            code,
            name,
            creator: of_loop.serial,
            made,
            doing: Doing::Unknown,
        };
        let number = state.subjects.add(Subject::Task(entry));
        let old = state.foreign.insert(address, number);
        let time = state.ticks.now();
        state.push(Kind::Created, time, number, of_loop.serial, of_loop, 0);
        if let Some(old) = old {
            // That task died without its end having been seen.
            state.subjects.end(old, state.ring.head());
        }
        Some(number)
    }
}

unsafe fn name_of(task: &Owned) -> Option<Name> {
    // SAFETY: the task is kept alive.
    unsafe {
        let name = ffi::PyObject_CallMethodNoArgs(task.as_ptr(), names().get_name);
        if name.is_null() {
            ffi::PyErr_Clear();
            return None;
        }
        Some(Name::Text(Owned::from_owned(name)))
    }
}

/// Runs the item, which makes the step of the task behind `callback`.
///
/// # Safety
/// Called by `item`.
#[cold]
pub unsafe fn step(
    loop_: Loop,
    callback: *mut ffi::PyObject,
    ready: Ready,
    run: impl FnOnce(Loop, Ready) -> Python<()>,
) -> Python<()> {
    // SAFETY: no borrow lives while Python code runs; the task is kept alive over its step.
    unsafe {
        let Some(task) = task_of(callback) else {
            return run(loop_, ready);
        };
        let begun = number_of(loop_, &task).and_then(|number| begin(loop_, number));
        let done = run(loop_, ready);
        let after = || {
            ended(loop_, &task, begun);
            drop(task);
        };
        if done.is_ok() {
            after();
        } else {
            errors::keeping_raised(after);
        }
        done
    }
}

unsafe fn ended(loop_: Loop, task: &Owned, begun: Option<Begun>) {
    // SAFETY: as in `step`.
    unsafe {
        let Some(begun) = begun else { return };
        let time = match state() {
            Some(state) if state.session == begun.session() => state.end(loop_, begun),
            _ => return,
        };
        let kind = outcome(task);
        let (wait, name) = if kind.is_none() {
            (waits(task), None)
        } else {
            (0, name_of(task))
        };
        let Some(state) = state() else { return };
        if state.session != begun.session() {
            return;
        }
        let of_loop = *state.of_loop(loop_);
        let number = begun.number();
        let Some(kind) = kind else {
            if state
                .entry(number)
                .is_some_and(|entry| entry.doing == Doing::Running)
            {
                state.push(Kind::Wait, time, number, 0, of_loop, wait);
                if let Some(entry) = state.entry(number) {
                    entry.doing = Doing::Waiting(wait, 0);
                }
            }
            return;
        };
        state.push(kind, time, number, 0, of_loop, 0);
        state.foreign.remove(&task.as_ptr().addr());
        let old = state.entry(number).map(|entry| {
            let named = name.is_some();
            let name = if named {
                std::mem::replace(&mut entry.name, name)
            } else {
                None
            };
            (name, entry.weak.take())
        });
        state.subjects.end(number, state.ring.head());
        let gone = state.forget();
        drop((old, gone));
    }
}

/// How a task ended; None while it is pending.
unsafe fn outcome(task: &Owned) -> Option<Kind> {
    // SAFETY: the task is kept alive; what goes wrong counts as pending.
    unsafe {
        let state = Owned::new(ffi::PyObject_GetAttr(task.as_ptr(), names()._state));
        let Ok(state) = state else {
            ffi::PyErr_Clear();
            return None;
        };
        match place::text_of(state.as_ptr()) {
            Some("CANCELLED") => Some(Kind::Cancelled),
            Some("FINISHED") => {
                // Not `exception()`, which would count as looked at.
                let exception =
                    Owned::new(ffi::PyObject_GetAttr(task.as_ptr(), names()._exception));
                match exception {
                    Ok(exception) if exception.as_ptr() != ffi::Py_None() => Some(Kind::Failed),
                    Ok(_) => Some(Kind::Done),
                    Err(_) => {
                        ffi::PyErr_Clear();
                        Some(Kind::Done)
                    }
                }
            }
            _ => None,
        }
    }
}

/// On what a pending task waits.
unsafe fn waits(task: &Owned) -> u8 {
    // SAFETY: the task is kept alive; the type is checked before the layout is relied on.
    unsafe {
        let waiter = Owned::new(ffi::PyObject_GetAttr(task.as_ptr(), names()._fut_waiter));
        let Ok(waiter) = waiter else {
            ffi::PyErr_Clear();
            return Purpose::Foreign as u8;
        };
        match layout().exact(waiter.as_ptr()) {
            Some(_) if ffi::Py_TYPE(waiter.as_ptr()) == layout().task => Purpose::Task as u8,
            Some(future) => future.cell().purpose as u8,
            None => super::wait::foreign(waiter.as_ptr()) as u8,
        }
    }
}
