//! What many tasks have in common, kept and sent once: texts, places in source, stacks.
//!
//! Filled by the chain, written at the answer's end. A code object is held while the walk lasts, so that its address means it; letting it
//! go runs no code of the program.

use super::{json, known::Known};
use crate::ffi::{compat, owned::Owned};
use pyo3_ffi as ffi;
use std::collections::HashMap;
use std::ffi::{CStr, c_int};
use std::ptr;

struct Code {
    _alive: Owned,
    file: u32,
    name: u32,
    known: Option<&'static Known>,
}

#[derive(Default)]
struct Numbered<T: std::hash::Hash + Eq + Clone> {
    numbers: HashMap<T, u32>,
    all: Vec<T>,
}

impl<T: std::hash::Hash + Eq + Clone> Numbered<T> {
    fn number(&mut self, value: T) -> u32 {
        if let Some(number) = self.numbers.get(&value) {
            return *number;
        }
        let number = self.all.len() as u32;
        self.all.push(value.clone());
        self.numbers.insert(value, number);
        number
    }
}

/// The tables.
#[derive(Default)]
pub struct Tables {
    codes: HashMap<usize, Code>,
    lines: HashMap<(usize, i32), u32>,
    texts: Numbered<String>,
    places: Numbered<(u32, i32, u32)>,
    stacks: Numbered<Vec<u32>>,
}

/// A str's text. What is no UTF-8 (a lone surrogate) is escaped.
///
/// # Safety
/// `object` lives. No Python code runs: a subclass of str is read as what it is.
pub unsafe fn text_of(object: *mut ffi::PyObject) -> String {
    // SAFETY: the types are checked; bytes end where their length says.
    unsafe {
        if ffi::PyUnicode_Check(object) == 0 {
            return "?".to_owned();
        }
        let encoded =
            ffi::PyUnicode_AsEncodedString(object, c"utf-8".as_ptr(), c"backslashreplace".as_ptr());
        let Ok(encoded) = Owned::new(encoded) else {
            ffi::PyErr_Clear();
            return "?".to_owned();
        };
        let length = ffi::PyBytes_Size(encoded.as_ptr()) as usize;
        let first = ffi::PyBytes_AsString(encoded.as_ptr()).cast::<u8>();
        let bytes = std::slice::from_raw_parts(first, length);
        String::from_utf8_lossy(bytes).into_owned()
    }
}

/// `object.name`, if it has it.
///
/// # Safety
/// The object lives.
pub unsafe fn attribute(object: *mut ffi::PyObject, name: &CStr) -> Option<Owned> {
    // SAFETY: the caller's contract.
    unsafe {
        match Owned::new(ffi::PyObject_GetAttrString(object, name.as_ptr())) {
            Ok(found) => Some(found),
            Err(_) => {
                ffi::PyErr_Clear();
                None
            }
        }
    }
}

/// The same, of a name that is interned.
///
/// # Safety
/// The objects live.
pub unsafe fn get(object: *mut ffi::PyObject, name: *mut ffi::PyObject) -> Option<Owned> {
    // SAFETY: the caller's contract.
    unsafe {
        match Owned::new(ffi::PyObject_GetAttr(object, name)) {
            Ok(found) => Some(found),
            Err(_) => {
                ffi::PyErr_Clear();
                None
            }
        }
    }
}

/// The same, as text.
///
/// # Safety
/// The object lives.
pub unsafe fn attribute_text(object: *mut ffi::PyObject, name: &CStr) -> String {
    // SAFETY: the caller's contract.
    unsafe {
        attribute(object, name).map_or_else(|| "?".to_owned(), |found| text_of(found.as_ptr()))
    }
}

impl Tables {
    /// Where a frame is, and whether its function is one whose wait is known.
    ///
    /// # Safety
    /// `frame` is a live frame.
    pub unsafe fn frame(
        &mut self,
        frame: *mut ffi::PyFrameObject,
    ) -> (u32, Option<&'static Known>) {
        // SAFETY: the caller's contract.
        unsafe {
            let code = Owned::from_owned(ffi::PyFrame_GetCode(frame).cast());
            self.place(code, compat::last_instruction(frame))
        }
    }

    /// The same of a code object and the last instruction that was executed, in bytes from its beginning.
    ///
    /// # Safety
    /// The first is a code object, the second one of its instructions.
    pub unsafe fn place(&mut self, code: Owned, at: c_int) -> (u32, Option<&'static Known>) {
        // SAFETY: the caller's contract; the code is kept by the table.
        unsafe {
            let key = code.as_ptr().addr();
            if let (Some(place), Some(code)) = (self.lines.get(&(key, at)), self.codes.get(&key)) {
                return (*place, code.known);
            }
            let line = ffi::PyCode_Addr2Line(code.as_ptr().cast(), at);
            if !self.codes.contains_key(&key) {
                let file = attribute_text(code.as_ptr(), c"co_filename");
                let name = attribute_text(code.as_ptr(), c"co_qualname");
                let known = Known::of_code(&file, &name);
                let (file, name) = (self.texts.number(file), self.texts.number(name));
                let _alive = code;
                self.codes.insert(
                    key,
                    Code {
                        _alive,
                        file,
                        name,
                        known,
                    },
                );
            }
            let code = &self.codes[&key];
            let place = self.places.number((code.file, line, code.name));
            self.lines.insert((key, at), place);
            (place, code.known)
        }
    }

    /// The place of what is native: a name without a file.
    pub fn native(&mut self, name: &str) -> u32 {
        let file = self.texts.number(String::new());
        let name = self.texts.number(name.to_owned());
        self.places.number((file, 0, name))
    }

    /// A stack's number, outermost first.
    pub fn stack(&mut self, stack: &[u32]) -> u32 {
        self.stacks.number(stack.to_vec())
    }

    /// Lets go of what it holds of Python's, with the GIL held; the tables stay.
    pub fn let_go(&mut self) {
        self.codes.clear();
    }

    /// Writes the three tables.
    pub fn write(&self, out: &mut String) {
        out.push_str(r#","texts":"#);
        json::list(out, &self.texts.all, |out, text| json::text(out, text));
        out.push_str(r#","places":"#);
        json::list(out, &self.places.all, |out, (file, line, name)| {
            json::number(out, format_args!("[{file},{line},{name}]"));
        });
        out.push_str(r#","stacks":"#);
        json::list(out, &self.stacks.all, |out, stack| {
            json::list(out, stack, json::number);
        });
    }
}

/// What an object refers to, by its own `tp_traverse`: what the collector sees, in its order. Each is kept, since an attribute that
/// is read next may be code of the program's.
///
/// # Safety
/// The object lives. No Python code runs.
pub unsafe fn referents(object: *mut ffi::PyObject) -> Vec<Owned> {
    unsafe extern "C" fn visit(
        object: *mut ffi::PyObject,
        found: *mut std::ffi::c_void,
    ) -> std::ffi::c_int {
        // SAFETY: `found` is the vector below; what is visited lives.
        unsafe { (*found.cast::<Vec<Owned>>()).push(Owned::from_borrowed(object)) };
        0
    }
    let mut found: Vec<Owned> = Vec::new();
    // SAFETY: the type's own function on its instance, which only calls `visit`.
    unsafe {
        if let Some(traverse) = (*ffi::Py_TYPE(object)).tp_traverse {
            traverse(object, visit, ptr::from_mut(&mut found).cast());
        }
    }
    found
}
