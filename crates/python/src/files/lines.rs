//! `_core.Lines`: the base of the file classes, which takes lines out of what was read.
//!
//! `async for` asks once a line. Where the line is in memory the answer is complete: it costs no coroutine, no future and no turn of
//! the loop. Where it is not, the class's own `_refill()` may have more in memory (a str to decode), and else `_next_line()` is a coroutine.
//! What fails is such an awaitable too, which raises: `anext(file, default)` of CPython 3.13 crashes where it gets none.
//!
//! Invariants: `used <= len(chunk)`, in characters or bytes; `chunk` is a str, a bytes or NULL (closed). While `busy` an operation is changing
//! it, and only `_next_line()` may, in its turn.

use super::ready;
use crate::ffi::{
    Python, Raised,
    args::raise_type_error,
    gil::GilCell,
    owned::Owned,
    types::{self, Type},
};
use pyo3_ffi as ffi;
use std::ffi::{c_int, c_void};
use std::ptr;

#[repr(C)]
struct Lines {
    ob_base: ffi::PyObject,
    chunk: *mut ffi::PyObject,
    /// Who waits for the turn, a deque; None before somebody has waited.
    waiters: *mut ffi::PyObject,
    used: isize,
    /// What ends a line: 0 `\n`, 1 any of `\n`, `\r`, `\r\n`, 2 `\r`, 3 `\r\n`.
    newline: c_int,
    busy: bool,
    iterating: bool,
}

/// The names of the class's own methods.
struct Names {
    refill: *mut ffi::PyObject,
    next_line: *mut ffi::PyObject,
    pass_turn: *mut ffi::PyObject,
}

static NAMES: GilCell<Names> = GilCell::new(Names {
    refill: ptr::null_mut(),
    next_line: ptr::null_mut(),
    pass_turn: ptr::null_mut(),
});

/// Where the line that begins at `from` ends in these characters, its end included.
fn end_of_line<T: Copy + PartialEq + From<u8>>(
    text: &[T],
    from: usize,
    newline: c_int,
    find: impl Fn(&[T], u8) -> Option<usize>,
) -> Option<usize> {
    let rest = &text[from..];
    let (feed, back) = (T::from(b'\n'), T::from(b'\r'));
    let end = match newline {
        0 => find(rest, b'\n')? + 1,
        2 => find(rest, b'\r')? + 1,
        3 => {
            let mut at = 0;
            loop {
                at += find(&rest[at..], b'\r')? + 1;
                if rest.get(at) == Some(&feed) {
                    break at + 1;
                }
            }
        }
        _ => {
            let at = rest
                .iter()
                .position(|each| *each == feed || *each == back)?;
            if rest[at] == back && rest.get(at + 1) == Some(&feed) {
                at + 2
            } else {
                at + 1
            }
        }
    };
    Some(from + end)
}

fn find_byte(bytes: &[u8], byte: u8) -> Option<usize> {
    // SAFETY: memchr reads `len` bytes of the slice.
    let found = unsafe { libc::memchr(bytes.as_ptr().cast(), byte.into(), bytes.len()) };
    (!found.is_null()).then(|| found as usize - bytes.as_ptr() as usize)
}

fn find_wide<T: Copy + PartialEq + From<u8>>(text: &[T], byte: u8) -> Option<usize> {
    let wanted = T::from(byte);
    text.iter().position(|each| *each == wanted)
}

/// The next line that is whole; None where there is none.
#[inline]
unsafe fn take(lines: *mut Lines) -> Python<Option<Owned>> {
    // SAFETY: the chunk lives by the instance's reference, and nothing here runs Python code before the line is made.
    unsafe {
        let chunk = (*lines).chunk;
        if chunk.is_null() {
            return Ok(None);
        }
        let (used, newline) = ((*lines).used as usize, (*lines).newline);
        if ffi::PyBytes_CheckExact(chunk) != 0 {
            let len = ffi::PyBytes_Size(chunk) as usize;
            let start: *const u8 = ffi::PyBytes_AsString(chunk).cast();
            let bytes = std::slice::from_raw_parts(start, len);
            let Some(end) = end_of_line(bytes, used, newline, find_byte) else {
                return Ok(None);
            };
            let size = (end - used) as isize;
            let line = Owned::new(ffi::PyBytes_FromStringAndSize(start.add(used).cast(), size))?;
            (*lines).used = end as isize;
            return Ok(Some(line));
        }
        let len = ffi::PyUnicode_GET_LENGTH(chunk) as usize;
        let data = ffi::PyUnicode_DATA(chunk);
        let end = match ffi::PyUnicode_KIND(chunk) {
            ffi::PyUnicode_1BYTE_KIND => {
                let text = std::slice::from_raw_parts(data.cast::<u8>(), len);
                end_of_line(text, used, newline, find_byte)
            }
            ffi::PyUnicode_2BYTE_KIND => {
                let text = std::slice::from_raw_parts(data.cast::<u16>(), len);
                end_of_line(text, used, newline, find_wide)
            }
            _ => {
                let text = std::slice::from_raw_parts(data.cast::<u32>(), len);
                end_of_line(text, used, newline, find_wide)
            }
        };
        let Some(end) = end else {
            return Ok(None);
        };
        let line = Owned::new(ffi::PyUnicode_Substring(chunk, used as isize, end as isize))?;
        (*lines).used = end as isize;
        Ok(Some(line))
    }
}

unsafe fn next(object: *mut ffi::PyObject) -> Python<Owned> {
    // SAFETY: the caller's contract: an instance that is kept alive.
    unsafe {
        let lines = object.cast::<Lines>();
        if !(*lines).busy {
            (*lines).iterating = true;
            loop {
                if let Some(line) = take(lines)? {
                    return Ok(ready::with(line));
                }
                let more = Owned::new(ffi::PyObject_CallMethodNoArgs(object, NAMES.get().refill))?;
                if more.as_ptr() != ffi::Py_True() || (*lines).busy {
                    break;
                }
            }
        }
        Owned::new(ffi::PyObject_CallMethodNoArgs(
            object,
            NAMES.get().next_line,
        ))
    }
}

unsafe extern "C" fn anext(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    unsafe { next(object).unwrap_or_else(|raised| ready::failure(raised)) }.into_ptr()
}

unsafe extern "C" fn aiter(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { Owned::from_borrowed(object).into_ptr() }
}

unsafe extern "C" fn take_line(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        match take(object.cast()) {
            Ok(Some(line)) => line.into_ptr(),
            Ok(None) => Owned::from_borrowed(ffi::Py_None()).into_ptr(),
            Err(Raised) => ptr::null_mut(),
        }
    }
}

/// The turn's end, with which the next one's begins. It needs no memory where nobody waits: what has failed for want of it must not keep the turn.
unsafe extern "C" fn end_turn(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    unsafe {
        let lines = object.cast::<Lines>();
        let waiters = (*lines).waiters;
        if waiters.is_null() || waiters == ffi::Py_None() || ffi::PyObject_Length(waiters) == 0 {
            (*lines).busy = false;
            return Owned::from_borrowed(ffi::Py_None()).into_ptr();
        }
        let passed = ffi::PyObject_CallMethodNoArgs(object, NAMES.get().pass_turn);
        if passed.is_null() {
            (*lines).busy = false;
        }
        passed
    }
}

unsafe extern "C" fn get_chunk(object: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { crate::ffi::answer::or_none((*object.cast::<Lines>()).chunk) }
}

/// Another chunk, of which nothing is used.
unsafe extern "C" fn set_chunk(
    object: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
    _: *mut c_void,
) -> c_int {
    // SAFETY: CPython calls this on an instance; the old chunk is released when the new one has its place.
    unsafe {
        let absent = value.is_null() || value == ffi::Py_None();
        if !absent && ffi::PyBytes_CheckExact(value) == 0 && ffi::PyUnicode_CheckExact(value) == 0 {
            raise_type_error("a chunk is a str, a bytes or None");
            return -1;
        }
        let new = if absent {
            ptr::null_mut()
        } else {
            Owned::from_borrowed(value).into_ptr()
        };
        let lines = object.cast::<Lines>();
        let old = std::mem::replace(&mut (*lines).chunk, new);
        (*lines).used = 0;
        ffi::Py_XDECREF(old);
        0
    }
}

unsafe extern "C" fn get_used(object: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe { ffi::PyLong_FromSsize_t((*object.cast::<Lines>()).used) }
}

unsafe extern "C" fn set_used(
    object: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
    _: *mut c_void,
) -> c_int {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        let lines = object.cast::<Lines>();
        let used = if value.is_null() {
            -1
        } else {
            ffi::PyLong_AsSsize_t(value)
        };
        if used == -1 && !ffi::PyErr_Occurred().is_null() {
            return -1;
        }
        let len = if (*lines).chunk.is_null() {
            0
        } else {
            ffi::PyObject_Length((*lines).chunk)
        };
        if used < 0 || used > len {
            crate::ffi::args::raise(ffi::PyExc_ValueError, "used is beyond the chunk");
            return -1;
        }
        (*lines).used = used;
        0
    }
}

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the collector calls this on a live instance; str and bytes refer to nothing. A cycle through the waiters is the deque's to break.
    unsafe {
        let waiters = (*object.cast::<Lines>()).waiters;
        if !waiters.is_null() {
            let came = visit(waiters, arg);
            if came != 0 {
                return came;
            }
        }
        visit(ffi::Py_TYPE(object).cast(), arg)
    }
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: the last reference is gone.
    unsafe {
        let kind = ffi::Py_TYPE(object);
        ffi::PyObject_GC_UnTrack(object.cast());
        ffi::Py_XDECREF((*object.cast::<Lines>()).chunk);
        ffi::Py_XDECREF((*object.cast::<Lines>()).waiters);
        let free = (*kind).tp_free.unwrap_or(ffi::PyObject_GC_Del);
        free(object.cast());
        ffi::Py_DECREF(kind.cast());
    }
}

fn member(name: &'static std::ffi::CStr, type_code: c_int, offset: usize) -> ffi::PyMemberDef {
    ffi::PyMemberDef {
        name: name.as_ptr(),
        type_code,
        offset: offset as isize,
        flags: 0,
        doc: ptr::null(),
    }
}

/// Makes the type and adds `Lines` to the module.
pub fn init(module: *mut ffi::PyObject) -> Python<()> {
    let methods = types::table([
        types::noargs(
            c"_take_line",
            take_line,
            c"_take_line($self, /)\n--\n\nThe next whole line of the chunk, or None.",
        ),
        types::noargs(
            c"_end_turn",
            end_turn,
            c"_end_turn($self, /)\n--\n\nLet the next one have the turn: `_pass_turn()` where somebody waits.",
        ),
    ]);
    let attributes = types::table([
        types::attribute(c"_chunk", get_chunk, Some(set_chunk)),
        types::attribute(c"_used", get_used, Some(set_used)),
    ]);
    let members = types::table([
        member(
            c"_newline",
            ffi::Py_T_INT,
            std::mem::offset_of!(Lines, newline),
        ),
        member(
            c"_waiters",
            ffi::Py_T_OBJECT_EX,
            std::mem::offset_of!(Lines, waiters),
        ),
        member(c"_busy", ffi::Py_T_BOOL, std::mem::offset_of!(Lines, busy)),
        member(
            c"_iterating",
            ffi::Py_T_BOOL,
            std::mem::offset_of!(Lines, iterating),
        ),
    ]);
    let lines = Type {
        name: c"rondeau._core.Lines",
        size: size_of::<Lines>(),
        flags: ffi::Py_TPFLAGS_HAVE_GC | ffi::Py_TPFLAGS_BASETYPE | ffi::Py_TPFLAGS_IMMUTABLETYPE,
        slots: vec![
            (
                ffi::Py_tp_doc,
                c"Takes lines out of what was read.".as_ptr() as *mut c_void,
            ),
            (ffi::Py_tp_dealloc, dealloc as *mut c_void),
            (ffi::Py_tp_traverse, traverse as *mut c_void),
            (ffi::Py_am_aiter, aiter as *mut c_void),
            (ffi::Py_am_anext, anext as *mut c_void),
            (ffi::Py_tp_methods, methods),
            (ffi::Py_tp_members, members),
            (ffi::Py_tp_getset, attributes),
        ],
    };
    // SAFETY: the slots match their numbers and the size is the instance struct's. The import runs alone.
    unsafe {
        ready::init()?;
        lines.publish(module, ptr::null_mut())?;
        let intern = |name: &std::ffi::CStr| {
            Owned::new(ffi::PyUnicode_InternFromString(name.as_ptr())).map(Owned::into_ptr)
        };
        *NAMES.get() = Names {
            refill: intern(c"_refill")?,
            next_line: intern(c"_next_line")?,
            pass_turn: intern(c"_pass_turn")?,
        };
    }
    Ok(())
}
