//! The functions on names: each returns an operation that is not begun.
//!
//! Paths are str, bytes or os.PathLike; an OSError names them as they were given. `shims` and `rondeau.files` dress these as
//! `rondeau.open`, `rondeau.Path` and `rondeau.aiofiles`.

use super::handle;
use super::request::{Export, Request};
use super::surface;
use super::table::Fault;
use crate::ffi::{
    Python, Raised, answer,
    args::{self, raise, raise_type_error},
    owned::Owned,
    types::fast,
};
use crate::native_loop::{Loop, loop_type};
use pyo3_ffi as ffi;
use rondeau_driver::{Lent, work};
use std::ffi::{CStr, CString};
use std::ptr;

type Paths = [*mut ffi::PyObject; 2];

struct Given<'a>(&'a [*mut ffi::PyObject]);

impl Given<'_> {
    fn at(&self, index: usize) -> *mut ffi::PyObject {
        self.0.get(index).copied().unwrap_or(ptr::null_mut())
    }

    unsafe fn path(&self, index: usize) -> Python<CString> {
        // SAFETY: the argument lives; the converter gives a new bytes object without NULs.
        unsafe {
            let mut bytes: *mut ffi::PyObject = ptr::null_mut();
            if ffi::PyUnicode_FSConverter(self.at(index), (&raw mut bytes).cast()) == 0 {
                return Err(Raised);
            }
            let bytes = Owned::from_owned(bytes);
            Ok(CStr::from_ptr(ffi::PyBytes_AsString(bytes.as_ptr())).to_owned())
        }
    }

    unsafe fn number(&self, index: usize, default: i64) -> Python<i64> {
        // SAFETY: the argument lives.
        unsafe {
            let given = self.at(index);
            if given.is_null() {
                return Ok(default);
            }
            let index = Owned::new(ffi::PyNumber_Index(given))?;
            let value = ffi::PyLong_AsLongLong(index.as_ptr());
            if value == -1 && !ffi::PyErr_Occurred().is_null() {
                return Err(Raised);
            }
            Ok(value)
        }
    }

    unsafe fn truth(&self, index: usize, default: bool) -> Python<bool> {
        // SAFETY: the argument lives.
        unsafe {
            let given = self.at(index);
            if given.is_null() {
                return Ok(default);
            }
            match ffi::PyObject_IsTrue(given) {
                -1 => Err(Raised),
                truth => Ok(truth == 1),
            }
        }
    }
}

unsafe fn lent(data: &Export) -> Lent {
    // SAFETY: the request holds the export until the operation was reaped.
    unsafe { Lent::new(data.start(), data.len()) }
}

macro_rules! functions {
    ($($function:ident($least:literal..=$most:literal) $signature:literal |$given:ident| $body:expr;)+) => {
        $(unsafe extern "C" fn $function(
            _: *mut ffi::PyObject,
            args: *mut *mut ffi::PyObject,
            count: ffi::Py_ssize_t,
        ) -> *mut ffi::PyObject {
            const NAME: &CStr = match CStr::from_bytes_with_nul(concat!(stringify!($function), "\0").as_bytes()) {
                Ok(name) => name,
                Err(_) => panic!("a name without NULs"),
            };
            let count = count as usize;
            if !($least..=$most).contains(&count) {
                raise_type_error(&format!(
                    "{}() takes {} to {} arguments ({count} given)", stringify!($function), $least, $most
                ));
                return ptr::null_mut();
            }
            // SAFETY: CPython passes so many arguments, which live for the call.
            let made = unsafe {
                let $given = Given(args::given(args, count as ffi::Py_ssize_t));
                let made: Python<(Request, Paths)> = (|| $body)();
                made.and_then(|(request, paths)| surface::new(NAME, request, ptr::null_mut(), paths))
            };
            answer::object(made)
        })+

        /// The module's functions of this room.
        pub fn functions() -> Vec<ffi::PyMethodDef> {
            vec![
                $({
                    const NAME: &CStr = match CStr::from_bytes_with_nul(concat!(stringify!($function), "\0").as_bytes()) {
                        Ok(name) => name,
                        Err(_) => panic!("a name without NULs"),
                    };
                    const DOC: &CStr = match CStr::from_bytes_with_nul(concat!(stringify!($function), $signature, "\0").as_bytes()) {
                        Ok(name) => name,
                        Err(_) => panic!("a text without NULs"),
                    };
                    fast(NAME, $function, DOC)
                },)+
                fast(c"file_adopt", handle::adopt, c"file_adopt(fd, owned, /)\n--\n\nAn open file from its number."),
                fast(c"file_fault", file_fault, c"file_fault(loop, name, errno, after=0, /)\n--\n\nFor tests: fail the operation of that name, after so many."),
            ]
        }
    };
}

unsafe fn work(op: rondeau_driver::Op, paths: Paths) -> Python<(Request, Paths)> {
    Ok((Request::Work(Some(op), None), paths))
}

functions! {
    file_open(3..=3) "(path, flags, mode, /)\n--\n\nOpen; gives a File." |given| Ok((
        Request::Open {
            path: given.path(0)?,
            flags: given.number(1, 0)? as i32,
            mode: given.number(2, 0o666)? as u32,
        },
        [given.at(0), ptr::null_mut()],
    ));
    file_stat(1..=2) "(path, follow=True, /)\n--\n\nGives an os.stat_result." |given| Ok((
        Request::Stat { path: given.path(0)?, follow: given.truth(1, true)? },
        [given.at(0), ptr::null_mut()],
    ));
    file_unlink(1..=1) "(path, /)\n--\n\nRemove a name." |given| Ok((
        Request::Unlink(given.path(0)?),
        [given.at(0), ptr::null_mut()],
    ));
    file_rename(2..=2) "(old, new, /)\n--\n\nGive a file another name, which may be another file's." |given| Ok((
        Request::Rename(given.path(0)?, given.path(1)?),
        [given.at(0), given.at(1)],
    ));
    file_mkdir(1..=2) "(path, mode=0o777, /)\n--\n\nMake a directory." |given| work(
        work::make_directory(given.path(0)?, given.number(1, 0o777)? as u32),
        [given.at(0), ptr::null_mut()],
    );
    file_rmdir(1..=1) "(path, /)\n--\n\nRemove an empty directory." |given| work(
        work::remove_directory(given.path(0)?),
        [given.at(0), ptr::null_mut()],
    );
    file_list(1..=1) "(path, /)\n--\n\nGives a list of (name, kind as DT_*, inode)." |given| work(
        work::list(given.path(0)?),
        [given.at(0), ptr::null_mut()],
    );
    file_link(2..=3) "(old, new, follow=True, /)\n--\n\nA second name for a file." |given| work(
        work::link(given.path(0)?, given.path(1)?, given.truth(2, true)?),
        [given.at(0), given.at(1)],
    );
    file_symlink(2..=2) "(target, name, /)\n--\n\nA symbolic link." |given| work(
        work::symlink(given.path(0)?, given.path(1)?),
        [given.at(0), given.at(1)],
    );
    file_readlink(1..=1) "(path, /)\n--\n\nA link's target, as bytes." |given| work(
        work::read_link(given.path(0)?),
        [given.at(0), ptr::null_mut()],
    );
    file_chmod(2..=3) "(path, mode, follow=True, /)\n--\n\nSet the permissions." |given| work(
        work::change_mode(given.path(0)?, given.number(1, 0)? as u32, given.truth(2, true)?),
        [given.at(0), ptr::null_mut()],
    );
    file_chown(3..=4) "(path, user, group, follow=True, /)\n--\n\nSet user and group; -1 leaves one as it is." |given| work(
        work::change_owner(
            given.path(0)?,
            given.number(1, -1)? as u32,
            given.number(2, -1)? as u32,
            given.truth(3, true)?,
        ),
        [given.at(0), ptr::null_mut()],
    );
    file_utime(3..=4) "(path, accessed, modified, follow=True, /)\n--\n\nSet the times, in nanoseconds; both negative: now." |given| {
        let times = (given.number(1, 0)?, given.number(2, 0)?);
        work(
            work::set_times(
                given.path(0)?,
                (times.0 >= 0 || times.1 >= 0).then_some(times),
                given.truth(3, true)?,
            ),
            [given.at(0), ptr::null_mut()],
        )
    };
    file_truncate(2..=2) "(path, length, /)\n--\n\nMake a file so many bytes long." |given| work(
        work::truncate(given.path(0)?, given.number(1, 0)?),
        [given.at(0), ptr::null_mut()],
    );
    file_access(2..=4) "(path, mode, effective=False, follow=True, /)\n--\n\nRaise OSError where that is not allowed." |given| work(
        work::access(given.path(0)?, given.number(1, 0)? as i32, given.truth(2, false)?, given.truth(3, true)?),
        [given.at(0), ptr::null_mut()],
    );
    file_copy(2..=3) "(source, target, mode=-1, /)\n--\n\nCopy the bytes; mode -1: the source's. Gives how many." |given| work(
        work::copy(given.path(0)?, given.path(1)?, u32::try_from(given.number(2, -1)?).ok()),
        [given.at(0), given.at(1)],
    );
    file_read(1..=1) "(path, /)\n--\n\nA whole file's bytes; of a large one (beginning, File, length)." |given| work(
        work::read_whole(given.path(0)?),
        [given.at(0), ptr::null_mut()],
    );
    file_write(4..=4) "(path, flags, mode, data, /)\n--\n\nOpen, write all of it, close." |given| {
        let data = Export::new(given.at(3), false)?;
        let (flags, mode) = (given.number(1, 0)? as i32, given.number(2, 0o666)? as u32);
        let op = work::write_whole(given.path(0)?, flags, mode, lent(&data));
        Ok((Request::Work(Some(op), Some(data)), [given.at(0), ptr::null_mut()]))
    };
    file_replace(2..=4) "(path, data, mode=-1, sync=True, /)\n--\n\nMake `data` the file's content, whole or not at all." |given| {
        let data = Export::new(given.at(1), false)?;
        let how = work::Replace {
            sync: given.truth(3, true)?,
            mode: u32::try_from(given.number(2, -1)?).ok(),
        };
        let op = work::write_atomic(given.path(0)?, lent(&data), how);
        Ok((Request::Work(Some(op), Some(data)), [given.at(0), ptr::null_mut()]))
    };
}

unsafe extern "C" fn file_fault(
    _: *mut ffi::PyObject,
    args: *mut *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    // SAFETY: CPython passes so many arguments, which live for the call.
    let done = unsafe {
        let given = Given(args::given(args, count));
        (|| {
            if count < 3 || ffi::PyObject_TypeCheck(given.at(0), loop_type()) == 0 {
                return Err(raise(
                    ffi::PyExc_TypeError,
                    "file_fault(loop, name, errno, after=0)",
                ));
            }
            let fault = Fault {
                name: given.path(1)?.to_string_lossy().into_owned(),
                errno: given.number(2, 0)? as i32,
                after: given.number(3, 0)? as usize,
            };
            Loop::from_object(given.at(0))
                .parts()
                .files
                .faults
                .push(fault);
            Ok(())
        })()
    };
    answer::none(done)
}
