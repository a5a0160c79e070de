//! Where code is: who called, and what a coroutine runs, as code objects and offsets in them. Lines are found later.
//!
//! Called by the hooks; runs no Python code: frames and code objects are CPython's own types, whose fields are read. Frames of
//! asyncio's and our own files are stepped over, since `gather` or `run` made a task on behalf of who called it.

use crate::door::attribute;
use crate::ffi::{Python, compat, gil::GilCell, names::names, owned::Owned};
use crate::future::Purpose;
use crate::future::cell::FutureRef;
use crate::future::layout::layout;
use pyo3_ffi as ffi;
use std::collections::HashMap;
use std::ffi::c_int;
use std::ptr;

/// A place in code.
pub struct Made {
    /// The code object.
    pub code: Owned,
    /// The last instruction, in bytes.
    pub instruction: c_int,
}

/// How many frames are stepped over at most.
const DEPTH: usize = 12;
/// How many files are remembered.
const FILES: usize = 4096;

static FILE_OFFSET: GilCell<Option<isize>> = GilCell::new(None);

/// Which files are asyncio's or ours, by the address of the name that their code objects share, which is kept alive.
#[derive(Default)]
pub struct Files {
    known: HashMap<usize, (Owned, bool), super::callable::ByAddress>,
}

/// Looks up where a code object keeps its file's name; called once, at import.
pub fn init() -> Python<()> {
    // SAFETY: the type lives; the import runs alone.
    unsafe {
        let kind = Owned::from_borrowed((&raw mut ffi::PyCode_Type).cast());
        let descriptor = attribute(&kind, c"co_filename")?;
        *FILE_OFFSET.get() = compat::slot_offset(descriptor.as_ptr());
    }
    Ok(())
}

/// Where the innermost frame is that is the program's; None where no Python code runs.
///
/// # Safety
/// The GIL is held; no borrow of the recorder's state lives.
pub unsafe fn caller() -> Option<Made> {
    // SAFETY: frames and code objects are kept alive by the references that are held.
    unsafe {
        let frame = ffi::PyEval_GetFrame();
        if frame.is_null() {
            return None;
        }
        let mut made = at(frame);
        if !is_internal(&made.code) {
            return Some(made);
        }
        let mut frame = Owned::from_borrowed(frame.cast());
        for _ in 0..DEPTH {
            let back = ffi::PyFrame_GetBack(frame.as_ptr().cast());
            if back.is_null() {
                break;
            }
            frame = Owned::from_owned(back.cast());
            let outer = at(frame.as_ptr().cast());
            let internal = is_internal(&outer.code);
            if !internal {
                made = outer;
                break;
            }
        }
        Some(made)
    }
}

/// Which code made futures: `Cell::origin` is an index here, from 1 on. At most 65,535, each kept alive while it records; its
/// words stay, since a future may outlive the recording.
#[derive(Default)]
pub struct Origins {
    known: HashMap<usize, (Owned, u16), super::callable::ByAddress>,
}

struct Origin {
    words: String,
    purpose: Purpose,
}

static ORIGINS: GilCell<Vec<Origin>> = GilCell::new(Vec::new());

/// A program's `create_future()`: notes who called, and what that means where it is asyncio's own code.
///
/// # Safety
/// `future` is a fresh native future, or NULL. Only while on.
#[cold]
#[inline(never)]
pub unsafe fn future_made(future: *mut ffi::PyObject) {
    // SAFETY: a reference that is not kept is released after the borrow.
    unsafe {
        if future.is_null() {
            return;
        }
        let frame = ffi::PyEval_GetFrame();
        if frame.is_null() {
            return;
        }
        let code = Owned::from_owned(ffi::PyFrame_GetCode(frame).cast());
        let Some(state) = super::state() else { return };
        let known = state
            .origins
            .known
            .get(&code.as_ptr().addr())
            .map(|(_, origin)| *origin);
        let origin = match known {
            Some(origin) => origin,
            None => new_origin(&code),
        };
        if let Some(found) = ORIGINS.get().get(usize::from(origin).wrapping_sub(1)) {
            let cell = FutureRef::at(future, layout().future_cell).cell();
            (cell.origin, cell.purpose) = (origin, found.purpose);
        }
    }
}

#[cold]
unsafe fn new_origin(code: &Owned) -> u16 {
    // SAFETY: a code object's own getters; no borrow lives meanwhile.
    unsafe {
        let name = Owned::new(ffi::PyObject_GetAttr(code.as_ptr(), names().co_qualname));
        let Ok(name) = name else {
            ffi::PyErr_Clear();
            return 0;
        };
        let file = file_of(code);
        let file = if file.is_null() {
            ""
        } else {
            text_of(file).unwrap_or("")
        };
        let name = text_of(name.as_ptr()).unwrap_or("");
        let purpose = meant(file, name);
        let words = if purpose == Purpose::Future {
            let file = file.rsplit('/').next().unwrap_or("");
            format!("{name} ({file})")
        } else {
            String::new()
        };
        let origins = ORIGINS.get();
        let found = origins
            .iter()
            .position(|origin| origin.words == words && origin.purpose == purpose);
        let index = match found {
            Some(index) => index,
            None if origins.len() < usize::from(u16::MAX) => {
                origins.push(Origin { words, purpose });
                origins.len() - 1
            }
            None => return 0,
        };
        let origin = index as u16 + 1;
        if let Some(state) = super::state()
            && state.origins.known.len() < usize::from(u16::MAX)
        {
            state
                .origins
                .known
                .insert(code.as_ptr().addr(), (code.clone(), origin));
        }
        origin
    }
}

/// What it means that this function of asyncio's waits for a future of its own.
fn meant(file: &str, name: &str) -> Purpose {
    if !(file.contains("/asyncio/") || file.contains("/rondeau/")) {
        return Purpose::Future;
    }
    match name {
        "Lock.acquire" => Purpose::Lock,
        "Event.wait" => Purpose::Event,
        "Condition.wait" => Purpose::Condition,
        "Semaphore.acquire" => Purpose::Semaphore,
        "Queue.get" => Purpose::QueueGet,
        "Queue.put" => Purpose::QueuePut,
        "sleep" => Purpose::Timer,
        "_wait" => Purpose::Wait,
        "shield" => Purpose::Shield,
        "wrap_future" => Purpose::Thread,
        "StreamReader._wait_for_data" => Purpose::SocketRead,
        "FlowControlMixin._drain_helper" => Purpose::SocketWrite,
        "BaseSubprocessTransport._wait" | "SubprocessTransport._wait" => Purpose::Subprocess,
        "StreamReaderProtocol.__init__" => Purpose::SocketClose,
        _ if name.starts_with("TaskGroup.") => Purpose::Group,
        _ if name.contains("create_connection") || name.contains("create_unix_connection") => {
            Purpose::SocketConnect
        }
        _ => Purpose::Future,
    }
}

/// The words for an origin; empty for none.
pub fn origin(number: u64) -> String {
    // SAFETY: the borrow ends here.
    let origins = unsafe { ORIGINS.get() };
    let index = usize::try_from(number).unwrap_or(0).wrapping_sub(1);
    origins
        .get(index)
        .map_or_else(String::new, |origin| origin.words.clone())
}

unsafe fn at(frame: *mut ffi::PyFrameObject) -> Made {
    // SAFETY: a live frame.
    unsafe {
        Made {
            code: Owned::from_owned(ffi::PyFrame_GetCode(frame).cast()),
            instruction: compat::last_instruction(frame),
        }
    }
}

/// The name of the file that a code object was compiled from, borrowed; NULL where it is not known.
unsafe fn file_of(code: &Owned) -> *mut ffi::PyObject {
    // SAFETY: the offset is that of a code object's member.
    unsafe {
        match *FILE_OFFSET.get() {
            Some(offset) => *code.as_ptr().byte_offset(offset).cast(),
            None => ptr::null_mut(),
        }
    }
}

unsafe fn is_internal(code: &Owned) -> bool {
    // SAFETY: the name lives as long as the code; each borrow ends before a reference is released.
    unsafe {
        let file = file_of(code);
        if file.is_null() {
            return false;
        }
        let Some(state) = super::state() else {
            return false;
        };
        if let Some((_, internal)) = state.files.known.get(&file.addr()) {
            return *internal;
        }
        let internal = text_of(file).is_some_and(|name| {
            name.contains("/asyncio/") || name.contains("/rondeau/") || name.starts_with("<frozen")
        });
        let old = if state.files.known.len() >= FILES {
            Some(std::mem::take(&mut state.files.known))
        } else {
            None
        };
        state
            .files
            .known
            .insert(file.addr(), (Owned::from_borrowed(file), internal));
        drop(old);
        internal
    }
}

/// A str's text; None where it has none in UTF-8.
///
/// # Safety
/// `object` is a live str, and the text is not used after it died.
pub unsafe fn text_of<'a>(object: *mut ffi::PyObject) -> Option<&'a str> {
    // SAFETY: the caller's contract.
    unsafe {
        let mut size = 0;
        let text = ffi::PyUnicode_AsUTF8AndSize(object, &mut size);
        if text.is_null() {
            ffi::PyErr_Clear();
            return None;
        }
        std::str::from_utf8(std::slice::from_raw_parts(text.cast(), size as usize)).ok()
    }
}

/// The code object of a coroutine of CPython's own type.
///
/// # Safety
/// The coroutine lives.
pub unsafe fn code_of_coroutine(coro: *mut ffi::PyObject) -> Option<Owned> {
    // SAFETY: a getter of CPython's own type, which runs no Python code.
    unsafe {
        let code = ffi::PyObject_GetAttr(coro, names().cr_code);
        if code.is_null() {
            ffi::PyErr_Clear();
            return None;
        }
        Some(Owned::from_owned(code))
    }
}

/// A class's qualified name.
///
/// # Safety
/// A live type; no Python code runs.
pub unsafe fn qualified(kind: *mut ffi::PyTypeObject) -> Option<Owned> {
    // SAFETY: the caller's contract.
    unsafe {
        let name = compat::PyType_GetQualName(kind);
        if name.is_null() {
            ffi::PyErr_Clear();
            return None;
        }
        Some(Owned::from_owned(name))
    }
}

/// A method of a class, by the first of these names that it has: its qualified name, and its code where it is Python's.
///
/// # Safety
/// As for `qualified`; the names are interned.
pub unsafe fn method(
    kind: *mut ffi::PyTypeObject,
    wanted: &[*mut ffi::PyObject],
) -> super::subject::Code {
    use super::subject::Code;
    // SAFETY: what the look-up gives is borrowed from the class, which lives; its type is checked.
    unsafe {
        let Some(class) = qualified(kind) else {
            return Code::Unknown;
        };
        for name in wanted {
            let found = compat::_PyType_Lookup(kind, *name);
            if found.is_null() {
                continue;
            }
            let is_function = ffi::Py_TYPE(found) == &raw mut ffi::PyFunction_Type;
            let code = is_function.then(|| Owned::from_borrowed(ffi::PyFunction_GetCode(found)));
            let format = c"%U.%U".as_ptr();
            return match Owned::new(ffi::PyUnicode_FromFormat(format, class.as_ptr(), *name)) {
                Ok(name) => Code::Method(name, code),
                Err(_) => {
                    ffi::PyErr_Clear();
                    Code::Name(class)
                }
            };
        }
        Code::Name(class)
    }
}
