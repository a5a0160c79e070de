//! What happened, and when: a ring of the last events, and the table of what the numbers in them mean.
//!
//! Written by a face's recorder, on the loop's thread; read when somebody asks what was recorded. Nothing here knows what a
//! task is: an event names its subject by a number, and the table holds whatever the face keeps of it.
//!
//! Invariants: the ring keeps the last `capacity` events and counts those that it overwrote. A subject that ended stays in the
//! table until no event in the ring can name it any more; its number is then used again. So the table is bounded by the
//! ring and by what lives, however long the recorder is on. What leaves the table is returned and never dropped here.
//!
//! Rejected: events of 32 bytes with 64-bit subjects (a third more memory to touch; a number that is used again needs no 64 bits);
//! a list of segments instead of a ring (a pointer to follow in the hot path, and freeing in bursts).

use std::collections::VecDeque;

/// What an event says. The numbers are those of the file format.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The subject was made; `detail`: by whom.
    Created = 1,
    /// It may run from now on; `detail`: who woke it, or 0.
    Ready = 2,
    /// It runs.
    Run = 3,
    /// It waits; `wait` says on what, `detail` the rest.
    Wait = 4,
    /// It ended.
    Done = 5,
    /// It was cancelled.
    Cancelled = 6,
    /// It ended with an exception.
    Failed = 7,
    /// A callback runs.
    Callback = 8,
    /// It ended.
    Return = 9,
    /// The loop asks the kernel and may sleep.
    Park = 10,
    /// It goes on.
    Unpark = 11,
    /// The subject held the loop for too long; `detail` is the face's.
    Block = 12,
}

/// One event, 24 bytes.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// When, in the recorder's ticks.
    pub time: u64,
    /// What else there is to say: another subject, a duration.
    pub detail: u64,
    /// Who: a number of the table's.
    pub subject: u32,
    /// On which loop.
    pub place: u16,
    /// What.
    pub kind: Kind,
    /// On what it waits: a number of the face's.
    pub wait: u8,
}

/// The last events.
///
/// ```
/// use rondeau_core::record::{Event, Kind, Ring};
///
/// let mut ring = Ring::new(2);
/// for time in 0..3 {
///     ring.push(Event { time, detail: 0, subject: 1, place: 0, kind: Kind::Run, wait: 0 });
/// }
/// assert_eq!(ring.lost(), 1);
/// assert_eq!(ring.iter().map(|event| event.time).collect::<Vec<_>>(), [1, 2]);
/// ```
#[derive(Debug)]
pub struct Ring {
    events: Vec<Event>,
    mask: u64,
    head: u64,
}

impl Ring {
    /// Room for `capacity` events, rounded up to a power of two. The memory is touched only as it is written.
    #[must_use]
    pub fn new(capacity: usize) -> Ring {
        let capacity = capacity.max(1).next_power_of_two();
        Ring {
            events: Vec::with_capacity(capacity),
            mask: capacity as u64 - 1,
            head: 0,
        }
    }

    /// Writes one, over the oldest where the ring is full.
    #[inline]
    pub fn push(&mut self, event: Event) {
        let at = (self.head & self.mask) as usize;
        self.head += 1;
        match self.events.get_mut(at) {
            Some(old) => *old = event,
            None => self.events.push(event),
        }
    }

    /// The number of the next event, counted from the first that was ever written.
    #[inline]
    #[must_use]
    pub fn head(&self) -> u64 {
        self.head
    }

    /// The number of the oldest event that is still there; as many are lost.
    #[inline]
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.head - self.events.len() as u64
    }

    /// How many fit.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.mask as usize + 1
    }

    /// The events, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Event> {
        let split = if self.lost() == 0 {
            0
        } else {
            (self.head & self.mask) as usize
        };
        self.events[split..].iter().chain(&self.events[..split])
    }
}

/// The table: what the face keeps of each subject. Number 0 is nobody's.
#[derive(Debug)]
pub struct Subjects<T> {
    places: Vec<Option<T>>,
    free: Vec<u32>,
    /// Who ended, with the number of the last event that may name it, in that order.
    ended: VecDeque<(u64, u32)>,
}

impl<T> Default for Subjects<T> {
    fn default() -> Self {
        Subjects {
            places: vec![None],
            free: Vec::new(),
            ended: VecDeque::new(),
        }
    }
}

impl<T> Subjects<T> {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a subject in and gives it a number.
    pub fn add(&mut self, subject: T) -> u32 {
        if let Some(number) = self.free.pop() {
            self.places[number as usize] = Some(subject);
            return number;
        }
        let number = u32::try_from(self.places.len())
            .expect("four thousand million subjects do not fit in memory");
        self.places.push(Some(subject));
        number
    }

    /// The subject with this number.
    #[inline]
    #[must_use]
    pub fn get(&self, number: u32) -> Option<&T> {
        self.places.get(number as usize)?.as_ref()
    }

    /// The subject with this number, to be changed.
    #[inline]
    #[must_use]
    pub fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.places.get_mut(number as usize)?.as_mut()
    }

    /// Says that no event from number `head` on will name this subject.
    pub fn end(&mut self, number: u32, head: u64) {
        debug_assert!(self.ended.back().is_none_or(|(last, _)| *last <= head));
        self.ended.push_back((head, number));
    }

    /// One subject that no event names any more, where the ring has `lost` this many; its number is free from now on.
    pub fn forget(&mut self, lost: u64) -> Option<T> {
        let (head, number) = *self.ended.front()?;
        if head > lost {
            return None;
        }
        self.ended.pop_front();
        self.take(number)
    }

    /// Takes a subject out at once, which no event names; its number is free from now on.
    pub fn take(&mut self, number: u32) -> Option<T> {
        let subject = self.places.get_mut(number as usize)?.take();
        if subject.is_some() {
            self.free.push(number);
        }
        subject
    }

    /// All of them with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..)
            .zip(&self.places)
            .filter_map(|(number, place)| Some((number, place.as_ref()?)))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len() - 1 - self.free.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(time: u64, subject: u32) -> Event {
        Event {
            time,
            detail: 0,
            subject,
            place: 0,
            kind: Kind::Run,
            wait: 0,
        }
    }

    #[test]
    fn an_event_has_24_bytes() {
        assert_eq!(size_of::<Event>(), 24);
    }

    #[test]
    fn the_ring_keeps_the_last_events_in_order_and_counts_the_lost() {
        for count in 0..20u64 {
            let mut ring = Ring::new(5);
            assert_eq!(ring.capacity(), 8);
            (0..count).for_each(|time| ring.push(event(time, 1)));
            assert_eq!(ring.lost(), count.saturating_sub(8));
            assert_eq!(ring.head(), count);
            let times: Vec<_> = ring.iter().map(|event| event.time).collect();
            assert_eq!(times, (count.saturating_sub(8)..count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn no_subject_is_forgotten_while_an_event_names_it() {
        let mut ring = Ring::new(4);
        let mut subjects = Subjects::new();
        for time in 0..100 {
            let number = subjects.add(time);
            ring.push(event(time, number));
            ring.push(event(time, number));
            subjects.end(number, ring.head());
            while subjects.forget(ring.lost()).is_some() {}
            for event in ring.iter() {
                assert_eq!(subjects.get(event.subject), Some(&event.time));
            }
            assert!(subjects.len() <= 3, "the table grows");
        }
    }

    #[test]
    fn a_number_that_is_free_is_used_again_and_0_is_nobodys() {
        let mut subjects = Subjects::new();
        assert!(subjects.is_empty());
        let (first, second) = (subjects.add('a'), subjects.add('b'));
        assert_eq!((first, second, subjects.get(0)), (1, 2, None));
        assert_eq!(subjects.take(first), Some('a'));
        assert_eq!(subjects.take(first), None);
        assert_eq!(subjects.add('c'), first);
        assert_eq!(subjects.iter().collect::<Vec<_>>(), [(1, &'c'), (2, &'b')]);
        assert_eq!(subjects.len(), 2);
    }
}
