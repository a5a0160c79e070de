//! Python's calls that reach out of its process, or wait: before each of them what was written leaves.
//!
//! A transport's `write()` may wait for the end of its callback (`transport/write.rs`), and no program may be able to tell. Whatever
//! could tell is one of CPython's C functions: `socket.send`, `os.write`, `os._exit`, `time.sleep`. So the one pointer in their
//! `PyMethodDef` by which CPython calls them is replaced, at import, with a function that sends what waits, one load where nothing does,
//! and goes on to the original. The objects, their names and signatures stay what they are. Modules that are imported later are seen
//! as they are made, through `_imp`.
//!
//! `names` is which functions, `trampolines` what stands before them, `slots` the two that are no methods, `rehash` who knew them before. It needs no GIL and no
//! interpreter: other threads and subinterpreters go the same way. Nothing is ever put back: a trampoline lives as long as the process.
//!
//! Where anything of it cannot be done (memory that cannot be written, a full table), nothing waits: `is_complete` is false, and each
//! `write()` sends.
//!
//! Rejected: wrappers in Python (`socket.socket.send` would be another object); an audit hook (most of these functions raise no event);
//! replacing libc's functions in the tables of the dynamic linker (read-only with RELRO, and a debugger's or sanitizer's business).

mod names;
mod rehash;
mod slots;
mod trampolines;
mod writable;

use crate::door::{attribute, import};
use crate::ffi::{Python, owned::Owned};
use pyo3_ffi as ffi;
use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, Ordering};
use trampolines::Interposed;
use writable::Writable;

/// Something could not be interposed.
static INCOMPLETE: AtomicBool = AtomicBool::new(false);

/// Whether all that is known stands behind a trampoline, so that what is written may wait.
#[inline]
pub fn is_complete() -> bool {
    !INCOMPLETE.load(Ordering::Relaxed)
}

fn note(interposed: Interposed) {
    if interposed == Interposed::Impossible {
        INCOMPLETE.store(true, Ordering::Relaxed);
    }
}

/// Interposes what is loaded, and sees to what will be.
pub fn init() -> Python<()> {
    let writable = Writable::now();
    let modules = import(c"sys").and_then(|sys| attribute(&sys, c"modules"))?;
    for module in names::MODULES {
        // SAFETY: `modules` is a dict, whose items are borrowed.
        unsafe {
            let found = ffi::PyDict_GetItemString(modules.as_ptr(), module.name.as_ptr());
            if !found.is_null() {
                let found = Owned::from_borrowed(found);
                interpose(module, &found, &writable)?;
            }
        }
    }
    let imp = import(c"_imp")?;
    for (index, name) in [c"exec_dynamic", c"exec_builtin"].into_iter().enumerate() {
        let function = attribute(&imp, name)?;
        // SAFETY: the object lives, and its definition as long as its module, which is never unloaded.
        unsafe {
            note(match definition(function.as_ptr()) {
                Some(definition) => trampolines::interpose_exec(definition, index, &writable),
                None => Interposed::Impossible,
            });
        }
    }
    rehash::all()
}

/// A module was made: what it has is interposed too. What goes wrong must not make its import fail.
///
/// # Safety
/// The GIL is held and `module` lives.
unsafe fn made(module: *mut ffi::PyObject) {
    // SAFETY: the module is kept alive.
    unsafe {
        if ffi::PyModule_Check(module) == 0 {
            return;
        }
        let name = ffi::PyModule_GetName(module);
        if name.is_null() {
            return ffi::PyErr_Clear();
        }
        let name = CStr::from_ptr(name);
        let known = names::MODULES.iter().find(|known| known.name == name);
        if let Some(known) = known {
            let module = Owned::from_borrowed(module);
            if interpose(known, &module, &Writable::now()).is_err() {
                INCOMPLETE.store(true, Ordering::Relaxed);
                ffi::PyErr_Clear();
            }
        }
    }
}

/// Interposes what a module has: its functions, then the methods of its types.
fn interpose(known: &names::Module, module: &Owned, writable: &Writable) -> Python<()> {
    interpose_all(module, &known.functions, writable)?;
    for kind in known.types {
        let Ok(mut found) = attribute(module, kind.name) else {
            // SAFETY: the GIL is held. Not every Python has each of them.
            unsafe { ffi::PyErr_Clear() };
            continue;
        };
        // SAFETY: the objects live. `select.poll` is a function: its answer is of the type that is looked for.
        unsafe {
            if ffi::PyType_Check(found.as_ptr()) == 0 {
                let made = Owned::new(ffi::PyObject_CallNoArgs(found.as_ptr()))?;
                found = Owned::from_borrowed(ffi::Py_TYPE(made.as_ptr()).cast());
            }
        }
        interpose_all(&found, &kind.methods, writable)?;
    }
    match known.name.to_bytes() {
        b"_socket" => slots::interpose_finalizer(&attribute(module, c"socket")?),
        b"_ctypes" => slots::interpose_call(&attribute(module, c"CFuncPtr")?),
        _ => Ok(()),
    }
}

fn interpose_all(owner: &Owned, which: &names::Which, writable: &Writable) -> Python<()> {
    let names = attribute(owner, c"__dict__")?;
    // SAFETY: the list keeps each object alive while it is looked at.
    unsafe {
        let values = Owned::new(ffi::PyMapping_Values(names.as_ptr()))?;
        for index in 0..ffi::PyList_Size(values.as_ptr()) {
            let value = ffi::PyList_GetItem(values.as_ptr(), index);
            let Some(definition) = definition(value) else {
                continue;
            };
            let name = CStr::from_ptr((*definition).ml_name);
            if let Some(effect) = which.effect(name.to_str().unwrap_or_default()) {
                note(trampolines::interpose(definition, effect, writable));
            }
        }
    }
    Ok(())
}

/// The definition behind a builtin function or a method descriptor.
unsafe fn definition(object: *mut ffi::PyObject) -> Option<*mut ffi::PyMethodDef> {
    // SAFETY: the object lives; its type is checked before the layout is relied on.
    unsafe {
        if ffi::PyCFunction_Check(object) != 0 {
            return Some((*object.cast::<ffi::PyCFunctionObject>()).m_ml);
        }
        let kind = ffi::Py_TYPE(object);
        let of_method = &raw mut ffi::PyMethodDescr_Type;
        let of_class = &raw mut ffi::PyClassMethodDescr_Type;
        (kind == of_method || kind == of_class)
            .then(|| (*object.cast::<ffi::PyMethodDescrObject>()).d_method)
    }
}

unsafe extern "C" fn unsent_bytes(
    _: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the GIL is held.
    unsafe { ffi::PyLong_FromSize_t(rondeau_driver::unsent::waiting()) }
}

/// How much waits, for tests that must know that something did.
pub const UNSENT: ffi::PyMethodDef = crate::ffi::types::noargs(
    c"unsent",
    unsent_bytes,
    c"unsent()\n--\n\nHow many bytes wait to be sent.",
);
