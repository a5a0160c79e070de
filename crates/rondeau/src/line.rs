//! A line of waiting tasks, first come, first served; the one mechanism under `Queue`, `Event`, `Lock`, `Semaphore` and
//! the sockets' readiness.
//!
//! Serving is a hand-over: `serve` gives the first in line what it waits for, in its own slot, and takes what it
//! brought. So nobody can slip in between the wake and the run, and a task that is woken has what it wanted, at its
//! first look. A ticket is the place in line, counted from the beginning of time: slot = ticket − `first`, so finding,
//! serving and leaving are O(1), and in the steady state nothing is allocated.
//!
//! The wakers are moved in and returned; none is cloned, dropped or woken here, since each of these may run other people's
//! code, which may come back: the caller ends its borrow first. [`collect`] does that for whoever polls, and whoever joins
//! clones before the borrow, unless the waker is a task's ([`is_ours`]), which runs nobody's code.
//!
//! Rejected: an intrusive list through the pinned futures (no faster here, and unsafe throughout); wake-then-recheck as
//! asyncio has it (a second look per hand-over, and a newcomer can overtake).

use std::cell::RefMut;
use std::collections::VecDeque;
use std::task::Waker;

#[cfg(doc)]
use crate::task::waker::is_ours;

/// `In` is what the waiting task brings, `Out` what it is given.
pub(crate) struct Line<In, Out> {
    slots: VecDeque<Slot<In, Out>>,
    /// The ticket of the first slot.
    first: u64,
    /// No ticket before this one still waits.
    next: u64,
    waiting: usize,
}

enum Slot<In, Out> {
    Waiting(Waker, In),
    Served(Out),
    Gone,
}

/// A place in a line. Whoever holds one calls `collect` until it has its share, or `leave`.
pub(crate) struct Ticket(u64);

/// What someone finds who asks for the share.
enum Look<Out> {
    /// It was given.
    Served(Out),
    /// Not yet, and the right one will be woken.
    Waiting,
    /// Not yet, and another waker is to be put in by [`Line::exchange`].
    Changed,
}

/// What someone who left the line had. To be dropped outside the borrow.
pub(crate) enum Left<In, Out> {
    /// Not served yet: what was brought comes back, with the waker.
    Waiting(#[allow(dead_code, reason = "to be dropped")] Waker, In),
    /// Served already: what was given must go to someone else.
    Served(Out),
}

impl<In, Out> Default for Line<In, Out> {
    fn default() -> Self {
        Line {
            slots: VecDeque::new(),
            first: 0,
            next: 0,
            waiting: 0,
        }
    }
}

impl<In, Out> Line<In, Out> {
    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Joins at the end.
    #[inline]
    pub(crate) fn join(&mut self, waker: Waker, brought: In) -> Ticket {
        let ticket = Ticket(self.first + self.slots.len() as u64);
        self.slots.push_back(Slot::Waiting(waker, brought));
        self.waiting += 1;
        ticket
    }

    /// Gives `share` to the first who waits; returns whom to wake and what was brought. `Err` when nobody waits.
    #[inline]
    pub(crate) fn serve(&mut self, share: Out) -> Result<(Waker, In), Out> {
        if self.waiting == 0 {
            return Err(share);
        }
        loop {
            let slot = &mut self.slots[(self.next - self.first) as usize];
            self.next += 1;
            if matches!(slot, Slot::Waiting(..)) {
                self.waiting -= 1;
                let Slot::Waiting(waker, brought) = std::mem::replace(slot, Slot::Served(share))
                else {
                    unreachable!("matched above")
                };
                return Ok((waker, brought));
            }
        }
    }

    /// Takes the share, if it was given; else tells whether `waker` is the one to be woken.
    #[inline]
    fn look(&mut self, ticket: &Ticket, waker: &Waker) -> Look<Out> {
        let slot = &mut self.slots[(ticket.0 - self.first) as usize];
        match slot {
            Slot::Waiting(known, _) if known.will_wake(waker) => Look::Waiting,
            Slot::Waiting(..) => Look::Changed,
            Slot::Served(_) => {
                let Slot::Served(share) = std::mem::replace(slot, Slot::Gone) else {
                    unreachable!("matched above")
                };
                self.trim();
                Look::Served(share)
            }
            Slot::Gone => unreachable!("a ticket is given up with its share"),
        }
    }

    /// Has another one woken, and gives back the former one; where the share was given meanwhile, `waker` and the share.
    fn exchange(&mut self, ticket: &Ticket, waker: Waker) -> (Waker, Option<Out>) {
        let slot = &mut self.slots[(ticket.0 - self.first) as usize];
        if let Slot::Waiting(known, _) = slot {
            return (std::mem::replace(known, waker), None);
        }
        let Slot::Served(share) = std::mem::replace(slot, Slot::Gone) else {
            unreachable!("a ticket is given up with its share")
        };
        self.trim();
        (waker, Some(share))
    }

    /// Takes out all wakers: nobody who waits will be woken.
    pub(crate) fn give_back(&mut self, wakers: &mut Vec<Waker>) {
        for slot in &mut self.slots {
            if let Slot::Waiting(waker, _) = slot {
                wakers.push(std::mem::replace(waker, Waker::noop().clone()));
            }
        }
    }

    /// Gives up the place.
    pub(crate) fn leave(&mut self, ticket: Ticket) -> Left<In, Out> {
        let slot = &mut self.slots[(ticket.0 - self.first) as usize];
        let left = match std::mem::replace(slot, Slot::Gone) {
            Slot::Waiting(waker, brought) => {
                self.waiting -= 1;
                Left::Waiting(waker, brought)
            }
            Slot::Served(share) => Left::Served(share),
            Slot::Gone => unreachable!("a ticket is given up with its share"),
        };
        self.trim();
        left
    }

    #[inline]
    fn trim(&mut self) {
        while let Some(Slot::Gone) = self.slots.front() {
            self.slots.pop_front();
            self.first += 1;
        }
        self.next = self.next.max(self.first);
    }
}

/// Takes the share, if it was given; else sees to it that `waker` is the one to be woken. `line` borrows it for a moment.
#[inline]
pub(crate) fn collect<'a, In: 'a, Out: 'a>(
    line: impl Fn() -> RefMut<'a, Line<In, Out>>,
    ticket: &Ticket,
    waker: &Waker,
) -> Option<Out> {
    let look = line().look(ticket, waker);
    match look {
        Look::Served(share) => Some(share),
        Look::Waiting => None,
        Look::Changed => change(line, ticket, waker),
    }
}

/// The clone and the drop of a waker may run other people's code, which may serve this very ticket: before the exchange
/// that is seen here, behind it the new waker is woken.
#[cold]
fn change<'a, In: 'a, Out: 'a>(
    line: impl Fn() -> RefMut<'a, Line<In, Out>>,
    ticket: &Ticket,
    waker: &Waker,
) -> Option<Out> {
    let fresh = waker.clone();
    let (unneeded, share) = line().exchange(ticket, fresh);
    drop(unneeded);
    share
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAKER: &Waker = Waker::noop();

    fn noop() -> Waker {
        WAKER.clone()
    }

    impl<In, Out> Line<In, Out> {
        fn collect(&mut self, ticket: &Ticket, waker: &Waker) -> Option<Out> {
            let line = std::cell::RefCell::new(std::mem::take(self));
            let share = collect(|| line.borrow_mut(), ticket, waker);
            *self = line.into_inner();
            share
        }
    }

    #[test]
    fn served_in_the_order_of_joining() {
        let mut line = Line::default();
        let tickets: Vec<_> = (0..3).map(|i| line.join(noop(), i)).collect();
        assert_eq!(line.serve("a").unwrap().1, 0);
        assert_eq!(line.serve("b").unwrap().1, 1);
        assert_eq!(line.collect(&tickets[1], WAKER), Some("b"));
        assert_eq!(line.collect(&tickets[2], WAKER), None);
        assert_eq!(line.collect(&tickets[0], WAKER), Some("a"));
        assert_eq!(line.serve("c").unwrap().1, 2);
        assert_eq!(line.collect(&tickets[2], WAKER), Some("c"));
        assert_eq!(line.serve("d").err(), Some("d"));
        assert!(line.slots.is_empty());
    }

    #[test]
    fn leaving_gives_back_what_was_brought_or_given() {
        let mut line = Line::default();
        let first = line.join(noop(), 1);
        let second = line.join(noop(), 2);
        let third = line.join(noop(), 3);
        assert!(matches!(line.leave(second), Left::Waiting(_, 2)));
        assert_eq!(line.serve('x').unwrap().1, 1);
        assert!(matches!(line.leave(first), Left::Served('x')));
        assert_eq!(line.waiting(), 1);
        assert_eq!(line.serve('y').unwrap().1, 3);
        assert_eq!(line.collect(&third, WAKER), Some('y'));
        let fourth = line.join(noop(), 4);
        assert_eq!(line.serve('z').unwrap().1, 4);
        assert_eq!(line.collect(&fourth, WAKER), Some('z'));
    }
}
