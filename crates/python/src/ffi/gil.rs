//! Cells whose lock is the GIL. Called by the import door and the loop's parts.

use std::cell::UnsafeCell;

/// A value that only threads holding the GIL touch.
pub struct GilCell<T>(UnsafeCell<T>);

// SAFETY: the only access is `GilCell::get`, whose contract demands the GIL, which serialises threads.
// The extension declares that it needs the GIL (`Py_MOD_GIL_USED`), also on free-threaded builds.
unsafe impl<T> Sync for GilCell<T> {}

impl<T> GilCell<T> {
    /// A cell holding `value`.
    pub const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// The value, to read or write.
    ///
    /// # Safety
    /// The GIL is held, and the returned borrow ends before any other call of `get` on this cell: in
    /// particular no Python code may run while it lives, since that can come back here.
    #[inline]
    #[expect(
        clippy::mut_from_ref,
        reason = "the caller's contract makes the borrow unique"
    )]
    pub unsafe fn get(&self) -> &mut T {
        // SAFETY: unique by the contract above.
        unsafe { &mut *self.0.get() }
    }
}
