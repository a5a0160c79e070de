//! What a task is suspended in: its coroutine, what that awaits, and so on to the end.
//!
//! Called for each task by the walk. Each link says where it is, which locks it holds (an `async with` keeps the manager's `__aexit__`
//! on the frame's stack), until when it may last (the same of a time-out), and, where its function is known, on what it waits.
//!
//! What is found is kept: where an attribute is the program's own code, that may let go of what was found before.
//! No frame object is made but for a coroutine that runs (`ffi/suspended.rs`), so that a look leaves nothing behind in the program.

use super::known::Known;
use super::tables::{Tables, attribute_text, get, referents};
use super::waits::{self, Wait, has_class};
use crate::coroutine::{self, CoroRef};
use crate::ffi::{compat, names::names, owned::Owned, suspended};
use crate::future::door::door;
use crate::future::layout::layout;
use crate::sock_calls;
use pyo3_ffi as ffi;
use std::ffi::CStr;

/// Longer chains are cut: only what recurses without end has them.
const LONGEST: usize = 400;

/// What was found along a chain.
#[derive(Default)]
pub struct Found {
    /// Places, outermost first.
    pub stack: Vec<u32>,
    /// On what it waits, as the innermost known function says.
    pub inner: Option<Wait>,
    /// The same, by a function that stands for all that is inside it.
    pub whole: Option<Wait>,
    /// Locks and semaphores that are held by `async with`.
    pub holds: Vec<Owned>,
    /// When a time-out ends it, on the loop's clock, at the earliest; infinite: at a time that is not known.
    pub until: Option<f64>,
    /// The links, for counting references.
    pub links: Vec<Owned>,
    /// Nothing of it has run.
    pub fresh: bool,
    /// It runs now.
    pub running: bool,
}

impl Found {
    /// A time-out was found.
    pub fn limit(&mut self, when: f64) {
        self.until = Some(self.until.map_or(when, |until| until.min(when)));
    }
}

/// The attributes of a coroutine and its kin: frame, what is awaited, running, suspended.
type Attributes = [*mut ffi::PyObject; 4];

unsafe fn with_frame(object: *mut ffi::PyObject) -> Option<Attributes> {
    let known = names();
    // SAFETY: the caller has a live object.
    unsafe {
        if ffi::PyCoro_CheckExact(object) != 0 {
            Some([
                known.cr_frame,
                known.cr_await,
                known.cr_running,
                known.cr_suspended,
            ])
        } else if ffi::PyGen_CheckExact(object) != 0 {
            Some([
                known.gi_frame,
                known.gi_yieldfrom,
                known.gi_running,
                known.gi_suspended,
            ])
        } else if ffi::Py_TYPE(object) == &raw mut ffi::PyAsyncGen_Type {
            Some([
                known.ag_frame,
                known.ag_await,
                known.ag_running,
                known.ag_suspended,
            ])
        } else {
            None
        }
    }
}

unsafe fn is_future(object: *mut ffi::PyObject) -> bool {
    // SAFETY: the caller has a live object.
    unsafe {
        layout().exact(object).is_some() || ffi::PyObject_TypeCheck(object, door().future_base) != 0
    }
}

/// Follows the chain that begins with `first`, a task's coroutine.
///
/// # Safety
/// The GIL is held.
pub unsafe fn follow(tables: &mut Tables, first: &Owned) -> Found {
    let mut found = Found::default();
    let mut next = Some(first.clone());
    // SAFETY: each link is kept.
    unsafe {
        while let Some(link) = next.take() {
            let object = link.as_ptr();
            let seen = found.links.iter().any(|link| link.as_ptr() == object);
            if seen || found.links.len() == LONGEST {
                break;
            }
            found.links.push(link);
            next = if let Some(names) = with_frame(object) {
                python(tables, &mut found, object, names)
            } else if ffi::Py_TYPE(object) == coroutine::kind() {
                native(tables, &mut found, CoroRef::of(object))
            } else if let Some(wait) = sock_calls::wait_of(object) {
                found.stack.push(tables.native(wait.method));
                found.inner = Some(Wait::socket(wait));
                return found;
            } else if is_future(object) {
                return found;
            } else {
                opaque(tables, &mut found, object)
            };
        }
    }
    found
}

unsafe fn is_true(object: *mut ffi::PyObject, name: *mut ffi::PyObject) -> bool {
    // SAFETY: the caller has a live object; True is compared by its identity.
    unsafe { get(object, name).is_some_and(|value| value.as_ptr() == ffi::Py_True()) }
}

/// A coroutine or generator of Python's: what it awaits, or NULL.
unsafe fn python(
    tables: &mut Tables,
    found: &mut Found,
    object: *mut ffi::PyObject,
    [frame, awaited, running, is_suspended]: Attributes,
) -> Option<Owned> {
    // SAFETY: the frame is kept by the coroutine.
    unsafe {
        let is_suspended = is_true(object, is_suspended);
        let (place, known) = match suspended::place(object, is_suspended) {
            Some((code, last)) => tables.place(code, last),
            None => match get(object, frame) {
                Some(frame) if frame.as_ptr() != ffi::Py_None() => {
                    tables.frame(frame.as_ptr().cast())
                }
                _ => return None,
            },
        };
        found.stack.push(place);
        if found.links.len() == 1 {
            found.running = is_true(object, running);
            found.fresh = !found.running && !is_suspended;
        }
        let held = referents(object);
        if let Some(known) = known {
            waits::note(found, known, &held, None);
        }
        entered(found, &held);
        get(object, awaited).filter(|awaited| awaited.as_ptr() != ffi::Py_None())
    }
}

/// A native coroutine.
unsafe fn native(tables: &mut Tables, found: &mut Found, coro: CoroRef) -> Option<Owned> {
    // SAFETY: it lives, and with it what it holds.
    unsafe {
        let name = (*coro.cell().kind).qualname.to_str().unwrap_or("?");
        if coro.cell().delegates {
            let inner = coro.held(0);
            return (!inner.is_null()).then(|| Owned::from_borrowed(inner));
        }
        found.stack.push(tables.native(name));
        if found.links.len() == 1 {
            found.running = coro.cell().running;
            found.fresh = coroutine::is_fresh(coro);
        }
        if coroutine::is_fresh(coro) {
            return None;
        }
        let held = referents(coro.object());
        if let Some(known) = Known::of_native(name) {
            waits::note(found, known, &held, Some(coro));
        }
        // What it awaits inside, where it awaits anything but a future of its own.
        let inside = held.iter().find(|object| {
            let object = object.as_ptr();
            with_frame(object).is_some() || ffi::Py_TYPE(object) == coroutine::kind()
        });
        match inside {
            Some(object) => Some(object.clone()),
            None => held.into_iter().find(|object| is_future(object.as_ptr())),
        }
    }
}

/// Anything else that is awaited: an iterator of C's leads to what it stands for.
unsafe fn opaque(
    tables: &mut Tables,
    found: &mut Found,
    object: *mut ffi::PyObject,
) -> Option<Owned> {
    // SAFETY: it lives, and what it refers to is kept.
    unsafe {
        let leads = |next: &Owned| {
            let next = next.as_ptr();
            with_frame(next).is_some() || ffi::Py_TYPE(next) == coroutine::kind() || is_future(next)
        };
        let next = referents(object).into_iter().find(leads);
        if next.is_some() {
            return next;
        }
        let name = CStr::from_ptr((*ffi::Py_TYPE(object)).tp_name).to_string_lossy();
        found.stack.push(tables.native(&name));
        None
    }
}

/// The managers whose blocks a frame is in: their `__aexit__` (or `__exit__`) lies on its stack, bound, or with the manager behind it.
unsafe fn entered(found: &mut Found, held: &[Owned]) {
    for (index, object) in held.iter().enumerate() {
        // SAFETY: the referents are kept; the types are checked before they are relied on.
        unsafe {
            let object = object.as_ptr();
            let kind = ffi::Py_TYPE(object);
            let manager = if let Some((function, owner)) = compat::bound_method(object) {
                if !is_exit(function) {
                    continue;
                }
                owner
            } else if kind == &raw mut ffi::PyCFunction_Type {
                if !is_exit(object) {
                    continue;
                }
                ffi::PyCFunction_GetSelf(object)
            } else if kind == &raw mut ffi::PyFunction_Type
                || kind == &raw mut ffi::PyMethodDescr_Type
            {
                match held.get(index + 1) {
                    Some(next) if is_exit(object) => next.as_ptr(),
                    _ => continue,
                }
            } else {
                continue;
            };
            if !manager.is_null() {
                enter(found, &Owned::from_borrowed(manager));
            }
        }
    }
}

unsafe fn is_exit(function: *mut ffi::PyObject) -> bool {
    // SAFETY: the caller has a live object.
    unsafe {
        let name = attribute_text(function, c"__name__");
        name == "__aexit__" || name == "__exit__"
    }
}

unsafe fn enter(found: &mut Found, manager: &Owned) {
    // SAFETY: it is kept.
    unsafe {
        if has_class(manager.as_ptr(), &["Lock", "Semaphore", "Condition"]) {
            found.holds.push(waits::lock_of(manager));
        } else if let Some(when) = waits::limit_of(manager.as_ptr()) {
            found.limit(when);
        }
    }
}

/// Whether a task's coroutine runs now.
///
/// # Safety
/// It lives.
pub unsafe fn is_running(coro: *mut ffi::PyObject) -> bool {
    // SAFETY: the caller's contract.
    unsafe {
        if ffi::Py_TYPE(coro) == coroutine::kind() {
            return CoroRef::of(coro).cell().running;
        }
        with_frame(coro).is_some_and(|[_, _, running, _]| is_true(coro, running))
    }
}
