//! Seconds, as asyncio's calls give them, and the loop's time: a float or an int becomes the moment at which something is due.

use crate::ffi::{Python, Raised};
use pyo3_ffi as ffi;
use rondeau_core::Time;

/// Rounds up, so that `time() >= when` holds when the callback runs. What is negative or not a number is due now, infinity never.
#[inline]
pub fn due(when: f64) -> Time {
    let nanos = when * 1e9;
    let whole = nanos as u64;
    // `f64::ceil` is a function call where SSE4.1 is not assumed.
    Time::from_nanos(whole.saturating_add(u64::from((whole as f64) < nanos)))
}

/// A number's value. An int's is read directly, since PyFloat_AsDouble makes a float object of it first.
///
/// # Safety
/// The object lives.
#[inline]
pub unsafe fn number(object: *mut ffi::PyObject) -> Python<f64> {
    // SAFETY: the object lives.
    unsafe {
        let value = if ffi::PyLong_CheckExact(object) != 0 {
            ffi::PyLong_AsDouble(object)
        } else {
            ffi::PyFloat_AsDouble(object)
        };
        if value == -1.0 && !ffi::PyErr_Occurred().is_null() {
            Err(Raised)
        } else {
            Ok(value)
        }
    }
}

/// A float's or an int's value, where it is a number that a timer takes.
///
/// # Safety
/// The object lives.
#[inline]
pub unsafe fn plain_seconds(delay: *mut ffi::PyObject) -> Option<f64> {
    // SAFETY: the type is checked first.
    let seconds = unsafe {
        if ffi::PyFloat_CheckExact(delay) != 0 {
            ffi::PyFloat_AS_DOUBLE(delay)
        } else if ffi::PyLong_CheckExact(delay) != 0 {
            let value = ffi::PyLong_AsDouble(delay);
            if value == -1.0 && !ffi::PyErr_Occurred().is_null() {
                ffi::PyErr_Clear();
                return None;
            }
            value
        } else {
            return None;
        }
    };
    (!seconds.is_nan()).then_some(seconds)
}
