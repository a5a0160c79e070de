//! The type `_core.FileOp`: an operation as Python sees it, a coroutine without a frame.
//!
//! To all that ask in asyncio's way it is a coroutine, as a `SocketCall` is: it does nothing before it is awaited, tasks take it, and one
//! that is never awaited warns. `start()` begins it at once and keeps it (see `op`).

use super::op::{Fields, OpObject, Operation, Progress};
use super::request::Request;
use crate::coroutine::{
    Frameless, Sent, no_frame,
    shell::{self, Surface},
};
use crate::ffi::{Python, Raised, answer, args::raise, gil::GilCell, owned::Owned, types, visit};
use pyo3_ffi as ffi;
use std::ffi::{CStr, c_int, c_void};
use std::mem::offset_of;
use std::ptr;

static TYPE: GilCell<*mut ffi::PyTypeObject> = GilCell::new(ptr::null_mut());

/// A fresh operation; `owner` and the paths may be NULL.
///
/// # Safety
/// The objects live.
pub unsafe fn new(
    name: &'static CStr,
    request: Request,
    owner: *mut ffi::PyObject,
    paths: [*mut ffi::PyObject; 2],
) -> Python<Owned> {
    // SAFETY: the instance is zeroed; its fields are written before Python code can run.
    unsafe {
        let made = Owned::new(ffi::PyType_GenericAlloc(*TYPE.get(), 0))?;
        for object in [owner, paths[0], paths[1]] {
            ffi::Py_XINCREF(object);
        }
        (&raw mut (*made.as_ptr().cast::<OpObject>()).fields).write(Fields {
            target: ptr::null_mut(),
            owner,
            loop_: ptr::null_mut(),
            future: ptr::null_mut(),
            outcome: ptr::null_mut(),
            progress: Progress::Fresh,
            failed: false,
            kept: false,
            frame_state: no_frame(),
            paths,
            name,
            done: 0,
            id: None,
            request: Some(request),
        });
        Ok(made)
    }
}

impl Frameless for Operation {
    type Object = OpObject;
    const WEAK: usize = offset_of!(OpObject, weak);
    const FRAME_STATE: usize = offset_of!(OpObject, fields.frame_state);
    const REPR: &'static CStr = c"<file operation %s at %p>";

    #[inline]
    unsafe fn of(object: *mut ffi::PyObject) -> Operation {
        // SAFETY: the caller's contract.
        unsafe { Operation::from_object(object) }
    }

    unsafe fn name(self) -> &'static CStr {
        // SAFETY: the caller's contract.
        unsafe { self.fields().name }
    }

    unsafe fn qualname(self) -> &'static CStr {
        // SAFETY: the caller's contract.
        unsafe { self.fields().name }
    }

    /// What runs is the kernel.
    unsafe fn is_running(self) -> bool {
        false
    }

    #[inline]
    unsafe fn is_fresh(self) -> bool {
        // SAFETY: the caller's contract.
        unsafe { self.fields().progress == Progress::Fresh }
    }

    #[inline]
    unsafe fn is_over(self) -> bool {
        // SAFETY: the caller's contract.
        unsafe { self.fields().progress == Progress::Over }
    }

    #[inline]
    unsafe fn send(self, value: *mut ffi::PyObject) -> Sent {
        // SAFETY: the caller's contract.
        unsafe { Operation::send(self, value) }
    }

    unsafe fn throw(self, exception: Owned) -> Sent {
        // SAFETY: the caller's contract.
        let Raised = unsafe { Operation::throw(self, exception) };
        Sent::Raised
    }

    unsafe fn close(self) -> Python<()> {
        // SAFETY: the caller's contract.
        unsafe {
            if self.fields().progress != Progress::Over {
                self.leave();
            }
        }
        Ok(())
    }

    /// What the kernel has is held by the loop's table, which is visited as the loop's.
    unsafe fn traverse(self, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
        // SAFETY: the collector calls this on a live instance; the fields are zeroed before they are written.
        unsafe {
            let fields = self.fields();
            let held = [
                fields.target,
                fields.owner,
                fields.loop_,
                fields.future,
                fields.outcome,
                fields.paths[0],
                fields.paths[1],
            ];
            let result = visit::each(&held, visit, arg);
            if result != 0 {
                return result;
            }
            let exports = fields.request.as_ref().map_or(&[][..], Request::exports);
            for export in exports {
                let result = visit::each(&[export.object()], visit, arg);
                if result != 0 {
                    return result;
                }
            }
            0
        }
    }

    /// What the kernel has stays, cancelled or not: its loop is garbage too, and that one's own clearing grounds it.
    unsafe fn clear(self) {
        // SAFETY: the caller's contract.
        unsafe {
            if self.fields().id.is_none() {
                self.end();
            }
        }
    }
}

/// `start()`: begins it now and keeps it; returns itself.
unsafe extern "C" fn start(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    unsafe {
        let operation = Operation::from_object(object);
        if operation.fields().progress != Progress::Fresh {
            raise(ffi::PyExc_RuntimeError, "the operation was begun before");
            return ptr::null_mut();
        }
        operation.fields().kept = true;
        match operation.begin() {
            Ok(()) => Owned::from_borrowed(object).into_ptr(),
            Err(Raised) => {
                crate::errors::keeping_raised(|| operation.end());
                ptr::null_mut()
            }
        }
    }
}

/// `cancel()`: asks the kernel to end it, kept or not.
unsafe extern "C" fn cancel(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    unsafe {
        let operation = Operation::from_object(object);
        if operation.fields().progress != Progress::Over {
            operation.cancel();
        }
        answer::none(Ok(()))
    }
}

/// `done()`: whether its end has come, and the next await gives what it came to at once.
unsafe extern "C" fn done(object: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    unsafe {
        let progress = Operation::from_object(object).fields().progress;
        answer::boolean(matches!(progress, Progress::Landed | Progress::Over))
    }
}

/// Makes the type and adds it to the module.
pub fn init(module: *mut ffi::PyObject) -> Python<()> {
    let surface = Surface {
        name: c"rondeau._core.FileOp",
        doc: c"An operation on a file, to be awaited once.",
        methods: vec![
            types::noargs(
                c"start",
                start,
                c"start($self, /)\n--\n\nBegin now; a cancelled waiter then leaves it alone. Return self.",
            ),
            types::noargs(
                c"cancel",
                cancel,
                c"cancel($self, /)\n--\n\nAsk the kernel to end it.",
            ),
            types::noargs(
                c"done",
                done,
                c"done($self, /)\n--\n\nWhether an await gives its result at once.",
            ),
        ],
        attributes: Vec::new(),
        slots: Vec::new(),
    };
    // SAFETY: there are no slots of its own. The import runs alone.
    unsafe { *TYPE.get() = shell::build::<Operation>(module, surface)? };
    Ok(())
}
