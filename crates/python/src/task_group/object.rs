//! A group's fields, and what CPython asks of its type.

use crate::ffi::slot::{clear_slot, set_slot};
use crate::ffi::{
    Python, Raised, compat,
    gil::GilCell,
    owned::Owned,
    types::{self, Type},
};
use crate::stand_in::class;
use pyo3_ffi as ffi;
use std::ffi::{c_int, c_void};
use std::mem::offset_of;
use std::ptr;

/// The fields: asyncio's attributes of these names; strong or NULL.
#[repr(C)]
pub struct GroupObject {
    ob_base: ffi::PyObject,
    weak: *mut ffi::PyObject,
    dict: *mut ffi::PyObject,
    pub entered: *mut ffi::PyObject,
    pub exiting: *mut ffi::PyObject,
    pub aborting: *mut ffi::PyObject,
    pub loop_: *mut ffi::PyObject,
    pub parent_task: *mut ffi::PyObject,
    pub parent_cancel_requested: *mut ffi::PyObject,
    pub tasks: *mut ffi::PyObject,
    pub errors: *mut ffi::PyObject,
    pub base_error: *mut ffi::PyObject,
    pub on_completed_fut: *mut ffi::PyObject,
    pub cancel_on_enter: *mut ffi::PyObject,
}

static TYPE: GilCell<*mut ffi::PyTypeObject> = GilCell::new(ptr::null_mut());

/// Whether it is exactly one: a subclass's overrides count.
///
/// # Safety
/// The object lives.
#[inline]
pub unsafe fn is_group(object: *mut ffi::PyObject) -> bool {
    // SAFETY: the type was made at import.
    unsafe { ffi::Py_TYPE(object) == *TYPE.get() }
}

/// The fields of a group.
///
/// # Safety
/// The object lives and is a group, and the borrow ends before Python code can run.
#[inline]
pub unsafe fn fields<'a>(object: *mut ffi::PyObject) -> &'a mut GroupObject {
    // SAFETY: the caller's contract.
    unsafe { &mut *object.cast() }
}

/// Sets a field to a borrowed object.
///
/// # Safety
/// `slot` is a group's field; what was there may run a finalizer.
#[inline]
pub unsafe fn set(slot: *mut *mut ffi::PyObject, value: *mut ffi::PyObject) {
    // SAFETY: the caller's contract.
    unsafe { set_slot(slot, Owned::from_borrowed(value).into_ptr()) }
}

/// How many tasks are in the group; None where `_tasks` is no set any more.
///
/// # Safety
/// The object lives and is a group.
#[inline]
pub unsafe fn task_count(object: *mut ffi::PyObject) -> Option<isize> {
    // SAFETY: the type is checked first.
    unsafe {
        let tasks = fields(object).tasks;
        (!tasks.is_null() && ffi::PySet_CheckExact(tasks) != 0).then(|| ffi::PySet_GET_SIZE(tasks))
    }
}

unsafe extern "C" fn init_object(
    object: *mut ffi::PyObject,
    args: *mut ffi::PyObject,
    keywords: *mut ffi::PyObject,
) -> c_int {
    // SAFETY: CPython calls this on an instance; raw pointers, so that no borrow lives while a finalizer runs.
    unsafe {
        let none = [ptr::null::<std::ffi::c_char>()];
        if (ffi::PyTuple_GET_SIZE(args) != 0 || !keywords.is_null())
            && !compat::parse_objects(args, keywords, c":TaskGroup", &none, &mut [])
        {
            return -1;
        }
        let (Ok(tasks), Ok(errors)) = (
            Owned::new(ffi::PySet_New(ptr::null_mut())),
            Owned::new(ffi::PyList_New(0)),
        ) else {
            return -1;
        };
        let group = object.cast::<GroupObject>();
        for slot in [
            &raw mut (*group).entered,
            &raw mut (*group).exiting,
            &raw mut (*group).aborting,
            &raw mut (*group).parent_cancel_requested,
            &raw mut (*group).cancel_on_enter,
        ] {
            set(slot, ffi::Py_False());
        }
        for slot in [
            &raw mut (*group).loop_,
            &raw mut (*group).parent_task,
            &raw mut (*group).base_error,
            &raw mut (*group).on_completed_fut,
        ] {
            set(slot, ffi::Py_None());
        }
        set_slot(&raw mut (*group).tasks, tasks.into_ptr());
        set_slot(&raw mut (*group).errors, errors.into_ptr());
    }
    0
}

/// Where the fields lie that are references.
const SLOTS: [(&std::ffi::CStr, usize); 11] = [
    (c"_entered", offset_of!(GroupObject, entered)),
    (c"_exiting", offset_of!(GroupObject, exiting)),
    (c"_aborting", offset_of!(GroupObject, aborting)),
    (c"_loop", offset_of!(GroupObject, loop_)),
    (c"_parent_task", offset_of!(GroupObject, parent_task)),
    (
        c"_parent_cancel_requested",
        offset_of!(GroupObject, parent_cancel_requested),
    ),
    (c"_tasks", offset_of!(GroupObject, tasks)),
    (c"_errors", offset_of!(GroupObject, errors)),
    (c"_base_error", offset_of!(GroupObject, base_error)),
    (
        c"_on_completed_fut",
        offset_of!(GroupObject, on_completed_fut),
    ),
    (
        c"_cancel_on_enter",
        offset_of!(GroupObject, cancel_on_enter),
    ),
];

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the collector calls this on an instance and runs no Python code while it visits.
    unsafe {
        let slots = SLOTS
            .iter()
            .map(|(_, offset)| *object.byte_add(*offset).cast::<*mut ffi::PyObject>());
        for held in slots.chain([ffi::Py_TYPE(object).cast(), fields(object).dict]) {
            let result = if held.is_null() { 0 } else { visit(held, arg) };
            if result != 0 {
                return result;
            }
        }
    }
    0
}

unsafe extern "C" fn clear(object: *mut ffi::PyObject) -> c_int {
    // SAFETY: each field is emptied before its reference is released.
    unsafe {
        for (_, offset) in SLOTS {
            clear_slot(object.byte_add(offset).cast());
        }
        clear_slot(&raw mut (*object.cast::<GroupObject>()).dict);
    }
    0
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: the last reference is gone.
    unsafe {
        ffi::PyObject_GC_UnTrack(object.cast());
        if !fields(object).weak.is_null() {
            ffi::PyObject_ClearWeakRefs(object);
        }
        clear(object);
        types::free(ffi::Py_TYPE(object), object);
    }
}

unsafe extern "C" fn dict(object: *mut ffi::PyObject, closure: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance, whose dict is at the type's offset.
    unsafe { ffi::PyObject_GenericGetDict(object, closure) }
}

/// Makes the type, in front of asyncio's, with these methods, and adds it to the module as `TaskGroup`.
pub fn init(
    module: *mut ffi::PyObject,
    asyncios: &Owned,
    methods: [ffi::PyMethodDef; 3],
) -> Python<()> {
    let mut members: Vec<ffi::PyMemberDef> = SLOTS
        .iter()
        .map(|(name, offset)| class::member(name, *offset))
        .collect();
    members.extend([
        class::offset_member(c"__dictoffset__", offset_of!(GroupObject, dict)),
        class::offset_member(c"__weaklistoffset__", offset_of!(GroupObject, weak)),
    ]);
    let kind = Type {
        name: c"rondeau._core.TaskGroup",
        size: size_of::<GroupObject>(),
        flags: ffi::Py_TPFLAGS_HAVE_GC | ffi::Py_TPFLAGS_BASETYPE,
        slots: vec![
            (
                ffi::Py_tp_doc,
                c"TaskGroup()\n--\n\nAn asynchronous context manager that waits for the tasks made in it and fails with them."
                    .as_ptr() as *mut c_void,
            ),
            (ffi::Py_tp_new, ffi::PyType_GenericNew as *mut c_void),
            (ffi::Py_tp_init, init_object as *mut c_void),
            (ffi::Py_tp_traverse, traverse as *mut c_void),
            (ffi::Py_tp_clear, clear as *mut c_void),
            (ffi::Py_tp_dealloc, dealloc as *mut c_void),
            (ffi::Py_tp_members, types::table_of(members)),
            (
                ffi::Py_tp_getset,
                types::table([types::attribute(c"__dict__", dict, None)]),
            ),
            (
                ffi::Py_tp_methods,
                types::table(methods),
            ),
        ],
    };
    // SAFETY: the slots match their numbers and the size is the instance struct's; the import runs alone.
    unsafe {
        let kind = kind.build(ptr::null_mut())?;
        crate::stand_in::native::put(kind.as_ptr(), kind.as_ptr().cast(), asyncios, &[])?;
        class::complete(&kind, asyncios)?;
        if ffi::PyModule_AddObjectRef(module, c"TaskGroup".as_ptr(), kind.as_ptr()) != 0 {
            return Err(Raised);
        }
        *TYPE.get() = kind.into_ptr().cast();
    }
    Ok(())
}
