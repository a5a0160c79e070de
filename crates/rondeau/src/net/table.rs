//! Which socket an event is about. A token is a slot's number and its generation, so an event for a socket that was
//! closed meanwhile (even in the same batch) finds nothing, although its slot may have a new owner.

use std::rc::Rc;
use std::task::Waker;

use super::socket::Ready;

#[derive(Default)]
pub(crate) struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

struct Slot {
    generation: u32,
    ready: Option<Rc<Ready>>,
}

fn token(number: u32, generation: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(number)
}

impl Table {
    /// Enters a socket; returns its token.
    pub(crate) fn insert(&mut self, ready: Rc<Ready>) -> u64 {
        let number = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                ready: None,
            });
            u32::try_from(self.slots.len() - 1).expect("there are fewer descriptors than 2^32")
        });
        let slot = &mut self.slots[number as usize];
        slot.ready = Some(ready);
        token(number, slot.generation)
    }

    /// Takes out who waits for any of the sockets: the loop ends, and nobody is woken any more.
    pub(crate) fn give_back(&self, wakers: &mut Vec<Waker>) {
        for ready in self.slots.iter().filter_map(|slot| slot.ready.as_ref()) {
            ready.give_back(wakers);
        }
    }

    #[inline]
    pub(crate) fn get(&self, token: u64) -> Option<Rc<Ready>> {
        let slot = self.slots.get(token as u32 as usize)?;
        if u64::from(slot.generation) != token >> 32 {
            return None;
        }
        slot.ready.clone()
    }

    /// Forgets a socket. What it gives back is to be dropped outside the borrow.
    pub(crate) fn remove(&mut self, token: u64) -> Option<Rc<Ready>> {
        let slot = self.slots.get_mut(token as u32 as usize)?;
        if u64::from(slot.generation) != token >> 32 {
            return None;
        }
        // The driver's own token is all ones: its generation is never used.
        slot.generation = (slot.generation + 1) % u32::MAX;
        self.free.push(token as u32);
        slot.ready.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_of_a_socket_that_was_closed_finds_nothing() {
        let mut table = Table::default();
        let (first, second) = (Rc::new(Ready::new(true)), Rc::new(Ready::new(true)));
        let old = table.insert(first);
        assert!(table.get(old).is_some());
        assert!(table.remove(old).is_some());
        let new = table.insert(Rc::clone(&second)); // in the same slot
        assert!(table.get(old).is_none() && table.remove(old).is_none());
        assert!(
            table
                .get(new)
                .is_some_and(|found| Rc::ptr_eq(&found, &second))
        );
        assert!(table.get(u64::MAX).is_none());
    }
}
