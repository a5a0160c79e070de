//! A barrier's states: members of asyncio's enumeration, which is what `_state` shows.

use crate::door::{attribute, import};
use crate::ffi::{Python, Raised, args::raise, gil::GilCell, owned::Owned};
use crate::sync::class;
use crate::sync::known::known;
use crate::sync::primitive::Primitive;
use pyo3_ffi as ffi;
use std::ptr;

known!();

/// asyncio's `_BarrierState`, in the order of the constants below, and its BrokenBarrierError.
static STATES: GilCell<[*mut ffi::PyObject; 5]> = GilCell::new([ptr::null_mut(); 5]);
pub const FILLING: usize = 0;
pub const DRAINING: usize = 1;
pub const RESETTING: usize = 2;
pub const BROKEN: usize = 3;
const BROKEN_ERROR: usize = 4;

/// Whether it is in this state.
///
/// # Safety
/// The barrier lives.
#[inline]
pub unsafe fn is(this: Primitive, state: usize) -> bool {
    // SAFETY: the primitive lives.
    unsafe { this.cell().finished == STATES.get()[state] }
}

/// Puts it in this state.
///
/// # Safety
/// The barrier lives; what was there may run a finalizer.
pub unsafe fn set(this: Primitive, state: usize) {
    // SAFETY: the primitive lives; the states live for good, and one that a program has put there may run a finalizer.
    unsafe {
        let state = Owned::from_borrowed(STATES.get()[state]);
        this.set(&raw mut this.cell().finished, state.into_ptr());
    }
}

/// Raises BrokenBarrierError.
#[cold]
pub fn broken(message: &str) -> Raised {
    // SAFETY: the exception's class lives.
    unsafe { raise(STATES.get()[BROKEN_ERROR], message) }
}

/// Reads asyncio's.
pub fn init() -> Python<()> {
    let states = class::asyncios(c"asyncio.locks", c"_BarrierState")?;
    let names = [c"FILLING", c"DRAINING", c"RESETTING", c"BROKEN"];
    for (index, name) in names.into_iter().enumerate() {
        // SAFETY: the import runs alone.
        unsafe { STATES.get()[index] = attribute(&states, name)?.into_ptr() };
    }
    let error = attribute(&import(c"asyncio.exceptions")?, c"BrokenBarrierError")?;
    // SAFETY: the import runs alone.
    unsafe { STATES.get()[BROKEN_ERROR] = error.into_ptr() };
    Ok(())
}
