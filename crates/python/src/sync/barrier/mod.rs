//! `Barrier`: so many tasks meet, and go on together. The class; `state` is what a barrier is in, `waits` what waits at it.
//!
//! asyncio's code step by step, on a native condition: whoever comes takes the condition's lock, waits while those before are leaving, is counted,
//! and waits until the last one comes. Native while the condition is a native one that nothing was done to; else
//! asyncio's own code acts on the same fields.
//!
//! Rejected: asyncio's code on the native condition (three frames and a lambda for each wait).

mod state;
mod waits;

use super::calls::{none, plain_call};
use super::condition;
use super::fields::{Place, plain_int};
use super::known::Description;
use super::method::{self, method};
use super::primitive::Primitive;
use crate::ffi::{Python, args::Args, owned::Owned};
use pyo3_ffi as ffi;
use state::{KNOWN, kind, new};
use waits::{Abort, Enter, Exit, Reset, Wait};

method!(Init, c"__init__", kind, init_);

unsafe fn init_(this: Primitive, call: Args<'_>) -> Python<Option<Owned>> {
    // SAFETY: the primitive lives; what is released may run a finalizer, after which the fields are written.
    unsafe {
        if !plain_call(call, 1) || this.mode()?.is_none() {
            return Ok(None);
        }
        let parties = match plain_int(call.positional[0]) {
            Some(parties) if parties >= 1 => parties,
            _ => return Ok(None),
        };
        let condition = condition::make()?;
        this.set(&raw mut this.cell().inner, condition.into_ptr());
        state::set(this, state::FILLING);
        let cell = this.cell();
        (cell.limit, cell.number) = (parties, 0);
        Ok(Some(none()))
    }
}

/// Makes the class and adds it to the module.
pub fn init(module: *mut ffi::PyObject) -> Python<()> {
    state::init()?;
    let described = Description {
        module: c"asyncio.locks",
        name: c"Barrier",
        native: c"rondeau._core._Barrier",
        new,
        fields: vec![
            (c"_loop", Place::Loop),
            (c"_cond", Place::Inner),
            (c"_parties", Place::Limit),
            (c"_state", Place::State),
            (c"_count", Place::Number),
        ],
        methods: vec![
            method::of::<Init>(),
            method::of::<Wait>(),
            method::of::<Enter>(),
            method::of::<Exit>(),
            method::of::<Reset>(),
            method::of::<Abort>(),
        ],
        counted_on: vec!["wait", "_block", "_release", "_wait", "_exit"],
        derived: Vec::new(),
    };
    KNOWN.publish(module, described)
}
