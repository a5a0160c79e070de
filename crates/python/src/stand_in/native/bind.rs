//! Binding arguments as a Python function's signature binds them, for native methods whose arguments come by name.
//!
//! Off the usual way: only calls with keywords, with a wrong count or with holes come here. What does not bind is not explained here
//! either: asyncio's own function is called with the same arguments and says it in CPython's words, before any of it runs.

use super::entry::Entry;
use crate::door::attribute;
use crate::ffi::{Python, Raised, owned::Owned};
use pyo3_ffi as ffi;
use std::ffi::CStr;
use std::ptr;

/// A function's parameters after the receiver. Strong references that live for good.
pub struct Signature {
    /// Those by position, by name, and their defaults (NULL: there is none).
    parameters: Vec<(*mut ffi::PyObject, *mut ffi::PyObject)>,
    /// How many of them have no name for callers.
    positional_only: usize,
    /// Those by name only, and whether they must be given.
    keyword_only: Vec<(*mut ffi::PyObject, bool)>,
    many_positional: bool,
    many_keywords: bool,
}

unsafe fn number(code: &Owned, name: &CStr) -> Python<usize> {
    let value = attribute(code, name)?;
    // SAFETY: the value lives.
    let number = unsafe { ffi::PyLong_AsSsize_t(value.as_ptr()) };
    usize::try_from(number).map_err(|_| Raised)
}

impl Signature {
    /// The signature of a Python function.
    ///
    /// # Safety
    /// Called during import; `function` is a function.
    pub unsafe fn of(function: &Owned) -> Python<Signature> {
        const VARARGS: usize = 4;
        const VARKEYWORDS: usize = 8;
        // SAFETY: each object is checked by who gives it; the names and defaults are kept by the function, which lives for good.
        unsafe {
            let code = attribute(function, c"__code__")?;
            let names = attribute(&code, c"co_varnames")?;
            let flags = number(&code, c"co_flags")?;
            let count = number(&code, c"co_argcount")?;
            let only = number(&code, c"co_kwonlyargcount")?;
            let defaults = attribute(function, c"__defaults__")?;
            let given = if defaults.as_ptr() == ffi::Py_None() {
                0
            } else {
                ffi::PyTuple_GET_SIZE(defaults.as_ptr()) as usize
            };
            let name = |index: usize| {
                let name = ffi::PyTuple_GetItem(names.as_ptr(), index as ffi::Py_ssize_t);
                ffi::Py_XINCREF(name);
                name
            };
            let mut parameters = Vec::new();
            for index in 1..count {
                let default = if index + given >= count {
                    let at = (index + given - count) as ffi::Py_ssize_t;
                    let default = ffi::PyTuple_GetItem(defaults.as_ptr(), at);
                    ffi::Py_XINCREF(default);
                    default
                } else {
                    ptr::null_mut()
                };
                parameters.push((name(index), default));
            }
            let optional = attribute(function, c"__kwdefaults__")?;
            let mut keyword_only = Vec::new();
            for index in count..count + only {
                let name = name(index);
                let has_default = optional.as_ptr() != ffi::Py_None()
                    && ffi::PyDict_Contains(optional.as_ptr(), name) == 1;
                keyword_only.push((name, !has_default));
            }
            Ok(Signature {
                parameters,
                positional_only: number(&code, c"co_posonlyargcount")?.saturating_sub(1),
                keyword_only,
                many_positional: flags & VARARGS != 0,
                many_keywords: flags & VARKEYWORDS != 0,
            })
        }
    }

    /// How many positional arguments bind by themselves: at least so many, and so many more; None where that is never enough.
    pub fn positional(&self) -> Option<(usize, usize)> {
        if self.keyword_only.iter().any(|(_, required)| *required) {
            return None;
        }
        let required = |(_, default): &&(_, *mut ffi::PyObject)| default.is_null();
        let least = self.parameters.iter().filter(required).count();
        let most = if self.many_positional {
            usize::MAX
        } else {
            self.parameters.len()
        };
        Some((least, most - least))
    }
}

/// `($self, data)`, as CPython reads it out of a method's documentation.
///
/// # Safety
/// Called during import; `function` is a function.
pub unsafe fn text(function: &Owned) -> Python<String> {
    // SAFETY: the strings live while they are read.
    unsafe {
        let inspect = crate::door::import(c"inspect")?;
        let signature = attribute(&inspect, c"signature")?;
        let signature = Owned::new(ffi::PyObject_CallOneArg(
            signature.as_ptr(),
            function.as_ptr(),
        ))?;
        let text = Owned::new(ffi::PyObject_Str(signature.as_ptr()))?;
        let utf8 = ffi::PyUnicode_AsUTF8(text.as_ptr());
        if utf8.is_null() {
            return Err(Raised);
        }
        let text = CStr::from_ptr(utf8).to_string_lossy();
        Ok(text.replacen("(self", "($self", 1))
    }
}

unsafe fn same(name: *mut ffi::PyObject, known: *mut ffi::PyObject) -> bool {
    // SAFETY: both are str.
    unsafe { name == known || ffi::PyUnicode_Compare(name, known) == 0 }
}

/// Binds the arguments and calls the native method; None where they do not bind.
///
/// # Safety
/// CPython's calling convention, without the receiver, which the method takes.
pub unsafe fn call(
    entry: &Entry,
    this: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    given: usize,
    keywords: *mut ffi::PyObject,
) -> Python<Option<*mut ffi::PyObject>> {
    let signature = &entry.signature;
    let room = signature.parameters.len();
    // SAFETY: the values of keywords follow the positional arguments; all of them live for the call.
    unsafe {
        if given > room && !signature.many_positional {
            return Ok(None);
        }
        let mut values: Vec<*mut ffi::PyObject> =
            (0..given).map(|index| *args.add(index)).collect();
        values.resize(given.max(room), ptr::null_mut());
        let mut rest: Vec<(*mut ffi::PyObject, *mut ffi::PyObject)> = Vec::new();
        let named = if keywords.is_null() {
            0
        } else {
            ffi::PyTuple_GET_SIZE(keywords) as usize
        };
        for index in 0..named {
            let name = ffi::PyTuple_GET_ITEM(keywords, index as ffi::Py_ssize_t);
            let value = *args.add(given + index);
            let by_name = signature.parameters.iter().skip(signature.positional_only);
            let place = by_name.clone().position(|(known, _)| same(name, *known));
            match place.map(|place| place + signature.positional_only) {
                Some(place) if values[place].is_null() => values[place] = value,
                Some(_) => return Ok(None),
                None => {
                    let mut known = signature.keyword_only.iter();
                    if !signature.many_keywords && !known.any(|(known, _)| same(name, *known)) {
                        return Ok(None);
                    }
                    rest.push((name, value));
                }
            }
        }
        let required = signature
            .keyword_only
            .iter()
            .filter(|(_, required)| *required);
        for (known, _) in required {
            if !rest.iter().any(|(name, _)| same(*name, *known)) {
                return Ok(None);
            }
        }
        // What was left out at the end is the native method's to fill in.
        while values.last().is_some_and(|value| value.is_null()) {
            let (_, default) = signature.parameters[values.len() - 1];
            if default.is_null() {
                return Ok(None);
            }
            values.pop();
        }
        for (value, (_, default)) in values.iter_mut().zip(&signature.parameters) {
            if value.is_null() {
                *value = *default;
            }
            if value.is_null() {
                return Ok(None);
            }
        }
        let count = values.len();
        if rest.is_empty() {
            return Ok(Some(entry.call_any(
                this,
                values.as_ptr(),
                count,
                ptr::null_mut(),
            )));
        }
        let names = Owned::new(ffi::PyTuple_New(rest.len() as ffi::Py_ssize_t))?;
        for (index, (name, value)) in rest.iter().enumerate() {
            ffi::Py_INCREF(*name);
            ffi::PyTuple_SET_ITEM(names.as_ptr(), index as ffi::Py_ssize_t, *name);
            values.push(*value);
        }
        Ok(Some(entry.call_any(
            this,
            values.as_ptr(),
            count,
            names.as_ptr(),
        )))
    }
}
