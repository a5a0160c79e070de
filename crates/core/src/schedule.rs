//! Which of the ready comes next, in a simulation.
//!
//! - *First in, first out*: as the agenda has it.
//! - *Random*: any, each as likely as another.
//! - *Priorities* (probabilistic concurrency testing, PCT: Burckhardt, Kothari, Musuvathi, Nagarakatte, ASPLOS 2010): each
//!   task has a random rank, the best of those that are ready runs, and at a few random moments the one that would run is
//!   ranked last. A fault that takes d such moments is found in one of n·k^(d-1) runs of n tasks and k steps, however
//!   improbable it is among all orders.
//!
//! Both draw zero where the first in line comes next, so that a tape of zeros is first in, first out.
//!
//! A task that never waits would starve the others by its rank, as no loop does: after [`PATIENCE`] steps in a row it is
//! ranked last.

use crate::tape::Tape;
use std::collections::HashMap;

/// Ranks that tasks draw.
const RANKS: u32 = 1 << 20;
/// A task runs so many steps in a row while others are ready, at most.
const PATIENCE: u32 = 1_000;

/// An order among what is ready.
///
/// ```
/// use rondeau_core::{Schedule, Tape};
///
/// let (mut schedule, mut tape) = (Schedule::random(), Tape::seeded(7));
/// let ready = ["soup", "roast", "salad"];
/// let next = schedule.choose(&mut tape, ready.len(), |index| Some(index as u64));
/// assert!(next < ready.len());
/// assert_eq!(Schedule::fifo().choose(&mut tape, 3, |_| None), 0);
/// ```
#[derive(Clone, Debug)]
pub struct Schedule(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Fifo,
    Random,
    Priorities(Priorities),
}

#[derive(Clone, Debug)]
struct Priorities {
    /// One of so many steps is a moment of change.
    interval: u32,
    /// By task; the lowest comes first.
    ranks: HashMap<u64, u32>,
    /// What the next one that is ranked last gets.
    last: u32,
    /// Who ran last, and how often in a row.
    running: Option<u64>,
    in_a_row: u32,
}

impl Schedule {
    /// The first in line.
    #[must_use]
    pub const fn fifo() -> Schedule {
        Schedule(Kind::Fifo)
    }

    /// Any of them.
    #[must_use]
    pub const fn random() -> Schedule {
        Schedule(Kind::Random)
    }

    /// The one with the best rank, which changes in one of `interval` steps.
    #[must_use]
    pub fn priorities(interval: u32) -> Schedule {
        Schedule(Kind::Priorities(Priorities {
            interval,
            ranks: HashMap::new(),
            last: RANKS,
            running: None,
            in_a_row: 0,
        }))
    }

    /// Whether it is first in, first out.
    #[inline]
    #[must_use]
    pub const fn is_fifo(&self) -> bool {
        matches!(self.0, Kind::Fifo)
    }

    /// The index of the next one of `ready`, which is not 0. `task` says which task an index stands for: None for what is no
    /// task, which priorities have come first.
    pub fn choose(
        &mut self,
        tape: &mut Tape,
        ready: usize,
        task: impl Fn(usize) -> Option<u64>,
    ) -> usize {
        match &mut self.0 {
            Kind::Fifo => 0,
            Kind::Random => tape.draw(u32::try_from(ready).unwrap_or(u32::MAX)) as usize,
            Kind::Priorities(priorities) => priorities.choose(tape, ready, task),
        }
    }

    /// Forgets a task, which has ended: another may come to have its number.
    pub fn forget(&mut self, task: u64) {
        if let Kind::Priorities(priorities) = &mut self.0 {
            priorities.ranks.remove(&task);
            if priorities.running == Some(task) {
                priorities.running = None;
            }
        }
    }
}

impl Priorities {
    fn choose(
        &mut self,
        tape: &mut Tape,
        ready: usize,
        task: impl Fn(usize) -> Option<u64>,
    ) -> usize {
        let Some((index, key)) = self.best(tape, ready, &task) else {
            return (0..ready).find(|index| task(*index).is_none()).unwrap_or(0);
        };
        if ready == 1 {
            self.ran(key);
            return index;
        }
        let tired = self.running == Some(key) && self.in_a_row >= PATIENCE;
        if !tired && tape.draw(self.interval) != 1 {
            self.ran(key);
            return index;
        }
        self.last += 1;
        self.ranks.insert(key, self.last);
        match self.best(tape, ready, &task) {
            Some((index, key)) => {
                self.ran(key);
                index
            }
            None => index,
        }
    }

    /// The task with the best rank; None where something is ready that is no task.
    fn best(
        &mut self,
        tape: &mut Tape,
        ready: usize,
        task: &impl Fn(usize) -> Option<u64>,
    ) -> Option<(usize, u64)> {
        let mut best: Option<(usize, u64, u32)> = None;
        for index in 0..ready {
            let key = task(index)?;
            let rank = *self.ranks.entry(key).or_insert_with(|| tape.draw(RANKS));
            if best.is_none_or(|(_, _, other)| rank < other) {
                best = Some((index, key, rank));
            }
        }
        best.map(|(index, key, _)| (index, key))
    }

    fn ran(&mut self, key: u64) {
        if self.running == Some(key) {
            self.in_a_row += 1;
        } else {
            (self.running, self.in_a_row) = (Some(key), 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tape_of_zeros_is_first_in_first_out() {
        for mut schedule in [Schedule::random(), Schedule::priorities(5)] {
            let mut tape = Tape::scripted(Vec::new());
            for ready in 1..20 {
                assert_eq!(schedule.choose(&mut tape, ready, |i| Some(i as u64)), 0);
            }
        }
    }

    #[test]
    fn the_best_rank_runs_until_it_changes() {
        let mut tape = Tape::scripted(vec![5, 3, 9, 0, 0, 1, 0]);
        let mut schedule = Schedule::priorities(10);
        let mut choose = || schedule.choose(&mut tape, 3, |index| Some(index as u64));
        assert_eq!([choose(), choose()], [1, 1]);
        assert_eq!([choose(), choose()], [0, 0]); // The tape said 1: the second task is ranked last.
    }

    #[test]
    fn what_is_no_task_comes_first() {
        let mut tape = Tape::seeded(1);
        let mut schedule = Schedule::priorities(10);
        let kinds = [Some(1), None, Some(2)];
        assert_eq!(schedule.choose(&mut tape, 3, |index| kinds[index]), 1);
    }

    #[test]
    fn no_task_starves_the_others() {
        let mut tape = Tape::scripted(Vec::new());
        let mut schedule = Schedule::priorities(10);
        let chosen = (0..3_000).map(|_| schedule.choose(&mut tape, 2, |index| Some(index as u64)));
        assert!(chosen.filter(|index| *index == 1).count() > 900);
    }

    #[test]
    fn who_ended_is_forgotten() {
        let mut tape = Tape::scripted(vec![5, 3]);
        let mut schedule = Schedule::priorities(10);
        assert_eq!(schedule.choose(&mut tape, 2, |index| Some(index as u64)), 1);
        schedule.forget(1);
        assert_eq!(schedule.choose(&mut tape, 2, |index| Some(index as u64)), 1); // It drew 0 now.
    }
}
