//! The two counts of a task's references: cheap at home, safe elsewhere. Decisions only; `refs.rs` acts on them.
//!
//! A waker may be cloned and dropped on any thread, but nearly all are on the loop's own. So `local` counts at home with
//! plain loads and stores, and `foreign` is an atomic word for all other threads: a count, and three flags. References
//! are interchangeable: one that was counted at home may be dropped elsewhere and the reverse; what holds is that both
//! counts together equal the references that exist.
//!
//! - `STAKE`: `local` is above zero. The home's references stand for one share in the word, so that another thread can
//!   see whether it would be the last. Set and cleared at home.
//! - `POSTED`: a wake for this task lies in the mailbox (and holds a reference). A further wake from another thread does
//!   nothing but publish what that thread wrote.
//! - `ORPHAN`: the loop is gone. `local` was added to the word; every operation on any thread is atomic from here on,
//!   and whoever drops the last reference frees the memory where it is.
//!
//! Away from home a reference that cannot be subtracted from the word's count (it is counted in `local`), or that is the
//! last one of all, is not dropped but sent home through the mailbox. So no thread but the home ever frees a task whose
//! loop lives. `cargo test --lib` under `--cfg loom` runs all interleavings of the cases at the end.
//!
//! Rejected: one atomic count, as async-task has it (spawn + join makes six updates, 5 ns each, against 1 ns here).

use std::cell::Cell;

#[cfg(loom)]
use loom::sync::atomic::{AtomicUsize, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicUsize, Ordering};

const STAKE: usize = 1;
const POSTED: usize = 1 << 1;
const ORPHAN: usize = 1 << 2;
/// One reference in the atomic word.
const ONE: usize = 1 << 3;

/// The counts. A method that says "at home" is for the loop's own thread.
pub(crate) struct Count {
    local: Cell<usize>,
    foreign: AtomicUsize,
}

/// What a drop away from home comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// Others are left.
    Kept,
    /// Not dropped: the reference must be sent home.
    SendHome,
    /// That was the last reference to an orphan: free it.
    Last,
}

impl Count {
    /// So many references at home, at least one.
    pub(crate) fn at_home(references: usize) -> Self {
        Count {
            local: Cell::new(references),
            foreign: AtomicUsize::new(STAKE),
        }
    }

    /// One more, at home.
    #[inline]
    pub(crate) fn hold_at_home(&self) {
        let local = self.local.get();
        if local == 0 {
            // Every reference so far is counted in the word: the home takes its share again.
            self.foreign.fetch_or(STAKE, Ordering::Relaxed);
        }
        self.local.set(local + 1);
    }

    /// One fewer, at home; `true`: that was the last.
    #[inline]
    #[must_use = "the last one frees"]
    pub(crate) fn drop_at_home(&self) -> bool {
        match self.local.get() {
            // It was counted elsewhere. The home has no share now, so the word counts all.
            0 => self.foreign.fetch_sub(ONE, Ordering::AcqRel) < 2 * ONE,
            1 => {
                self.local.set(0);
                // Acquire: what other threads did with the task before they dropped it comes before the free.
                self.foreign.load(Ordering::Acquire) == STAKE
                    || self.foreign.fetch_and(!STAKE, Ordering::AcqRel) < ONE
            }
            local => {
                self.local.set(local - 1);
                false
            }
        }
    }

    /// One more, on any thread.
    pub(crate) fn hold_elsewhere(&self) {
        // Relaxed, as for any count that only grows from a reference held.
        self.foreign.fetch_add(ONE, Ordering::Relaxed);
    }

    /// One fewer, on any thread, unless it has to go home.
    #[must_use = "the reference may have to be sent home, or the task freed"]
    pub(crate) fn drop_elsewhere(&self) -> Dropped {
        let mut word = self.foreign.load(Ordering::Acquire);
        loop {
            let last = word < 2 * ONE && word & STAKE == 0;
            if word & ORPHAN == 0 && (word < ONE || last) {
                return Dropped::SendHome;
            }
            match self.foreign.compare_exchange_weak(
                word,
                word - ONE,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) if last => return Dropped::Last,
                Ok(_) => return Dropped::Kept,
                Err(now) => word = now,
            }
        }
    }

    /// A wake from another thread; `true`: it must be posted, with a reference.
    #[must_use = "a wake that is not posted is lost"]
    pub(crate) fn post(&self) -> bool {
        // AcqRel even when the bit is set already: what this thread wrote before the wake must reach the poll that the
        // mail on its way brings about, and that poll's thread clears the bit with an acquiring operation.
        self.foreign.fetch_or(POSTED, Ordering::AcqRel) & (POSTED | ORPHAN) == 0
    }

    /// A posted wake has arrived: the next one is posted again.
    pub(crate) fn arrived(&self) {
        self.foreign.fetch_and(!POSTED, Ordering::AcqRel);
    }

    /// The loop is gone: all references are counted in the word from here on. At home, and there is at least one.
    pub(crate) fn orphan(&self) {
        let local = self.local.replace(0);
        // One operation for three changes. The share goes and the flag comes by addition and subtraction, which cannot
        // carry: a share is there if and only if `local` is above zero, and the flag comes once.
        let share = if local > 0 { STAKE } else { 0 };
        // Release: what the home wrote comes before the flag that other threads go by.
        self.foreign
            .fetch_add(local * ONE + ORPHAN - share, Ordering::AcqRel);
    }

    /// Whether the loop is gone; exact on the loop's own thread.
    #[inline]
    pub(crate) fn is_orphan(&self) -> bool {
        self.foreign.load(Ordering::Relaxed) & ORPHAN != 0
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_last_at_home_frees() {
        let count = Count::at_home(2);
        count.hold_at_home();
        assert!(!count.drop_at_home() && !count.drop_at_home());
        assert!(count.drop_at_home());
    }

    #[test]
    fn a_reference_counted_at_home_goes_home() {
        let count = Count::at_home(2);
        assert_eq!(count.drop_elsewhere(), Dropped::SendHome);
        count.hold_elsewhere();
        assert_eq!(count.drop_elsewhere(), Dropped::Kept);
        assert!(!count.drop_at_home() && count.drop_at_home());
    }

    #[test]
    fn the_last_one_of_all_goes_home_wherever_it_was_counted() {
        let count = Count::at_home(1);
        count.hold_elsewhere();
        assert!(!count.drop_at_home()); // the share is gone, one is left in the word
        assert_eq!(count.drop_elsewhere(), Dropped::SendHome);
        count.hold_at_home(); // the share is back
        assert_eq!(count.drop_elsewhere(), Dropped::Kept);
        assert!(count.drop_at_home());
    }

    #[test]
    fn more_may_be_dropped_at_home_than_were_counted_there() {
        let count = Count::at_home(1);
        count.hold_elsewhere();
        count.hold_elsewhere();
        assert!(!count.drop_at_home() && !count.drop_at_home());
        assert!(count.drop_at_home());
    }

    #[test]
    fn an_orphan_is_freed_by_the_last_wherever_it_is() {
        let count = Count::at_home(2);
        count.hold_elsewhere();
        assert!(count.post() && !count.post());
        count.orphan();
        assert!(count.is_orphan() && !count.post());
        assert_eq!(count.drop_elsewhere(), Dropped::Kept);
        assert_eq!(count.drop_elsewhere(), Dropped::Kept);
        assert_eq!(count.drop_elsewhere(), Dropped::Last);
    }
}

#[cfg(all(test, loom))]
mod interleavings {
    use loom::cell::UnsafeCell;
    use loom::sync::{Arc, Mutex};
    use loom::thread;

    use super::*;

    /// A task: its counts, something to read while it lives and to write when it is freed, and the way home.
    struct Task {
        count: Count,
        memory: UnsafeCell<bool>,
        mail: Mutex<Vec<&'static str>>,
    }

    // SAFETY: `local` is used by the model's home thread alone, as the loop's is.
    unsafe impl Sync for Task {}

    impl Task {
        fn new(references: usize) -> Arc<Self> {
            Arc::new(Task {
                count: Count::at_home(references),
                memory: UnsafeCell::new(false),
                mail: Mutex::new(Vec::new()),
            })
        }

        /// Uses the memory; loom fails if it may be freed at the same time.
        fn touch(&self) {
            // SAFETY: loom watches that nobody writes meanwhile.
            self.memory.with(|freed| unsafe { assert!(!*freed) });
        }

        fn free(&self) {
            // SAFETY: loom watches that nobody reads meanwhile.
            self.memory.with_mut(|freed| unsafe {
                assert!(!*freed, "freed twice");
                *freed = true;
            });
        }

        fn drop_elsewhere(&self) {
            self.touch();
            match self.count.drop_elsewhere() {
                Dropped::Kept => {}
                Dropped::SendHome => self.mail.lock().unwrap().push("drop"),
                Dropped::Last => self.free(),
            }
        }

        fn wake_elsewhere(&self) {
            self.touch();
            if self.count.post() {
                self.mail.lock().unwrap().push("wake")
            } else {
                self.drop_elsewhere()
            }
        }

        fn drop_at_home(&self) {
            self.touch();
            if self.count.drop_at_home() {
                self.free();
            }
        }

        fn collect(&self) {
            for letter in std::mem::take(&mut *self.mail.lock().unwrap()) {
                if letter == "wake" {
                    self.count.arrived();
                }
                self.drop_at_home();
            }
        }

        fn is_freed(&self) -> bool {
            // SAFETY: all threads have ended.
            self.memory.with(|freed| unsafe { *freed })
        }
    }

    #[test]
    fn clones_and_drops_on_two_threads_free_once() {
        loom::model(|| {
            let task = Task::new(2);
            let theirs = Arc::clone(&task);
            let there = thread::spawn(move || {
                theirs.count.hold_elsewhere();
                theirs.drop_elsewhere();
                theirs.drop_elsewhere();
            });
            task.count.hold_at_home();
            task.drop_at_home();
            task.drop_at_home();
            task.collect();
            there.join().unwrap();
            task.collect();
            assert!(task.is_freed());
        });
    }

    #[test]
    fn a_reference_made_there_may_end_at_home() {
        loom::model(|| {
            let task = Task::new(1);
            let theirs = Arc::clone(&task);
            task.count.hold_elsewhere(); // as if cloned there and carried here
            let there = thread::spawn(move || theirs.drop_elsewhere());
            task.drop_at_home();
            task.collect();
            there.join().unwrap();
            task.collect();
            assert!(task.is_freed());
        });
    }

    #[test]
    fn two_threads_wake_and_the_home_drops() {
        loom::model(|| {
            let task = Task::new(3);
            let threads = [Arc::clone(&task), Arc::clone(&task)]
                .map(|task| thread::spawn(move || task.wake_elsewhere()));
            task.collect();
            task.drop_at_home();
            for thread in threads {
                thread.join().unwrap();
            }
            task.collect();
            assert!(task.is_freed());
        });
    }

    #[test]
    fn an_orphan_is_freed_once_whoever_is_last() {
        loom::model(|| {
            let task = Task::new(2);
            let theirs = Arc::clone(&task);
            let there = thread::spawn(move || {
                theirs.count.hold_elsewhere();
                theirs.wake_elsewhere();
                theirs.drop_elsewhere();
            });
            task.count.orphan();
            task.drop_elsewhere(); // the handle's
            there.join().unwrap();
            // The closed mailbox is emptied as by an orphan's owner.
            for _ in std::mem::take(&mut *task.mail.lock().unwrap()) {
                task.drop_elsewhere();
            }
            assert!(task.is_freed());
        });
    }
}
