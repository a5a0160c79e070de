//! `_core.watch_…`: what changes under a path, for `python/rondeau/_watch.py`, which waits and gives the changes their form.
//!
//! A watcher is a capsule around the driver's. `watch_begin` and `watch_scan` walk through folders, so they release the GIL and are called in a
//! thread; the lock is there for a program that calls two at once, which is told so and not kept waiting.

use crate::errors::raise_os_error;
use crate::ffi::{
    Python, Raised, answer,
    args::{raise, raise_type_error},
    owned::Owned,
    types::fast,
};
use pyo3_ffi as ffi;
use rondeau_driver::watch::{Change, Kind, WatchError, Watcher};
use std::ffi::{CStr, CString, OsStr, c_int};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

const NAME: &CStr = c"rondeau._core.watcher";

type Slot = Mutex<Option<Watcher>>;

unsafe extern "C" fn free(capsule: *mut ffi::PyObject) {
    // SAFETY: CPython calls this once, on a capsule that `begin` made.
    unsafe {
        let slot = ffi::PyCapsule_GetPointer(capsule, NAME.as_ptr());
        drop(Box::from_raw(slot.cast::<Slot>()));
    }
}

/// The watcher behind the first argument.
unsafe fn watcher<'a>(capsule: *mut ffi::PyObject) -> Python<MutexGuard<'a, Option<Watcher>>> {
    // SAFETY: the capsule lives for the call, and with it the slot; CPython compares the name.
    unsafe {
        let slot = ffi::PyCapsule_GetPointer(capsule, NAME.as_ptr()).cast::<Slot>();
        if slot.is_null() {
            return Err(Raised);
        }
        let Ok(guard) = (*slot).try_lock() else {
            return Err(raise(
                ffi::PyExc_RuntimeError,
                "another call of this watch is not over",
            ));
        };
        if guard.is_none() {
            return Err(raise(ffi::PyExc_ValueError, "the watch has ended"));
        }
        Ok(guard)
    }
}

/// Does what may take a while, while others may run Python code.
unsafe fn released<T>(work: impl FnOnce() -> T) -> T {
    // SAFETY: the caller has the GIL, and `work` touches no Python object.
    unsafe {
        let thread = ffi::PyEval_SaveThread();
        let done = work();
        ffi::PyEval_RestoreThread(thread);
        done
    }
}

fn bytes(path: &Path) -> Python<Owned> {
    let bytes = path.as_os_str().as_bytes();
    // SAFETY: the bytes are copied.
    unsafe {
        Owned::new(ffi::PyBytes_FromStringAndSize(
            bytes.as_ptr().cast(),
            bytes.len() as isize,
        ))
    }
}

/// Raises the OSError, with the text that says what to raise where a limit is met, and the path.
#[cold]
fn fail(error: &WatchError) -> Raised {
    // SAFETY: the arguments are made here; OSError picks its own subclass from the number.
    unsafe {
        let Ok(path) = bytes(&error.path) else {
            return Raised;
        };
        let text = CString::new(error.to_string()).unwrap_or_default();
        let Ok(arguments) = Owned::new(ffi::Py_BuildValue(
            c"(isN)".as_ptr(),
            error.errno.raw() as c_int,
            text.as_ptr(),
            ffi::PyUnicode_DecodeFSDefault(ffi::PyBytes_AsString(path.as_ptr())),
        )) else {
            return Raised;
        };
        ffi::PyErr_SetObject(ffi::PyExc_OSError, arguments.as_ptr());
        Raised
    }
}

/// A list of `(kind, path, former path or None, is a folder)`.
fn list(changes: Vec<Change>) -> Python<Owned> {
    // SAFETY: each tuple is whole before it is in the list, and the list's slots are filled once.
    unsafe {
        let list = Owned::new(ffi::PyList_New(0))?;
        for change in changes {
            let path = bytes(&change.path)?;
            let from = match &change.from {
                Some(from) => bytes(from)?,
                None => Owned::from_borrowed(ffi::Py_None()),
            };
            let tuple = Owned::new(ffi::Py_BuildValue(
                c"(iOOO)".as_ptr(),
                number(change.kind),
                path.as_ptr(),
                from.as_ptr(),
                if change.directory {
                    ffi::Py_True()
                } else {
                    ffi::Py_False()
                },
            ))?;
            if ffi::PyList_Append(list.as_ptr(), tuple.as_ptr()) < 0 {
                return Err(Raised);
            }
        }
        Ok(list)
    }
}

/// The order of `_watch.KINDS`.
fn number(kind: Kind) -> c_int {
    match kind {
        Kind::Created => 0,
        Kind::Modified => 1,
        Kind::Written => 2,
        Kind::Attributes => 3,
        Kind::Deleted => 4,
        Kind::Moved => 5,
        Kind::Gone => 7,
        // Overflow, and whatever comes to be: look again.
        _ => 6,
    }
}

unsafe fn given<'a>(
    args: *mut *mut ffi::PyObject,
    count: isize,
    expected: usize,
) -> Python<&'a [*mut ffi::PyObject]> {
    if count as usize != expected {
        return Err(raise_type_error(&format!(
            "expected {expected} arguments, got {count}"
        )));
    }
    // SAFETY: CPython passes so many arguments, which live for the call.
    Ok(unsafe { std::slice::from_raw_parts(args, expected) })
}

unsafe extern "C" fn begin(
    _: *mut ffi::PyObject,
    args: *mut *mut ffi::PyObject,
    count: isize,
) -> *mut ffi::PyObject {
    // SAFETY: the arguments live for the call; the slot is the capsule's from its making on.
    answer::object(unsafe {
        given(args, count, 2).and_then(|given| {
            let recursive = ffi::PyObject_IsTrue(given[1]);
            if recursive < 0 {
                return Err(Raised);
            }
            let mut name: *mut ffi::PyObject = std::ptr::null_mut();
            if ffi::PyUnicode_FSConverter(given[0], (&raw mut name).cast()) == 0 {
                return Err(Raised);
            }
            let name = Owned::from_owned(name);
            let path = CStr::from_ptr(ffi::PyBytes_AsString(name.as_ptr())).to_owned();
            let made = released(|| {
                Watcher::new(
                    Path::new(OsStr::from_bytes(path.to_bytes())),
                    recursive == 1,
                )
            });
            let slot: Box<Slot> = Box::new(Mutex::new(Some(made.map_err(|error| fail(&error))?)));
            let slot = Box::into_raw(slot);
            Owned::new(ffi::PyCapsule_New(slot.cast(), NAME.as_ptr(), Some(free)))
                .inspect_err(|_| drop(Box::from_raw(slot)))
        })
    })
}

unsafe extern "C" fn fileno(
    _: *mut ffi::PyObject,
    capsule: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython passes a live argument.
    answer::object(unsafe {
        watcher(capsule).and_then(|guard| {
            let fd = guard.as_ref().map_or(-1, Watcher::fd);
            Owned::new(ffi::PyLong_FromLong(fd.into()))
        })
    })
}

unsafe extern "C" fn read(
    _: *mut ffi::PyObject,
    capsule: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython passes a live argument. The guard goes before Python objects are made.
    answer::object(unsafe {
        (|| {
            let mut guard = watcher(capsule)?;
            let watcher = guard.as_mut().expect("looked at when it was locked");
            let changes = watcher.read().map_err(|error| raise_os_error(&error))?;
            let states = [watcher.has_found(), watcher.half_moved(), watcher.ended()];
            drop(guard);
            let changes = list(changes)?;
            let [found, half, ended] = states.map(c_int::from);
            Owned::new(ffi::Py_BuildValue(
                c"(Oiii)".as_ptr(),
                changes.as_ptr(),
                found,
                half,
                ended,
            ))
        })()
    })
}

unsafe extern "C" fn scan(
    _: *mut ffi::PyObject,
    capsule: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython passes a live argument, which the caller holds while the GIL is released.
    answer::object(unsafe {
        (|| {
            let mut guard = watcher(capsule)?;
            let watcher = guard.as_mut().expect("looked at when it was locked");
            let changes = released(|| watcher.scan());
            drop(guard);
            list(changes.map_err(|error| fail(&error))?)
        })()
    })
}

unsafe extern "C" fn settle(
    _: *mut ffi::PyObject,
    capsule: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython passes a live argument.
    answer::object(unsafe {
        watcher(capsule).and_then(|mut guard| {
            let change = guard.as_mut().and_then(Watcher::settle);
            drop(guard);
            list(change.into_iter().collect())
        })
    })
}

unsafe extern "C" fn end(_: *mut ffi::PyObject, capsule: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython passes a live argument.
    answer::none(unsafe { watcher(capsule).map(|mut guard| drop(guard.take())) })
}

/// The module's functions of this room.
pub fn functions() -> [ffi::PyMethodDef; 6] {
    use crate::ffi::types::one;
    [
        fast(c"watch_begin", begin, c"watch_begin(path, recursive, /)\n--\n\nBegin to watch; blocks."),
        one(c"watch_fileno", fileno, c"watch_fileno(watcher, /)\n--\n\nWhat can be read when there are changes."),
        one(c"watch_read", read, c"watch_read(watcher, /)\n--\n\nChanges, whether to scan, whether half a move waits, whether it has ended."),
        one(c"watch_scan", scan, c"watch_scan(watcher, /)\n--\n\nWatch and list new folders; blocks."),
        one(c"watch_settle", settle, c"watch_settle(watcher, /)\n--\n\nThe other half of a move does not come."),
        one(c"watch_end", end, c"watch_end(watcher, /)\n--\n\nClose it."),
    ]
}
