//! Panics of other people's code, where something must be finished all the same: a destructor, a waker, a reporter.
//!
//! Each call is caught by itself. The first panic goes on when all is done, the others end at the panic hook, which has
//! printed them. A payload is foreign too: its destructor may panic, and then it is left where it is.

use std::any::Any;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::task::Waker;

/// The first panic of several calls.
#[derive(Default)]
#[must_use = "the panic is to be resumed"]
pub(crate) struct First(Option<Box<dyn Any + Send>>);

impl First {
    /// Calls `foreign`. What it captures is used up or dropped within.
    pub(crate) fn call(&mut self, foreign: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(foreign)) {
            match self.0 {
                None => self.0 = Some(payload),
                Some(_) => drop_quietly(payload),
            }
        }
    }

    /// Lets the first panic go on. Where a panic is under way already, a second one would end the process.
    pub(crate) fn resume(self) {
        if let Some(payload) = self.0 {
            if std::thread::panicking() {
                drop_quietly(payload);
            } else {
                resume_unwind(payload);
            }
        }
    }
}

/// Wakes them all, also where one of them panics.
#[inline]
pub(crate) fn wake_all(wakers: impl IntoIterator<Item = Waker>) {
    let mut first = First::default();
    for waker in wakers {
        first.call(|| waker.wake());
    }
    first.resume();
}

/// Drops a value whose destructor may panic; that panic is left to the panic hook.
pub(crate) fn drop_quietly<T>(value: T) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        std::mem::forget(payload);
    }
}

/// A value that is dropped quietly, also by a panic that passes.
pub(crate) struct Quiet<T>(ManuallyDrop<T>);

impl<T> Quiet<T> {
    pub(crate) fn new(value: T) -> Self {
        Quiet(ManuallyDrop::new(value))
    }
}

impl<T> std::ops::Deref for Quiet<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Drop for Quiet<T> {
    fn drop(&mut self) {
        // SAFETY: taken once, since this is the value's end.
        drop_quietly(unsafe { ManuallyDrop::take(&mut self.0) });
    }
}
