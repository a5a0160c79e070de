//! The table of native methods, and for each number the two C functions that CPython calls: one as the vectorcall of a function or
//! descriptor, one as a method's.
//!
//! An entry is written during import and only read afterwards.

use super::bind::{self, Signature};
use crate::ffi::{Python, Raised, args::raise, gil::GilCell};
use pyo3_ffi as ffi;
use std::ptr;

/// How many methods there can be.
const ROOM: usize = 144;

/// A native method.
pub struct Entry {
    /// The class that it is on: its instances are recognised first.
    pub class: *mut ffi::PyTypeObject,
    /// The native type, whose instances the C function takes.
    pub native: *mut ffi::PyTypeObject,
    pub definition: ffi::PyMethodDef,
    pub signature: Signature,
    /// asyncio's own function, and its code: strong references.
    pub asyncios: *mut ffi::PyObject,
    pub code: *mut ffi::PyObject,
    /// How many positional arguments, without the receiver, need no look at their names: at least so many, and so many more.
    pub least: usize,
    pub optional: usize,
}

/// All of them.
pub struct Table(Vec<Entry>);

pub static TABLE: GilCell<Table> = GilCell::new(Table(Vec::new()));

impl Table {
    /// Adds a method; its number.
    pub fn add(&mut self, entry: Entry) -> Python<usize> {
        if self.0.len() == ROOM {
            // SAFETY: SystemError is live.
            return Err(unsafe {
                raise(
                    ffi::PyExc_SystemError,
                    "rondeau has more native methods than it has room for",
                )
            });
        }
        if self.0.capacity() == 0 {
            self.0.reserve_exact(ROOM);
        }
        self.0.push(entry);
        Ok(self.0.len() - 1)
    }

    /// The method of this number.
    #[inline(always)]
    pub fn at(&'static self, number: usize) -> &'static Entry {
        debug_assert!(number < self.0.len());
        // SAFETY: only numbers that `add` gave are asked for, and nothing is taken out.
        unsafe { self.0.get_unchecked(number) }
    }
}

impl Entry {
    /// Whether so many positional arguments bind by themselves.
    #[inline(always)]
    fn binds(&self, given: usize) -> bool {
        given.wrapping_sub(self.least) <= self.optional
    }

    /// Whether the C function takes this receiver.
    #[inline(always)]
    pub unsafe fn takes(&self, this: *mut ffi::PyObject) -> bool {
        // SAFETY: the object lives.
        unsafe {
            ffi::Py_TYPE(this) == self.class || ffi::PyObject_TypeCheck(this, self.native) != 0
        }
    }

    /// The C function, by the convention `C`, which is that of its flags. Arguments that it takes.
    #[inline(always)]
    pub unsafe fn call<const C: u8>(
        &self,
        this: *mut ffi::PyObject,
        args: *const *mut ffi::PyObject,
        count: usize,
        keywords: *mut ffi::PyObject,
    ) -> *mut ffi::PyObject {
        let method = self.definition.ml_meth;
        let given = count as ffi::Py_ssize_t;
        // SAFETY: the union's field is what the flags say.
        unsafe {
            match C {
                NOARGS => (method.PyCFunction)(this, ptr::null_mut()),
                ONE => (method.PyCFunction)(this, *args),
                FAST => (method.PyCFunctionFast)(this, args.cast_mut(), given),
                _ => (method.PyCFunctionFastWithKeywords)(this, args, given, keywords),
            }
        }
    }

    /// The same by whichever convention it is.
    pub unsafe fn call_any(
        &self,
        this: *mut ffi::PyObject,
        args: *const *mut ffi::PyObject,
        count: usize,
        keywords: *mut ffi::PyObject,
    ) -> *mut ffi::PyObject {
        // SAFETY: the caller's contract.
        unsafe {
            match self.convention() {
                NOARGS => self.call::<NOARGS>(this, args, count, keywords),
                ONE => self.call::<ONE>(this, args, count, keywords),
                FAST => self.call::<FAST>(this, args, count, keywords),
                _ => self.call::<KEYWORDS>(this, args, count, keywords),
            }
        }
    }

    fn convention(&self) -> u8 {
        match self.definition.ml_flags {
            ffi::METH_NOARGS => NOARGS,
            ffi::METH_O => ONE,
            ffi::METH_FASTCALL => FAST,
            _ => KEYWORDS,
        }
    }

    /// Whether the C function takes as many arguments as asyncio's: what binds is handed on.
    pub fn is_consistent(&self) -> bool {
        match self.convention() {
            NOARGS => self.least == 0 && self.optional == 0,
            ONE => self.least == 1 && self.optional == 0,
            _ => true,
        }
    }

    /// The vectorcall of this entry, number `number`, as a function's.
    pub fn function(&self, number: usize) -> ffi::vectorcallfunc {
        FUNCTIONS[self.convention() as usize][number]
    }

    /// The same as a descriptor's.
    pub fn vectorcall(&self, number: usize) -> ffi::vectorcallfunc {
        DESCRIBED[self.convention() as usize][number]
    }

    /// What a descriptor calls: something that takes names where the C function does not.
    pub fn described(&self, number: usize) -> ffi::PyMethodDef {
        match self.convention() {
            NOARGS | KEYWORDS => self.definition,
            convention => ffi::PyMethodDef {
                ml_meth: ffi::PyMethodDefPointer {
                    PyCFunctionFastWithKeywords: METHODS[convention as usize][number],
                },
                ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
                ..self.definition
            },
        }
    }
}

// The conventions of C functions; indices.
const NOARGS: u8 = 0;
const ONE: u8 = 1;
const FAST: u8 = 2;
const KEYWORDS: u8 = 3;

/// The vectorcall of function number `N`, whose C function is called by convention `C`: the receiver is the first argument. Each
/// way out is a jump, so that no register is saved. Code that a program gave the function is run.
unsafe extern "C" fn function<const C: u8, const N: usize>(
    callee: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: usize,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention; no entry changes after import.
    unsafe {
        let entry = TABLE.get().at(N);
        if (*callee.cast::<ffi::PyFunctionObject>()).func_code != entry.code {
            return super::super::function::as_python(callee, args, count, keywords);
        }
        called::<C>(entry, args, count, keywords)
    }
}

/// The vectorcall of descriptor number `N`.
unsafe extern "C" fn described<const C: u8, const N: usize>(
    _: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: usize,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention; no entry changes after import.
    unsafe { called::<C>(TABLE.get().at(N), args, count, keywords) }
}

#[inline(always)]
unsafe fn called<const C: u8>(
    entry: &'static Entry,
    args: *const *mut ffi::PyObject,
    count: usize,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the caller's contract.
    unsafe {
        let given = ffi::PyVectorcall_NARGS(count) as usize;
        if keywords.is_null()
            && given != 0
            && entry.binds(given - 1)
            && ffi::Py_TYPE(*args) == entry.class
        {
            return entry.call::<C>(*args, args.add(1), given - 1, ptr::null_mut());
        }
        otherwise(entry, args, given, keywords)
    }
}

/// Arguments by name, wrong ones, and receivers of other kinds: of subclasses, too.
#[cold]
#[inline(never)]
unsafe extern "C" fn otherwise(
    entry: &'static Entry,
    args: *const *mut ffi::PyObject,
    given: usize,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention; asyncio's function lives for good.
    unsafe {
        if given != 0 && entry.takes(*args) {
            match bind::call(entry, *args, args.add(1), given - 1, keywords) {
                Ok(Some(result)) => return result,
                Ok(None) => {}
                Err(Raised) => return ptr::null_mut(),
            }
        }
        ffi::PyObject_Vectorcall(entry.asyncios, args, given, keywords)
    }
}

/// The method of number `N`: CPython has checked the receiver.
unsafe extern "C" fn method<const C: u8, const N: usize>(
    this: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention; no entry changes after import.
    unsafe {
        let entry = TABLE.get().at(N);
        let given = count as usize;
        if keywords.is_null() && entry.binds(given) {
            return entry.call::<C>(this, args, given, keywords);
        }
        by_name(entry, this, args, given, keywords)
    }
}

/// The same as a function's call, whose first argument is the receiver.
#[cold]
#[inline(never)]
unsafe extern "C" fn by_name(
    entry: &'static Entry,
    this: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    given: usize,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention: keyword values follow the positional ones.
    unsafe {
        let named = if keywords.is_null() {
            0
        } else {
            ffi::PyTuple_GET_SIZE(keywords) as usize
        };
        let mut all = vec![this];
        for index in 0..given + named {
            all.push(*args.add(index));
        }
        otherwise(entry, all.as_ptr(), given + 1, keywords)
    }
}

type Method = crate::ffi::types::FastKeywords;

/// `[f::<C, 0>, f::<C, 1>, …]` for `ROOM` numbers, for each convention `C`.
macro_rules! numbered {
    ($function:ident) => {
        [
            numbered!($function: 0; 0 1 2 3 4 5 6 7 8),
            numbered!($function: 1; 0 1 2 3 4 5 6 7 8),
            numbered!($function: 2; 0 1 2 3 4 5 6 7 8),
            numbered!($function: 3; 0 1 2 3 4 5 6 7 8),
        ]
    };
    ($function:ident: $c:literal; $($sixteen:literal)+) => {
        [$(
            $function::<$c, { $sixteen * 16 }>, $function::<$c, { $sixteen * 16 + 1 }>,
            $function::<$c, { $sixteen * 16 + 2 }>, $function::<$c, { $sixteen * 16 + 3 }>,
            $function::<$c, { $sixteen * 16 + 4 }>, $function::<$c, { $sixteen * 16 + 5 }>,
            $function::<$c, { $sixteen * 16 + 6 }>, $function::<$c, { $sixteen * 16 + 7 }>,
            $function::<$c, { $sixteen * 16 + 8 }>, $function::<$c, { $sixteen * 16 + 9 }>,
            $function::<$c, { $sixteen * 16 + 10 }>, $function::<$c, { $sixteen * 16 + 11 }>,
            $function::<$c, { $sixteen * 16 + 12 }>, $function::<$c, { $sixteen * 16 + 13 }>,
            $function::<$c, { $sixteen * 16 + 14 }>, $function::<$c, { $sixteen * 16 + 15 }>,
        )+]
    };
}

static FUNCTIONS: [[ffi::vectorcallfunc; ROOM]; 4] = numbered!(function);
static DESCRIBED: [[ffi::vectorcallfunc; ROOM]; 4] = numbered!(described);
static METHODS: [[Method; ROOM]; 4] = numbered!(method);
