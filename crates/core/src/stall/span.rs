//! One item, or one turn, from the look at which it was first seen: what of its time counts, and what is to be said of it.

use rondeau_driver::thread::{State, Usage};

/// A watcher that comes this much later than twice its pause was not let run: nanoseconds.
const LATE: u64 = 5_000_000;

/// What was seen of a loop's thread at a look.
#[derive(Clone, Copy, Debug)]
pub struct Sight {
    /// What the thread has used.
    pub usage: Usage,
    /// It sleeps, and what it waits for is the interpreter's lock.
    pub locked_out: bool,
    /// It sleeps until another thread of the process does something, and that has no processor.
    pub starved: bool,
}

/// How long something has held a loop. Nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Held {
    /// By the clock on the wall.
    pub wall: u64,
    /// Of these, computing or asleep: what counts.
    pub counted: u64,
    /// Of these, computing.
    pub ran: u64,
    /// Waiting for the interpreter's lock.
    pub kept: u64,
    /// Items that were begun meanwhile.
    pub items: u64,
    /// The same was reported before, and goes on.
    pub again: bool,
}

/// What a look comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// One item holds the loop, and goes on.
    Blocked(Held),
    /// A turn of many items lasts, and goes on.
    Busy(Held),
    /// One item is kept from going on by the interpreter's lock.
    Kept(Held),
    /// What was reported has ended.
    Over(Held),
}

/// An item, or a turn, that has been seen at two looks.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// Which item or turn it is.
    pub key: u64,
    first_word: u64,
    since: u64,
    base: Usage,
    /// Time that is nobody's: the process was stopped.
    frozen: u64,
    held: Held,
    /// `counted` at which the next report is due, and the same for `kept`.
    due: u64,
    due_kept: u64,
    reported: bool,
}

/// A block that goes on is told of again after ten times as long, and not before a second.
fn next_due(counted: u64) -> u64 {
    (counted * 10).max(1_000_000_000)
}

impl Span {
    /// Seen for the first time at `now`.
    pub fn new(key: u64, word: u64, now: u64, base: Usage, threshold: u64) -> Span {
        Span {
            key,
            first_word: word,
            since: now,
            base,
            frozen: 0,
            held: Held::default(),
            due: threshold,
            due_kept: threshold,
            reported: false,
        }
    }

    /// It is still the same one: what of the time since the last look counts.
    pub fn go_on(&mut self, now: u64, pause: u64, last: (u64, Sight), sight: Sight, word: u64) {
        let (then, before) = last;
        let starved = sight.starved || before.starved;
        let before = before.usage;
        let usage = sight.usage;
        let passed = now.saturating_sub(then);
        let ran = usage.ran.saturating_sub(before.ran).min(passed);
        let idle = passed - ran;
        if usage.state == State::Stopped || starved {
            self.frozen += idle;
        } else if sight.locked_out {
            self.held.kept += idle.min(pause + LATE);
            self.frozen += idle - idle.min(pause + LATE);
        } else if passed > 2 * pause + LATE {
            self.frozen += (passed - pause).min(idle);
        }
        self.held.wall = now - self.since;
        self.held.ran += ran;
        self.held.items = (word - self.first_word) / 2;
        // At least what it computed. A thread that sleeps had all its waits for a processor counted by the kernel: the rest is sleep.
        let mut counted = self.held.counted + ran;
        if usage.state == State::Asleep {
            let nobodys = self.frozen + self.held.kept;
            counted = match (usage.waited, self.base.waited) {
                (Some(waited), Some(base)) => counted.max(
                    self.held
                        .wall
                        .saturating_sub(nobodys + waited.saturating_sub(base)),
                ),
                // The kernel does not count: only a look that finds it as it was, having done nothing, counts as sleep.
                _ if before.state == State::Asleep
                    && ran == 0
                    && !sight.locked_out
                    && !sight.starved =>
                {
                    counted + passed.min(pause)
                }
                _ => counted,
            };
        }
        self.held.counted = counted;
    }

    /// What is to be said of an item now.
    pub fn judge(&mut self, threshold: u64) -> Option<Verdict> {
        let held = self.held;
        let blocked = held.counted >= self.due;
        if !blocked && held.kept < self.due_kept {
            return None;
        }
        self.reported = true;
        self.held.again = true;
        if blocked {
            self.due = next_due(held.counted);
            self.due_kept = self.due_kept.max(threshold.saturating_add(held.kept));
            return Some(Verdict::Blocked(held));
        }
        self.due_kept = next_due(held.kept);
        Some(Verdict::Kept(held))
    }

    /// What is to be said of a turn of whose item nothing is said.
    pub fn judge_turn(&mut self, item: &Span, threshold: u64) -> Option<Verdict> {
        let held = self.held;
        let many = item.held.counted * 2 < held.counted || held.counted >= 2 * threshold;
        if held.items == 0 || held.counted < self.due || !many {
            return None;
        }
        self.reported = true;
        self.due = next_due(held.counted);
        self.held.again = true;
        Some(Verdict::Busy(held))
    }

    /// Its length is something else's, of which is told: not said twice.
    pub fn say_no_more(&mut self) {
        self.due = u64::MAX;
    }

    /// What is to be said of it where it ended between the last look and this one: it is taken to have lasted half of that time.
    pub fn ended(self, now: u64, pause: u64) -> Option<Verdict> {
        if !self.reported {
            return None;
        }
        let mut held = self.held;
        let rest = (now.saturating_sub(self.since + held.wall)).min(pause) / 2;
        held.wall += rest;
        held.counted += rest;
        Some(Verdict::Over(held))
    }
}
