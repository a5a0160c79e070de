//! Reading vectorcall arguments without a tuple or a dict. Called by the methods of the native types.

use super::{Python, Raised, owned::Owned};
use pyo3_ffi as ffi;
use std::ffi::{CString, c_char};

/// Arguments of a `METH_FASTCALL | METH_KEYWORDS` call.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    /// The positional arguments, borrowed.
    pub positional: &'a [*mut ffi::PyObject],
    keywords: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
}

impl<'a> Args<'a> {
    /// # Safety
    /// The three values are what CPython passed to a function with that calling convention.
    #[inline]
    pub unsafe fn new(
        args: *const *mut ffi::PyObject,
        count: ffi::Py_ssize_t,
        keywords: *mut ffi::PyObject,
    ) -> Self {
        let count = count as usize;
        let positional = if count == 0 {
            &[][..]
        } else {
            // SAFETY: CPython passes `count` valid pointers at `args`.
            unsafe { std::slice::from_raw_parts(args, count) }
        };
        Args {
            positional,
            keywords,
            values: if keywords.is_null() {
                args
            } else {
                // SAFETY: the keyword values follow the positional ones in the same array.
                unsafe { args.add(count) }
            },
        }
    }

    /// The same call without its first positional argument, which a function of Python's has for `self`.
    #[inline]
    pub fn without_first(self) -> Option<(*mut ffi::PyObject, Args<'a>)> {
        let (first, positional) = self.positional.split_first()?;
        Some((*first, Args { positional, ..self }))
    }

    /// How many keyword arguments were given.
    #[inline]
    pub fn keyword_count(&self) -> usize {
        if self.keywords.is_null() {
            return 0;
        }
        // SAFETY: CPython passes a tuple of str.
        unsafe { ffi::PyTuple_GET_SIZE(self.keywords) as usize }
    }

    /// The keyword arguments in a dict; None where none were given.
    ///
    /// # Safety
    /// The arguments live.
    pub unsafe fn keywords_as_dict(&self) -> Python<Option<Owned>> {
        if self.keyword_count() == 0 {
            return Ok(None);
        }
        // SAFETY: the caller's contract; the index is within the tuple, and `values` has a value for each name.
        unsafe {
            let made = Owned::new(ffi::PyDict_New())?;
            for index in 0..self.keyword_count() {
                let name = ffi::PyTuple_GET_ITEM(self.keywords, index as ffi::Py_ssize_t);
                if ffi::PyDict_SetItem(made.as_ptr(), name, *self.values.add(index)) != 0 {
                    return Err(Raised);
                }
            }
            Ok(Some(made))
        }
    }

    /// Fills `out[i]` with the keyword argument `known[i]` where given (borrowed). By pointer first, by value
    /// after it: the C code of `_asyncio` passes a name that is not interned.
    #[inline]
    pub fn keywords<const N: usize>(
        &self,
        function: &str,
        known: [*mut ffi::PyObject; N],
        out: &mut [*mut ffi::PyObject; N],
    ) -> Python<()> {
        for index in 0..self.keyword_count() {
            // SAFETY: index is within the tuple, and `values` has a value for each name.
            let (name, value) = unsafe {
                (
                    ffi::PyTuple_GET_ITEM(self.keywords, index as ffi::Py_ssize_t),
                    *self.values.add(index),
                )
            };
            let found = known
                .iter()
                .position(|candidate| *candidate == name)
                .or_else(|| {
                    known.iter().position(|candidate| {
                        // SAFETY: both are str objects.
                        unsafe { ffi::PyUnicode_Compare(*candidate, name) == 0 }
                    })
                });
            match found {
                Some(slot) => out[slot] = value,
                None => return Err(unexpected_keyword(function, name)),
            }
        }
        Ok(())
    }

    /// Fails unless `least..=most` positional arguments were given.
    #[inline]
    pub fn expect_positional(&self, function: &str, least: usize, most: usize) -> Python<()> {
        let given = self.positional.len();
        if given < least || given > most {
            return Err(wrong_count(function, least, most, given));
        }
        Ok(())
    }
}

#[cold]
fn unexpected_keyword(function: &str, name: *mut ffi::PyObject) -> Raised {
    let format = CString::new(format!(
        "{function}() got an unexpected keyword argument '%U'"
    ))
    .unwrap_or_default();
    // SAFETY: the format has one %U and gets one str.
    unsafe { ffi::PyErr_Format(ffi::PyExc_TypeError, format.as_ptr(), name) };
    Raised
}

#[cold]
fn wrong_count(function: &str, least: usize, most: usize, given: usize) -> Raised {
    let wanted = if least == most {
        format!("exactly {least}")
    } else if given < least {
        format!("at least {least}")
    } else {
        format!("at most {most}")
    };
    let plural = if wanted.ends_with(" 1") { "" } else { "s" };
    raise_type_error(&format!(
        "{function}() takes {wanted} positional argument{plural} ({given} given)"
    ))
}

/// Raises TypeError with `message`.
#[cold]
pub fn raise_type_error(message: &str) -> Raised {
    // SAFETY: PyExc_TypeError is a live exception type.
    unsafe { raise(ffi::PyExc_TypeError, message) }
}

/// Raises `kind` with `message`.
///
/// # Safety
/// `kind` is a live exception type.
#[cold]
pub unsafe fn raise(kind: *mut ffi::PyObject, message: &str) -> Raised {
    // SAFETY: the text is valid UTF-8 of the given length; `kind` by contract.
    unsafe {
        let text = ffi::PyUnicode_FromStringAndSize(
            message.as_ptr().cast::<c_char>(),
            message.len() as ffi::Py_ssize_t,
        );
        if !text.is_null() {
            ffi::PyErr_SetObject(kind, text);
            ffi::Py_DECREF(text);
        }
    }
    Raised
}

/// The positional arguments of a METH_FASTCALL function. Without any the pointer may be NULL, which no slice may have.
///
/// # Safety
/// CPython's calling convention; the slice is used during the call only.
pub unsafe fn given<'a>(
    args: *mut *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
) -> &'a [*mut ffi::PyObject] {
    if count == 0 {
        return &[];
    }
    // SAFETY: CPython passes so many arguments, which live for the call.
    unsafe { std::slice::from_raw_parts(args, count as usize) }
}
