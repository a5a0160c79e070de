//! `_core.File`: an open file, and the operations that its methods make.
//!
//! Made by what opens, and by `file_adopt` from a number. It shares its descriptor with the operations in flight on it, so closing it
//! under them closes the number when the last one has ended, and never gives it to another file before.

use super::request::{Export, Request};
use super::surface;
use crate::errors;
use crate::ffi::{
    Python, Raised, answer,
    args::{raise, raise_type_error},
    gil::GilCell,
    owned::Owned,
    types::{self, Type},
};
use pyo3_ffi as ffi;
use rondeau_driver::{HERE, SharedFd, work};
use std::ffi::{CStr, c_void};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::Arc;

static TYPE: GilCell<*mut ffi::PyTypeObject> = GilCell::new(ptr::null_mut());

#[repr(C)]
struct Handle {
    ob_base: ffi::PyObject,
    fd: Option<SharedFd>,
    owned: bool,
}

/// An open file; the number is left open in the end where it is not `owned`.
pub fn new(fd: OwnedFd, owned: bool) -> Python<Owned> {
    // SAFETY: the instance is zeroed; its fields are written before anybody sees it.
    unsafe {
        let made = Owned::new(ffi::PyType_GenericAlloc(*TYPE.get(), 0))?;
        let handle = made.as_ptr().cast::<Handle>();
        let fd = Arc::new(fd);
        if !owned {
            std::mem::forget(fd.clone()); // One holder more than there is: the last one never lets go.
        }
        (&raw mut (*handle).fd).write(Some(fd));
        (&raw mut (*handle).owned).write(owned);
        Ok(made)
    }
}

unsafe fn fd(object: *mut ffi::PyObject) -> Python<SharedFd> {
    // SAFETY: CPython calls methods on an instance.
    unsafe {
        match &(*object.cast::<Handle>()).fd {
            Some(fd) => Ok(fd.clone()),
            None => Err(raise(
                ffi::PyExc_ValueError,
                "I/O operation on closed file.",
            )),
        }
    }
}

fn arguments<'a>(
    args: *mut *mut ffi::PyObject,
    count: isize,
    name: &str,
    least: usize,
    most: usize,
) -> Python<&'a [*mut ffi::PyObject]> {
    let given = count as usize;
    if given < least || given > most {
        return Err(raise_type_error(&format!(
            "{name}() takes {least} to {most} arguments ({given} given)"
        )));
    }
    if given == 0 {
        return Ok(&[]);
    }
    // SAFETY: CPython passes so many, for the time of the call.
    Ok(unsafe { std::slice::from_raw_parts(args, given) })
}

/// A whole number that is not negative, as `pread(2)` has it: EINVAL.
unsafe fn natural(object: *mut ffi::PyObject) -> Python<u64> {
    // SAFETY: the object lives.
    unsafe {
        let index = Owned::new(ffi::PyNumber_Index(object))?;
        let value = ffi::PyLong_AsLongLong(index.as_ptr());
        if value == -1 && !ffi::PyErr_Occurred().is_null() {
            return Err(Raised);
        }
        u64::try_from(value)
            .map_err(|_| errors::raise_os_error(&std::io::Error::from_raw_os_error(libc::EINVAL)))
    }
}

/// An offset. None, or left out: a stream's own position; `...`: a file's own.
unsafe fn offset(args: &[*mut ffi::PyObject], index: usize) -> Python<Option<u64>> {
    // SAFETY: the arguments live.
    unsafe {
        match args.get(index) {
            Some(given) if *given == ffi::Py_Ellipsis() => Ok(Some(HERE)),
            Some(given) if *given != ffi::Py_None() => natural(*given).map(Some),
            _ => Ok(None),
        }
    }
}

/// The buffers that a list or tuple has, or the one that it is.
unsafe fn exports(data: *mut ffi::PyObject, writable: bool) -> Python<Vec<Export>> {
    // SAFETY: the object lives; the sequence is a list or tuple of its own, which nobody changes meanwhile.
    unsafe {
        if ffi::PyList_Check(data) == 0 && ffi::PyTuple_Check(data) == 0 {
            return Ok(vec![Export::new(data, writable)?]);
        }
        let all = Owned::new(ffi::PySequence_Tuple(data))?;
        (0..ffi::PyTuple_GET_SIZE(all.as_ptr()))
            .map(|index| Export::new(ffi::PyTuple_GET_ITEM(all.as_ptr(), index), writable))
            .collect()
    }
}

unsafe fn make(
    object: *mut ffi::PyObject,
    name: &'static CStr,
    request: Request,
) -> *mut ffi::PyObject {
    // SAFETY: the instance lives.
    answer::object(unsafe { surface::new(name, request, object, [ptr::null_mut(); 2]) })
}

macro_rules! method {
    ($function:ident, $name:literal, $least:literal..=$most:literal, |$object:ident, $args:ident| $request:expr) => {
        unsafe extern "C" fn $function(
            $object: *mut ffi::PyObject,
            args: *mut *mut ffi::PyObject,
            count: ffi::Py_ssize_t,
        ) -> *mut ffi::PyObject {
            let name = $name;
            let text = name.to_str().unwrap_or_default();
            let request = arguments(args, count, text, $least, $most)
                // SAFETY: CPython's calling convention, on an instance; the arguments live for the call.
                .and_then(|$args| -> Python<Request> { unsafe { $request } });
            match request {
                // SAFETY: as above.
                Ok(request) => unsafe { make($object, name, request) },
                Err(Raised) => ptr::null_mut(),
            }
        }
    };
}

method!(read, c"read", 1..=2, |object, args| {
    let count = usize::try_from(natural(args[0])?).unwrap_or(usize::MAX);
    Ok(Request::Read {
        fd: fd(object)?,
        count: count.min(0x7fff_f000),
        offset: offset(args, 1)?,
    })
});

method!(readinto, c"readinto", 1..=2, |object, args| {
    let to = exports(args[0], true)?;
    let count = to.iter().map(Export::len).sum::<usize>().min(0x7fff_f000);
    Ok(Request::ReadInto {
        fd: fd(object)?,
        to,
        count,
        offset: offset(args, 1)?,
    })
});

method!(write, c"write", 1..=3, |object, args| {
    let all = match args.get(2) {
        Some(all) => match ffi::PyObject_IsTrue(*all) {
            -1 => return Err(Raised),
            truth => truth == 1,
        },
        None => true,
    };
    Ok(Request::Write {
        fd: fd(object)?,
        data: exports(args[0], false)?,
        offset: offset(args, 1)?,
        all,
    })
});

method!(sync, c"sync", 0..=1, |object, args| {
    let data_only = args.first().is_some_and(|only| *only == ffi::Py_True());
    Ok(Request::Sync {
        fd: fd(object)?,
        data_only,
    })
});

method!(stat, c"stat", 0..=0, |object, _args| Ok(Request::StatOpen(
    fd(object)?
)));

method!(truncate, c"truncate", 1..=1, |object, args| {
    let length = natural(args[0])? as i64;
    Ok(Request::Work(
        Some(work::truncate_open(fd(object)?, length)),
        None,
    ))
});

/// `close()`: the operation that closes. Closed to everybody else from now on.
unsafe extern "C" fn close(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        let handle = object.cast::<Handle>();
        // Where an operation in flight shares it, that one's end closes it.
        let fd = (*handle).fd.take().and_then(Arc::into_inner);
        make(object, c"close", Request::Close(fd))
    }
}

/// `drop()`: closes it here and now, as the last reference's end does.
unsafe extern "C" fn let_go(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        drop((*object.cast::<Handle>()).fd.take());
        answer::none(Ok(()))
    }
}

unsafe extern "C" fn fileno(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        match fd(object) {
            Ok(fd) => ffi::PyLong_FromLong(fd.as_raw_fd().into()),
            Err(Raised) => ptr::null_mut(),
        }
    }
}

unsafe extern "C" fn closed(object: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    answer::boolean(unsafe { (*object.cast::<Handle>()).fd.is_none() })
}

unsafe extern "C" fn owned(object: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    answer::boolean(unsafe { (*object.cast::<Handle>()).owned })
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: the last reference is gone: the descriptor goes with it, unless an operation in flight shares it.
    unsafe {
        let kind = ffi::Py_TYPE(object);
        ptr::drop_in_place(&raw mut (*object.cast::<Handle>()).fd);
        ffi::PyObject_Free(object.cast());
        ffi::Py_DECREF(kind.cast());
    }
}

/// `file_adopt(fd, owned)`: an open file from its number.
///
/// # Safety
/// CPython's calling convention.
pub unsafe extern "C" fn adopt(
    _: *mut ffi::PyObject,
    args: *mut *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    let made = arguments(args, count, "file_adopt", 2, 2).and_then(|args| {
        // SAFETY: the arguments live; the caller vouches for the number, as with `open(fd)`.
        unsafe {
            let number = natural(args[0])?;
            let owned = args[1] == ffi::Py_True();
            match i32::try_from(number) {
                // What is not open must not be owned: by the time it is closed, it may be somebody's.
                Ok(number) if libc::fcntl(number, libc::F_GETFD) >= 0 => {
                    new(OwnedFd::from_raw_fd(number), owned)
                }
                _ => Err(errors::raise_os_error(&std::io::Error::from_raw_os_error(
                    libc::EBADF,
                ))),
            }
        }
    });
    answer::object(made)
}

/// Makes the type and adds it to the module.
pub fn init(module: *mut ffi::PyObject) -> Python<()> {
    let methods = types::table([
        types::fast(
            c"read",
            read,
            c"read($self, count, offset=None, /)\n--\n\nUp to `count` bytes; none at the end.",
        ),
        types::fast(
            c"readinto",
            readinto,
            c"readinto($self, buffers, offset=None, /)\n--\n\nFill one buffer or several; return how many bytes.",
        ),
        types::fast(
            c"write",
            write,
            c"write($self, data, offset=None, all=True, /)\n--\n\nWrite one buffer or several; return how many bytes.",
        ),
        types::fast(
            c"sync",
            sync,
            c"sync($self, data_only=False, /)\n--\n\nWait until it is on the disk.",
        ),
        types::fast(
            c"stat",
            stat,
            c"stat($self, /)\n--\n\nAn os.stat_result.",
        ),
        types::fast(
            c"truncate",
            truncate,
            c"truncate($self, length, /)\n--\n\nMake it so many bytes long.",
        ),
        types::noargs(
            c"close",
            close,
            c"close($self, /)\n--\n\nClose it; await how that went.",
        ),
        types::noargs(
            c"drop",
            let_go,
            c"drop($self, /)\n--\n\nClose it here and now, whatever comes of it.",
        ),
        types::noargs(
            c"fileno",
            fileno,
            c"fileno($self, /)\n--\n\nThe descriptor's number.",
        ),
    ]);
    let attributes = types::table([
        types::attribute(c"closed", closed, None),
        types::attribute(c"owned", owned, None),
    ]);
    let kind = Type {
        name: c"rondeau._core.File",
        size: size_of::<Handle>(),
        flags: ffi::Py_TPFLAGS_IMMUTABLETYPE | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION,
        slots: vec![
            (
                ffi::Py_tp_doc,
                c"An open file; its methods make operations.".as_ptr() as *mut c_void,
            ),
            (ffi::Py_tp_dealloc, dealloc as *mut c_void),
            (ffi::Py_tp_methods, methods),
            (ffi::Py_tp_getset, attributes),
        ],
    };
    // SAFETY: the slots match their numbers and the size is the instance struct's. The import runs alone.
    unsafe {
        let kind = kind.publish(module, ptr::null_mut())?;
        *TYPE.get() = kind;
    }
    Ok(())
}
