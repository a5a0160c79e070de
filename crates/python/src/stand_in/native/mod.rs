//! asyncio's methods on the native classes: in the place of bare C descriptors, copies of asyncio's own functions whose call is the
//! native method.
//!
//! Made once for each class, from the method table that its native type has anyway: a method there for which asyncio's class has a
//! Python function of the same name gets that function's signature, documentation, kind (`inspect.iscoroutinefunction`) and its
//! words for wrong arguments, and takes each argument by position and by name. Who calls by position passes one comparison of the
//! receiver's type and of the count. `bind` does the rest.
//!
//! Two forms. A `Form::Function` is a Python function, as asyncio's method is. A `Form::Descriptor` stays a method descriptor, which the
//! interpreter calls without a detour (some 60 instructions less): for the few methods that run per callback and that are no coroutine functions.
//! What both have in common: an entry of a table, with a C function for each number, since CPython gives a vectorcall nothing but the
//! function itself, in which there is no room.
//!
//! A receiver that is no instance of the native type is asyncio's function's to deal with, which takes whatever has the attributes.

mod bind;
mod entry;

use bind::Signature;

use super::{descriptor, function};
use crate::ffi::{Python, Raised, args::raise, owned::Owned, types};
use entry::{Entry, TABLE};
use pyo3_ffi as ffi;
use std::ffi::{CStr, CString};

/// What a method is made into.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Function,
    Descriptor,
}

/// Puts onto `class` what `native`, one of its bases or itself, has a method for and `asyncios` a function. `quick` names those that stay
/// descriptors.
///
/// # Safety
/// Called during import; all three are types and live for good.
pub unsafe fn put(
    class: *mut ffi::PyObject,
    native: *mut ffi::PyTypeObject,
    asyncios: &Owned,
    quick: &[&CStr],
) -> Python<()> {
    // SAFETY: the dict of a type is a dict; what is read off it lives as long as the type.
    unsafe {
        let methods = Owned::new(ffi::PyDict_Values((*native).tp_dict))?;
        for index in 0..ffi::PyList_Size(methods.as_ptr()) {
            let method = ffi::PyList_GetItem(methods.as_ptr(), index);
            let Some(definition) = descriptor::definition(method) else {
                continue;
            };
            let name = CStr::from_ptr((*definition).ml_name);
            let found = Owned::new(ffi::PyObject_GetAttrString(class, name.as_ptr()))?;
            if found.as_ptr() != method || is_private(name) {
                continue;
            }
            let theirs = ffi::PyObject_GetAttrString(asyncios.as_ptr(), name.as_ptr());
            if theirs.is_null() {
                ffi::PyErr_Clear();
                continue;
            }
            let theirs = Owned::new(theirs)?;
            if ffi::PyFunction_Check(theirs.as_ptr()) == 0 {
                continue;
            }
            let form = if quick.contains(&name) {
                Form::Descriptor
            } else {
                Form::Function
            };
            let made = make(class, native, definition, theirs, form)?;
            set(class, name, &made)?;
        }
        ffi::PyType_Modified(class.cast());
    }
    Ok(())
}

/// Private methods are called by our code, with arguments of ours.
fn is_private(name: &CStr) -> bool {
    let name = name.to_bytes();
    name.starts_with(b"_") && !name.starts_with(b"__")
}

/// Past `PyType_Type`'s own check: the native types are immutable for everybody else.
unsafe fn set(class: *mut ffi::PyObject, name: &CStr, value: &Owned) -> Python<()> {
    // SAFETY: the class is being made: its caches are told by `put`.
    unsafe {
        let dict = (*class.cast::<ffi::PyTypeObject>()).tp_dict;
        let name = Owned::new(ffi::PyUnicode_InternFromString(name.as_ptr()))?;
        if ffi::PyDict_SetItem(dict, name.as_ptr(), value.as_ptr()) != 0 {
            return Err(Raised);
        }
    }
    Ok(())
}

unsafe fn make(
    class: *mut ffi::PyObject,
    native: *mut ffi::PyTypeObject,
    definition: *const ffi::PyMethodDef,
    theirs: Owned,
    form: Form,
) -> Python<Owned> {
    // SAFETY: the caller's contract; the definition and all that the entry holds live for good.
    unsafe {
        let signature = Signature::of(&theirs)?;
        let (least, optional) = signature.positional().unwrap_or((usize::MAX, 0));
        let entry = Entry {
            class: class.cast(),
            native,
            definition: *definition,
            signature,
            code: crate::door::attribute(&theirs, c"__code__")?.into_ptr(),
            asyncios: theirs.clone().into_ptr(),
            least,
            optional,
        };
        if !entry.is_consistent() {
            let name = CStr::from_ptr((*definition).ml_name).to_string_lossy();
            let text = format!("rondeau: {name}() takes other arguments in this Python");
            return Err(raise(ffi::PyExc_ImportError, &text));
        }
        let number = TABLE.get().add(entry)?;
        let entry = TABLE.get().at(number);
        let doc = doc_of(definition, &theirs)?;
        if form == Form::Function {
            let made = function::copy(&theirs, entry.function(number))?;
            function::document(&made, &doc)?;
            return Ok(made);
        }
        let doc = if doc.as_ptr() == ffi::Py_None() {
            String::new()
        } else {
            let text = ffi::PyUnicode_AsUTF8(doc.as_ptr());
            if text.is_null() {
                return Err(Raised);
            }
            CStr::from_ptr(text).to_string_lossy().into_owned()
        };
        let name = CStr::from_ptr((*definition).ml_name);
        let text = format!(
            "{}{}\n--\n\n{}",
            name.to_string_lossy(),
            bind::text(&theirs)?,
            doc
        );
        let text = Box::leak(CString::new(text).unwrap_or_default().into_boxed_c_str());
        // What takes names by itself, or no arguments, stays the C function that is called straight.
        let definition = types::table([ffi::PyMethodDef {
            ml_doc: text.as_ptr(),
            ..entry.described(number)
        }]);
        let vectorcall = entry.vectorcall(number);
        descriptor::with_vectorcall(class, definition.cast(), vectorcall)
    }
}

/// The native method's documentation; asyncio's where that has none.
unsafe fn doc_of(definition: *const ffi::PyMethodDef, theirs: &Owned) -> Python<Owned> {
    // SAFETY: the definition lives for good.
    unsafe {
        let own = if (*definition).ml_doc.is_null() {
            ""
        } else {
            CStr::from_ptr((*definition).ml_doc)
                .to_str()
                .unwrap_or_default()
        };
        let own = own.split_once("--\n\n").map_or(own, |(_, text)| text);
        if own.is_empty() {
            return crate::door::attribute(theirs, c"__doc__");
        }
        Owned::new(ffi::PyUnicode_FromStringAndSize(
            own.as_ptr().cast(),
            own.len() as ffi::Py_ssize_t,
        ))
    }
}
