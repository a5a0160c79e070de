//! `read` and `readexactly`, and what every read begins with. `until` has those that look for a separator.
//!
//! Each does at its first resumption what asyncio's coroutine does at its first step, in the same order: checks, then the buffer,
//! then the waiter.

use super::door::door;
use super::feed::maybe_resume;
use super::reader::{ReaderRef, served};
use super::waiter::{wait, waited};
use super::waiting::{From, GATHERED, SUBJECT, Step, kind};
use crate::coroutine::{self, CoroRef, Kind};
use crate::ffi::{Python, Raised, args::Args, args::raise, owned::Owned};
use pyo3_ffi as ffi;
use std::ffi::CStr;
use std::ptr;

kind!(READ, c"read", c"StreamReader.read", read);

kind!(READ_ALL, c"read", c"StreamReader.read", read_all);

kind!(
    READ_EXACTLY,
    c"readexactly",
    c"StreamReader.readexactly",
    read_exactly
);

/// Above this a float does not hold every number: what asks for more bytes is asyncio's.
const MOST: isize = 1 << 53;

/// The reader of a coroutine.
///
/// # Safety
/// The coroutine lives, has not ended, and is one of a reader's.
#[inline]
pub unsafe fn reader_of(coro: CoroRef) -> ReaderRef {
    // SAFETY: the caller's contract.
    unsafe { ReaderRef::from_object(coro.held(SUBJECT)) }
}

/// A coroutine of this kind for a reader or a writer.
///
/// # Safety
/// `subject` lives.
#[inline]
pub unsafe fn begin(
    kind: &'static Kind,
    subject: *mut ffi::PyObject,
    number: isize,
) -> Python<Owned> {
    // SAFETY: the fresh coroutine takes a new reference.
    unsafe {
        let made = coroutine::new(kind)?;
        let coro = CoroRef::of(made.as_ptr());
        coro.hold(SUBJECT, Owned::from_borrowed(subject).into_ptr());
        coro.cell().number = number as f64;
        Ok(made)
    }
}

/// Raises the reader's exception, if it has one.
#[inline]
pub unsafe fn check_exception(reader: ReaderRef) -> Python<()> {
    // SAFETY: the borrow ends before Python code runs.
    unsafe {
        let exception = reader.get().exception;
        if exception.is_null() {
            Ok(())
        } else {
            Err(raise_again(Owned::from_borrowed(exception)))
        }
    }
}

/// `raise exception`.
#[cold]
pub unsafe fn raise_again(exception: Owned) -> Raised {
    // SAFETY: the types are checked.
    unsafe {
        if ffi::PyExceptionInstance_Check(exception.as_ptr()) != 0 {
            crate::future::outcome::raise_object(exception);
        } else if ffi::PyExceptionClass_Check(exception.as_ptr()) != 0 {
            ffi::PyErr_SetNone(exception.as_ptr());
        } else {
            raise(
                ffi::PyExc_TypeError,
                "exceptions must derive from BaseException",
            );
        }
        Raised
    }
}

unsafe fn read(coro: CoroRef, from: From) -> Python<Step> {
    // SAFETY: called by `resume`; each borrow ends before Python code runs.
    unsafe {
        let reader = reader_of(coro);
        let asked = coro.cell().number as usize;
        if let From::Start = from {
            check_exception(reader)?;
            if asked == 0 {
                return super::buffer::new_bytes(&[]).map(Step::Done);
            }
            let fields = reader.get();
            if !fields.eof && fields.buffer.is_empty() {
                return wait(reader, c"read");
            }
        } else {
            waited(reader, &from)?;
        }
        let buffer = &mut reader.get().buffer;
        let data = buffer.take(buffer.len().min(asked))?;
        maybe_resume(reader)?;
        Ok(Step::Done(data))
    }
}

/// `read(-1)`: asyncio reads pieces of `limit` bytes until there is none.
unsafe fn read_all(coro: CoroRef, from: From) -> Python<Step> {
    // SAFETY: called by `resume`; each borrow ends before Python code runs.
    unsafe {
        let reader = reader_of(coro);
        waited(reader, &from)?;
        let mut after_wait = !matches!(from, From::Start);
        loop {
            if !after_wait {
                check_exception(reader)?;
                let fields = reader.get();
                if !fields.eof && fields.buffer.is_empty() {
                    return wait(reader, c"read");
                }
            }
            after_wait = false;
            let piece = reader.get().buffer.take_all()?;
            maybe_resume(reader)?;
            if ffi::Py_SIZE(piece.as_ptr()) == 0 {
                return gathered(coro).map(Step::Done);
            }
            if coro.held(GATHERED).is_null() {
                coro.hold(GATHERED, Owned::new(ffi::PyList_New(0))?.into_ptr());
            }
            if ffi::PyList_Append(coro.held(GATHERED), piece.as_ptr()) != 0 {
                return Err(Raised);
            }
        }
    }
}

unsafe fn gathered(coro: CoroRef) -> Python<Owned> {
    // SAFETY: the list holds bytes objects only.
    unsafe {
        let list = coro.held(GATHERED);
        let empty = super::buffer::new_bytes(&[])?;
        if list.is_null() {
            return Ok(empty);
        }
        if ffi::PyList_GET_SIZE(list) == 1 {
            return Ok(Owned::from_borrowed(ffi::PyList_GET_ITEM(list, 0)));
        }
        let join = Owned::new(ffi::PyObject_GetAttrString(
            empty.as_ptr(),
            c"join".as_ptr(),
        ))?;
        Owned::new(ffi::PyObject_CallOneArg(join.as_ptr(), list))
    }
}

unsafe fn read_exactly(coro: CoroRef, from: From) -> Python<Step> {
    // SAFETY: called by `resume`; each borrow ends before Python code runs.
    unsafe {
        let reader = reader_of(coro);
        let asked = coro.cell().number;
        if let From::Start = from {
            if asked < 0.0 {
                return Err(raise(
                    ffi::PyExc_ValueError,
                    "readexactly size can not be less than zero",
                ));
            }
            check_exception(reader)?;
            if asked == 0.0 {
                return super::buffer::new_bytes(&[]).map(Step::Done);
            }
        } else {
            waited(reader, &from)?;
        }
        let asked = asked as usize;
        if reader.get().buffer.len() < asked {
            if reader.get().eof {
                let partial = reader.get().buffer.take_all()?;
                let expected = Owned::new(ffi::PyLong_FromSize_t(asked))?;
                return Err(incomplete(&partial, expected.as_ptr()));
            }
            return wait(reader, c"readexactly");
        }
        let data = reader.get().buffer.take(asked)?;
        maybe_resume(reader)?;
        Ok(Step::Done(data))
    }
}

/// `raise IncompleteReadError(partial, expected)`.
#[cold]
pub unsafe fn incomplete(partial: &Owned, expected: *mut ffi::PyObject) -> Raised {
    // SAFETY: the type and the arguments live.
    unsafe {
        let args = [partial.as_ptr(), expected];
        let made = Owned::new(ffi::PyObject_Vectorcall(
            door().incomplete_read,
            args.as_ptr(),
            2,
            ptr::null_mut(),
        ));
        if let Ok(error) = made {
            crate::future::outcome::raise_object(error);
        }
        Raised
    }
}

/// A count that a read takes: None where it is no plain int of a usual size, which is asyncio's to judge.
unsafe fn count_of(number: *mut ffi::PyObject) -> Option<isize> {
    // SAFETY: the type is checked first.
    unsafe {
        if ffi::PyLong_CheckExact(number) == 0 {
            return None;
        }
        let count = ffi::PyLong_AsSsize_t(number);
        if count == -1 && !ffi::PyErr_Occurred().is_null() {
            ffi::PyErr_Clear();
            return None;
        }
        (count < MOST && count > -MOST).then_some(count)
    }
}

/// The one argument of a read, given by position or by name; NULL where it was not given.
#[inline]
pub unsafe fn one_argument(
    function: &str,
    call: Args<'_>,
    name: &CStr,
) -> Python<*mut ffi::PyObject> {
    // SAFETY: the name ends in NUL.
    unsafe {
        call.expect_positional(function, 0, 1)?;
        let mut given = [call.positional.first().copied().unwrap_or(ptr::null_mut())];
        if call.keyword_count() != 0 {
            let positional = given[0];
            given[0] = ptr::null_mut();
            let name = Owned::new(ffi::PyUnicode_InternFromString(name.as_ptr()))?;
            call.keywords(function, [name.as_ptr()], &mut given)?;
            if !positional.is_null() {
                return Err(crate::ffi::args::raise_type_error(&format!(
                    "{function}() got multiple values for its argument"
                )));
            }
        }
        Ok(given[0])
    }
}

/// `read(n=-1)`.
pub unsafe extern "C" fn read_method(
    object: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention, on an instance that it keeps alive.
    unsafe {
        let call = Args::new(args, count, keywords);
        let Ok(given) = one_argument("StreamReader.read", call, c"n") else {
            return ptr::null_mut();
        };
        let asked = if given.is_null() {
            Some(-1)
        } else {
            count_of(given)
        };
        let Some(asked) = asked else {
            return others(object, c"read", &[given]);
        };
        let args = &[given][..usize::from(!given.is_null())];
        served(object, c"read", args, |_| {
            if asked < 0 {
                begin(&READ_ALL, object, asked)
            } else {
                begin(&READ, object, asked)
            }
        })
    }
}

/// `readexactly(n)`.
pub unsafe extern "C" fn read_exactly_method(
    object: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention, on an instance that it keeps alive.
    unsafe {
        let call = Args::new(args, count, keywords);
        let Ok(given) = one_argument("StreamReader.readexactly", call, c"n") else {
            return ptr::null_mut();
        };
        if given.is_null() {
            crate::ffi::args::raise_type_error(
                "StreamReader.readexactly() missing 1 required positional argument: 'n'",
            );
            return ptr::null_mut();
        }
        match count_of(given) {
            Some(asked) => served(object, c"readexactly", &[given], |_| {
                begin(&READ_EXACTLY, object, asked)
            }),
            None => others(object, c"readexactly", &[given]),
        }
    }
}

/// asyncio's own coroutine, for arguments that the native one does not know.
#[cold]
pub unsafe fn others(
    object: *mut ffi::PyObject,
    name: &CStr,
    args: &[*mut ffi::PyObject],
) -> *mut ffi::PyObject {
    // SAFETY: the caller's objects live.
    unsafe {
        crate::ffi::answer::object(super::door::delegate(
            door().reader_base,
            name,
            object,
            args,
        ))
    }
}
