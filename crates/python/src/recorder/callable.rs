//! Who a callback is: one subject for each function, whatever object it is bound to and however often it is called.
//!
//! Called for each handle that runs. The function is known by the address of what its calls share: its code object, a builtin's
//! definition, else the type. What is at that address is kept alive by the subject, so that it cannot become another's; a
//! subject that the ring does not name any more is forgotten when the table has doubled.

use super::subject::{CallbackEntry, Code, Steps, Subject};
use super::{State, place};
use crate::door::{attribute, import};
use crate::ffi::{Python, compat, gil::GilCell, names::names, owned::Owned};
use crate::task::wrapper;
use crate::transport;
use pyo3_ffi as ffi;
use std::collections::HashMap;
use std::ffi::CStr;
use std::hash::{BuildHasher, Hasher};
use std::ptr;

/// Hashes an address by one multiplication.
#[derive(Clone, Copy, Default)]
pub struct ByAddress(u64);

impl Hasher for ByAddress {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }
    fn write_u64(&mut self, value: u64) {
        // 2^64 divided by the golden ratio: spreads what is aligned over the high bits, which the table looks at.
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }
}

impl BuildHasher for ByAddress {
    type Hasher = ByAddress;
    fn build_hasher(&self) -> ByAddress {
        ByAddress(0)
    }
}

/// How many were looked up last are found without the table.
const RECENT: usize = 64;

/// The callables that were seen, by address.
pub struct Callables {
    known: HashMap<usize, u32, ByAddress>,
    recent: [(usize, u32); RECENT],
    /// The table is looked through when it has as many.
    limit: usize,
}

impl Default for Callables {
    fn default() -> Self {
        Callables {
            known: HashMap::default(),
            recent: [(0, 0); RECENT],
            limit: 1024,
        }
    }
}

/// Who a callback is.
pub enum Who {
    /// A subject of its own: its number and serial number.
    Callback(u32, u64),
    /// A native task's step, which records itself.
    Own,
    /// Another task's step.
    Foreign,
}

static PARTIAL: GilCell<(usize, isize)> = GilCell::new((0, 0));

/// Looks up where `functools.partial` keeps its function; called once, at import.
pub fn init() -> Python<()> {
    let kind = attribute(&import(c"functools")?, c"partial")?;
    let descriptor = attribute(&kind, c"func")?;
    // SAFETY: the descriptor lives; the import runs alone.
    unsafe {
        if let Some(offset) = compat::slot_offset(descriptor.as_ptr()) {
            *PARTIAL.get() = (kind.as_ptr().addr(), offset);
        }
    }
    Ok(())
}

/// The function behind bound methods and partials, borrowed.
///
/// # Safety
/// The callable lives.
unsafe fn function_of(mut callable: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: each type is checked before its layout is relied on.
    unsafe {
        let (partial, offset) = *PARTIAL.get();
        for _ in 0..8 {
            let kind = ffi::Py_TYPE(callable);
            if kind == &raw mut compat::PyMethod_Type {
                callable = compat::PyMethod_Function(callable);
            } else if kind.addr() == partial {
                callable = *callable.byte_offset(offset).cast();
            } else {
                break;
            }
        }
        callable
    }
}

/// The address by which a function is known, and the class where that is one's.
#[inline]
unsafe fn address_of(function: *mut ffi::PyObject) -> (usize, *mut ffi::PyObject) {
    // SAFETY: each type is checked before its layout is relied on.
    unsafe {
        let kind = ffi::Py_TYPE(function);
        if kind == &raw mut ffi::PyFunction_Type {
            (ffi::PyFunction_GetCode(function).addr(), ptr::null_mut())
        } else if kind == &raw mut ffi::PyCFunction_Type {
            let definition = (*function.cast::<ffi::PyCFunctionObject>()).m_ml;
            (definition.addr(), ptr::null_mut())
        } else {
            (kind.addr(), kind.cast())
        }
    }
}

impl State {
    /// Who a callback is, and who was forgotten meanwhile: to be dropped by the caller.
    ///
    /// # Safety
    /// The callable lives; no Python code runs.
    #[inline]
    pub(super) unsafe fn who(&mut self, callable: *mut ffi::PyObject) -> (Who, Vec<Subject>) {
        // SAFETY: the caller's contract.
        unsafe {
            let function = function_of(callable);
            let (address, class) = address_of(function);
            let (number, gone) = match self.known(address, class) {
                Some(number) => (number, Vec::new()),
                None => self.meet_callable(address, class, describe(function)),
            };
            let who = match self.subjects.get(number) {
                Some(Subject::Callback(entry)) => match entry.steps {
                    Steps::No => Who::Callback(number, entry.serial),
                    Steps::Native => Who::Own,
                    Steps::Foreign => Who::Foreign,
                },
                _ => Who::Own,
            };
            (who, gone)
        }
    }

    /// Who a transport's turn calls: its protocol's class. None where the connection is lost.
    ///
    /// # Safety
    /// The transport lives; no Python code runs.
    #[inline]
    pub(super) unsafe fn protocol(
        &mut self,
        object: *mut ffi::PyObject,
    ) -> Option<(u32, u64, Vec<Subject>)> {
        // SAFETY: the caller's contract; the class is kept alive by the subject.
        unsafe {
            let protocol = transport::protocol_of(object);
            if protocol.is_null() {
                return None;
            }
            let kind = ffi::Py_TYPE(protocol).cast::<ffi::PyObject>();
            // Not the address by which instances that are called are known.
            let address = kind.addr() | 1;
            let (number, gone) = match self.known(address, kind) {
                Some(number) => (number, Vec::new()),
                None => {
                    let taken = [names().buffer_updated, names().data_received];
                    let code = place::method(kind.cast(), &taken);
                    self.meet_callable(address, kind, (code, Steps::No))
                }
            };
            match self.subjects.get(number) {
                Some(Subject::Callback(entry)) => Some((number, entry.serial, gone)),
                _ => None,
            }
        }
    }

    /// The number by which an address is known, unless another class is there by now.
    #[inline]
    unsafe fn known(&mut self, address: usize, class: *mut ffi::PyObject) -> Option<u32> {
        let recent = &mut self.callables.recent[(address >> 4) % RECENT];
        let number = if recent.0 == address {
            recent.1
        } else {
            let number = *self.callables.known.get(&address)?;
            *recent = (address, number);
            number
        };
        if class.is_null() {
            return Some(number);
        }
        let same = match self.subjects.get(number) {
            // SAFETY: a weak reference that the entry holds.
            Some(Subject::Callback(entry)) => entry
                .class
                .as_ref()
                .is_none_or(|weak| unsafe { compat::weak_target(weak.as_ptr()) == class }),
            _ => false,
        };
        if same {
            return Some(number);
        }
        self.callables.known.remove(&address);
        self.callables.recent[(address >> 4) % RECENT] = (0, 0);
        self.subjects.end(number, self.ring.head());
        None
    }

    #[cold]
    unsafe fn meet_callable(
        &mut self,
        address: usize,
        class: *mut ffi::PyObject,
        (code, steps): (Code, Steps),
    ) -> (u32, Vec<Subject>) {
        let gone = self.forget_callables();
        let serial = self.next_serial();
        // SAFETY: the class lives; a weak reference without a callback runs no code.
        let class = unsafe {
            let weak = if class.is_null() {
                ptr::null_mut()
            } else {
                ffi::PyWeakref_NewRef(class, ptr::null_mut())
            };
            if weak.is_null() && !class.is_null() {
                ffi::PyErr_Clear();
            }
            (!weak.is_null()).then(|| Owned::from_owned(weak))
        };
        let entry = CallbackEntry {
            serial,
            class,
            code,
            last: self.ring.head() + 1,
            steps,
        };
        let number = self.subjects.add(Subject::Callback(entry));
        self.callables.known.insert(address, number);
        (number, gone)
    }

    /// The next event names this callback; false where it is not known any more.
    #[inline]
    pub(super) fn touch(&mut self, number: u32, serial: u64) -> bool {
        let next = self.ring.head() + 1;
        match self.subjects.get_mut(number) {
            Some(Subject::Callback(entry)) if entry.serial == serial => {
                entry.last = next;
                true
            }
            _ => false,
        }
    }

    fn forget_callables(&mut self) -> Vec<Subject> {
        if self.callables.known.len() < self.callables.limit {
            return Vec::new();
        }
        let (lost, subjects) = (self.ring.lost(), &mut self.subjects);
        let mut gone = Vec::new();
        self.callables.known.retain(|_, number| {
            let named = match subjects.get(*number) {
                Some(Subject::Callback(entry)) => entry.last > lost,
                _ => false,
            };
            if !named {
                gone.extend(subjects.take(*number));
            }
            named
        });
        self.callables.recent = [(0, 0); RECENT];
        self.callables.limit = 1024.max(self.callables.known.len() * 2);
        gone
    }
}

/// What is kept of a function.
unsafe fn describe(function: *mut ffi::PyObject) -> (Code, Steps) {
    // SAFETY: each type is checked before its layout is relied on; names end in NUL.
    unsafe {
        let kind = ffi::Py_TYPE(function);
        let steps = if wrapper::is_step(function) {
            Steps::Native
        } else if super::foreign::is_step(function) {
            Steps::Foreign
        } else {
            Steps::No
        };
        if kind == &raw mut ffi::PyFunction_Type {
            let code = ffi::PyFunction_GetCode(function);
            return (Code::Object(Owned::from_borrowed(code)), steps);
        }
        if kind == &raw mut ffi::PyCFunction_Type {
            let builtin = function.cast::<ffi::PyCFunctionObject>();
            let (name, owner) = ((*(*builtin).m_ml).ml_name, (*builtin).m_self);
            let name = if owner.is_null() || ffi::PyModule_Check(owner) != 0 {
                ffi::PyUnicode_FromString(name)
            } else {
                let owner = (*ffi::Py_TYPE(owner)).tp_name;
                let module = CStr::from_ptr(owner)
                    .to_bytes()
                    .iter()
                    .rposition(|byte| *byte == b'.');
                let owner = owner.add(module.map_or(0, |dot| dot + 1));
                ffi::PyUnicode_FromFormat(c"%s.%s".as_ptr(), owner, name)
            };
            if name.is_null() {
                ffi::PyErr_Clear();
                return (Code::Unknown, steps);
            }
            return (Code::Name(Owned::from_owned(name)), steps);
        }
        (place::method(kind, &[names().__call__]), steps)
    }
}
