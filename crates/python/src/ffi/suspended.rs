//! Where a coroutine, generator or asynchronous generator stands, read without a frame object.
//!
//! Called by the walk for every link of every task. `cr_frame` would make an object for each, which the coroutine keeps and the collector
//! counts: after 200,000 of them its next full collection came due, and it held a loop of 100,000 tasks for 0.2 s.
//!
//! CPython keeps the frame inside the generator and has functions to ask it (`PyUnstable_InterpreterFrame_*`, 3.12 and later; `compat.rs` has
//! 3.11's fields), but none that leads from one to the other. Where it lies is learnt from examples (`_cold.suspended_examples`), whose
//! frame objects say what must be read; where anything differs, nothing is known and callers ask for the frame object.
//!
//! Invariant: a frame is read only while its generator is fresh or suspended: one that runs changes, one that has ended has none.
//! Rejected: `gi_code` alone, which has no line; constants for each version, which say nothing of a build that differs.

use super::compat::{self, InterpreterFrame};
use super::gil::GilCell;
use super::owned::Owned;
use super::{Python, names::names};
use crate::door::cold;
use pyo3_ffi as ffi;
use std::ffi::c_int;

/// Where in a generator's object.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Layout {
    /// Its frame.
    frame: usize,
    /// The byte that tells its state.
    state: usize,
    /// That byte in one that has not begun.
    fresh: u8,
}

/// As many bytes before the frame are looked at for the state.
const FLAGS: usize = 8;

/// None: nothing was tried yet.
static LAYOUT: GilCell<Option<Option<Layout>>> = GilCell::new(None);

/// Learns where things lie, once. Runs functions of `_cold`, and so whatever monitors functions.
///
/// # Safety
/// The GIL is held, nothing is borrowed and no exception is set.
pub unsafe fn learn() {
    // SAFETY: the caller's contract; the cell is not borrowed while Python code runs.
    unsafe {
        if LAYOUT.get().is_some() {
            return;
        }
        let learnt = examples();
        if learnt.is_err() {
            ffi::PyErr_Clear();
        }
        *LAYOUT.get() = Some(learnt.ok().flatten());
    }
}

/// The code of one that is fresh or suspended, and its last instruction in bytes from the code's beginning; None for any other and where
/// nothing is known.
///
/// # Safety
/// A live coroutine, generator or asynchronous generator, exactly of that type; `suspended` is what it says of itself. The GIL is held.
pub unsafe fn place(object: *mut ffi::PyObject, suspended: bool) -> Option<(Owned, c_int)> {
    // SAFETY: the layout was proven by examples of these types; the frame is whole in these two states.
    unsafe {
        let layout = LAYOUT.get().flatten()?;
        if !suspended && *object.byte_add(layout.state).cast::<u8>() != layout.fresh {
            return None;
        }
        let frame = object.byte_add(layout.frame).cast::<InterpreterFrame>();
        let code = compat::interpreter_frame_code(frame)?;
        Some((code, compat::interpreter_frame_lasti(frame)))
    }
}

unsafe fn examples() -> Python<Option<Layout>> {
    // SAFETY: the examples are kept by the tuple.
    unsafe {
        let made = cold(c"suspended_examples", &[])?;
        let example = |index| ffi::PyTuple_GetItem(made.as_ptr(), index);
        let known = names();
        let (fresh, suspended, moves) = (example(0), example(1), example(2));
        let (coroutine, asynchronous) = (example(3), example(4));
        let Some(frame) = frame_within(suspended, known.gi_frame)? else {
            return Ok(None);
        };
        // The state is the one byte right before the frame that changes when it begins and when it ends.
        let bytes = || *moves.byte_add(frame - FLAGS).cast::<[u8; FLAGS]>();
        let before = bytes();
        drop(Owned::new(ffi::PyIter_Next(moves))?);
        let during = bytes();
        drop(Owned::new(ffi::PyObject_CallMethodNoArgs(
            moves,
            known.close,
        ))?);
        let after = bytes();
        let mut states = (0..FLAGS).filter(|at| {
            before[*at] != during[*at] && during[*at] != after[*at] && before[*at] != after[*at]
        });
        let (Some(state), None) = (states.next(), states.next()) else {
            return Ok(None);
        };
        let (state, fresh_byte) = (frame - FLAGS + state, before[state]);
        let layout = Layout {
            frame,
            state,
            fresh: fresh_byte,
        };
        *LAYOUT.get() = Some(Some(layout));
        for (object, attribute, is_suspended) in [
            (suspended, known.gi_frame, true),
            (fresh, known.gi_frame, false),
            (coroutine, known.cr_frame, true),
            (asynchronous, known.ag_frame, false),
        ] {
            if frame_within(object, attribute)? != Some(frame)
                || !agrees(object, attribute, is_suspended)?
            {
                return Ok(None);
            }
        }
        Ok(place(moves, false).is_none().then_some(layout))
    }
}

/// Where in a generator its frame lies, as its frame object points there.
unsafe fn frame_within(
    object: *mut ffi::PyObject,
    attribute: *mut ffi::PyObject,
) -> Python<Option<usize>> {
    // SAFETY: the caller has a live generator; a frame object's words are read up to its type's size.
    unsafe {
        let frame = Owned::new(ffi::PyObject_GetAttr(object, attribute))?;
        if ffi::PyFrame_Check(frame.as_ptr()) == 0 {
            return Ok(None);
        }
        let head = size_of::<ffi::PyObject>();
        let size = (*ffi::Py_TYPE(object)).tp_basicsize as usize;
        let own = (*ffi::Py_TYPE(frame.as_ptr())).tp_basicsize as usize;
        let mut inside = (head..own)
            .step_by(size_of::<usize>())
            .map(|at| *frame.as_ptr().byte_add(at).cast::<usize>())
            .filter_map(|word| word.checked_sub(object.addr()))
            .filter(|offset| (head + FLAGS..size).contains(offset));
        Ok(match (inside.next(), inside.next()) {
            (Some(offset), None) => Some(offset),
            _ => None,
        })
    }
}

/// Whether what is read is what the frame object says.
unsafe fn agrees(
    object: *mut ffi::PyObject,
    attribute: *mut ffi::PyObject,
    suspended: bool,
) -> Python<bool> {
    // SAFETY: the caller has a live generator, whose frame object was made before.
    unsafe {
        let frame = Owned::new(ffi::PyObject_GetAttr(object, attribute))?;
        let frame = frame.as_ptr().cast::<ffi::PyFrameObject>();
        let said = Owned::new(ffi::PyFrame_GetCode(frame).cast())?;
        let Some((code, last)) = place(object, suspended) else {
            return Ok(false);
        };
        Ok(code.as_ptr() == said.as_ptr()
            && last == compat::last_instruction(frame)
            && ffi::PyCode_Addr2Line(code.as_ptr().cast(), last)
                == ffi::PyFrame_GetLineNumber(frame))
    }
}
