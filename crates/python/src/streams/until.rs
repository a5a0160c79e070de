//! `readuntil`, `readline` and `async for`: reads up to a separator.
//!
//! A separator is searched for from where it can still begin, so data that came in pieces is looked at once. One byte is found by
//! memchr(3), more by memmem(3). Messages, and what an error leaves in the buffer, are asyncio's.

use super::door::{StreamsDoor, door};
use super::feed::maybe_resume;
use super::reader::{ReaderRef, served};
use super::reads::{
    begin, check_exception, incomplete, one_argument, others, raise_again, reader_of,
};
use super::waiter::{wait, waited};
use super::waiting::{ARGUMENT, From, Step, kind};
use crate::coroutine::CoroRef;
use crate::ffi::{Python, Raised, args::Args, args::raise, compat, owned::Owned};
use pyo3_ffi as ffi;
use std::ffi::c_char;
use std::{ptr, slice};

kind!(
    READ_UNTIL,
    c"readuntil",
    c"StreamReader.readuntil",
    read_until
);

kind!(READ_LINE, c"readline", c"StreamReader.readline", read_line);

kind!(NEXT, c"__anext__", c"StreamReader.__anext__", next);

/// Where a separator was found: its beginning and its end.
struct Match {
    start: usize,
    end: usize,
}

/// What a look into the buffer came to.
enum Found {
    /// There it is.
    Yes(Match),
    /// Not yet: no separator begins before this.
    Not(usize),
}

fn find_one(data: &[u8], separator: &[u8], from: usize) -> Option<usize> {
    let rest = data.get(from..)?;
    // SAFETY: both ranges are whole slices; the result lies in the first one.
    unsafe {
        let first = rest.as_ptr();
        let at = if let [byte] = separator {
            libc::memchr(first.cast(), (*byte).into(), rest.len())
        } else {
            libc::memmem(
                first.cast(),
                rest.len(),
                separator.as_ptr().cast(),
                separator.len(),
            )
        };
        (!at.is_null()).then(|| from + at.cast::<u8>().offset_from(first) as usize)
    }
}

/// Looks for the separator with the earliest end among those of `shortest..=longest` bytes.
fn find<'a>(
    data: &[u8],
    separators: impl Iterator<Item = &'a [u8]>,
    (shortest, longest): (usize, usize),
    searched: usize,
) -> Found {
    if data.len().saturating_sub(searched) < shortest {
        return Found::Not(searched);
    }
    let mut best: Option<Match> = None;
    for separator in separators {
        if let Some(start) = find_one(data, separator, searched) {
            let end = start + separator.len();
            if best.as_ref().is_none_or(|best| end < best.end) {
                best = Some(Match { start, end });
            }
        }
    }
    match best {
        Some(found) => Found::Yes(found),
        None => Found::Not((data.len() + 1).saturating_sub(longest)),
    }
}

unsafe fn bytes_of<'a>(object: *mut ffi::PyObject) -> &'a [u8] {
    // SAFETY: the caller has an exact bytes object.
    unsafe {
        slice::from_raw_parts(
            ffi::PyBytes_AS_STRING(object).cast(),
            ffi::Py_SIZE(object) as usize,
        )
    }
}

/// Looks into the buffer for what the coroutine looks for.
#[inline]
unsafe fn look(coro: CoroRef, reader: ReaderRef) -> Found {
    // SAFETY: nothing here runs Python code; a tuple of separators is sorted and holds bytes objects.
    unsafe {
        let data = reader.get().buffer.unread();
        let searched = coro.cell().number as usize;
        let argument = coro.held(ARGUMENT);
        if argument.is_null() {
            return find(data, std::iter::once(&b"\n"[..]), (1, 1), searched);
        }
        if ffi::PyBytes_CheckExact(argument) != 0 {
            let one = bytes_of(argument);
            return find(data, std::iter::once(one), (one.len(), one.len()), searched);
        }
        let count = ffi::PyTuple_GET_SIZE(argument);
        let at = |index| bytes_of(ffi::PyTuple_GET_ITEM(argument, index));
        let lengths = (at(0).len(), at(count - 1).len());
        find(data, (0..count).map(at), lengths, searched)
    }
}

/// One search: the separator's place, a wait, or an error (which leaves the buffer as asyncio's does).
enum Search {
    At(Match),
    Wait(Step),
    /// The stream ended first.
    End,
    /// The limit is exceeded: by what was found, or (None) by what holds none up to the number.
    Over(Option<Match>, usize),
}

#[inline]
unsafe fn search(coro: CoroRef, reader: ReaderRef) -> Python<Search> {
    // SAFETY: each borrow ends before Python code runs.
    unsafe {
        match look(coro, reader) {
            Found::Yes(found) if found.start > reader.get().most => {
                let start = found.start;
                Ok(Search::Over(Some(found), start))
            }
            Found::Yes(found) => Ok(Search::At(found)),
            Found::Not(searched) => {
                if searched > reader.get().most {
                    return Ok(Search::Over(None, searched));
                }
                coro.cell().number = searched as f64;
                if reader.get().eof {
                    return Ok(Search::End);
                }
                wait(reader, c"readuntil").map(Search::Wait)
            }
        }
    }
}

unsafe fn take(reader: ReaderRef, found: &Match) -> Python<Step> {
    // SAFETY: the borrow ends before Python code runs.
    unsafe {
        let data = reader.get().buffer.take(found.end)?;
        maybe_resume(reader)?;
        Ok(Step::Done(data))
    }
}

const FOUND_TOO_LATE: &str = "Separator is found, but chunk is longer than limit";
const NOT_FOUND: &str = "Separator is not found, and chunk exceed the limit";

unsafe fn read_until(coro: CoroRef, from: From) -> Python<Step> {
    // SAFETY: called by `resume`.
    unsafe {
        let reader = reader_of(coro);
        start(reader, &from)?;
        match search(coro, reader)? {
            Search::At(found) => take(reader, &found),
            Search::Wait(step) => Ok(step),
            Search::End => {
                let partial = reader.get().buffer.take_all()?;
                Err(incomplete(&partial, ffi::Py_None()))
            }
            Search::Over(found, consumed) => {
                let message = if found.is_some() {
                    FOUND_TOO_LATE
                } else {
                    NOT_FOUND
                };
                raise_overrun(message, consumed);
                Err(Raised)
            }
        }
    }
}

#[inline]
unsafe fn start(reader: ReaderRef, from: &From) -> Python<()> {
    // SAFETY: called by a step.
    unsafe {
        match from {
            From::Start => check_exception(reader),
            from => waited(reader, from),
        }
    }
}

#[cold]
unsafe fn raise_overrun(message: &str, consumed: usize) {
    // SAFETY: the type and the arguments live.
    unsafe {
        let made = || {
            let message = Owned::new(ffi::PyUnicode_FromStringAndSize(
                message.as_ptr().cast::<c_char>(),
                message.len() as isize,
            ))?;
            let consumed = Owned::new(ffi::PyLong_FromSize_t(consumed))?;
            let args = [message.as_ptr(), consumed.as_ptr()];
            Owned::new(ffi::PyObject_Vectorcall(
                door().limit_overrun,
                args.as_ptr(),
                2,
                ptr::null_mut(),
            ))
        };
        if let Ok(error) = made() {
            crate::future::outcome::raise_object(error);
        }
    }
}

unsafe fn read_line(coro: CoroRef, from: From) -> Python<Step> {
    // SAFETY: called by `resume`.
    unsafe {
        let reader = reader_of(coro);
        if start(reader, &from).is_err() {
            return caught(reader);
        }
        match search(coro, reader) {
            Ok(Search::At(found)) => take(reader, &found),
            Ok(Search::Wait(step)) => Ok(step),
            Ok(Search::End) => reader.get().buffer.take_all().map(Step::Done),
            Ok(Search::Over(found, consumed)) => over_long(reader, found, consumed),
            Err(Raised) => caught(reader),
        }
    }
}

/// A line over the limit: it is dropped, and reported as a ValueError that was raised while the LimitOverrunError was handled.
#[cold]
unsafe fn over_long(reader: ReaderRef, found: Option<Match>, consumed: usize) -> Python<Step> {
    // SAFETY: the exceptions are ours once taken.
    unsafe {
        let message = match &found {
            Some(found) => {
                reader.get().buffer.skip(found.end)?;
                FOUND_TOO_LATE
            }
            None => {
                reader.get().buffer.clear()?;
                NOT_FOUND
            }
        };
        maybe_resume(reader)?;
        raise_overrun(message, consumed);
        let context = Owned::new(compat::take_raised())?;
        raise(ffi::PyExc_ValueError, message);
        let error = compat::take_raised();
        if !error.is_null() {
            ffi::PyException_SetContext(error, context.into_ptr());
            compat::set_raised(error);
        }
        Err(Raised)
    }
}

/// What asyncio's `readline` does with an exception that came out of its `readuntil`: the reader's own may be one of those that it
/// takes for an answer.
#[cold]
unsafe fn caught(reader: ReaderRef) -> Python<Step> {
    // SAFETY: the exception is ours once taken.
    unsafe {
        let StreamsDoor {
            incomplete_read,
            limit_overrun,
            ..
        } = *door();
        if ffi::PyErr_ExceptionMatches(incomplete_read) != 0 {
            let error = Owned::new(compat::take_raised())?;
            return Owned::new(ffi::PyObject_GetAttrString(
                error.as_ptr(),
                c"partial".as_ptr(),
            ))
            .map(Step::Done);
        }
        if ffi::PyErr_ExceptionMatches(limit_overrun) != 0 {
            let error = Owned::new(compat::take_raised())?;
            let text = crate::door::cold(c"line_over_limit", &[reader.object(), error.as_ptr()])?;
            return Err(raise_again(text));
        }
        Err(Raised)
    }
}

unsafe fn next(coro: CoroRef, from: From) -> Python<Step> {
    // SAFETY: called by `resume`.
    unsafe {
        let step = read_line(coro, from)?;
        if let Step::Done(line) = &step
            && ffi::PyBytes_CheckExact(line.as_ptr()) != 0
            && ffi::Py_SIZE(line.as_ptr()) == 0
        {
            ffi::PyErr_SetNone(ffi::PyExc_StopAsyncIteration);
            return Err(Raised);
        }
        Ok(step)
    }
}

/// A separator that the native code takes: NULL for a newline, bytes, or (3.13+) a tuple of bytes sorted by length. None for
/// any other, which is asyncio's to judge.
unsafe fn separator_of(given: *mut ffi::PyObject) -> Option<*mut ffi::PyObject> {
    // SAFETY: live or NULL.
    unsafe {
        if given.is_null() {
            return Some(given);
        }
        if ffi::PyBytes_CheckExact(given) != 0 {
            return (ffi::Py_SIZE(given) != 0).then_some(given);
        }
        if !compat::READS_UNTIL_ONE_OF_MANY || ffi::PyTuple_CheckExact(given) == 0 {
            return None;
        }
        let count = ffi::PyTuple_GET_SIZE(given);
        let mut before = 1;
        for index in 0..count {
            let item = ffi::PyTuple_GET_ITEM(given, index);
            if ffi::PyBytes_CheckExact(item) == 0 || ffi::Py_SIZE(item) < before {
                // Empty or not sorted: asyncio's code complains, or sorts.
                return None;
            }
            before = ffi::Py_SIZE(item);
        }
        (count != 0).then_some(given)
    }
}

/// `readuntil(separator=b'\n')`.
pub unsafe extern "C" fn read_until_method(
    object: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's calling convention, on an instance that it keeps alive.
    unsafe {
        let call = Args::new(args, count, keywords);
        let Ok(given) = one_argument("StreamReader.readuntil", call, c"separator") else {
            return ptr::null_mut();
        };
        let args = &[given][..usize::from(!given.is_null())];
        let Some(separator) = separator_of(given) else {
            return others(object, c"readuntil", args);
        };
        served(object, c"readuntil", args, |_| {
            let made = begin(&READ_UNTIL, object, 0)?;
            if !separator.is_null() {
                let separator = Owned::from_borrowed(separator);
                CoroRef::of(made.as_ptr()).hold(ARGUMENT, separator.into_ptr());
            }
            Ok(made)
        })
    }
}

/// `readline()`.
pub unsafe extern "C" fn read_line_method(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    unsafe { served(object, c"readline", &[], |_| begin(&READ_LINE, object, 0)) }
}

/// `am_aiter`.
pub unsafe extern "C" fn aiter(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { Owned::from_borrowed(object).into_ptr() }
}

/// `am_anext`.
pub unsafe extern "C" fn anext(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    unsafe { served(object, c"__anext__", &[], |_| begin(&NEXT, object, 0)) }
}
