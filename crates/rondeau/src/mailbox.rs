//! How other threads reach the loop: a mailbox of wakes and dropped references, and the driver's waker to end its
//! sleep. Shared by the loop, by orphaned tasks (`task/refs.rs`), and for a moment by whoever posts.
//!
//! After the loop's end nobody collects. Then whoever posts (it may have looked just before the end) empties the
//! mailbox itself: either it sees `closed`, or the loop's last collection saw its mail, since each side writes first
//! and looks afterwards, with a full fence between. `cargo test --lib` under `--cfg loom` runs all interleavings of that.

use rondeau_core::Inbox;

#[cfg(loom)]
use loom::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering, fence},
};
#[cfg(not(loom))]
use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering, fence},
};

use crate::task::header::TaskRef;

/// A letter about a task; it carries a counted reference.
pub(crate) enum Mail {
    /// Wake the task.
    Wake(TaskRef),
    /// Drop the reference, at home.
    Drop(TaskRef),
}

pub(crate) struct Mailbox {
    letters: Letters<Mail>,
    waker: rondeau_driver::Waker,
}

impl Mailbox {
    pub(crate) fn new(waker: rondeau_driver::Waker) -> Self {
        Mailbox {
            letters: Letters::new(),
            waker,
        }
    }

    /// What came, for the loop.
    #[inline]
    pub(crate) fn inbox(&self) -> &Inbox<Mail> {
        &self.letters.inbox
    }

    /// Posts from any thread.
    pub(crate) fn post(&self, mail: Mail) {
        match self.letters.post(mail) {
            Posted::Awake => {}
            Posted::Asleep => self.waker.wake(),
            Posted::Late(letters) => drop_all(letters),
        }
    }

    /// The loop ends, and all its tasks are orphans already: what lies here is dropped, and so is what still comes.
    pub(crate) fn close(&self) {
        drop_all(self.letters.close());
    }
}

fn drop_all(letters: Vec<Mail>) {
    for Mail::Wake(task) | Mail::Drop(task) in letters {
        // SAFETY: the letter's reference is given up. The task is an orphan, so this is right on any thread.
        unsafe { task.drop_elsewhere() }
    }
}

/// Letters of any kind, and what becomes of those that come after the end.
struct Letters<L> {
    inbox: Inbox<L>,
    closed: AtomicBool,
    /// Held while a closed mailbox is emptied: the inbox has one reader at a time.
    emptying: Mutex<()>,
}

/// What whoever posts has to do.
enum Posted<L> {
    /// Nothing: the loop will look.
    Awake,
    /// Wake the loop.
    Asleep,
    /// The loop has ended: these are the poster's now.
    Late(Vec<L>),
}

impl<L> Letters<L> {
    fn new() -> Self {
        Letters {
            inbox: Inbox::new(),
            closed: AtomicBool::new(false),
            emptying: Mutex::new(()),
        }
    }

    fn post(&self, letter: L) -> Posted<L> {
        let asleep = self.inbox.push(letter);
        fence(Ordering::SeqCst);
        if self.closed.load(Ordering::SeqCst) {
            Posted::Late(self.empty())
        } else if asleep {
            Posted::Asleep
        } else {
            Posted::Awake
        }
    }

    fn close(&self) -> Vec<L> {
        self.closed.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        self.empty()
    }

    fn empty(&self) -> Vec<L> {
        let mut letters = Vec::new();
        let _alone = self
            .emptying
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        self.inbox.drain_into(&mut letters);
        letters
    }
}

#[cfg(all(test, loom))]
mod interleavings {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    fn late<L>(posted: Posted<L>) -> Vec<L> {
        match posted {
            Posted::Late(letters) => letters,
            Posted::Awake | Posted::Asleep => Vec::new(),
        }
    }

    #[test]
    fn each_letter_is_given_out_once_whoever_posts_while_the_loop_ends() {
        loom::model(|| {
            let letters = Arc::new(Letters::new());
            let posters = [1, 2].map(|letter| {
                let letters = Arc::clone(&letters);
                thread::spawn(move || late(letters.post(letter)))
            });
            let mut all = letters.close();
            for poster in posters {
                all.extend(poster.join().unwrap());
            }
            all.sort_unstable();
            assert_eq!(all, [1, 2], "none lies there for ever, none comes twice");
        });
    }

    #[test]
    fn the_loop_collects_parks_and_ends_and_no_letter_is_left() {
        loom::model(|| {
            let letters = Arc::new(Letters::new());
            let theirs = Arc::clone(&letters);
            let poster = thread::spawn(move || {
                let mut late_ones = Vec::new();
                let mut woke = false;
                for letter in [1, 2] {
                    match theirs.post(letter) {
                        Posted::Asleep => woke = true,
                        posted => late_ones.extend(late(posted)),
                    }
                }
                (late_ones, woke)
            });
            let mut all = Vec::new();
            letters.inbox.drain_into(&mut all);
            let parks = letters.inbox.before_park();
            letters.inbox.after_park();
            all.extend(letters.close());
            let (late_ones, woke) = poster.join().unwrap();
            all.extend(late_ones);
            all.sort_unstable();
            assert_eq!(all, [1, 2]);
            assert!(parks || !woke, "only a loop that sleeps is woken");
        });
    }
}
