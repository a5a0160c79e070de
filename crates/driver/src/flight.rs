//! The operations that the kernel holds, each in a numbered place until its completion has come.
//!
//! Used by the ring alone (a pool thread keeps its operation itself). Life of a flight: [`Flights::board`] gives it a
//! place and an id; its submission entry carries the id to the kernel; the completion carries it back and
//! [`Flights::land`] takes it out. Nothing else takes one out: not a cancel, not the waiter's end. Should the ring
//! have to go without the completions, [`Flights::abandon`] leaks them, since the kernel may still write to them.
//!
//! An id is the place in its low half and the place's generation in its high half, so a late cancel of an id whose
//! place was given to another operation finds nobody.

use crate::op::{Flight, Op, OpId};

/// Generations stay below this, so that ids of the ring never have the top bit, which marks the pool's.
const GENERATIONS: u32 = 1 << 31;

#[derive(Default)]
pub(crate) struct Flights {
    places: Vec<Place>,
    free: Vec<u32>,
}

struct Place {
    generation: u32,
    flight: Option<Flight>,
}

impl Flights {
    pub(crate) fn board(&mut self, op: Op, waiter: u64) -> &mut Flight {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place {
                generation: 0,
                flight: None,
            });
            (self.places.len() - 1) as u32
        });
        let place = &mut self.places[index as usize];
        let id = OpId(u64::from(place.generation) << 32 | u64::from(index));
        place.flight.insert(Flight::new(id, waiter, op))
    }

    /// Whether the completion of `id` is still to come.
    pub(crate) fn holds(&self, id: OpId) -> bool {
        let place = self.places.get(id.0 as u32 as usize);
        place
            .and_then(|place| place.flight.as_ref())
            .is_some_and(|flight| flight.id == id)
    }

    /// Takes out the flight whose completion has come.
    pub(crate) fn land(&mut self, id: OpId) -> Option<Flight> {
        if !self.holds(id) {
            return None;
        }
        let index = id.0 as u32;
        let place = &mut self.places[index as usize];
        place.generation = (place.generation + 1) % GENERATIONS;
        self.free.push(index);
        place.flight.take()
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(crate) fn ids(&self) -> Vec<OpId> {
        self.places
            .iter()
            .filter_map(|place| place.flight.as_ref())
            .map(|flight| flight.id)
            .collect()
    }

    /// Leaks every flight left: a leak is safe, freeing under the kernel is not.
    pub(crate) fn abandon(&mut self) {
        for place in self.places.drain(..) {
            std::mem::forget(place.flight);
        }
        self.free.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unlink() -> Op {
        Op::Unlink { path: c"x".into() }
    }

    #[test]
    fn a_place_is_used_again_under_another_id() {
        let mut flights = Flights::default();
        let first = flights.board(unlink(), 1).id;
        assert!(flights.holds(first));
        assert_eq!(flights.land(first).map(|flight| flight.waiter), Some(1));
        let second = flights.board(unlink(), 2).id;
        assert_eq!(first.0 as u32, second.0 as u32);
        assert!(!flights.holds(first) && flights.holds(second));
        assert!(flights.land(first).is_none());
        assert_eq!((flights.len(), flights.ids()), (1, vec![second]));
    }

    #[test]
    fn an_id_from_nowhere_is_nobody() {
        let mut flights = Flights::default();
        assert!(flights.land(OpId(77)).is_none());
    }
}
