//! A primitive's fields under asyncio's names: `_locked`, `_waiters`, `_value`, `_queue`, …
//!
//! Called by asyncio's own code on the same object, by reprs, tests and programs that look inside. Data descriptors, so they come
//! before the instance's dict. A value that a field cannot hold (a `_value` that is no int) goes into the dict under the same name, and
//! from then on asyncio's code acts alone.

use super::primitive::Primitive;
use super::{event, queue};
use crate::ffi::{Python, Raised, answer, args::raise, depth::Deeper, owned::Owned};
use crate::future::status;
use pyo3_ffi as ffi;
use std::ffi::{CStr, c_int, c_void};
use std::ptr;

/// Where an attribute lies.
#[derive(Clone, Copy)]
pub enum Place {
    /// The loop.
    Loop,
    /// Waiters that are None until somebody waits.
    Waiters,
    /// Waiters that are a deque from the beginning: made when somebody looks.
    Deque(usize),
    /// A queue's items: made when somebody looks.
    Queue,
    /// A queue's event: made when somebody looks.
    Finished,
    /// A condition's lock, a barrier's condition.
    Inner,
    /// A barrier's state.
    State,
    /// What the lock has under the same name.
    OfInner,
    /// Locked, set, shut down.
    Flag,
    /// A semaphore's value, a queue's unfinished tasks, how many are in a barrier.
    Number,
    /// A semaphore's bound, a queue's size, a barrier's parties.
    Limit,
}

struct Shown {
    name: *mut ffi::PyObject,
    place: Place,
    /// Of `Inner`: the attributes that are `OfInner`.
    of_inner: Vec<*mut ffi::PyObject>,
}

/// The table for a type.
pub fn table(fields: Vec<(&'static CStr, Place)>) -> Python<Vec<ffi::PyGetSetDef>> {
    let mut all = Vec::new();
    let interned = |name: &CStr| {
        // SAFETY: the name ends in NUL.
        unsafe { Owned::new(ffi::PyUnicode_InternFromString(name.as_ptr())).map(Owned::into_ptr) }
    };
    let mut of_inner = Vec::new();
    for (name, place) in &fields {
        if matches!(place, Place::OfInner) {
            of_inner.push(interned(name)?);
        }
    }
    for (name, place) in fields {
        // CPython keeps the closure for the life of the process.
        let shown = Box::leak(Box::new(Shown {
            name: interned(name)?,
            of_inner: match place {
                Place::Inner => of_inner.clone(),
                _ => Vec::new(),
            },
            place,
        }));
        all.push(ffi::PyGetSetDef {
            name: name.as_ptr(),
            get: Some(get),
            set: Some(set),
            doc: ptr::null(),
            closure: (&raw mut *shown).cast(),
        });
    }
    Ok(all)
}

unsafe extern "C" fn get(object: *mut ffi::PyObject, closure: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance, with what `table` gave.
    unsafe {
        let shown = &*closure.cast::<Shown>();
        answer::object(value(Primitive::of(object), shown))
    }
}

unsafe fn value(this: Primitive, shown: &Shown) -> Python<Owned> {
    // SAFETY: called on an instance.
    unsafe {
        if let Some(own) = this.own(shown.name)? {
            return Ok(own);
        }
        let or_none = |object: *mut ffi::PyObject| Owned::from_owned(answer::or_none(object));
        let cell = this.cell();
        match shown.place {
            Place::Loop => Ok(or_none(cell.loop_)),
            Place::Waiters => Ok(or_none(cell.waiters[0])),
            Place::Deque(which) => this.deque(which),
            Place::Queue => queue::items(this),
            Place::Finished => queue::finished(this),
            Place::Inner => Ok(or_none(cell.inner)),
            Place::State => Ok(or_none(cell.finished)),
            Place::OfInner => {
                // A program may have made it its own.
                let _deeper = Deeper::enter()?;
                let inner = or_none(cell.inner);
                Owned::new(ffi::PyObject_GetAttr(inner.as_ptr(), shown.name))
            }
            Place::Flag => Ok(Owned::from_owned(answer::boolean(cell.flag))),
            Place::Number => Owned::new(ffi::PyLong_FromLongLong(cell.number)),
            Place::Limit => Owned::new(ffi::PyLong_FromLongLong(cell.limit)),
        }
    }
}

unsafe extern "C" fn set(
    object: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
    closure: *mut c_void,
) -> c_int {
    // SAFETY: CPython calls this on an instance, with what `table` gave; NULL means deletion.
    unsafe {
        let shown = &*closure.cast::<Shown>();
        if value.is_null() {
            raise(ffi::PyExc_AttributeError, "cannot delete attribute");
            return -1;
        }
        status(store(Primitive::of(object), shown, value))
    }
}

/// An int's value, where it is one and fits.
///
/// # Safety
/// The object lives.
pub unsafe fn plain_int(value: *mut ffi::PyObject) -> Option<i64> {
    // SAFETY: the type is checked first.
    unsafe {
        if ffi::PyLong_CheckExact(value) == 0 {
            return None;
        }
        let mut overflow = 0;
        let number = ffi::PyLong_AsLongLongAndOverflow(value, &mut overflow);
        (overflow == 0).then_some(number)
    }
}

unsafe fn store(this: Primitive, shown: &Shown, value: *mut ffi::PyObject) -> Python<()> {
    // SAFETY: called on an instance; references are made before they are stored, and no borrow lives over a release.
    unsafe {
        let object = |value: *mut ffi::PyObject| {
            if value == ffi::Py_None() {
                ptr::null_mut()
            } else {
                Owned::from_borrowed(value).into_ptr()
            }
        };
        keep_of_inner(this, shown)?;
        let fields = this.cell();
        let done = match shown.place {
            Place::Loop => {
                this.set(&raw mut fields.loop_, object(value));
                true
            }
            Place::Waiters => {
                this.set(&raw mut fields.waiters[0], object(value));
                true
            }
            Place::Deque(which) if value != ffi::Py_None() => {
                this.set(&raw mut fields.waiters[which], object(value));
                true
            }
            Place::Queue | Place::Inner if value != ffi::Py_None() => {
                this.set(&raw mut fields.inner, object(value));
                true
            }
            Place::State if value != ffi::Py_None() => {
                this.set(&raw mut fields.finished, object(value));
                true
            }
            Place::Finished if event::is_native(value) => {
                this.set(&raw mut fields.finished, object(value));
                true
            }
            Place::Flag if value == ffi::Py_True() || value == ffi::Py_False() => {
                fields.flag = value == ffi::Py_True();
                true
            }
            Place::Number | Place::Limit => match plain_int(value) {
                Some(number) if matches!(shown.place, Place::Number) => {
                    queue::before_count(this)?;
                    this.cell().number = number;
                    true
                }
                Some(number) => {
                    fields.limit = number;
                    true
                }
                None => false,
            },
            _ => false,
        };
        if done && !this.cell().shadowed {
            return Ok(());
        }
        own(this, shown.name, (!done).then_some(value))
    }
}

/// A lock is replaced: what asyncio took from it in `__init__` stays the old one's.
unsafe fn keep_of_inner(this: Primitive, shown: &Shown) -> Python<()> {
    // SAFETY: called on an instance; the lock is kept alive while it is asked.
    unsafe {
        if shown.of_inner.is_empty() || this.cell().inner.is_null() {
            return Ok(());
        }
        let inner = Owned::from_borrowed(this.cell().inner);
        for name in &shown.of_inner {
            if this.own(*name)?.is_none() {
                let value = Owned::new(ffi::PyObject_GetAttr(inner.as_ptr(), *name))?;
                own(this, *name, Some(value.as_ptr()))?;
            }
        }
        Ok(())
    }
}

/// Keeps what a field cannot hold in the instance's dict, or takes it out of there again.
#[cold]
unsafe fn own(
    this: Primitive,
    name: *mut ffi::PyObject,
    value: Option<*mut ffi::PyObject>,
) -> Python<()> {
    // SAFETY: called on an instance; the dict is a new reference.
    unsafe {
        let dict = Owned::new(ffi::PyObject_GenericGetDict(this.object(), ptr::null_mut()))?;
        let result = match value {
            Some(value) => {
                this.shadow();
                ffi::PyDict_SetItem(dict.as_ptr(), name, value)
            }
            None => match ffi::PyDict_Contains(dict.as_ptr(), name) {
                1 => ffi::PyDict_DelItem(dict.as_ptr(), name),
                other => other,
            },
        };
        if result == 0 { Ok(()) } else { Err(Raised) }
    }
}
