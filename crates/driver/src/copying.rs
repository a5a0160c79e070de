//! How many large writes the kernel's threads copy at a time: as many as there are cores, the others wait here.
//!
//! Used by the ring alone. A thread of io_uring's that copies a MiB into the page cache needs a core, and the kernel starts four for each
//! core there is. The loop's thread then waits for its turn behind all of them. With 64 files of 1 MiB written and synced at once on two
//! cores, the longest stall of a round was (median of 108) 2.7 ms and is 1.2, with the process pinned to one of them 2.8 and 0.9, and the
//! whole takes 58 ms and not 61 to 63, since what waits for the disk (`fsync`) has the threads to itself. The tail is the scheduler's and
//! stays: a round in ten has 4.6 ms on a quiet machine, 8 on a shared one.
//!
//! A write may wait for something else than a core: a full page cache, a server, `O_SYNC`. When [`PATIENCE`] has passed and none
//! has ended, those under way are counted no more and others begin, so that one file system that hangs does not hold up the files of another.
//!
//! Large reads are not counted: where the page cache has them they cost the same, but from a disk they wait, and want to wait together.
//! Rejected: `IORING_REGISTER_IOWQ_MAX_WORKERS` (with two workers a round in ten has 4.1 ms, and the whole takes 84: a worker in `fsync`
//! copies nothing, and one commit of the journal serves all that wait for it together; with four 4.3 and 74). `IORING_REGISTER_IOWQ_AFF`: the
//! workers inherit the cores that the loop's thread is kept on (`taskset`), as any thread does, and who asked for that means all of the
//! process. To get round it is half possible only (a set that has one of those cores in it is cut down to them), and won nothing here.

use std::collections::VecDeque;
use std::time::Duration;

use crate::op::{Op, OpId};

/// How long writes may be under way without an end before they are taken for waiting. A copy of 16 MiB takes as long.
pub(crate) const PATIENCE: Duration = Duration::from_millis(10);

/// Whether an operation counts: a write at an offset that [`crate::encode`] gives to a kernel thread. A stream's may wait for ever.
pub(crate) fn counts(op: &Op) -> bool {
    match op {
        Op::Write {
            buf,
            offset: Some(_),
            ..
        } => buf.as_slice().len() > crate::encode::INLINE,
        Op::Writev {
            offset: Some(_), ..
        } => true,
        _ => false,
    }
}

/// `E` is a submission entry.
pub(crate) struct Copying<E> {
    most: usize,
    under_way: Vec<OpId>,
    held: VecDeque<(OpId, E)>,
    /// A timer is under way, and whether a write has ended since it began.
    timed: bool,
    moved: bool,
}

impl<E> Copying<E> {
    pub(crate) fn new(most: usize) -> Self {
        Copying {
            most,
            under_way: Vec::new(),
            held: VecDeque::new(),
            timed: false,
            moved: false,
        }
    }

    /// The entry, to be given to the kernel now; None: it is kept until [`Copying::next`].
    pub(crate) fn begin(&mut self, id: OpId, entry: E) -> Option<E> {
        if self.held.is_empty() && self.under_way.len() < self.most {
            self.under_way.push(id);
            return Some(entry);
        }
        self.held.push_back((id, entry));
        None
    }

    /// One that was kept and may begin.
    pub(crate) fn next(&mut self) -> Option<E> {
        if self.under_way.len() >= self.most {
            return None;
        }
        let (id, entry) = self.held.pop_front()?;
        self.under_way.push(id);
        Some(entry)
    }

    /// Told of every operation that has ended: whether it was one of these, so that another may begin.
    pub(crate) fn ended(&mut self, id: OpId) -> bool {
        let Some(at) = self.under_way.iter().position(|each| *each == id) else {
            return false;
        };
        self.under_way.swap_remove(at);
        self.moved = true;
        true
    }

    /// Forgets one that was kept; `false`: it was not.
    pub(crate) fn forget(&mut self, id: OpId) -> bool {
        let at = self.held.iter().position(|(each, _)| *each == id);
        at.is_some_and(|at| self.held.remove(at).is_some())
    }

    /// Whether the caller should begin a timer of [`PATIENCE`] now.
    pub(crate) fn wants_timer(&mut self) -> bool {
        let wants = !self.timed && !self.held.is_empty();
        if wants {
            (self.timed, self.moved) = (true, false);
        }
        wants
    }

    /// The timer has ended.
    pub(crate) fn time_has_passed(&mut self) {
        self.timed = false;
        if !self.moved {
            self.under_way.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(copying: &mut Copying<u64>) -> Vec<u64> {
        std::iter::from_fn(|| copying.next()).collect()
    }

    #[test]
    fn the_rest_waits_in_order() {
        let mut copying = Copying::new(2);
        let now: Vec<_> = (0..5)
            .filter_map(|each| copying.begin(OpId(each), each))
            .collect();
        assert_eq!(now, [0, 1]);
        assert!(!copying.ended(OpId(7)), "another's");
        assert_eq!(begun(&mut copying), []);
        assert!(copying.ended(OpId(1)) && !copying.ended(OpId(1)));
        assert_eq!(begun(&mut copying), [2]);
        assert!(copying.forget(OpId(3)) && !copying.forget(OpId(3)) && !copying.forget(OpId(0)));
        copying.ended(OpId(0));
        assert_eq!(copying.begin(OpId(9), 9), None, "it passes nobody");
        assert_eq!(begun(&mut copying), [4]);
    }

    #[test]
    fn those_that_hang_are_counted_no_more() {
        let mut copying = Copying::new(2);
        let now = (0..5).filter_map(|each| copying.begin(OpId(each), each));
        assert_eq!(now.count(), 2);
        assert!(copying.wants_timer() && !copying.wants_timer());
        copying.ended(OpId(0));
        assert_eq!(begun(&mut copying), [2]);
        copying.time_has_passed();
        assert_eq!(begun(&mut copying), [], "one had ended");
        assert!(copying.wants_timer());
        copying.time_has_passed();
        assert_eq!(begun(&mut copying), [3, 4]);
        assert!(!copying.wants_timer(), "nobody waits");
        assert!(!copying.ended(OpId(1)), "late, and not counted");
        assert!(copying.ended(OpId(3)));
        assert_eq!(copying.begin(OpId(6), 6), Some(6));
        assert_eq!(copying.begin(OpId(7), 7), None);
    }
}
