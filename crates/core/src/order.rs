//! Which timer is next: entries in the exact order of (due, insertion).
//!
//! Used by [`crate::Timers`] alone, which owns the handles; an entry only says when, in what order and where. It may
//! outlive its timer (a cancelled one): the owner says which are live.
//!
//! Entries lie in three places, because sorting many at once is several times cheaper than keeping a heap of them:
//!
//! - `later`, in no order: all that are due at or after `horizon`. Where inserts go, as a rule.
//! - `sorted`, the next one last: all that were in `later` when it last ran out; all before `horizon`.
//! - `early`, a heap: those inserted since then with a due time before `horizon`.
//!
//! The next one is the last of `sorted` or the top of `early`. When both are empty, `later` is sorted and becomes
//! `sorted`. When `early` outgrows `sorted` (one timer an hour away sets a far horizon), it is sorted into it.
//!
//! From a prototype of the order alone (16-byte entries, no handles, no cancelling), wall time, the fastest of 3 to 9
//! rounds on a machine that others used meanwhile, so differences under a quarter mean nothing; `this` with a slack of
//! 64. `benches/core.rs` measures the finished thing in CPU time: 35 / 11 against a heap's 92 / 56.
//!
//! ns a timer, 100,000 inserted and then taken, at random / ascending; and (hold) taken one by one with
//! another inserted each time, 100 / 10,000 / 100,000 of them, the horizon moving / one timer far away:
//!
//! | | random | ascending | hold | hold, far horizon |
//! |---|---|---|---|---|
//! | this | 27 | 5 | 37 / 50 / 71 | 44 / 66 / 88 |
//! | binary heap | 107–124 | 43 | 29–50 / 83 / 133–175 | 45 / 61 / 128 |
//! | 4-ary heap | 123 | 40 | 41 / 87 / 153 | |
//! | 8-ary heap | 96 | 43 | 42 / 95 / 151 | |
//! | queue for ascending ones + 4-ary heap | 101 | 8 | 44 / 78 / 116 | |
//! | sorted, split lazily by quickselect | 61 | 70 | 43 / 62 / 113 | |
//! | `BTreeMap` | 153 | 76 | 81 / 127 / 223 | |
//! | `early` never sorted in | 28 | 6 | 39 / 59 / 86 | 46 / 81 / 133 |
//!
//! A timer wheel was rejected: it rounds, and users see the order. The price of this: a sort is one pause (2.3 ms for
//! 100,000 random entries, 0.1 ms when they were inserted in order), where a heap would spread it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::time::Time;

/// `early` may be so much longer than `sorted`. Of 32, 64, 256, 1024 and 4096 the first three did alike,
/// and from 1024 on it was slower.
const SLACK: usize = 128;
/// Lists shorter than this keep their memory.
const KEEP: usize = 1024;

/// When, in which order, where: (due, seq, slot) in one number, so that comparing is one instruction or two. 16 bytes,
/// where a tuple with a 64-bit seq takes 24 and makes sorting 1.2 to 1.4 times dearer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Entry(u128);

impl Entry {
    #[inline]
    pub(crate) fn new(due: Time, seq: u32, slot: u32) -> Entry {
        Entry(u128::from(due.as_nanos()) << 64 | u128::from(seq) << 32 | u128::from(slot))
    }

    #[inline]
    pub(crate) fn due(self) -> Time {
        Time::from_nanos((self.0 >> 64) as u64)
    }

    #[inline]
    pub(crate) fn seq(self) -> u32 {
        (self.0 >> 32) as u32
    }

    #[inline]
    pub(crate) fn slot(self) -> u32 {
        self.0 as u32
    }
}

#[derive(Debug)]
pub(crate) struct Order {
    sorted: Vec<Entry>,
    early: BinaryHeap<Reverse<Entry>>,
    later: Vec<Entry>,
    /// The last of `sorted` when that was made: no entry of `sorted` or `early` is after it, none of `later` before it.
    horizon: Entry,
}

impl Order {
    pub(crate) const fn new() -> Order {
        Order {
            sorted: Vec::new(),
            early: BinaryHeap::new(),
            later: Vec::new(),
            horizon: Entry(0),
        }
    }

    #[inline]
    pub(crate) fn push(&mut self, entry: Entry) {
        if entry >= self.horizon {
            self.later.push(entry);
        } else {
            self.early.push(Reverse(entry));
        }
    }

    /// The next entry.
    #[inline]
    pub(crate) fn first(&mut self) -> Option<Entry> {
        if self.early.len() > self.sorted.len() + SLACK {
            self.sort_early_in();
        }
        match (self.sorted.last(), self.early.peek()) {
            (Some(sorted), Some(Reverse(early))) => Some(*sorted.min(early)),
            (Some(sorted), None) => Some(*sorted),
            (None, Some(Reverse(early))) => Some(*early),
            (None, None) => self.turn_the_page(),
        }
    }

    /// Removes what [`Order::first`] has just returned.
    #[inline]
    pub(crate) fn remove_first(&mut self) {
        match (self.sorted.last(), self.early.peek()) {
            (Some(sorted), Some(Reverse(early))) if early < sorted => drop(self.early.pop()),
            (Some(_), _) => drop(self.sorted.pop()),
            (None, _) => drop(self.early.pop()),
        }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.sorted.len() + self.early.len() + self.later.len()
    }

    /// All entries, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Entry> {
        let early = self.early.iter().map(|Reverse(entry)| entry);
        self.sorted.iter().chain(early).chain(&self.later).copied()
    }

    #[cold]
    fn turn_the_page(&mut self) -> Option<Entry> {
        if self.later.is_empty() {
            self.horizon = Entry(0); // nothing is left: a far one must not send the next ones to the heap
            return None;
        }
        std::mem::swap(&mut self.sorted, &mut self.later);
        self.sorted.sort_unstable_by(|a, b| b.cmp(a));
        self.horizon = self.sorted[0]; // no later insertion equals it, since `seq` differs
        self.sorted.last().copied()
    }

    #[cold]
    fn sort_early_in(&mut self) {
        self.sorted.extend(
            std::mem::take(&mut self.early)
                .into_vec()
                .into_iter()
                .map(|Reverse(entry)| entry),
        );
        // The stable sort, for it finds the run that is sorted already.
        self.sorted.sort_by(|a, b| b.cmp(a));
    }

    /// Drops the entries that are not live, and the memory that they leave.
    #[cold]
    pub(crate) fn retain(&mut self, live: impl Fn(Entry) -> bool) {
        self.sorted.retain(|entry| live(*entry));
        self.early.retain(|Reverse(entry)| live(*entry));
        self.later.retain(|entry| live(*entry));
        self.shrink();
    }

    /// Gives back the memory of lists that are less than a quarter full.
    #[cold]
    pub(crate) fn shrink(&mut self) {
        for list in [&mut self.sorted, &mut self.later] {
            if list.capacity() > KEEP && list.len() < list.capacity() / 4 {
                list.shrink_to(list.len() * 2);
            }
        }
        if self.early.capacity() > KEEP && self.early.len() < self.early.capacity() / 4 {
            self.early.shrink_to(self.early.len() * 2);
        }
    }

    /// All entries, in order, leaving none: for numbering them anew.
    #[cold]
    pub(crate) fn take_sorted(&mut self) -> Vec<Entry> {
        let Order {
            mut sorted,
            early,
            later,
            ..
        } = std::mem::replace(self, Order::new());
        sorted.extend(later);
        sorted.extend(early.into_iter().map(|Reverse(entry)| entry));
        sorted.sort_unstable();
        sorted
    }

    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.sorted.capacity() + self.early.capacity() + self.later.capacity()
    }
}
