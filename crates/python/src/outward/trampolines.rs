//! What stands before CPython's functions: a function of ours for each, since a C function is not told by which definition it is called.
//!
//! One array for each calling convention, by the number of arguments: `PyCFunction` and `METH_O` two, `METH_FASTCALL` and
//! `METH_VARARGS | METH_KEYWORDS` three, `METH_FASTCALL | METH_KEYWORDS` four, `METH_METHOD` five (Include/methodobject.h). They are "C-unwind":
//! CPython ends a daemon thread with pthread_exit(3), which unwinds through the call that it is in.
//!
//! Rejected: code made at run time (memory that is written and then executed is refused on hardened systems).

use super::names::Effect;
use super::writable::Writable;
use pyo3_ffi as ffi;
use rondeau_driver::unsent;
use std::collections::HashSet;
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};

/// How it went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interposed {
    /// It stands behind a trampoline, since now or before.
    Done,
    /// The definition cannot be written, has a calling convention that is not known, or the table is full.
    Impossible,
}

struct Slot {
    original: AtomicPtr<c_void>,
    touches: AtomicBool,
}

impl Slot {
    const fn empty() -> Slot {
        Slot {
            original: AtomicPtr::new(ptr::null_mut()),
            touches: AtomicBool::new(false),
        }
    }

    #[inline(always)]
    fn before(&self) -> *mut c_void {
        unsent::send_now();
        self.original.load(Ordering::Relaxed)
    }

    #[inline(always)]
    fn after(&self) {
        if self.touches.load(Ordering::Relaxed) {
            unsent::touch();
        }
    }
}

type Object = *mut ffi::PyObject;

/// A calling convention: its slots, and a function for each.
macro_rules! convention {
    ($name:ident, $Function:ident, $call:ident, $count:literal, ($($arg:ident: $kind:ty),*), [$($row:literal)*]) => {
        type $Function = unsafe extern "C-unwind" fn($($kind),*) -> Object;

        unsafe extern "C-unwind" fn $call<const AT: usize>($($arg: $kind),*) -> Object {
            let slot = &$name.slots[AT];
            let original = slot.before();
            // SAFETY: written before this function stood in any definition, with a function of this convention.
            let done = unsafe { std::mem::transmute::<*mut c_void, $Function>(original)($($arg),*) };
            slot.after();
            done
        }

        static $name: Convention<$count, $Function> = Convention {
            slots: [const { Slot::empty() }; $count],
            used: AtomicUsize::new(0),
            functions: &[$([
                $call::<{ $row }>, $call::<{ $row + 1 }>, $call::<{ $row + 2 }>, $call::<{ $row + 3 }>,
                $call::<{ $row + 4 }>, $call::<{ $row + 5 }>, $call::<{ $row + 6 }>, $call::<{ $row + 7 }>,
                $call::<{ $row + 8 }>, $call::<{ $row + 9 }>, $call::<{ $row + 10 }>, $call::<{ $row + 11 }>,
                $call::<{ $row + 12 }>, $call::<{ $row + 13 }>, $call::<{ $row + 14 }>, $call::<{ $row + 15 }>,
            ]),*],
        };
    };
}

struct Convention<const COUNT: usize, Function: 'static> {
    slots: [Slot; COUNT],
    used: AtomicUsize,
    functions: &'static [[Function; 16]],
}

impl<const COUNT: usize, Function: Copy> Convention<COUNT, Function> {
    /// A trampoline to `original`; None where all are used.
    fn take(&self, original: *mut c_void, effect: Effect) -> Option<Function> {
        let at = self.used.fetch_add(1, Ordering::Relaxed);
        let slot = self.slots.get(at)?;
        slot.touches
            .store(effect == Effect::Touches, Ordering::Relaxed);
        slot.original.store(original, Ordering::Release);
        self.functions.get(at / 16).map(|row| row[at % 16])
    }
}

convention!(TWO, Two, two, 384, (this: Object, arg: Object),
    [0 16 32 48 64 80 96 112 128 144 160 176 192 208 224 240 256 272 288 304 320 336 352 368]);
convention!(THREE, Three, three, 192, (this: Object, args: *mut c_void, last: *mut c_void),
    [0 16 32 48 64 80 96 112 128 144 160 176]);
convention!(FOUR, Four, four, 192, (this: Object, args: *mut c_void, count: isize, names: Object),
    [0 16 32 48 64 80 96 112 128 144 160 176]);
convention!(FIVE, Five, five, 32, (this: Object, class: Object, args: *mut c_void, count: isize, names: Object),
    [0 16]);

/// The definitions that stand behind a trampoline.
static DONE: LazyLock<Mutex<HashSet<usize>>> = LazyLock::new(Mutex::default);

/// Puts a trampoline before a definition's function, once.
///
/// # Safety
/// The definition is a live one of a module that is never unloaded.
pub unsafe fn interpose(
    definition: *mut ffi::PyMethodDef,
    effect: Effect,
    writable: &Writable,
) -> Interposed {
    // SAFETY: the caller's contract.
    let flags = unsafe { (*definition).ml_flags };
    let flags = flags & !(ffi::METH_STATIC | ffi::METH_CLASS | ffi::METH_COEXIST);
    // SAFETY: each function has the convention that the flags name.
    unsafe {
        replace(definition, writable, |original| match flags {
            ffi::METH_NOARGS | ffi::METH_O | ffi::METH_VARARGS => {
                TWO.take(original, effect).map(|call| call as *mut c_void)
            }
            flags
                if flags == ffi::METH_VARARGS | ffi::METH_KEYWORDS
                    || flags == ffi::METH_FASTCALL =>
            {
                THREE.take(original, effect).map(|call| call as *mut c_void)
            }
            flags if flags == ffi::METH_FASTCALL | ffi::METH_KEYWORDS => {
                FOUR.take(original, effect).map(|call| call as *mut c_void)
            }
            flags if flags == ffi::METH_METHOD | ffi::METH_FASTCALL | ffi::METH_KEYWORDS => {
                FIVE.take(original, effect).map(|call| call as *mut c_void)
            }
            _ => None,
        })
    }
}

unsafe fn replace(
    definition: *mut ffi::PyMethodDef,
    writable: &Writable,
    trampoline: impl FnOnce(*mut c_void) -> Option<*mut c_void>,
) -> Interposed {
    let mut done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
    if done.contains(&definition.addr()) {
        return Interposed::Done;
    }
    // SAFETY: the field is a pointer; another thread that reads it meanwhile finds the one or the other.
    unsafe {
        let field = (&raw mut (*definition).ml_meth).cast::<*mut c_void>();
        if !writable.has(field.addr(), size_of::<*mut c_void>()) {
            return Interposed::Impossible;
        }
        let Some(ours) = trampoline(*field) else {
            return Interposed::Impossible;
        };
        AtomicPtr::from_ptr(field).store(ours, Ordering::Release);
    }
    done.insert(definition.addr());
    Interposed::Done
}

/// The originals of `_imp.exec_dynamic` and `exec_builtin`.
static EXEC: [Slot; 2] = [const { Slot::empty() }; 2];

unsafe extern "C-unwind" fn exec<const AT: usize>(this: Object, module: Object) -> Object {
    // SAFETY: as in `convention`; the caller keeps the module alive.
    unsafe {
        let original: Two = std::mem::transmute(EXEC[AT].before());
        let done = original(this, module);
        if !done.is_null() {
            super::made(module);
        }
        done
    }
}

/// Has each module that is made from now on looked at. `at` is 0 or 1, for the two functions that do so.
///
/// # Safety
/// As for `interpose`.
pub unsafe fn interpose_exec(
    definition: *mut ffi::PyMethodDef,
    at: usize,
    writable: &Writable,
) -> Interposed {
    // SAFETY: the caller's contract; the convention is checked.
    unsafe {
        if (*definition).ml_flags != ffi::METH_O {
            return Interposed::Impossible;
        }
        replace(definition, writable, |original| {
            EXEC[at].original.store(original, Ordering::Release);
            let ours: [Two; 2] = [exec::<0>, exec::<1>];
            Some(ours[at] as *mut c_void)
        })
    }
}
