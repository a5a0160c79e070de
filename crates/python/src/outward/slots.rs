//! Two of CPython's functions that are slots of types and no methods: a socket's finalizer, which closes it, and the call of a foreign
//! function by ctypes, which may do anything.
//!
//! A subclass has copies of the slots: those that exist are written too, and later ones take what they find in the base, or in the
//! descriptor that stands for the slot (`__del__`, `__call__`).

use crate::ffi::{Python, owned::Owned};
use pyo3_ffi as ffi;
use rondeau_driver::unsent;
use std::ffi::{CStr, c_void};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Include/cpython/descrobject.h, the same from 3.8 to 3.15.
#[repr(C)]
struct SlotDescriptor {
    ob_base: ffi::PyObject,
    d_type: *mut ffi::PyTypeObject,
    d_name: *mut ffi::PyObject,
    d_qualname: *mut ffi::PyObject,
    d_base: *mut c_void,
    d_wrapped: *mut c_void,
}

type Finalizer = unsafe extern "C-unwind" fn(*mut ffi::PyObject);
type Call = unsafe extern "C-unwind" fn(
    *mut ffi::PyObject,
    *mut ffi::PyObject,
    *mut ffi::PyObject,
) -> *mut ffi::PyObject;

static FINALIZER: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
static CALL: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

unsafe extern "C-unwind" fn finalize(object: *mut ffi::PyObject) {
    unsent::send_now();
    // SAFETY: written before this function stood in any slot, with a function of this type.
    unsafe {
        let original: Finalizer = std::mem::transmute(FINALIZER.load(Ordering::Relaxed));
        original(object);
    }
    unsent::touch();
}

unsafe extern "C-unwind" fn call(
    object: *mut ffi::PyObject,
    args: *mut ffi::PyObject,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    unsent::send_now();
    // SAFETY: as in `finalize`.
    let done = unsafe {
        let original: Call = std::mem::transmute(CALL.load(Ordering::Relaxed));
        original(object, args, keywords)
    };
    unsent::touch();
    done
}

/// `_socket.socket`'s.
pub fn interpose_finalizer(kind: &Owned) -> Python<()> {
    // SAFETY: `kind` is a type; the field is a pointer, or null, of a pointer's size.
    unsafe {
        replace(
            kind,
            &FINALIZER,
            finalize as *mut c_void,
            c"__del__",
            |kind| (&raw mut (*kind).tp_finalize).cast(),
        )
    }
}

/// `_ctypes.CFuncPtr`'s.
pub fn interpose_call(kind: &Owned) -> Python<()> {
    // SAFETY: as above.
    unsafe {
        replace(kind, &CALL, call as *mut c_void, c"__call__", |kind| {
            (&raw mut (*kind).tp_call).cast()
        })
    }
}

unsafe fn replace(
    kind: &Owned,
    kept: &AtomicPtr<c_void>,
    ours: *mut c_void,
    descriptor: &CStr,
    slot: impl Fn(*mut ffi::PyTypeObject) -> *mut *mut c_void,
) -> Python<()> {
    // SAFETY: the types and the descriptor live while they are written; types are always in memory that can be.
    unsafe {
        let original = *slot(kind.as_ptr().cast());
        if original.is_null() || original == ours || !kept.load(Ordering::Relaxed).is_null() {
            return Ok(());
        }
        kept.store(original, Ordering::Release);
        let names = Owned::new(ffi::PyObject_GetAttrString(
            kind.as_ptr(),
            c"__dict__".as_ptr(),
        ))?;
        let found = ffi::PyMapping_GetItemString(names.as_ptr(), descriptor.as_ptr());
        if let Ok(found) = Owned::new(found) {
            let wrapper = found.as_ptr().cast::<SlotDescriptor>();
            if ffi::Py_TYPE(found.as_ptr()) == &raw mut ffi::PyWrapperDescr_Type
                && (*wrapper).d_wrapped == original
            {
                (*wrapper).d_wrapped = ours;
            }
        } else {
            ffi::PyErr_Clear();
        }
        let mut kinds = vec![kind.clone()];
        while let Some(kind) = kinds.pop() {
            let slot = slot(kind.as_ptr().cast());
            if *slot == original {
                *slot = ours;
            }
            // Not `kind.__subclasses__`: a metaclass may have its own.
            let list = Owned::new(ffi::PyObject_CallMethod(
                (&raw mut ffi::PyType_Type).cast(),
                c"__subclasses__".as_ptr(),
                c"O".as_ptr(),
                kind.as_ptr(),
            ))?;
            for index in 0..ffi::PyList_Size(list.as_ptr()) {
                kinds.push(Owned::from_borrowed(ffi::PyList_GetItem(
                    list.as_ptr(),
                    index,
                )));
            }
        }
    }
    Ok(())
}
