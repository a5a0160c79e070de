//! asyncio's objects that futures and tasks use. Filled once at import, read everywhere in `future/` and `task/`.

use crate::door::{attribute, import};
use crate::ffi::{Python, Raised, compat, gil::GilCell, names::names, owned::Owned};
use pyo3_ffi as ffi;
use std::ffi::CStr;
use std::ptr;

/// Strong references that live as long as the process.
pub struct FutureDoor {
    pub future_base: *mut ffi::PyTypeObject,
    pub task_base: *mut ffi::PyTypeObject,
    pub invalid_state: *mut ffi::PyObject,
    pub cancelled_error: *mut ffi::PyObject,
    pub future_repr: *mut ffi::PyObject,
    pub task_repr: *mut ffi::PyObject,
    pub task_get_stack: *mut ffi::PyObject,
    pub task_print_stack: *mut ffi::PyObject,
    pub iscoroutine: *mut ffi::PyObject,
    pub extract_stack: *mut ffi::PyObject,
    pub events: *mut ffi::PyObject,
    /// `("context",)`
    pub context_keyword: *mut ffi::PyObject,
    pub enter_task: *mut ffi::PyObject,
    pub leave_task: *mut ffi::PyObject,
    /// NULL on 3.11.
    pub swap_current_task: *mut ffi::PyObject,
    /// 3.14+, NULL before: both edges of awaited-by, and its getter.
    pub add_to_awaited_by: *mut ffi::PyObject,
    pub discard_from_awaited_by: *mut ffi::PyObject,
    pub awaited_by_getter: *mut ffi::PyObject,
}

static DOOR: GilCell<Option<FutureDoor>> = GilCell::new(None);

/// The objects.
#[inline]
pub fn door() -> &'static FutureDoor {
    // SAFETY: written once during import, before any future exists, and only read afterwards.
    unsafe {
        DOOR.get()
            .as_ref()
            .expect("future::init opens the door before it makes a type")
    }
}

/// Imports them; called once.
pub fn open() -> Python<()> {
    let native = import(c"_asyncio")?;
    let from = |module: &CStr, name: &CStr| -> Python<*mut ffi::PyObject> {
        Ok(attribute(&import(module)?, name)?.into_ptr())
    };
    let of = |name: &CStr| from(c"_asyncio", name);
    let only = |exists: bool, name: &CStr| {
        if exists {
            of(name)
        } else {
            Ok(ptr::null_mut())
        }
    };
    let late = compat::TASKS_IN_THREAD_STATE;
    let future_base = of(c"Future")?;
    let door = FutureDoor {
        future_base: future_base.cast(),
        task_base: of(c"Task")?.cast(),
        invalid_state: from(c"asyncio.exceptions", c"InvalidStateError")?,
        cancelled_error: from(c"asyncio.exceptions", c"CancelledError")?,
        future_repr: from(c"asyncio.base_futures", c"_future_repr")?,
        task_repr: from(c"asyncio.base_tasks", c"_task_repr")?,
        task_get_stack: from(c"asyncio.base_tasks", c"_task_get_stack")?,
        task_print_stack: from(c"asyncio.base_tasks", c"_task_print_stack")?,
        iscoroutine: from(c"asyncio.coroutines", c"iscoroutine")?,
        extract_stack: from(c"traceback", c"extract_stack")?,
        events: import(c"asyncio.events")?.into_ptr(),
        context_keyword: context_keyword()?,
        enter_task: of(c"_enter_task")?,
        leave_task: of(c"_leave_task")?,
        swap_current_task: only(compat::HAS_EAGER_START, c"_swap_current_task")?,
        add_to_awaited_by: only(late, c"future_add_to_awaited_by")?,
        discard_from_awaited_by: only(late, c"future_discard_from_awaited_by")?,
        awaited_by_getter: if late {
            // SAFETY: `_asyncio.Future` is live.
            let base = unsafe { Owned::from_borrowed(future_base) };
            attribute(&base, c"_asyncio_awaited_by")?.into_ptr()
        } else {
            ptr::null_mut()
        },
    };
    drop(native);
    // SAFETY: no other borrow of the cell lives; the GIL is held by the import.
    unsafe { *DOOR.get() = Some(door) };
    Ok(())
}

fn context_keyword() -> Python<*mut ffi::PyObject> {
    // SAFETY: the tuple is fresh and takes over a new reference.
    unsafe {
        let tuple = ffi::PyTuple_New(1);
        if tuple.is_null() {
            return Err(Raised);
        }
        ffi::Py_INCREF(names().context);
        ffi::PyTuple_SET_ITEM(tuple, 0, names().context);
        Ok(tuple)
    }
}
