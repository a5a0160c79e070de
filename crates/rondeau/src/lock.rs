//! `Lock`: a value that one task at a time may use across its awaits. A semaphore with one permit, and a `RefCell`
//! that the permit's owner is alone to borrow.

use std::cell::{RefCell, RefMut};
use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::semaphore::{Permit, Semaphore};

/// A mutex between tasks of one loop, to be held across `await`. Fair: who waited first goes first.
///
/// # Examples
/// ```
/// rondeau::run(async {
///     let oven = rondeau::Lock::new(Vec::new());
///     let bake = |dish| {
///         let oven = &oven;
///         async move {
///             let mut inside = oven.lock().await;
///             rondeau::yield_now().await; // the other waits meanwhile
///             inside.push(dish);
///         }
///     };
///     rondeau::gather!(bake("bread"), bake("cake"));
///     assert_eq!(*oven.lock().await, ["bread", "cake"]);
/// });
/// ```
pub struct Lock<T: ?Sized> {
    turn: Semaphore,
    value: RefCell<T>,
}

impl<T> Lock<T> {
    /// A lock around a value.
    pub fn new(value: T) -> Self {
        Lock {
            turn: Semaphore::new(1),
            value: RefCell::new(value),
        }
    }

    /// The value; nobody else can have it.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Lock<T> {
    /// Waits for its turn and takes the lock until the guard is dropped. A task that locks twice waits for ever.
    pub async fn lock(&self) -> LockGuard<'_, T> {
        let permit = self.turn.acquire().await;
        self.guard(permit)
    }

    /// Takes the lock if it is free.
    pub fn try_lock(&self) -> Option<LockGuard<'_, T>> {
        self.turn.try_acquire().map(|permit| self.guard(permit))
    }

    /// Whether someone has it.
    pub fn is_locked(&self) -> bool {
        self.turn.available() == 0
    }

    /// The value, by the borrow checker's word instead of the lock's.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    fn guard<'a>(&'a self, permit: Permit<'a>) -> LockGuard<'a, T> {
        // The only permit is here, and a guard ends its borrow before it gives the permit back: it cannot be borrowed.
        LockGuard {
            value: self.value.borrow_mut(),
            _permit: permit,
        }
    }
}

/// The locked value; dropping it unlocks.
#[must_use = "a guard that is dropped at once locks nothing"]
pub struct LockGuard<'a, T: ?Sized> {
    // Dropped in this order: the borrow ends before the next one is let in.
    value: RefMut<'a, T>,
    _permit: Permit<'a>,
}

impl<T: ?Sized> Deref for LockGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ?Sized> DerefMut for LockGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for LockGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T: ?Sized> fmt::Debug for Lock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock")
            .field("is_locked", &self.is_locked())
            .finish_non_exhaustive()
    }
}
