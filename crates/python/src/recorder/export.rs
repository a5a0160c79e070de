//! A recording as Python objects: the rows as bytes, tasks and waits as tuples. `rondeau.recorder` makes a Recording of it.
//!
//! Called by `control`. Here names and lines are found: outside the hot path, with no borrow of the recorder, so that Python code
//! may run.

use super::snapshot::{Rows, Shown, Snapshot};
use super::subject::{Code, Name};
use super::{place, wait};
use crate::ffi::{Python, Raised, names::names, owned::Owned};
use pyo3_ffi as ffi;
use std::ffi::{CStr, c_int};

/// A dict: `events`, `tasks`, `waits`, `loops`, `began`, `duration`, `lost`.
///
/// # Safety
/// The GIL is held.
pub unsafe fn recording(snapshot: &Snapshot, since: u64) -> Python<Owned> {
    // SAFETY: fresh objects are filled before anyone sees them.
    unsafe {
        // Rows are made of numbers alone: a second of another thread's work for millions of them.
        let thread = ffi::PyEval_SaveThread();
        let rows = snapshot.rows(since);
        ffi::PyEval_RestoreThread(thread);
        let dict = Owned::new(ffi::PyDict_New())?;
        let set = |key: &CStr, value: Owned| match ffi::PyDict_SetItemString(
            dict.as_ptr(),
            key.as_ptr(),
            value.as_ptr(),
        ) {
            0 => Ok(()),
            _ => Err(Raised),
        };
        let packed = rows.packed.as_slice();
        let size = packed.len() as ffi::Py_ssize_t;
        set(
            c"events",
            Owned::new(ffi::PyBytes_FromStringAndSize(packed.as_ptr().cast(), size))?,
        )?;
        let tasks = Owned::new(ffi::PyList_New(0))?;
        for (index, at) in rows.named.iter().enumerate() {
            append(&tasks, task(&snapshot.shown[*at], index as u32 + 1, &rows)?)?;
        }
        set(c"tasks", tasks)?;
        let waits = Owned::new(ffi::PyList_New(0))?;
        for (purpose, detail) in &rows.waits {
            append(&waits, wait_of(*purpose, *detail, snapshot, &rows)?)?;
        }
        set(c"waits", waits)?;
        let loops = Owned::new(ffi::PyList_New(0))?;
        for thread in &snapshot.loops {
            append(&loops, number(*thread)?)?;
        }
        set(c"loops", loops)?;
        set(c"began", number(rows.began)?)?;
        set(c"duration", number(rows.duration)?)?;
        set(c"lost", number(rows.lost)?)?;
        Ok(dict)
    }
}

unsafe fn append(list: &Owned, item: Owned) -> Python<()> {
    // SAFETY: both live.
    match unsafe { ffi::PyList_Append(list.as_ptr(), item.as_ptr()) } {
        0 => Ok(()),
        _ => Err(Raised),
    }
}

fn number(value: u64) -> Python<Owned> {
    // SAFETY: the GIL is held.
    unsafe { Owned::new(ffi::PyLong_FromUnsignedLongLong(value)) }
}

fn text(value: &str) -> Python<Owned> {
    // SAFETY: the text carries its length.
    unsafe {
        Owned::new(ffi::PyUnicode_FromStringAndSize(
            value.as_ptr().cast(),
            value.len() as ffi::Py_ssize_t,
        ))
    }
}

unsafe fn tuple<const N: usize>(items: [Owned; N]) -> Python<Owned> {
    // SAFETY: the tuple is fresh and takes over each reference.
    unsafe {
        let tuple = Owned::new(ffi::PyTuple_New(N as ffi::Py_ssize_t))?;
        for (index, item) in items.into_iter().enumerate() {
            ffi::PyTuple_SET_ITEM(tuple.as_ptr(), index as ffi::Py_ssize_t, item.into_ptr());
        }
        Ok(tuple)
    }
}

/// `(kind, text, other)`.
unsafe fn wait_of(purpose: u8, detail: u64, snapshot: &Snapshot, rows: &Rows) -> Python<Owned> {
    // SAFETY: fresh objects.
    unsafe {
        let more = match wait::peer_of(purpose, detail) {
            Some(peer) => snapshot.peers.get(&peer).cloned().unwrap_or_default(),
            None if wait::has_origin(purpose) => place::origin(detail),
            None => String::new(),
        };
        let (kind, words) = wait::words(purpose, detail, &more);
        let other = if wait::names_a_task(purpose) {
            rows.ids.get(&detail).copied().unwrap_or(0)
        } else {
            0
        };
        tuple([text(kind)?, text(&words)?, number(other.into())?])
    }
}

/// What is known of code: its qualified name, file and first line.
struct Where {
    name: Owned,
    file: Owned,
    line: Owned,
}

/// `(id, name, kind, coroutine, file, line, creator, created_file, created_line)`.
unsafe fn task(shown: &Shown, id: u32, rows: &Rows) -> Python<Owned> {
    // SAFETY: what is shown is kept alive by the snapshot.
    unsafe {
        let Where {
            name: code,
            file,
            line,
        } = found(&shown.code)?;
        let name = match &shown.name {
            Some(Name::Number(number)) => text(&format!("Task-{number}"))?,
            Some(Name::Text(name)) => as_text(name)?,
            None => code.clone(),
        };
        let creator = match shown.creator {
            0 => 0,
            serial => rows.ids.get(&serial).copied().unwrap_or(0),
        };
        let (made_file, made_line) = match &shown.made {
            Some(made) => {
                let line = ffi::PyCode_Addr2Line(made.code.as_ptr().cast(), made.instruction);
                (
                    attribute(&made.code, names().co_filename)?,
                    number(line.max(0) as u64)?,
                )
            }
            None => (text("")?, number(0)?),
        };
        let kind = text(if shown.is_task { "task" } else { "callback" })?;
        tuple([
            number(id.into())?,
            name,
            kind,
            code,
            file,
            line,
            number(creator.into())?,
            made_file,
            made_line,
        ])
    }
}

/// A str of exactly that type, with nothing in it that UTF-8 has not.
unsafe fn as_text(object: &Owned) -> Python<Owned> {
    // SAFETY: a live str.
    unsafe {
        let bytes = Owned::new(ffi::PyUnicode_AsEncodedString(
            object.as_ptr(),
            c"utf-8".as_ptr(),
            c"backslashreplace".as_ptr(),
        ))?;
        let (start, size) = (
            ffi::PyBytes_AsString(bytes.as_ptr()),
            ffi::PyBytes_Size(bytes.as_ptr()),
        );
        Owned::new(ffi::PyUnicode_FromStringAndSize(start, size))
    }
}

/// An attribute as a str; empty where there is none, or it is no str.
unsafe fn attribute(object: &Owned, name: *mut ffi::PyObject) -> Python<Owned> {
    // SAFETY: both live; what goes wrong in a program's class is nobody's business here.
    unsafe {
        match Owned::new(ffi::PyObject_GetAttr(object.as_ptr(), name)) {
            Ok(found) if ffi::PyUnicode_Check(found.as_ptr()) != 0 => as_text(&found),
            Ok(_) => text(""),
            Err(Raised) => {
                ffi::PyErr_Clear();
                text("")
            }
        }
    }
}

unsafe fn of_code(code: &Owned) -> Python<Where> {
    // SAFETY: a code object.
    unsafe {
        let line = Owned::new(ffi::PyObject_GetAttr(code.as_ptr(), names().co_firstlineno))?;
        let mut overflow: c_int = 0;
        let line = ffi::PyLong_AsLongAndOverflow(line.as_ptr(), &mut overflow).max(0);
        Ok(Where {
            name: attribute(code, names().co_qualname)?,
            file: attribute(code, names().co_filename)?,
            line: number(line as u64)?,
        })
    }
}

unsafe fn nowhere(name: Owned) -> Python<Where> {
    Ok(Where {
        name,
        file: text("")?,
        line: number(0)?,
    })
}

unsafe fn found(code: &Code) -> Python<Where> {
    // SAFETY: what is held lives.
    unsafe {
        match code {
            Code::Unknown => nowhere(text("")?),
            Code::Object(code) => of_code(code),
            Code::Native(name) => nowhere(text(&name.to_string_lossy())?),
            Code::Name(name) => nowhere(as_text(name)?),
            Code::Method(name, None) => nowhere(as_text(name)?),
            Code::Method(name, Some(code)) => Ok(Where {
                name: as_text(name)?,
                ..of_code(code)?
            }),
        }
    }
}
