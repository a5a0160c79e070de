//! Making a primitive's class: a native type with the fields, and in front of it the class that `rondeau` publishes.
//!
//! Called once for each class, at import. As with the loop, the public class has two bases: the native type, and behind it
//! asyncio's class, so that `isinstance(lock, asyncio.Lock)` holds and everything that is not native (reprs, `wait_for`, `shutdown`,
//! generic aliases, documentation) is asyncio's, in this Python's form.
//!
//! Rejected: a native type with asyncio's class as its only base: that class keeps its instances' attributes in a managed dict, whose
//! visiting differs in each version, and chaining `subtype_traverse` from below recurses for ever.

use super::fields::{self, Place};
use super::method::{self, Make};
use super::primitive::{Fields, Primitive};
use crate::door::{attribute, import};
use crate::ffi::{
    Python, Raised,
    owned::Owned,
    types::{self, Type},
};
use pyo3_ffi as ffi;
use std::ffi::{CStr, CString, c_int, c_void};
use std::mem::offset_of;
use std::ptr;

/// What native code counts on: under each name, one form's method.
pub struct Class {
    /// Interned names.
    pub names: Vec<*mut ffi::PyObject>,
    /// The methods by form, each in the order of the names; strong references.
    pub forms: Vec<Vec<*mut ffi::PyObject>>,
}

impl Class {
    /// Which form the type's methods are; None where one is neither's.
    ///
    /// # Safety
    /// The type lives.
    pub unsafe fn form_of(&self, kind: *mut ffi::PyTypeObject) -> Python<Option<u8>> {
        // SAFETY: the caller's contract; names and methods live for good.
        unsafe {
            let mut found = Vec::with_capacity(self.names.len());
            for name in &self.names {
                found.push(Owned::new(ffi::PyObject_GetAttr(kind.cast(), *name))?);
            }
            let form = self.forms.iter().position(|form| {
                form.iter()
                    .zip(&found)
                    .all(|(wanted, found)| *wanted == found.as_ptr())
            });
            Ok(form.map(|form| form as u8))
        }
    }

    /// Adds the methods that `kind` has now as one more form.
    ///
    /// # Safety
    /// Called during import; the type lives.
    pub unsafe fn add_form(&mut self, kind: &Owned) -> Python<()> {
        let mut form = Vec::with_capacity(self.names.len());
        for name in &self.names {
            // SAFETY: the caller's contract.
            form.push(unsafe { Owned::new(ffi::PyObject_GetAttr(kind.as_ptr(), *name))? });
        }
        self.forms
            .push(form.into_iter().map(Owned::into_ptr).collect());
        Ok(())
    }
}

/// What a native type is made of.
pub struct Native {
    /// `rondeau._core._Lock`.
    pub name: &'static CStr,
    pub new: ffi::newfunc,
    pub fields: Vec<(&'static CStr, Place)>,
}

/// An empty instance of `kind` that is checked by `class`.
///
/// # Safety
/// CPython passes a type that inherits from a native one.
pub unsafe fn allocate(kind: *mut ffi::PyTypeObject, class: *const Class) -> *mut ffi::PyObject {
    // SAFETY: a fresh instance is zeroed.
    unsafe {
        let object = (*kind).tp_alloc.unwrap_or(ffi::PyType_GenericAlloc)(kind, 0);
        if !object.is_null() {
            Primitive::of(object).cell().class = class;
        }
        object
    }
}

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the collector calls this on an instance.
    unsafe {
        let result = visit(ffi::Py_TYPE(object).cast(), arg);
        if result != 0 {
            result
        } else {
            Primitive::of(object).traverse(visit, arg)
        }
    }
}

unsafe extern "C" fn clear(object: *mut ffi::PyObject) -> c_int {
    // SAFETY: the collector calls this on an instance.
    unsafe { Primitive::of(object).clear() };
    0
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: the last reference is gone; reached from `subtype_dealloc`, which has finalised by then.
    unsafe {
        let kind = ffi::Py_TYPE(object);
        ffi::PyObject_GC_UnTrack(object.cast());
        if !Primitive::of(object).cell().weak.is_null() {
            ffi::PyObject_ClearWeakRefs(object);
        }
        Primitive::of(object).clear();
        (*kind).tp_free.unwrap_or(ffi::PyObject_GC_Del)(object.cast());
        ffi::Py_DECREF(kind.cast());
    }
}

/// An attribute of the program's own. One that stands before a method ends native code's part in this object.
unsafe extern "C" fn setattro(
    object: *mut ffi::PyObject,
    name: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
) -> c_int {
    // SAFETY: CPython calls this on an instance; the class lives for good, and names of attributes are interned.
    unsafe {
        let this = Primitive::of(object);
        if (*this.cell().class).names.contains(&name) {
            this.shadow();
        }
        ffi::PyObject_GenericSetAttr(object, name, value)
    }
}

unsafe extern "C" fn getstate(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    crate::ffi::answer::object(crate::door::cold(c"primitive_state", &[object]))
}

unsafe extern "C" fn setstate(
    object: *mut ffi::PyObject,
    state: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    crate::ffi::answer::object(crate::door::cold(c"set_primitive_state", &[object, state]))
}

fn offset(name: &'static CStr, offset: usize) -> ffi::PyMemberDef {
    ffi::PyMemberDef {
        name: name.as_ptr(),
        type_code: ffi::Py_T_PYSSIZET,
        offset: offset as ffi::Py_ssize_t,
        flags: ffi::Py_READONLY,
        doc: ptr::null(),
    }
}

impl Native {
    /// Makes the type.
    pub fn build(self) -> Python<Owned> {
        let mut attributes = fields::table(self.fields)?;
        attributes.push(ffi::PyGetSetDef {
            name: c"__dict__".as_ptr(),
            get: Some(ffi::PyObject_GenericGetDict),
            set: Some(ffi::PyObject_GenericSetDict),
            doc: ptr::null(),
            closure: ptr::null_mut(),
        });
        let members = types::table([
            offset(c"__dictoffset__", offset_of!(Fields, dict)),
            offset(c"__weaklistoffset__", offset_of!(Fields, weak)),
        ]);
        let methods = types::table([
            types::noargs(
                c"__getstate__",
                getstate,
                c"__getstate__($self, /)\n--\n\nFor copies and pickles: all attributes.",
            ),
            types::one(
                c"__setstate__",
                setstate,
                c"__setstate__($self, state, /)\n--\n\n",
            ),
        ]);
        let kind = Type {
            name: self.name,
            size: size_of::<Fields>(),
            flags: ffi::Py_TPFLAGS_HAVE_GC | ffi::Py_TPFLAGS_BASETYPE,
            slots: vec![
                (ffi::Py_tp_new, self.new as *mut c_void),
                (ffi::Py_tp_dealloc, dealloc as *mut c_void),
                (ffi::Py_tp_traverse, traverse as *mut c_void),
                (ffi::Py_tp_clear, clear as *mut c_void),
                (ffi::Py_tp_setattro, setattro as *mut c_void),
                (ffi::Py_tp_methods, methods),
                (ffi::Py_tp_members, members),
                (ffi::Py_tp_getset, types::table_of(attributes)),
            ],
        };
        // SAFETY: the slots match their numbers and the size is the instance struct's.
        unsafe { kind.build(ptr::null_mut()) }
    }
}

/// asyncio's class.
pub fn asyncios(module: &CStr, name: &CStr) -> Python<Owned> {
    attribute(&import(module)?, name)
}

/// Makes `rondeau.NAME` with these bases (asyncio's class comes last) and native methods, and adds it to the module.
pub fn publish(
    module: *mut ffi::PyObject,
    name: &'static CStr,
    bases: &[&Owned],
    methods: &[Make],
) -> Python<Owned> {
    // SAFETY: all objects live; the namespace is fresh.
    unsafe {
        let theirs = bases.last().expect("asyncio's class is a base");
        let namespace = Owned::new(ffi::PyDict_New())?;
        let set = |key: &CStr, value: &Owned| match ffi::PyDict_SetItemString(
            namespace.as_ptr(),
            key.as_ptr(),
            value.as_ptr(),
        ) {
            0 => Ok(()),
            _ => Err(Raised),
        };
        set(c"__slots__", &Owned::new(ffi::PyTuple_New(0))?)?;
        set(
            c"__module__",
            &Owned::new(ffi::PyUnicode_FromString(c"rondeau".as_ptr()))?,
        )?;
        set(c"__doc__", &attribute(theirs, c"__doc__")?)?;
        let tuple = Owned::new(ffi::PyTuple_New(bases.len() as ffi::Py_ssize_t))?;
        for (index, base) in bases.iter().enumerate() {
            let base = (*base).clone().into_ptr();
            ffi::PyTuple_SET_ITEM(tuple.as_ptr(), index as ffi::Py_ssize_t, base);
        }
        let text = Owned::new(ffi::PyUnicode_FromString(name.as_ptr()))?;
        let class = Owned::new(ffi::PyObject_CallFunctionObjArgs(
            (&raw mut ffi::PyType_Type).cast(),
            text.as_ptr(),
            tuple.as_ptr(),
            namespace.as_ptr(),
            ptr::null_mut::<ffi::PyObject>(),
        ))?;
        for make in methods {
            method::add(&class, theirs, make)?;
        }
        if ffi::PyModule_AddObjectRef(module, name.as_ptr(), class.as_ptr()) != 0 {
            return Err(Raised);
        }
        Ok(class)
    }
}

/// Interned names.
pub fn intern(names: &[&str]) -> Python<Vec<*mut ffi::PyObject>> {
    names
        .iter()
        .map(|name| {
            let text = CString::new(*name).expect("names have no NUL");
            // SAFETY: the text ends in NUL.
            let name = unsafe { ffi::PyUnicode_InternFromString(text.as_ptr()) };
            if name.is_null() {
                Err(Raised)
            } else {
                Ok(name)
            }
        })
        .collect()
}
