//! Handles that are due at a time.
//!
//! The owner of the loop inserts and cancels from anywhere and, once a turn, pops what is due. Exact: in the order of
//! (due, insertion), to the nanosecond. A timer is a slot that holds its handle, and an entry in [`Order`] that says
//! when; cancelling frees the slot at once and leaves the entry, which is skipped when it comes up or swept out when
//! over half of the entries are such.
//!
//! Invariants: `live` slots hold a handle; each has exactly one entry with its `seq`; every other entry is stale.
//! `ident` numbers all insertions (it wraps after 2^32), so a key kept for long finds no other timer in its slot.
//!
//! Memory: 32 bytes a timer beyond the handle's 8. Slots keep the memory of the busiest time until there are no
//! timers, then give it back when they were not needed lately; entries when they are swept.

use crate::order::{Entry, Order};
use crate::time::Time;

/// Stale entries are swept when there are more than this, and more than live ones.
const SWEEP: usize = 64;
/// So many slots are kept for good.
const KEEP: usize = 1024;
/// The end of the list of free slots; no slot has this number.
const NONE: u32 = u32::MAX;

/// Names a timer, for cancelling it; finds nothing once that was popped or cancelled.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TimerKey {
    slot: u32,
    ident: u32,
}

#[derive(Debug)]
struct Slot<H> {
    /// Of a taken slot: which insertion.
    ident: u32,
    /// Of a taken slot: its entry's; of a free one: the next free slot.
    seq: u32,
    handle: Option<H>,
}

/// Timers, exact to the nanosecond.
///
/// ```
/// use rondeau_core::{Time, Timers};
///
/// let mut timers = Timers::new();
/// timers.insert(Time::from_nanos(15), "roast");
/// let soup = timers.insert(Time::from_nanos(10), "soup");
/// timers.insert(Time::from_nanos(10), "salad");
/// assert_eq!(timers.next_due(), Some(Time::from_nanos(10)));
/// assert_eq!(timers.cancel(soup), Some("soup"));
/// assert_eq!(timers.cancel(soup), None);
/// assert_eq!(timers.pop_due(Time::from_nanos(12)), Some("salad"));
/// assert_eq!(timers.pop_due(Time::from_nanos(12)), None); // the roast is not due
/// assert_eq!(timers.len(), 1);
/// ```
#[derive(Debug)]
pub struct Timers<H> {
    order: Order,
    slots: Vec<Slot<H>>,
    free: u32,
    live: usize,
    ident: u32,
    seq: u32,
}

impl<H> Timers<H> {
    /// None; allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Timers {
            order: Order::new(),
            slots: Vec::new(),
            free: NONE,
            live: 0,
            ident: 0,
            seq: 0,
        }
    }

    /// Adds a timer. Those with the same `due` come in the order of their insertion.
    ///
    /// # Panics
    /// With 2^32 - 1 timers already.
    #[inline]
    pub fn insert(&mut self, due: Time, handle: H) -> TimerKey {
        if self.seq == u32::MAX {
            self.number_anew();
        }
        let (ident, seq) = (self.ident, self.seq);
        self.ident = ident.wrapping_add(1);
        self.seq = seq + 1;
        self.live += 1;
        let taken = Slot {
            ident,
            seq,
            handle: Some(handle),
        };
        let slot = self.free;
        if slot == NONE {
            let slot = self.slots.len() as u32;
            assert!(slot != NONE, "2^32 - 1 timers at once");
            self.slots.push(taken);
            self.order.push(Entry::new(due, seq, slot));
            return TimerKey { slot, ident };
        }
        let place = &mut self.slots[slot as usize];
        self.free = place.seq;
        *place = taken;
        self.order.push(Entry::new(due, seq, slot));
        TimerKey { slot, ident }
    }

    /// Removes a timer and returns its handle; `None` when it was popped or cancelled before.
    #[inline]
    pub fn cancel(&mut self, key: TimerKey) -> Option<H> {
        let place = self.slots.get_mut(key.slot as usize)?;
        if place.ident != key.ident {
            return None;
        }
        let handle = place.handle.take()?;
        self.release(key.slot);
        let stale = self.order.len() - self.live;
        if stale > SWEEP && stale > self.live {
            self.sweep();
        }
        Some(handle)
    }

    /// When the first timer is due.
    #[inline]
    pub fn next_due(&mut self) -> Option<Time> {
        Some(self.first()?.due())
    }

    /// Takes the first timer if it is due at `now`.
    #[inline]
    pub fn pop_due(&mut self, now: Time) -> Option<H> {
        let entry = self.first()?;
        if entry.due() > now {
            return None;
        }
        self.order.remove_first();
        let handle = self.slots[entry.slot() as usize].handle.take();
        self.release(entry.slot());
        handle
    }

    /// The timers in their order, each with its due time and its key; left where they are. For who shows them, not for a turn.
    ///
    /// ```
    /// use rondeau_core::{Time, Timers};
    ///
    /// let mut timers = Timers::new();
    /// let roast = timers.insert(Time::from_nanos(15), "roast");
    /// let soup = timers.insert(Time::from_nanos(10), "soup");
    /// let keys: Vec<_> = timers.in_order().into_iter().map(|(_, key)| key).collect();
    /// assert_eq!(keys, [soup, roast]);
    /// assert_eq!(timers.get(soup), Some(&"soup"));
    /// ```
    #[must_use]
    pub fn in_order(&self) -> Vec<(Time, TimerKey)> {
        let mut entries: Vec<Entry> = self
            .order
            .iter()
            .filter(|entry| is_live(&self.slots, *entry))
            .collect();
        entries.sort_unstable();
        let key = |entry: &Entry| TimerKey {
            slot: entry.slot(),
            ident: self.slots[entry.slot() as usize].ident,
        };
        entries
            .iter()
            .map(|entry| (entry.due(), key(entry)))
            .collect()
    }

    /// The handle of a timer that is still there.
    #[must_use]
    pub fn get(&self, key: TimerKey) -> Option<&H> {
        let slot = self.slots.get(key.slot as usize)?;
        slot.handle.as_ref().filter(|_| slot.ident == key.ident)
    }

    /// Gives a timer another handle and returns the one before; gives the new one back where the timer is gone.
    ///
    /// # Errors
    /// The timer was popped or cancelled.
    pub fn replace(&mut self, key: TimerKey, handle: H) -> Result<H, H> {
        match self.slots.get_mut(key.slot as usize) {
            Some(slot) if slot.ident == key.ident => match slot.handle.as_mut() {
                Some(place) => Ok(std::mem::replace(place, handle)),
                None => Err(handle),
            },
            _ => Err(handle),
        }
    }

    /// Changes with every timer that comes or goes: how many were ever inserted (modulo 2^32), and how many there are.
    #[must_use]
    pub fn version(&self) -> (u32, usize) {
        (self.ident, self.live)
    }

    /// How many timers there are.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.live
    }

    /// Whether there are none.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// The handles, in no order, left where they are (for a garbage collector's traversal).
    pub fn iter(&self) -> impl Iterator<Item = &H> {
        self.slots.iter().filter_map(|slot| slot.handle.as_ref())
    }

    /// Takes all handles, in no order, for closing a loop. All keys find nothing from now on.
    pub fn drain(&mut self) -> impl Iterator<Item = H> + use<H> {
        self.order = Order::new();
        (self.free, self.live) = (NONE, 0);
        std::mem::take(&mut self.slots)
            .into_iter()
            .filter_map(|slot| slot.handle)
    }

    /// The first live entry; stale ones before it are dropped.
    #[inline]
    fn first(&mut self) -> Option<Entry> {
        loop {
            let entry = self.order.first()?;
            if is_live(&self.slots, entry) {
                return Some(entry);
            }
            self.order.remove_first();
        }
    }

    /// Frees a slot whose handle was taken.
    #[inline]
    fn release(&mut self, slot: u32) {
        self.slots[slot as usize].seq = self.free;
        self.free = slot;
        self.live -= 1;
        if self.live == 0 && self.slots.len() > KEEP {
            self.rest();
        }
    }

    #[cold]
    fn sweep(&mut self) {
        let slots = &self.slots;
        self.order.retain(|entry| is_live(slots, entry));
    }

    /// No timer is left after many: all slots are free. What the last busy time did not need is given back.
    #[cold]
    fn rest(&mut self) {
        let used = self.slots.len();
        self.slots.clear();
        self.free = NONE;
        if self.slots.capacity() / 4 > used {
            self.slots.shrink_to(used);
        }
        self.order.retain(|_| false);
    }

    /// After 2^32 insertions the numbers have run out: those in use are numbered from 0, in the same order.
    #[cold]
    fn number_anew(&mut self) {
        self.sweep();
        self.seq = 0;
        for entry in self.order.take_sorted() {
            self.slots[entry.slot() as usize].seq = self.seq;
            self.order
                .push(Entry::new(entry.due(), self.seq, entry.slot()));
            self.seq += 1;
        }
    }
}

/// Whether the entry's timer is still there, and not another one in its slot.
#[inline]
fn is_live<H>(slots: &[Slot<H>], entry: Entry) -> bool {
    slots
        .get(entry.slot() as usize)
        .is_some_and(|slot| slot.handle.is_some() && slot.seq == entry.seq())
}

impl<H> Default for Timers<H> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
