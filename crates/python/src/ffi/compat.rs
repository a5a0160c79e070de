//! The only file that asks which CPython this is, but for `mod` lines.
//!
//! Called wherever a version has another function for the same thing.

use super::owned::Owned;
use pyo3_ffi as ffi;
use std::ptr;

/// Takes the current exception out of the thread as one normalised object with its traceback attached; NULL if none.
///
/// # Safety
/// The GIL is held.
pub unsafe fn take_raised() -> *mut ffi::PyObject {
    #[cfg(Py_3_12)]
    // SAFETY: the GIL is held.
    unsafe {
        ffi::PyErr_GetRaisedException()
    }
    #[cfg(not(Py_3_12))]
    // SAFETY: the GIL is held; the three pointers are ours once fetched.
    unsafe {
        let (mut kind, mut value, mut trace) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        ffi::PyErr_Fetch(&mut kind, &mut value, &mut trace);
        if kind.is_null() {
            return ptr::null_mut();
        }
        ffi::PyErr_NormalizeException(&mut kind, &mut value, &mut trace);
        if !trace.is_null() && !value.is_null() {
            ffi::PyException_SetTraceback(value, trace);
        }
        ffi::Py_XDECREF(kind);
        ffi::Py_XDECREF(trace);
        value
    }
}

/// Makes `exception` the thread's current exception; takes over the reference. NULL clears it.
///
/// # Safety
/// The GIL is held; `exception` is NULL or an owned reference to an exception object.
pub unsafe fn set_raised(exception: *mut ffi::PyObject) {
    #[cfg(Py_3_12)]
    // SAFETY: the caller's contract.
    unsafe {
        ffi::PyErr_SetRaisedException(exception)
    }
    #[cfg(not(Py_3_12))]
    // SAFETY: the caller's contract; PyErr_Restore takes all three references.
    unsafe {
        if exception.is_null() {
            ffi::PyErr_Restore(ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
            return;
        }
        let kind = ffi::Py_TYPE(exception).cast::<ffi::PyObject>();
        ffi::Py_INCREF(kind);
        let trace = ffi::PyException_GetTraceback(exception);
        ffi::PyErr_Restore(kind, exception, trace);
    }
}

/// CPython's descriptor of a `__slots__` member, as far as its `PyMemberDef` (Include/cpython/descrobject.h).
#[repr(C)]
struct MemberDescriptor {
    ob_base: ffi::PyObject,
    d_type: *mut ffi::PyTypeObject,
    d_name: *mut ffi::PyObject,
    d_qualname: *mut ffi::PyObject,
    d_member: *mut ffi::PyMemberDef,
}

/// Where in an instance the slot behind a member descriptor lies, in bytes; None if `descriptor` is not one.
///
/// # Safety
/// `descriptor` points to a live object.
pub unsafe fn slot_offset(descriptor: *mut ffi::PyObject) -> Option<isize> {
    // SAFETY: the type is checked before the layout is relied on.
    unsafe {
        if ffi::Py_TYPE(descriptor) != &raw mut ffi::PyMemberDescr_Type {
            return None;
        }
        Some((*(*descriptor.cast::<MemberDescriptor>()).d_member).offset)
    }
}

/// CPython's bound method (Include/cpython/classobject.h).
#[repr(C)]
struct MethodObject {
    ob_base: ffi::PyObject,
    function: *mut ffi::PyObject,
    owner: *mut ffi::PyObject,
}

/// The function and the object of a bound method, borrowed; None if it is not one.
///
/// # Safety
/// `object` points to a live object.
pub unsafe fn bound_method(
    object: *mut ffi::PyObject,
) -> Option<(*mut ffi::PyObject, *mut ffi::PyObject)> {
    // SAFETY: the type is checked before the layout is relied on.
    unsafe {
        if ffi::Py_TYPE(object) != &raw mut PyMethod_Type {
            return None;
        }
        let method = object.cast::<MethodObject>();
        Some(((*method).function, (*method).owner))
    }
}

/// The C function behind a getset descriptor; None if it is not one.
///
/// # Safety
/// `descriptor` points to a live object.
pub unsafe fn getter(descriptor: *mut ffi::PyObject) -> Option<ffi::getter> {
    // SAFETY: the type is checked before the layout is relied on.
    unsafe {
        if ffi::Py_TYPE(descriptor) != &raw mut ffi::PyGetSetDescr_Type {
            return None;
        }
        (*(*descriptor.cast::<ffi::PyGetSetDescrObject>()).d_getset).get
    }
}

/// `wait_for` is `async with timeout(…)`; before, it has a way of its own.
pub const WAIT_FOR_IS_A_TIMEOUT: bool = cfg!(Py_3_12);
/// `as_completed` is a generator of coroutines; from 3.13 on an asynchronous iterator too.
pub const AS_COMPLETED_IS_A_GENERATOR: bool = cfg!(not(Py_3_13));
/// One that was cancelled while it waited for the next of `as_completed` is yielded anew.
pub const AS_COMPLETED_COUNTS_BACK: bool = cfg!(Py_3_14);
/// A group counts a task that ended in its eager start at once, and not in the next turn.
pub const GROUP_COUNTS_EAGER_AT_ONCE: bool = cfg!(all(Py_3_12, not(Py_3_14)));
/// A group that is left lets go of its parent task and its errors.
pub const GROUP_FORGETS: bool = cfg!(Py_3_14);
/// A group has `cancel()`, and suppresses what its body raised.
pub const GROUP_HAS_CANCEL: bool = cfg!(Py_3_15);
/// A shield whose outside was cancelled takes the inside's exception as seen.
pub const SHIELD_RETRIEVES: bool = cfg!(not(Py_3_14));
/// Whose keyword arguments `create_task`'s are: the loop's method passes them on.
pub const WHO_TAKES_TASK_OPTIONS: &str = if cfg!(Py_3_14) { "Task" } else { "create_task" };
/// `eager_start=` of tasks exists.
pub const HAS_EAGER_START: bool = cfg!(Py_3_12);
/// `set_exception(StopIteration())` stores a RuntimeError with it as the cause; before, it raised TypeError.
pub const WRAPS_STOP_ITERATION: bool = cfg!(Py_3_13);
/// Who runs and which tasks exist is kept in the thread's state, awaited-by edges in the futures.
pub const TASKS_IN_THREAD_STATE: bool = cfg!(Py_3_14);
/// A long chain of objects is freed in a row, whatever their types.
pub const CHAINS_ARE_FREED_IN_A_ROW: bool = cfg!(Py_3_14);
/// `__init__` of a future works once; a task's context is checked; an eager start that raised is not reported again.
pub const STRICT_INIT: bool = cfg!(Py_3_15);
/// asyncio's types are heap types, whose `tp_traverse` visits the type.
pub const ASYNCIO_HAS_HEAP_TYPES: bool = cfg!(Py_3_12);
/// An exception is one object, and making it current does not chain it.
pub const RAISED_IS_ONE_OBJECT: bool = cfg!(Py_3_12);
/// `Py_TPFLAGS_INLINE_VALUES` where the version has it (Include/object.h of 3.13): room for attributes in each instance.
pub const INLINE_VALUES_FLAG: std::ffi::c_ulong = if cfg!(Py_3_13) { 1 << 2 } else { 0 };

/// `writelines` is a method of its own, with errors that name it; before, it joined the list for `write`.
pub const WRITELINES_STANDS_ALONE: bool = cfg!(Py_3_12);

/// A debug interpreter, which counts every reference there is: none may be left out, not even an object's last.
pub const COUNTS_REFERENCES: bool = cfg!(py_sys_config = "Py_REF_DEBUG");

/// None, True and False are immortal (PEP 683): references to them need not be counted.
pub const SINGLETONS_ARE_IMMORTAL: bool = cfg!(Py_3_12);

/// `uncancel()` down to none also takes back a CancelledError that was not thrown yet.
pub const UNCANCEL_TAKES_BACK: bool = cfg!(Py_3_13);
/// An await iterator gives its future's outcome once and is exhausted then.
pub const AWAIT_ITERATOR_ENDS: bool = cfg!(not(Py_3_14));

/// What a transport says of data that is none.
pub const NOT_BYTES: &std::ffi::CStr = if cfg!(Py_3_14) {
    c"data argument must be a bytes, bytearray, or memoryview object, not %R"
} else {
    c"data argument must be a bytes-like object, not %R"
};

/// Whether the interpreter is shutting down: `traceback` may be gone.
pub fn is_finalizing() -> bool {
    #[cfg(Py_3_13)]
    // SAFETY: may be called at any time.
    unsafe {
        ffi::Py_IsFinalizing() != 0
    }
    #[cfg(not(Py_3_13))]
    {
        unsafe extern "C" {
            fn _Py_IsFinalizing() -> std::ffi::c_int;
        }
        // SAFETY: may be called at any time; exported by these versions (Include/cpython/pylifecycle.h).
        unsafe { _Py_IsFinalizing() != 0 }
    }
}

/// Parses `args` and `keywords` by `format` into `N` borrowed objects (see PyArg_ParseTupleAndKeywords).
///
/// # Safety
/// `format` asks for at most `N` objects (`O` only), `names` are as many, each NUL-ended, and the array ends with NULL.
pub unsafe fn parse_objects<const N: usize>(
    args: *mut ffi::PyObject,
    keywords: *mut ffi::PyObject,
    format: &std::ffi::CStr,
    names: &[*const std::ffi::c_char],
    out: &mut [*mut ffi::PyObject; N],
) -> bool {
    const { assert!(N <= 5) };
    let mut all = [ptr::null_mut::<ffi::PyObject>(); 5];
    all[..N].copy_from_slice(out);
    let [mut a, mut b, mut c, mut d, mut e] = all;
    // SAFETY: the caller's contract; unused pointers are ignored by CPython. `names` is only read.
    let parsed = unsafe {
        ffi::PyArg_ParseTupleAndKeywords(
            args,
            keywords,
            format.as_ptr(),
            names.as_ptr() as *mut _,
            &raw mut a,
            &raw mut b,
            &raw mut c,
            &raw mut d,
            &raw mut e,
        )
    };
    out.copy_from_slice(&[a, b, c, d, e][..N]);
    parsed != 0
}

/// What `await` says of an object that cannot be awaited.
pub const NO_AWAITABLE: &std::ffi::CStr = if cfg!(Py_3_14) {
    c"'%U' object can't be awaited"
} else {
    c"object %U can't be used in 'await' expression"
};
/// `StreamReader.readuntil` takes a tuple of separators.
pub const READS_UNTIL_ONE_OF_MANY: bool = cfg!(Py_3_13);

/// Makes a fresh bytes object shorter, in place where the allocator can; NULL with an exception set where it fails.
///
/// # Safety
/// Nobody else knows the object, whose reference is given away.
pub unsafe fn shorten_bytes(mut bytes: *mut ffi::PyObject, len: usize) -> *mut ffi::PyObject {
    unsafe extern "C" {
        // Public and documented in all versions (Doc/c-api/bytes.rst); pyo3-ffi keeps it to itself.
        fn _PyBytes_Resize(bytes: *mut *mut ffi::PyObject, len: ffi::Py_ssize_t)
        -> std::ffi::c_int;
    }
    // SAFETY: the caller's contract; the call writes NULL where it fails.
    unsafe { _PyBytes_Resize(&mut bytes, len as ffi::Py_ssize_t) };
    bytes
}

unsafe extern "C" {
    /// The type of bound methods (Include/classobject.h).
    pub static mut PyMethod_Type: ffi::PyTypeObject;
    /// The function of a bound method, borrowed.
    pub fn PyMethod_Function(method: *mut ffi::PyObject) -> *mut ffi::PyObject;
    /// A type's qualified name, a new reference (3.11 and later).
    pub fn PyType_GetQualName(kind: *mut ffi::PyTypeObject) -> *mut ffi::PyObject;
    /// What a type or its bases have under a name, borrowed; runs no code (Include/cpython/object.h).
    pub fn _PyType_Lookup(
        kind: *mut ffi::PyTypeObject,
        name: *mut ffi::PyObject,
    ) -> *mut ffi::PyObject;
}

/// The last instruction that a frame executed, in bytes from its code's beginning.
///
/// # Safety
/// A live frame.
pub unsafe fn last_instruction(frame: *mut ffi::PyFrameObject) -> std::ffi::c_int {
    unsafe extern "C" {
        fn PyFrame_GetLasti(frame: *mut ffi::PyFrameObject) -> std::ffi::c_int;
    }
    // SAFETY: exported since 3.11 (Include/cpython/pyframe.h).
    unsafe { PyFrame_GetLasti(frame) }
}

/// A frame as the interpreter keeps it (`struct _PyInterpreterFrame`), as far as it is read here.
#[repr(C)]
pub struct InterpreterFrame {
    #[cfg(not(Py_3_12))]
    before: [*mut ffi::PyObject; 4],
    #[cfg(not(Py_3_12))]
    code: *mut ffi::PyObject,
    #[cfg(not(Py_3_12))]
    between: [*mut ffi::PyObject; 2],
    #[cfg(not(Py_3_12))]
    last: *mut u8,
    #[cfg(Py_3_12)]
    _opaque: [u8; 0],
}

/// A frame's code.
///
/// # Safety
/// A frame that has begun and not ended. The GIL is held.
pub unsafe fn interpreter_frame_code(frame: *mut InterpreterFrame) -> Option<Owned> {
    #[cfg(Py_3_12)]
    // SAFETY: the caller's contract; a new reference (Include/cpython/pyframe.h).
    unsafe {
        unsafe extern "C" {
            fn PyUnstable_InterpreterFrame_GetCode(
                frame: *mut InterpreterFrame,
            ) -> *mut ffi::PyObject;
        }
        let code = PyUnstable_InterpreterFrame_GetCode(frame);
        (!code.is_null()).then(|| Owned::from_owned(code))
    }
    #[cfg(not(Py_3_12))]
    // SAFETY: the caller's contract.
    unsafe {
        let code = (*frame).code;
        (!code.is_null()).then(|| Owned::from_borrowed(code))
    }
}

/// The last instruction that it executed, in bytes from its code's beginning.
///
/// # Safety
/// As for its code.
pub unsafe fn interpreter_frame_lasti(frame: *mut InterpreterFrame) -> std::ffi::c_int {
    #[cfg(Py_3_12)]
    // SAFETY: the caller's contract.
    unsafe {
        unsafe extern "C" {
            fn PyUnstable_InterpreterFrame_GetLasti(
                frame: *mut InterpreterFrame,
            ) -> std::ffi::c_int;
        }
        PyUnstable_InterpreterFrame_GetLasti(frame)
    }
    #[cfg(not(Py_3_12))]
    // SAFETY: the caller's contract; a code object ends with its instructions, which begin where its type's basic size says.
    unsafe {
        let first = (*frame)
            .code
            .addr()
            .wrapping_add((*ffi::Py_TYPE((*frame).code)).tp_basicsize as usize);
        (*frame).last.addr().wrapping_sub(first) as std::ffi::c_int
    }
}

/// What a weak reference refers to, borrowed; NULL where it is gone.
///
/// # Safety
/// A live weak reference.
pub unsafe fn weak_target(weak: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: the field is borrowed: CPython's struct begins so on every version (Include/cpython/weakrefobject.h).
    unsafe {
        let target = *weak
            .byte_add(size_of::<ffi::PyObject>())
            .cast::<*mut ffi::PyObject>();
        if target == ffi::Py_None() {
            ptr::null_mut()
        } else {
            target
        }
    }
}
