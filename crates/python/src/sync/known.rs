//! What is known of one primitive for good: its native type, the class that is published, and the forms of its methods.
//!
//! One static of each primitive's file, written at import and only read afterwards. A file declares it by `known!` and fills it by
//! `publish`.

use super::class::{self, Class, Native};
use super::fields::Place;
use super::method::Make;
use super::primitive::Primitive;
use crate::ffi::{Python, gil::GilCell, owned::Owned};
use pyo3_ffi as ffi;
use std::ffi::CStr;
use std::ptr;

/// What is known of a primitive.
pub struct Known {
    kind: GilCell<*mut ffi::PyTypeObject>,
    public: GilCell<*mut ffi::PyTypeObject>,
    class: GilCell<Option<Class>>,
    /// What a fresh instance has for its limit.
    limit: i64,
}

/// How a primitive's classes are made.
pub struct Description {
    /// asyncio's module, and the class's name there.
    pub module: &'static CStr,
    pub name: &'static CStr,
    /// The native type's name.
    pub native: &'static CStr,
    pub new: ffi::newfunc,
    pub fields: Vec<(&'static CStr, Place)>,
    pub methods: Vec<Make>,
    /// The methods that native code counts on.
    pub counted_on: Vec<&'static str>,
    /// Classes derived from it, each one more form, with the methods that differ.
    pub derived: Vec<(&'static CStr, Vec<Make>)>,
}

impl Known {
    /// Nothing yet.
    pub const fn new(limit: i64) -> Known {
        Known {
            kind: GilCell::new(ptr::null_mut()),
            public: GilCell::new(ptr::null_mut()),
            class: GilCell::new(None),
            limit,
        }
    }

    /// The native type.
    #[inline]
    pub fn kind(&self) -> *mut ffi::PyTypeObject {
        // SAFETY: written at import.
        unsafe { *self.kind.get() }
    }

    /// An empty instance of `kind`.
    ///
    /// # Safety
    /// CPython passes a type that inherits from the native one.
    pub unsafe fn allocate(&'static self, kind: *mut ffi::PyTypeObject) -> *mut ffi::PyObject {
        // SAFETY: the caller's contract; the class is never written after import.
        unsafe {
            let class = self.class.get().as_ref().map_or(ptr::null(), ptr::from_ref);
            let object = class::allocate(kind, class);
            if !object.is_null() {
                Primitive::of(object).cell().limit = self.limit;
            }
            object
        }
    }

    /// An instance of the published class, as native code wants it: `__init__` is not called.
    ///
    /// # Safety
    /// The GIL is held.
    pub unsafe fn make(&'static self) -> Python<Owned> {
        // SAFETY: the class lives; a fresh instance is zeroed.
        unsafe { Owned::new(self.allocate(*self.public.get())) }
    }

    /// Whether `object` is an instance of the published class itself.
    ///
    /// # Safety
    /// The object lives.
    #[inline]
    pub unsafe fn is_exact(&self, object: *mut ffi::PyObject) -> bool {
        // SAFETY: the caller's contract.
        unsafe { ffi::Py_TYPE(object) == *self.public.get() }
    }

    /// Makes the classes and adds them to the module; called once, at import.
    pub fn publish(
        &'static self,
        module: *mut ffi::PyObject,
        described: Description,
    ) -> Python<()> {
        let native = Native {
            name: described.native,
            new: described.new,
            fields: described.fields,
        }
        .build()?;
        // SAFETY: the import runs alone.
        unsafe { *self.kind.get() = native.clone().into_ptr().cast() };
        let theirs = class::asyncios(described.module, described.name)?;
        let bases = [&native, &theirs];
        let public = class::publish(module, described.name, &bases, &described.methods)?;
        let mut forms = Class {
            names: class::intern(&described.counted_on)?,
            forms: Vec::new(),
        };
        // SAFETY: the import runs alone; the classes live for good.
        unsafe {
            forms.add_form(&public)?;
            for (name, methods) in described.derived {
                let theirs = class::asyncios(described.module, name)?;
                let bases = [&public, &theirs];
                forms.add_form(&class::publish(module, name, &bases, &methods)?)?;
            }
            *self.class.get() = Some(forms);
            *self.public.get() = public.into_ptr().cast();
        }
        Ok(())
    }
}

/// Declares what is known of a file's primitive: `KNOWN`, its native type as `kind()`, and `new` for that type.
macro_rules! known {
    (limit: $limit:expr) => {
        pub(super) static KNOWN: $crate::sync::known::Known = $crate::sync::known::Known::new($limit);

        pub(super) fn kind() -> *mut pyo3_ffi::PyTypeObject {
            KNOWN.kind()
        }

        pub(super) unsafe extern "C" fn new(
            kind: *mut pyo3_ffi::PyTypeObject,
            _: *mut pyo3_ffi::PyObject,
            _: *mut pyo3_ffi::PyObject,
        ) -> *mut pyo3_ffi::PyObject {
            // SAFETY: CPython passes a type that inherits from ours.
            unsafe { KNOWN.allocate(kind) }
        }
    };
    () => {
        $crate::sync::known::known!(limit: 0);
    };
}

pub(crate) use known;
