//! The operations of a loop that are under way, and those that wait their turn.
//!
//! At most [`MOST`] are with the kernel at a time, so that what they read into stays bounded and no turn copies without end. The
//! others wait in lanes, one for each open file and one for all that has none, and the lanes take turns: a file with ten
//! thousand reads does not keep another's one waiting.
//!
//! Invariants: a place holds a strong reference to its operation until the completion was reaped, cancelled or not: that is what keeps the
//! memory that the kernel writes to. A lane is never empty.

use super::op::Operation;
use pyo3_ffi as ffi;
use std::collections::VecDeque;

/// Operations with the kernel at a time; as many as the ring's submission queue has entries.
const MOST: usize = 256;

/// A failure that tests ask for: of the operation of that name, after so many of them.
pub struct Fault {
    pub name: String,
    pub errno: i32,
    pub after: usize,
}

/// See above.
#[derive(Default)]
pub struct Table {
    places: Vec<*mut ffi::PyObject>,
    free: Vec<u32>,
    lanes: VecDeque<(usize, VecDeque<*mut ffi::PyObject>)>,
    pub faults: Vec<Fault>,
}

impl Table {
    #[inline]
    pub fn is_busy(&self) -> bool {
        self.places.len() > self.free.len()
    }

    #[inline]
    pub fn has_room(&self) -> bool {
        self.places.len() - self.free.len() < MOST
    }

    /// Takes over a reference; the place's number.
    #[inline]
    pub fn board(&mut self, object: *mut ffi::PyObject) -> u32 {
        match self.free.pop() {
            Some(index) => {
                self.places[index as usize] = object;
                index
            }
            None => {
                self.places.push(object);
                (self.places.len() - 1) as u32
            }
        }
    }

    /// Gives the reference back; NULL for a place that is free.
    #[inline]
    pub fn land(&mut self, index: u32) -> *mut ffi::PyObject {
        let object = std::mem::replace(&mut self.places[index as usize], std::ptr::null_mut());
        if !object.is_null() {
            self.free.push(index);
        }
        object
    }

    /// Takes over a reference that waits in the lane of `key`.
    pub fn queue(&mut self, key: usize, object: *mut ffi::PyObject) {
        match self.lanes.iter_mut().find(|(lane, _)| *lane == key) {
            Some((_, lane)) => lane.push_back(object),
            None => self.lanes.push_back((key, VecDeque::from([object]))),
        }
    }

    /// The next one whose turn it is; its reference goes to the caller.
    #[inline]
    pub fn next(&mut self) -> Option<*mut ffi::PyObject> {
        if self.lanes.is_empty() || !self.has_room() {
            return None;
        }
        let (key, mut lane) = self.lanes.pop_front()?;
        let object = lane.pop_front();
        if !lane.is_empty() {
            self.lanes.push_back((key, lane));
        }
        object
    }

    /// What is held, for the collector.
    pub fn iter(&self) -> impl Iterator<Item = *mut ffi::PyObject> + '_ {
        let waiting = self.lanes.iter().flat_map(|(_, lane)| lane.iter());
        self.places
            .iter()
            .chain(waiting)
            .copied()
            .filter(|object| !object.is_null())
    }

    /// Takes out what waits.
    pub fn take_waiting(&mut self) -> Vec<*mut ffi::PyObject> {
        let lanes = std::mem::take(&mut self.lanes);
        lanes.into_iter().flat_map(|(_, lane)| lane).collect()
    }

    /// The operations that the kernel has.
    pub fn flying(&self) -> Vec<Operation> {
        self.places
            .iter()
            .filter(|object| !object.is_null())
            // SAFETY: a place holds a live operation.
            .map(|object| unsafe { Operation::from_object(*object) })
            .collect()
    }

    /// Forgets what the kernel still has: leaked, since it may still write there.
    pub fn abandon(&mut self) {
        self.places.clear();
        self.free.clear();
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
