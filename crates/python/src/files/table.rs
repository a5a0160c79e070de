//! The operations of a loop that are under way, and those that wait their turn.
//!
//! At most [`MOST`] are with the kernel at a time, and fewer large reads, so that what they read into stays bounded and no turn
//! copies without end. The others wait in lanes, one for each open file and one for all that has none, and the
//! lanes take turns: a file with ten thousand reads does not keep another's one waiting, nor do large ones a small one.
//!
//! A read's memory is taken when it leaves its lane, so the memory of those that have ended serves those that follow. With 256 files of
//! a MiB read at once on two cores (medians) they take 80 ms of CPU time and not 230 where the page cache has them, 155 and not 290
//! from a disk, and the loop's longest stall is 5 to 8 ms and not 10 to 50. With four a core they take 85 to 110, and stalls of 14 ms.
//!
//! Invariants: a place holds a strong reference to its operation until the completion was reaped, cancelled or not: that is what keeps the
//! memory that the kernel writes to. A lane is never empty.

use super::op::Operation;
use pyo3_ffi as ffi;
use std::collections::VecDeque;
use std::{ptr, thread};

/// Operations with the kernel at a time; as many as the ring's submission queue has entries.
const MOST: usize = 256;

/// Large reads with the kernel at a time, for each core, and at least. io_uring has threads for four a core.
const LARGE_A_CORE: usize = 2;
const LEAST_LARGE: usize = 4;

/// A failure that tests ask for: of the operation of that name, after so many of them.
pub struct Fault {
    pub name: String,
    pub errno: i32,
    pub after: usize,
}

/// A reference to an operation, and whether it is a large read.
#[derive(Clone, Copy)]
struct Entry {
    object: *mut ffi::PyObject,
    large: bool,
}

/// See above.
pub struct Table {
    places: Vec<Entry>,
    free: Vec<u32>,
    lanes: VecDeque<(usize, VecDeque<Entry>)>,
    /// How many large reads have a place, and may have one.
    large: usize,
    most_large: usize,
    pub faults: Vec<Fault>,
}

impl Default for Table {
    fn default() -> Table {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Table {
            places: Vec::new(),
            free: Vec::new(),
            lanes: VecDeque::new(),
            large: 0,
            most_large: LEAST_LARGE.max(LARGE_A_CORE * cores),
            faults: Vec::new(),
        }
    }
}

impl Table {
    /// Whether anything is under way, or waits for a place.
    #[inline]
    pub fn is_busy(&self) -> bool {
        self.places.len() > self.free.len() || !self.lanes.is_empty()
    }

    /// Whether an operation, a large read or another, may have a place.
    #[inline]
    pub fn has_room(&self, large: bool) -> bool {
        self.places.len() - self.free.len() < MOST && (!large || self.large < self.most_large)
    }

    /// Takes over a reference; the place's number.
    #[inline]
    pub fn board(&mut self, object: *mut ffi::PyObject, large: bool) -> u32 {
        self.large += usize::from(large);
        let entry = Entry { object, large };
        match self.free.pop() {
            Some(index) => {
                self.places[index as usize] = entry;
                index
            }
            None => {
                self.places.push(entry);
                (self.places.len() - 1) as u32
            }
        }
    }

    /// Gives the reference back; NULL for a place that is free.
    #[inline]
    pub fn land(&mut self, index: u32) -> *mut ffi::PyObject {
        let place = &mut self.places[index as usize];
        let object = std::mem::replace(&mut place.object, ptr::null_mut());
        if !object.is_null() {
            self.large -= usize::from(place.large);
            self.free.push(index);
        }
        object
    }

    /// Takes over a reference that waits in the lane of `key`.
    pub fn queue(&mut self, key: usize, object: *mut ffi::PyObject, large: bool) {
        let entry = Entry { object, large };
        match self.lanes.iter_mut().find(|(lane, _)| *lane == key) {
            Some((_, lane)) => lane.push_back(entry),
            None => self.lanes.push_back((key, VecDeque::from([entry]))),
        }
    }

    /// The next one whose turn it is and for which there is room; its reference goes to the caller.
    #[inline]
    pub fn next(&mut self) -> Option<*mut ffi::PyObject> {
        if self.lanes.is_empty() {
            return None;
        }
        let at = self
            .lanes
            .iter()
            .position(|(_, lane)| self.has_room(lane.front().is_some_and(|first| first.large)))?;
        let (key, mut lane) = self.lanes.remove(at)?;
        let next = lane.pop_front();
        if !lane.is_empty() {
            self.lanes.push_back((key, lane));
        }
        next.map(|entry| entry.object)
    }

    /// What is held, for the collector.
    pub fn iter(&self) -> impl Iterator<Item = *mut ffi::PyObject> + '_ {
        let waiting = self.lanes.iter().flat_map(|(_, lane)| lane.iter());
        self.places
            .iter()
            .chain(waiting)
            .map(|entry| entry.object)
            .filter(|object| !object.is_null())
    }

    /// Takes out what waits.
    pub fn take_waiting(&mut self) -> Vec<*mut ffi::PyObject> {
        let lanes = std::mem::take(&mut self.lanes);
        lanes
            .into_iter()
            .flat_map(|(_, lane)| lane)
            .map(|entry| entry.object)
            .collect()
    }

    /// The operations that the kernel has.
    pub fn flying(&self) -> Vec<Operation> {
        self.places
            .iter()
            .filter(|entry| !entry.object.is_null())
            // SAFETY: a place holds a live operation.
            .map(|entry| unsafe { Operation::from_object(entry.object) })
            .collect()
    }

    /// Forgets what the kernel still has: leaked, since it may still write there.
    pub fn abandon(&mut self) {
        self.places.clear();
        self.free.clear();
        self.large = 0;
    }

    /// The failure that a test asked for, where it is due.
    #[cold]
    pub fn fault(&mut self, name: &str) -> Option<i32> {
        let at = self
            .faults
            .iter()
            .position(|fault| fault.name == name || fault.name == "*")?;
        if self.faults[at].after > 0 {
            self.faults[at].after -= 1;
            return None;
        }
        Some(self.faults.remove(at).errno)
    }
}
