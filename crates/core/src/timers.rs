//! Handles that are due at a time, in the exact order of (due, insertion).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::time::Time;

/// Names a timer, for cancelling it; stale once it was popped or cancelled.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TimerKey {
    slot: u32,
    generation: u32,
}

#[derive(Debug)]
struct Slot<H> {
    generation: u32,
    handle: Option<H>,
}

/// Timers, exact to the nanosecond.
#[derive(Debug)]
pub struct Timers<H> {
    heap: BinaryHeap<Reverse<(Time, u64, u32)>>,
    slots: Vec<Slot<H>>,
    free: Vec<u32>,
    seq: u64,
    live: usize,
}

impl<H> Timers<H> {
    /// None; allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Timers {
            heap: BinaryHeap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            seq: 0,
            live: 0,
        }
    }

    /// Adds a timer.
    #[inline]
    pub fn insert(&mut self, due: Time, handle: H) -> TimerKey {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(Slot {
                    generation: 0,
                    handle: None,
                });
                (self.slots.len() - 1) as u32
            }
        };
        let place = &mut self.slots[slot as usize];
        place.handle = Some(handle);
        self.heap.push(Reverse((due, self.seq, slot)));
        self.seq += 1;
        self.live += 1;
        TimerKey {
            slot,
            generation: place.generation,
        }
    }

    /// Removes a timer and returns its handle; `None` when it was popped or cancelled before.
    #[inline]
    pub fn cancel(&mut self, key: TimerKey) -> Option<H> {
        let place = self.slots.get_mut(key.slot as usize)?;
        if place.generation != key.generation {
            return None;
        }
        let handle = place.handle.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.live -= 1;
        if self.heap.len() > 64 && self.live * 2 < self.heap.len() {
            let (slots, free) = (&self.slots, &mut self.free);
            self.heap.retain(|Reverse((_, _, slot))| {
                let live = slots[*slot as usize].handle.is_some();
                if !live {
                    free.push(*slot);
                }
                live
            });
        }
        Some(handle)
    }

    /// When the first timer is due.
    #[inline]
    pub fn next_due(&mut self) -> Option<Time> {
        while let Some(Reverse((due, _, slot))) = self.heap.peek() {
            if self.slots[*slot as usize].handle.is_some() {
                return Some(*due);
            }
            self.free.push(*slot);
            self.heap.pop();
        }
        None
    }

    /// Takes the first timer if it is due.
    #[inline]
    pub fn pop_due(&mut self, now: Time) -> Option<H> {
        if self.next_due()? > now {
            return None;
        }
        let Reverse((_, _, slot)) = self.heap.pop()?;
        let place = &mut self.slots[slot as usize];
        place.generation = place.generation.wrapping_add(1);
        self.free.push(slot);
        self.live -= 1;
        place.handle.take()
    }

    /// How many timers there are, cancelled ones not counted.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.live
    }

    /// Whether there are none.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The live handles, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &H> {
        self.slots.iter().filter_map(|slot| slot.handle.as_ref())
    }

    /// Takes all handles, in no order.
    pub fn drain(&mut self) -> impl Iterator<Item = H> + '_ {
        self.heap.clear();
        self.free.clear();
        self.live = 0;
        self.slots.drain(..).filter_map(|slot| slot.handle)
    }
}

impl<H> Default for Timers<H> {
    fn default() -> Self {
        Self::new()
    }
}
