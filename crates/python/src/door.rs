//! The one door through which asyncio's own objects come in. Filled once at import, read everywhere.

use crate::ffi::{Python, Raised, compat, gil::GilCell, owned::Owned};
use pyo3_ffi as ffi;
use std::ffi::CStr;
use std::ptr;

/// Byte offsets of `asyncio.Handle`'s and `TimerHandle`'s slots in an instance, from their member descriptors.
#[derive(Clone, Copy)]
pub struct HandleSlots {
    pub callback: isize,
    pub args: isize,
    pub loop_: isize,
    pub context: isize,
    pub cancelled: isize,
    pub source_traceback: isize,
    pub repr: isize,
    pub when: isize,
    pub scheduled: isize,
    /// Where weak references to it begin.
    pub weak: isize,
    /// A thread-safe handle's lock; -1 where this Python has no such handles.
    pub lock: isize,
    /// The end of an `asyncio.TimerHandle`'s instance.
    pub timer_size: usize,
}

/// asyncio's objects; all are immortal for the life of the process (strong references that are never released).
pub struct Door {
    pub slots: HandleSlots,
    pub handle: *mut ffi::PyTypeObject,
    pub timer_handle: *mut ffi::PyTypeObject,
    /// `asyncio.events._ThreadSafeHandle` (3.14+), or NULL.
    pub threadsafe_handle: *mut ffi::PyTypeObject,
    /// `asyncio.transports._FlowControlMixin`: what `loop.sendfile` asks a transport to be.
    pub transport: *mut ffi::PyTypeObject,
    pub buffered_protocol: *mut ffi::PyTypeObject,
    /// `rondeau._cold`: what runs rarely enough to be Python.
    pub cold: *mut ffi::PyObject,
    pub empty_tuple: *mut ffi::PyObject,
    /// `os.stat_result`.
    pub stat_result: *mut ffi::PyObject,
    /// What `asyncio.sleep` schedules.
    pub wake_sleeper: *mut ffi::PyObject,
}

static DOOR: GilCell<Option<Door>> = GilCell::new(None);

/// asyncio's objects.
#[inline]
pub fn door() -> &'static Door {
    // SAFETY: written once by `open` during import, before any native object exists, and only read afterwards.
    unsafe {
        DOOR.get()
            .as_ref()
            .expect("the module's exec slot opened the door before making any type")
    }
}

/// Imports what is needed; called once, by the module's exec slot.
pub fn open() -> Python<()> {
    let events = import(c"asyncio.events")?;
    let transports = import(c"asyncio.transports")?;
    let protocols = import(c"asyncio.protocols")?;
    let futures = import(c"asyncio.futures")?;
    let handle = attribute(&events, c"Handle")?;
    let timer_handle = attribute(&events, c"TimerHandle")?;
    let threadsafe_handle = attribute(&events, c"_ThreadSafeHandle").ok();
    let lock = match &threadsafe_handle {
        Some(kind) => slot(kind, c"_lock")?,
        None => {
            // SAFETY: the AttributeError is answered by doing without.
            unsafe { ffi::PyErr_Clear() };
            -1
        }
    };
    let slots = HandleSlots {
        callback: slot(&handle, c"_callback")?,
        args: slot(&handle, c"_args")?,
        loop_: slot(&handle, c"_loop")?,
        context: slot(&handle, c"_context")?,
        cancelled: slot(&handle, c"_cancelled")?,
        source_traceback: slot(&handle, c"_source_traceback")?,
        repr: slot(&handle, c"_repr")?,
        when: slot(&timer_handle, c"_when")?,
        scheduled: slot(&timer_handle, c"_scheduled")?,
        weak: weak_offset(&handle),
        lock,
        timer_size: instance_size(&timer_handle),
    };
    // SAFETY: no other borrow of the cell lives; the GIL is held by the import.
    unsafe {
        *DOOR.get() = Some(Door {
            slots,
            handle: handle.into_ptr().cast(),
            timer_handle: timer_handle.into_ptr().cast(),
            threadsafe_handle: threadsafe_handle
                .map_or(ptr::null_mut(), |kind| kind.into_ptr().cast()),
            transport: attribute(&transports, c"_FlowControlMixin")?
                .into_ptr()
                .cast(),
            buffered_protocol: attribute(&protocols, c"BufferedProtocol")?
                .into_ptr()
                .cast(),
            cold: import(c"rondeau._cold")?.into_ptr(),
            empty_tuple: Owned::new(ffi::PyTuple_New(0))?.into_ptr(),
            stat_result: attribute(&import(c"os")?, c"stat_result")?.into_ptr(),
            wake_sleeper: attribute(&futures, c"_set_result_unless_cancelled")?.into_ptr(),
        });
    }
    Ok(())
}

/// `import name`.
pub fn import(name: &CStr) -> Python<Owned> {
    // SAFETY: the name ends in NUL.
    unsafe { Owned::new(ffi::PyImport_ImportModule(name.as_ptr())) }
}

/// `object.name`.
pub fn attribute(object: &Owned, name: &CStr) -> Python<Owned> {
    // SAFETY: `object` is live and the name ends in NUL.
    unsafe { Owned::new(ffi::PyObject_GetAttrString(object.as_ptr(), name.as_ptr())) }
}

fn weak_offset(kind: &Owned) -> isize {
    // SAFETY: as in `instance_size`.
    unsafe { (*kind.as_ptr().cast::<ffi::PyTypeObject>()).tp_weaklistoffset }
}

fn instance_size(kind: &Owned) -> usize {
    // SAFETY: what `attribute` returned for a class of asyncio is a type object.
    unsafe { (*kind.as_ptr().cast::<ffi::PyTypeObject>()).tp_basicsize as usize }
}

fn slot(kind: &Owned, name: &CStr) -> Python<isize> {
    let descriptor = attribute(kind, name)?;
    // SAFETY: the descriptor is live.
    match unsafe { compat::slot_offset(descriptor.as_ptr()) } {
        Some(offset) => Ok(offset),
        None => {
            // SAFETY: the format has one %s and gets one C string; the name ends in NUL.
            unsafe {
                ffi::PyErr_Format(
                    ffi::PyExc_ImportError,
                    c"rondeau: asyncio.Handle.%s is not a slot in this Python; this version of rondeau does not know it".as_ptr(),
                    name.as_ptr(),
                );
            }
            Err(Raised)
        }
    }
}

/// Calls a function of `rondeau._cold` with borrowed arguments.
#[cold]
pub fn cold(function: &CStr, args: &[*mut ffi::PyObject]) -> Python<Owned> {
    // SAFETY: the module and the arguments live; the vectorcall reads `args.len()` pointers.
    unsafe {
        let function = Owned::new(ffi::PyObject_GetAttrString(door().cold, function.as_ptr()))?;
        Owned::new(ffi::PyObject_Vectorcall(
            function.as_ptr(),
            args.as_ptr(),
            args.len(),
            ptr::null_mut(),
        ))
    }
}
