//! What comes back: from the driver's answer to a Python object or an OSError, and to who waits.
//!
//! `pump` is called by the turn, before and after the loop parks, while operations are under way.

use super::handle;
use super::op::{Operation, Progress, submit};
use super::request::Request;
use crate::door::door;
use crate::errors;
use crate::ffi::{Python, Raised, compat, owned::Owned};
use crate::future::{
    cell::{FutureRef, State},
    layout::layout,
    outcome,
};
use crate::native_loop::Loop;
use pyo3_ffi as ffi;
use rondeau_driver::{Done, Errno, Output, file::Stat, work};
use std::ptr;
use std::time::{Duration, Instant};

/// Gives the kernel what was begun, and the waiters what has ended.
///
/// # Safety
/// On the loop's thread, with no borrow of the loop's parts alive.
#[inline]
pub unsafe fn pump(loop_: Loop) -> Python<()> {
    // SAFETY: each borrow ends before Python code can run.
    unsafe {
        let Some(driver) = loop_.driver_mut() else {
            return Ok(());
        };
        driver.flush();
        while let Some(done) = loop_.driver_mut().and_then(|driver| driver.reap()) {
            rondeau_driver::unsent::touch(); // What was read may tell of a connection.
            land(loop_, done)?;
        }
        // Only now, and not for each that landed: the tasks shall look at what came before more memory is filled.
        let mut begun = false;
        while let Some(next) = loop_.parts().files.next() {
            let next = Owned::from_owned(next);
            let operation = Operation::from_object(next.as_ptr());
            if operation.fields().progress == Progress::Queued {
                begun = true;
                if submit(loop_, operation).is_err() {
                    fail(operation)?;
                }
            }
        }
        if begun && let Some(driver) = loop_.driver_mut() {
            driver.flush();
        }
    }
    Ok(())
}

unsafe fn land(loop_: Loop, done: Done) -> Python<()> {
    // SAFETY: the table's reference is ours now; borrows end before Python code can run.
    unsafe {
        let object = loop_.parts().files.land(done.waiter as u32);
        if object.is_null() {
            return Ok(());
        }
        let object = Owned::from_owned(object);
        let operation = Operation::from_object(object.as_ptr());
        operation.fields().id = None;
        if operation.fields().progress != Progress::Flying {
            drop(done); // cancelled: a descriptor that it opened is closed
            operation.end();
            return Ok(());
        }
        let Done { mut result, .. } = done;
        if !loop_.parts().files.faults.is_empty() {
            let name = operation.fields().name.to_str().unwrap_or_default();
            if let Some(errno) = loop_.parts().files.fault(name) {
                result = Err(Errno(errno));
            }
        }
        let fields = operation.fields();
        let again = match (&result, &fields.request) {
            (Err(Errno(libc::EINTR)), Some(request)) => request.repeats(),
            (Ok(Output::Count(count)), Some(Request::Write { data, all, .. })) => {
                fields.done += count;
                *all && *count > 0 && fields.done < data.iter().map(|part| part.len()).sum()
            }
            _ => false,
        };
        let made = if again {
            match submit(loop_, operation) {
                Ok(()) => return Ok(()),
                Err(Raised) => Err(Raised),
            }
        } else {
            convert(operation, result)
        };
        match made {
            Ok(value) => settle(operation, value, false),
            Err(Raised) => fail(operation),
        }
    }
}

/// The operation has nothing to ask the kernel: no bytes, or a descriptor that is closed already.
///
/// # Safety
/// Kept alive by the caller.
pub unsafe fn nothing_to_do(operation: Operation) -> Python<()> {
    // SAFETY: as in `land`.
    unsafe {
        let value = convert(operation, Ok(Output::Count(0)))?;
        settle(operation, value, false)
    }
}

/// What is raised is what it came to.
unsafe fn fail(operation: Operation) -> Python<()> {
    // SAFETY: an exception is set.
    unsafe {
        if errors::leaves_the_loop() {
            return Err(Raised);
        }
        let exception = Owned::new(compat::take_raised())?;
        settle(operation, exception, true)
    }
}

unsafe fn settle(operation: Operation, outcome: Owned, failed: bool) -> Python<()> {
    // SAFETY: the kernel is done with what is released; the future is kept alive while it is told.
    unsafe {
        let fields = operation.fields();
        fields.outcome = outcome.into_ptr();
        fields.failed = failed;
        fields.progress = Progress::Landed;
        let request = fields.request.take();
        let target = std::mem::replace(&mut fields.target, ptr::null_mut());
        let future = std::mem::replace(&mut fields.future, ptr::null_mut());
        drop(request);
        ffi::Py_XDECREF(target);
        if future.is_null() {
            return Ok(());
        }
        let future = Owned::from_owned(future);
        let native = FutureRef::at(future.as_ptr(), layout().future_cell);
        if native.cell().state == State::Pending {
            return outcome::set_result(native, ffi::Py_None());
        }
    }
    Ok(())
}

unsafe fn none() -> Owned {
    // SAFETY: None lives.
    unsafe { Owned::from_borrowed(ffi::Py_None()) }
}

unsafe fn convert(operation: Operation, result: Result<Output, Errno>) -> Python<Owned> {
    // SAFETY: the objects are held by the operation.
    unsafe {
        let output = match result {
            Ok(output) => output,
            Err(errno) => return Err(raise(operation, errno)),
        };
        match output {
            Output::Count(count) => count_to_object(operation, count),
            Output::Fd(fd) => handle::new(fd, true),
            Output::Statx(raw) => stat_result(&Stat::new(raw)),
            Output::Made(made) => match made.downcast::<work::Made>() {
                Ok(made) => made_to_object(*made),
                Err(_) => Ok(none()),
            },
            _ => Ok(none()),
        }
    }
}

unsafe fn count_to_object(operation: Operation, count: usize) -> Python<Owned> {
    // SAFETY: the kernel has filled `count` bytes of `target`, which nobody else knows.
    unsafe {
        let fields = operation.fields();
        match &fields.request {
            Some(Request::Read { .. }) => {
                if count == 0 {
                    return Owned::new(ffi::PyBytes_FromStringAndSize(ptr::null(), 0));
                }
                let bytes = std::mem::replace(&mut fields.target, ptr::null_mut());
                if count < ffi::PyBytes_Size(bytes) as usize {
                    return Owned::new(compat::shorten_bytes(bytes, count));
                }
                Owned::new(bytes)
            }
            Some(Request::ReadInto { to, .. }) => {
                if count > 0 {
                    let mut from: *const u8 = ffi::PyBytes_AsString(fields.target).cast();
                    let mut left = count;
                    for part in to {
                        let len = left.min(part.len());
                        ptr::copy_nonoverlapping(from, part.start(), len);
                        from = from.add(len);
                        left -= len;
                    }
                }
                Owned::new(ffi::PyLong_FromSize_t(count))
            }
            Some(Request::Write { .. }) => Owned::new(ffi::PyLong_FromSize_t(fields.done)),
            _ => Ok(none()),
        }
    }
}

unsafe fn made_to_object(made: work::Made) -> Python<Owned> {
    // SAFETY: all objects are fresh; a list's and a tuple's places are filled before anyone sees them.
    unsafe {
        match made {
            work::Made::Number(number) => Owned::new(ffi::PyLong_FromUnsignedLongLong(number)),
            work::Made::Bytes(bytes) => bytes_object(&bytes),
            work::Made::Begun { head, fd, size } => {
                let head = bytes_object(&head)?;
                let file = handle::new(fd, true)?;
                let size = Owned::new(ffi::PyLong_FromUnsignedLongLong(size))?;
                tuple([head, file, size])
            }
            work::Made::Entries(entries) => {
                let list = Owned::new(ffi::PyList_New(entries.len() as isize))?;
                for (index, entry) in entries.iter().enumerate() {
                    let (name, len) = (entry.name.as_ptr().cast(), entry.name.len() as isize);
                    let name = Owned::new(ffi::PyUnicode_DecodeFSDefaultAndSize(name, len))?;
                    let kind = Owned::new(ffi::PyLong_FromLong(entry.kind.into()))?;
                    let inode = Owned::new(ffi::PyLong_FromUnsignedLongLong(entry.inode))?;
                    let entry = tuple([name, kind, inode])?;
                    ffi::PyList_SET_ITEM(list.as_ptr(), index as isize, entry.into_ptr());
                }
                Ok(list)
            }
            _ => Ok(none()),
        }
    }
}

unsafe fn bytes_object(bytes: &[u8]) -> Python<Owned> {
    // SAFETY: CPython copies so many bytes.
    unsafe {
        Owned::new(ffi::PyBytes_FromStringAndSize(
            bytes.as_ptr().cast(),
            bytes.len() as isize,
        ))
    }
}

unsafe fn tuple<const N: usize>(items: [Owned; N]) -> Python<Owned> {
    // SAFETY: a fresh tuple with as many places.
    unsafe {
        let made = Owned::new(ffi::PyTuple_New(N as isize))?;
        for (index, item) in items.into_iter().enumerate() {
            ffi::PyTuple_SET_ITEM(made.as_ptr(), index as isize, item.into_ptr());
        }
        Ok(made)
    }
}

/// An `os.stat_result`, from its fields in order: ten whole numbers, three times as floats, three in nanoseconds, then the sizes.
unsafe fn stat_result(stat: &Stat) -> Python<Owned> {
    // SAFETY: all objects are fresh.
    unsafe {
        let raw = stat.raw();
        let number = |value: u64| Owned::new(ffi::PyLong_FromUnsignedLongLong(value));
        let signed = |value: i64| Owned::new(ffi::PyLong_FromLongLong(value));
        let device = |major: u32, minor: u32| number(libc::makedev(major, minor));
        let times = [raw.stx_atime, raw.stx_mtime, raw.stx_ctime];
        let mut all = Vec::with_capacity(19);
        all.push(number(raw.stx_mode.into()));
        all.push(number(raw.stx_ino));
        all.push(device(raw.stx_dev_major, raw.stx_dev_minor));
        all.push(number(raw.stx_nlink.into()));
        all.push(number(raw.stx_uid.into()));
        all.push(number(raw.stx_gid.into()));
        all.push(number(raw.stx_size));
        all.extend(times.map(|time| signed(time.tv_sec)));
        all.extend(times.map(|time| {
            let seconds = time.tv_sec as f64 + 1e-9 * f64::from(time.tv_nsec);
            Owned::new(ffi::PyFloat_FromDouble(seconds))
        }));
        for time in times {
            let nanos = i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec);
            all.push(signed(nanos as i64));
        }
        all.push(number(raw.stx_blksize.into()));
        all.push(number(raw.stx_blocks));
        all.push(device(raw.stx_rdev_major, raw.stx_rdev_minor));
        let list = Owned::new(ffi::PyList_New(0))?;
        for item in all {
            if ffi::PyList_Append(list.as_ptr(), item?.as_ptr()) != 0 {
                return Err(Raised);
            }
        }
        Owned::new(ffi::PyObject_CallOneArg(door().stat_result, list.as_ptr()))
    }
}

/// The OSError of this errno, with the operation's file names.
#[cold]
unsafe fn raise(operation: Operation, errno: Errno) -> Raised {
    // SAFETY: errno is the thread's own; the names are borrowed from the operation, NULL for none.
    unsafe {
        let [one, two] = operation.fields().paths;
        *libc::__errno_location() = errno.raw();
        ffi::PyErr_SetFromErrnoWithFilenameObjects(ffi::PyExc_OSError, one, two);
    }
    Raised
}

/// Before the loop gives its driver back: ends what is under way, for at most five seconds. What has not ended then is leaked, since the
/// kernel may still write to it. Returns what waited, and what has ended: references for the caller to release.
///
/// # Safety
/// The loop lives and does not run.
pub unsafe fn ground(loop_: Loop) -> Vec<Owned> {
    const PATIENCE: Duration = Duration::from_secs(5);
    // SAFETY: borrows end before anything is released.
    unsafe {
        let mut held: Vec<Owned> = loop_
            .parts()
            .files
            .take_waiting()
            .into_iter()
            .map(|object| Owned::from_owned(object))
            .collect();
        if crate::native_loop::is_forked(loop_) {
            loop_.parts().files.abandon();
            return held;
        }
        for operation in loop_.parts().files.flying() {
            if let (Some(id), Some(driver)) = (operation.fields().id, loop_.driver_mut()) {
                driver.cancel(id);
            }
            // A kept one too: nobody can be told any more.
            operation.fields().progress = Progress::Over;
        }
        let begun = Instant::now();
        let mut events = rondeau_driver::Events::new();
        while loop_.parts().files.is_busy() && begun.elapsed() < PATIENCE {
            let Some(driver) = loop_.driver_mut() else {
                break;
            };
            driver.flush();
            while let Some(done) = driver.reap() {
                let object = loop_.parts().files.land(done.waiter as u32);
                if !object.is_null() {
                    Operation::from_object(object).fields().id = None;
                    held.push(Owned::from_owned(object));
                }
            }
            if loop_.parts().files.is_busy() {
                let _ = driver.park(&mut events, Some(Duration::from_millis(20)));
            }
        }
        loop_.parts().files.abandon();
        held
    }
}
