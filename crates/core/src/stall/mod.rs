//! Whether a loop is held up, and for how long: judged from looks at its [`Beat`] and at its thread.
//!
//! Called by a watcher, some ten times a threshold, in a thread of its own. What counts is time in which one item (a callback, a task's step) kept
//! the loop from coming round: time that it computed, and time that it slept in the kernel. What does not count, for no line of the program is to
//! blame for it:
//!
//! - waiting for a processor on a loaded machine: the kernel counts it ([`Usage::waited`]), and a thread that is ready now but does not advance
//!   counts for what it advanced only;
//! - waiting for another thread of the process that has no processor ([`Sight::starved`]): starting a thread waits until it runs;
//! - the whole process being stopped (a signal, a debugger, a laptop's lid, a control group that is out of its share): the watcher itself
//!   is late then, and what it is late by is taken off;
//! - waiting for an interpreter's lock that other threads hold: counted by itself ([`Held::kept`]).
//!
//! A turn of many short items that lasts too long is no item's block: it is told apart as [`Verdict::Busy`].
//!
//! Invariant: what is reported did last that long; what is a look shorter than threshold and a quarter may be missed. Rejected: wall time
//! alone (one report a second on a machine with four busy processes a core).

mod span;

pub use span::{Held, Sight, Verdict};

use span::Span;

/// What a loop's thread writes of itself, as it was at a look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Beat {
    /// Grows by 2 with each item that begins; odd while the loop waits in the kernel, or does not run.
    pub word: u64,
    /// How many turns were begun.
    pub turns: u64,
}

impl Beat {
    /// Whether the loop waits in the kernel, or does not run.
    #[inline]
    #[must_use]
    pub const fn is_idle(self) -> bool {
        self.word & 1 == 1
    }
}

/// The judge of one loop.
///
/// ```
/// use rondeau_core::{Beat, Sight, Stall, Verdict};
/// use rondeau_driver::thread::{State, Usage};
///
/// let mut stall = Stall::new();
/// let asleep = |ran| Some(Sight { usage: Usage { ran, waited: Some(0), state: State::Asleep }, locked_out: false, starved: false });
/// let beat = Beat { word: 10, turns: 1 };
/// for look in 0..10 {
///     assert_eq!(stall.look(look * 10, 10, 100, beat, || asleep(5)), [None, None]);
/// }
/// let [Some(Verdict::Blocked(held)), None] = stall.look(100, 10, 100, beat, || asleep(5)) else { panic!() };
/// assert!(held.counted >= 100);
/// ```
#[derive(Debug, Default)]
pub struct Stall {
    item: Option<Span>,
    turn: Option<Span>,
    last: Option<(u64, Sight)>,
}

impl Stall {
    /// Of a loop that was not looked at yet.
    #[must_use]
    pub const fn new() -> Stall {
        Stall {
            item: None,
            turn: None,
            last: None,
        }
    }

    /// A look at time `now`, after the watcher meant to pause for `pause` (with what it waited for a processor itself). `sight` is asked for while the loop does not rest; None where the
    /// kernel tells nothing of the thread. What is to be said of the item, and of the turn. All times in nanoseconds.
    pub fn look(
        &mut self,
        now: u64,
        pause: u64,
        threshold: u64,
        beat: Beat,
        sight: impl FnOnce() -> Option<Sight>,
    ) -> [Option<Verdict>; 2] {
        let sight = if beat.is_idle() { None } else { sight() };
        let Some(sight) = sight else {
            return self.end(now, pause);
        };
        let last = self.last.replace((now, sight));
        let mut verdicts = [None, None];
        let spans = [(&mut self.item, beat.word), (&mut self.turn, beat.turns)];
        for ((slot, key), verdict) in spans.into_iter().zip(&mut verdicts) {
            match (slot, last) {
                (Some(span), Some(last)) if span.key == key => {
                    span.go_on(now, pause, last, sight, beat.word);
                }
                (slot, _) => {
                    *verdict = slot.take().and_then(|span| span.ended(now, pause));
                    *slot = Some(Span::new(key, beat.word, now, sight.usage, threshold));
                }
            }
        }
        if let (Some(item), Some(turn)) = (&mut self.item, &mut self.turn) {
            match item.judge(threshold) {
                Some(said) => {
                    turn.say_no_more();
                    verdicts[0] = Some(said);
                }
                None => verdicts[1] = turn.judge_turn(item, threshold),
            }
        }
        verdicts
    }

    /// What the thread had computed at the last look; 0 where it was not looked at.
    #[must_use]
    pub fn ran(&self) -> u64 {
        self.last.map_or(0, |(_, sight)| sight.usage.ran)
    }

    /// Nothing holds the loop, or nobody will look any more: what is to be said of the item, and of the turn.
    pub fn end(&mut self, now: u64, pause: u64) -> [Option<Verdict>; 2] {
        self.last = None;
        [self.item.take(), self.turn.take()]
            .map(|span| span.and_then(|span| span.ended(now, pause)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rondeau_driver::thread::{State, Usage};

    const MS: u64 = 1_000_000;
    const PAUSE: u64 = 10 * MS;
    const THRESHOLD: u64 = 100 * MS;

    /// A thread whose life is told interval by interval, looked at after each.
    struct Told {
        stall: Stall,
        now: u64,
        beat: Beat,
        usage: Usage,
        locked_out: bool,
        starved: bool,
        said: Vec<Verdict>,
    }

    impl Told {
        fn new() -> Told {
            let usage = Usage {
                ran: 0,
                waited: Some(0),
                state: State::Runnable,
            };
            let mut told = Told {
                stall: Stall::new(),
                now: 0,
                beat: Beat { word: 2, turns: 1 },
                usage,
                locked_out: false,
                starved: false,
                said: Vec::new(),
            };
            told.look(PAUSE);
            told
        }

        fn look(&mut self, passed: u64) {
            self.now += passed;
            let sight = Sight {
                usage: self.usage,
                locked_out: self.locked_out,
                starved: self.starved,
            };
            let verdicts = self
                .stall
                .look(self.now, PAUSE, THRESHOLD, self.beat, || Some(sight));
            self.said.extend(verdicts.into_iter().flatten());
        }

        fn asleep(&mut self, passed: u64) {
            self.usage.state = State::Asleep;
            self.look(passed);
        }

        fn running(&mut self, passed: u64) {
            self.usage.state = State::Runnable;
            self.usage.ran += passed;
            self.look(passed);
        }

        /// Ready, without a processor; the kernel counts the wait when it ends.
        fn waiting(&mut self, passed: u64) {
            self.usage.state = State::Runnable;
            self.look(passed);
        }
    }

    #[test]
    fn sleep_and_computing_are_blocks_and_their_end_is_told() {
        for live in [Told::asleep, Told::running] {
            let mut told = Told::new();
            (0..15).for_each(|_| live(&mut told, PAUSE));
            told.beat = Beat { word: 5, turns: 1 };
            told.look(PAUSE);
            let [Verdict::Blocked(first), Verdict::Over(last)] = told.said[..] else {
                panic!("{:?}", told.said);
            };
            assert_eq!(first.counted, THRESHOLD);
            assert_eq!(last.counted, 155 * MS);
        }
    }

    #[test]
    fn waiting_for_a_processor_is_no_block_however_long() {
        let mut told = Told::new();
        (0..1000).for_each(|_| told.waiting(PAUSE));
        told.usage.waited = Some(1000 * PAUSE);
        (0..9).for_each(|_| told.asleep(PAUSE));
        assert_eq!(told.said, []);
        told.asleep(PAUSE);
        assert_eq!(told.said.len(), 1);
    }

    #[test]
    fn a_stopped_process_is_no_block() {
        let mut told = Told::new();
        told.asleep(PAUSE);
        told.asleep(120_000 * MS);
        told.asleep(PAUSE);
        assert_eq!(told.said, []);
        told.usage.state = State::Stopped;
        (0..100).for_each(|_| told.look(PAUSE));
        assert_eq!(told.said, []);
    }

    #[test]
    fn a_loop_that_waits_in_the_kernel_is_not_looked_at() {
        let mut stall = Stall::new();
        for look in 0..1000 {
            let beat = Beat { word: 7, turns: 3 };
            let said = stall.look(look * PAUSE, PAUSE, THRESHOLD, beat, || panic!("asked"));
            assert_eq!(said, [None, None]);
        }
    }

    #[test]
    fn many_short_items_are_a_busy_turn_and_in_many_turns_nothing() {
        let mut told = Told::new();
        for _ in 0..12 {
            told.beat.word += 200;
            told.running(PAUSE);
        }
        let [Verdict::Busy(held)] = told.said[..] else {
            panic!("{:?}", told.said);
        };
        assert_eq!((held.items, held.counted), (1000, THRESHOLD));
        let mut told = Told::new();
        for _ in 0..100 {
            told.beat.word += 200;
            told.beat.turns += 1;
            told.running(PAUSE);
        }
        assert_eq!(told.said, []);
    }

    #[test]
    fn waiting_for_a_thread_that_has_no_processor_is_no_block() {
        let mut told = Told::new();
        told.starved = true;
        (0..1000).for_each(|_| told.asleep(PAUSE));
        (0..1000).for_each(|_| told.asleep(5 * PAUSE)); // The watcher has none either.
        told.starved = false;
        (0..9).for_each(|_| told.asleep(PAUSE));
        assert_eq!(told.said, []);
    }

    #[test]
    fn the_interpreters_lock_is_told_by_itself() {
        let mut told = Told::new();
        told.locked_out = true;
        (0..10).for_each(|_| told.asleep(PAUSE));
        let [Verdict::Kept(held)] = told.said[..] else {
            panic!("{:?}", told.said);
        };
        assert_eq!((held.counted, held.kept), (0, THRESHOLD));
    }

    proptest! {
        /// Whatever happens to it: never reported before it computed and slept for the threshold, always once it did so in looks that
        /// came in time.
        #[test]
        fn a_report_is_true_and_comes(parts in prop::collection::vec((0..3u8, 1..30u64), 1..60)) {
            let mut told = Told::new();
            let (mut real, mut queued) = (0, 0);
            for (kind, length) in parts {
                let length = length.min(PAUSE / MS) * MS;
                match kind {
                    0 => { told.running(length); real += length; }
                    1 => {
                        told.usage.waited = Some(queued);
                        told.asleep(length);
                        real += length;
                    }
                    _ => { told.waiting(length); queued += length; }
                }
                prop_assert!(told.said.is_empty() || real >= THRESHOLD, "{:?} after {}", told.said, real);
            }
            told.usage.waited = Some(queued);
            told.asleep(PAUSE);
            prop_assert_eq!(!told.said.is_empty(), real + PAUSE >= THRESHOLD);
        }
    }
}
