//! What a native coroutine has of its own on the surface that all coroutines without a frame share (`shell`), and the making of its type.

use super::cell::{CoroObject, CoroRef, State};
use super::frameless::Frameless;
use super::shell::{self, Surface};
use super::{Sent, TYPE, advance, check_sent, close, drive, inside, spare};
use crate::door::{attribute, import};
use crate::ffi::{Python, Raised, answer, args::raise, owned::Owned, types};
use crate::observer;
use pyo3_ffi as ffi;
use std::ffi::{CStr, c_int, c_void};
use std::mem::offset_of;

impl Frameless for CoroRef {
    type Object = CoroObject;
    const WEAK: usize = offset_of!(CoroObject, weak);
    const FRAME_STATE: usize = offset_of!(CoroObject, frame_state);

    #[inline(always)]
    unsafe fn of(object: *mut ffi::PyObject) -> CoroRef {
        // SAFETY: the caller's contract.
        unsafe { CoroRef::of(object) }
    }

    unsafe fn name(self) -> &'static CStr {
        // SAFETY: the caller's contract; a kind lives for good.
        unsafe { (*self.cell().kind).name }
    }

    unsafe fn qualname(self) -> &'static CStr {
        // SAFETY: as above.
        unsafe { (*self.cell().kind).qualname }
    }

    unsafe fn is_running(self) -> bool {
        // SAFETY: the caller's contract.
        unsafe { self.cell().running }
    }

    #[inline(always)]
    unsafe fn is_fresh(self) -> bool {
        // SAFETY: the caller's contract.
        unsafe { self.cell().state == State::Created }
    }

    #[inline(always)]
    unsafe fn is_over(self) -> bool {
        // SAFETY: the caller's contract.
        unsafe { self.cell().state == State::Finished }
    }

    #[inline(always)]
    unsafe fn check_awaited(self) -> Python<()> {
        // SAFETY: the caller's contract.
        unsafe {
            if self.cell().state == State::Suspended {
                let message = "coroutine is being awaited already";
                return Err(raise(ffi::PyExc_RuntimeError, message));
            }
        }
        Ok(())
    }

    /// Itself: it has `send`, `throw`, `close` and `tp_iternext`.
    unsafe fn iterator(object: *mut ffi::PyObject) -> Python<Owned> {
        // SAFETY: the caller's contract.
        unsafe {
            CoroRef::of(object).check_awaited()?;
            Ok(Owned::from_borrowed(object))
        }
    }

    #[inline(always)]
    unsafe fn send(self, value: *mut ffi::PyObject) -> Sent {
        // SAFETY: the caller's contract.
        unsafe {
            match check_sent(self, value) {
                Ok(()) => advance(self),
                Err(Raised) => Sent::Raised,
            }
        }
    }

    unsafe fn throw(self, exception: Owned) -> Sent {
        // SAFETY: the caller's contract.
        unsafe { drive(self, Some(exception)) }
    }

    unsafe fn close(self) -> Python<()> {
        // SAFETY: the caller's contract.
        unsafe { close(self) }
    }

    /// The collector marks what it has finalised, so the next one that has this memory would not be.
    unsafe fn finalized(self) {
        // SAFETY: the caller's contract.
        unsafe { self.cell().finalized = true }
    }

    unsafe fn abandoned(self) -> Python<()> {
        // SAFETY: the caller's contract.
        unsafe { close(self) }
    }

    unsafe fn traverse(self, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
        // SAFETY: the caller's contract.
        unsafe { CoroRef::traverse(self, visit, arg) }
    }

    #[inline(always)]
    unsafe fn clear(self) {
        // SAFETY: the caller's contract; a finished one holds nothing.
        unsafe {
            if self.cell().state != State::Finished {
                CoroRef::clear(self);
            }
        }
    }

    #[inline(always)]
    unsafe fn keep(self) -> bool {
        // SAFETY: the caller's contract.
        unsafe {
            let cell = self.cell();
            cell.weak.is_null() && !cell.finalized && spare::give(self.object())
        }
    }
}

/// `tp_iter`, for `yield from` in a `types.coroutine`. There is no `__iter__`: it is no `Iterable`, as a coroutine is none.
unsafe extern "C" fn iter(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance.
    answer::object(unsafe { CoroRef::iterator(object) })
}

/// The bound callback that `_callbacks` shows for a coroutine that observes futures.
unsafe extern "C" fn on_completion(
    object: *mut ffi::PyObject,
    child: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this on an instance that it keeps alive.
    unsafe {
        answer::none(observer::check_done(child).and_then(|()| CoroRef::of(object).notify(child)))
    }
}

/// Makes the type and has `collections.abc` know it.
pub fn init(module: *mut ffi::PyObject) -> Python<()> {
    let surface = Surface {
        name: c"rondeau._core.coroutine",
        doc: c"A coroutine of asyncio's, native.",
        methods: vec![types::one(
            c"_on_completion",
            on_completion,
            c"_on_completion($self, future, /)\n--\n\n",
        )],
        attributes: vec![
            types::attribute(c"cr_frame", inside::frame, None),
            types::attribute(c"cr_await", inside::awaited, None),
        ],
        slots: vec![(ffi::Py_tp_iter, iter as *mut c_void)],
    };
    // SAFETY: the slot matches its number; the import runs alone.
    unsafe {
        let kind = shell::build::<CoroRef>(module, surface)?;
        if ffi::PyDict_DelItemString((*kind).tp_dict, c"__iter__".as_ptr()) != 0 {
            return Err(Raised);
        }
        ffi::PyType_Modified(kind);
        let abstract_ = attribute(&import(c"collections.abc")?, c"Coroutine")?;
        Owned::new(ffi::PyObject_CallMethodOneArg(
            abstract_.as_ptr(),
            crate::ffi::names::names().register,
            kind.cast(),
        ))?;
        *TYPE.get() = kind;
    }
    Ok(())
}
