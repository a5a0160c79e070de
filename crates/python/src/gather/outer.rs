//! `_GatheringFuture`: what `gather` returns. A native future that knows its children; `children` is what they do to it and it to them.
//!
//! Invariants: `children` are as many as were given, once `total` is not 0; the children that are not done have it as an observer.

use crate::ffi::slot::clear_slot;
use crate::ffi::{
    Python, Raised, answer, compat, depth,
    owned::Owned,
    types::{self, Type},
};
use crate::future::cell::{Cell, FutureRef};
use crate::future::layout::{self, layout};
use crate::future::{Purpose, lifecycle};
use crate::native_loop::Loop;
use pyo3_ffi as ffi;
use std::ffi::{c_int, c_void};
use std::ptr;

/// What it holds behind a future's fields.
pub struct Fields {
    /// Strong.
    pub children: Vec<*mut ffi::PyObject>,
    /// 3.14+: the task that called `gather`; strong or NULL.
    task: *mut ffi::PyObject,
    /// How many are done.
    pub finished: usize,
    /// How many there are; 0 until all are known.
    pub total: usize,
    pub return_exceptions: bool,
    pub cancel_requested: bool,
    /// Making it failed: nobody waits for it.
    pub abandoned: bool,
}

/// A gathering future: a borrowed reference.
#[derive(Clone, Copy)]
pub struct Outer(*mut ffi::PyObject);

/// Whether it is one.
///
/// # Safety
/// The object lives.
#[inline]
pub unsafe fn is_outer(object: *mut ffi::PyObject) -> bool {
    // SAFETY: the caller's contract.
    unsafe { ffi::Py_TYPE(object) == layout().gathering }
}

/// Its children, borrowed.
///
/// # Safety
/// `object` is a live gathering future, and no Python code runs while the slice is used.
pub unsafe fn children_of<'a>(object: *mut ffi::PyObject) -> &'a [*mut ffi::PyObject] {
    // SAFETY: the caller's contract.
    unsafe { &(*Outer(object).fields_ptr()).children }
}

fn fields_offset() -> usize {
    (layout().future_cell + size_of::<Cell>()).next_multiple_of(align_of::<Fields>())
}

/// A gathering future without children.
///
/// # Safety
/// The loop lives.
pub unsafe fn new(loop_: Loop, count: usize, return_exceptions: bool) -> Python<Owned> {
    // SAFETY: the fields are written before anyone else sees the instance.
    unsafe {
        let made = Owned::new(ffi::PyType_GenericAlloc(layout().gathering, 0))?;
        Outer(made.as_ptr()).fields_ptr().write(Fields {
            children: Vec::with_capacity(count),
            task: ptr::null_mut(),
            finished: 0,
            total: 0,
            return_exceptions,
            cancel_requested: false,
            abandoned: false,
        });
        Outer(made.as_ptr()).future().cell().purpose = Purpose::Gather;
        lifecycle::attach(Outer(made.as_ptr()).future(), loop_)?;
        Ok(made)
    }
}

impl Outer {
    /// # Safety
    /// `object` is a live gathering future.
    #[inline]
    pub unsafe fn of(object: *mut ffi::PyObject) -> Outer {
        Outer(object)
    }

    /// The Python object, borrowed.
    #[inline]
    pub fn object(self) -> *mut ffi::PyObject {
        self.0
    }

    /// A reference for a child's list of callbacks.
    ///
    /// # Safety
    /// The object lives.
    #[inline]
    pub unsafe fn new_reference(self) -> *mut ffi::PyObject {
        // SAFETY: the caller's contract.
        unsafe { ffi::Py_INCREF(self.0) };
        self.0
    }

    /// It as a future.
    #[inline]
    pub fn future(self) -> FutureRef {
        // SAFETY: its fields begin with a future's.
        unsafe { FutureRef::at(self.0, layout().future_cell) }
    }

    #[inline]
    fn fields_ptr(self) -> *mut Fields {
        self.0.wrapping_byte_add(fields_offset()).cast()
    }

    /// # Safety
    /// The object lives, and the borrow ends before Python code can run.
    #[inline]
    pub unsafe fn fields<'a>(self) -> &'a mut Fields {
        // SAFETY: the caller's contract.
        unsafe { &mut *self.fields_ptr() }
    }

    /// Adds a child.
    ///
    /// # Safety
    /// The object lives.
    #[inline]
    pub unsafe fn push(self, child: Owned) {
        // SAFETY: pushing runs no Python code.
        unsafe { self.fields().children.push(child.into_ptr()) }
    }

    /// All children are known.
    ///
    /// # Safety
    /// The object lives.
    #[inline]
    pub unsafe fn expect(self, total: usize) {
        // SAFETY: as above.
        unsafe { self.fields().total = total }
    }

    /// Nobody will get it: what its children do is their own.
    ///
    /// # Safety
    /// The object lives.
    pub unsafe fn abandon(self) {
        // SAFETY: as above.
        unsafe { self.fields().abandoned = true }
    }

    /// Notes the task that gathers.
    ///
    /// # Safety
    /// The object lives.
    pub unsafe fn set_task(self, task: Option<Owned>) {
        // SAFETY: the field was NULL.
        unsafe { self.fields().task = task.map_or(ptr::null_mut(), Owned::into_ptr) }
    }

    /// The task that gathers, where it is known.
    ///
    /// # Safety
    /// The object lives.
    #[inline]
    pub unsafe fn task(self) -> Option<Owned> {
        // SAFETY: as above.
        unsafe {
            let task = self.fields().task;
            (!task.is_null()).then(|| Owned::from_borrowed(task))
        }
    }

    /// The child at `index`, if there is one.
    ///
    /// # Safety
    /// The object lives.
    #[inline]
    pub unsafe fn child(self, index: usize) -> Option<Owned> {
        // SAFETY: the caller's contract.
        unsafe {
            let children = &self.fields().children;
            children
                .get(index)
                .map(|child| Owned::from_borrowed(*child))
        }
    }
}

unsafe extern "C" fn children(object: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance; the list takes references of its own.
    unsafe {
        let outer = Outer::of(object);
        let all = || {
            let list = Owned::new(ffi::PyList_New(0))?;
            let mut index = 0;
            while let Some(child) = outer.child(index) {
                if ffi::PyList_Append(list.as_ptr(), child.as_ptr()) != 0 {
                    return Err(Raised);
                }
                index += 1;
            }
            Ok(list)
        };
        answer::object(all())
    }
}

unsafe extern "C" fn cancel_requested(
    object: *mut ffi::PyObject,
    _: *mut c_void,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    answer::boolean(unsafe { Outer::of(object).fields().cancel_requested })
}

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the collector calls this on an instance and runs no Python code while it visits.
    unsafe {
        let result = lifecycle::tp_traverse(object, visit, arg);
        if result != 0 {
            return result;
        }
        let fields = Outer::of(object).fields();
        for held in fields.children.iter().chain([&fields.task]) {
            let result = if held.is_null() { 0 } else { visit(*held, arg) };
            if result != 0 {
                return result;
            }
        }
    }
    0
}

unsafe extern "C" fn clear(object: *mut ffi::PyObject) -> c_int {
    // SAFETY: what is released is taken out first.
    unsafe {
        let children = std::mem::take(&mut Outer::of(object).fields().children);
        for child in children {
            ffi::Py_DECREF(child);
        }
        clear_slot(&raw mut (*Outer::of(object).fields_ptr()).task);
        lifecycle::tp_clear(object)
    }
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: called first of all.
    unsafe { depth::free(object, free) }
}

unsafe extern "C" fn free(object: *mut ffi::PyObject) {
    // SAFETY: the last reference is gone; a finalizer may bring the object back.
    unsafe {
        if Outer::of(object).future().cell().log_traceback
            && ffi::PyObject_CallFinalizerFromDealloc(object) < 0
        {
            return;
        }
        ffi::PyObject_GC_UnTrack(object.cast());
        ffi::PyObject_ClearWeakRefs(object);
        clear(object);
        ptr::drop_in_place(Outer::of(object).fields_ptr());
        types::free(ffi::Py_TYPE(object), object);
    }
}

/// Makes the type with these methods.
pub fn init(methods: *mut c_void) -> Python<()> {
    let kind = Type {
        name: c"rondeau._core._GatheringFuture",
        size: fields_offset() + size_of::<Fields>(),
        flags: ffi::Py_TPFLAGS_HAVE_GC
            | ffi::Py_TPFLAGS_IMMUTABLETYPE
            | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION,
        slots: vec![
            (
                ffi::Py_tp_doc,
                c"What gather() returns.".as_ptr() as *mut c_void,
            ),
            (ffi::Py_tp_traverse, traverse as *mut c_void),
            (ffi::Py_tp_clear, clear as *mut c_void),
            (ffi::Py_tp_dealloc, dealloc as *mut c_void),
            (ffi::Py_tp_methods, methods),
            (
                ffi::Py_tp_getset,
                types::table([
                    types::attribute(c"_children", children, None),
                    types::attribute(c"_cancel_requested", cancel_requested, None),
                ]),
            ),
        ],
    };
    // SAFETY: the slots match their numbers; the size covers a future's fields and ours. The import runs alone.
    unsafe {
        let kind = kind.build(layout().future.cast())?;
        (*kind.as_ptr().cast::<ffi::PyTypeObject>()).tp_flags &= !compat::INLINE_VALUES_FLAG;
        let kind = kind.into_ptr().cast();
        layout::set(|layout| layout.gathering = kind);
    }
    Ok(())
}
