//! What a simulation decides: numbers that a seed gives, each of them kept.
//!
//! A run is repeated by its seed. It is made simpler by its numbers: a run of the same program with some of them set to zero is
//! another run, and whoever asks for a number gives zero the plainest meaning (the first in line, no delay, no fault).
//!
//! SplitMix64 gives the numbers: one multiplication or two each, the same on every machine, and any seed is a good one.
//! Rejected: a crate of generators, whose numbers may differ from one release to the next.

/// Decisions of one run, in order.
///
/// ```
/// use rondeau_core::Tape;
///
/// let mut first = Tape::seeded(7);
/// let drawn: Vec<u32> = (0..5).map(|_| first.draw(10)).collect();
/// let mut again = Tape::scripted(first.decisions().to_vec());
/// assert!(drawn.iter().all(|number| again.draw(10) == *number));
/// assert_eq!(again.draw(10), 0); // the script has ended
/// ```
#[derive(Clone, Debug)]
pub struct Tape {
    source: Source,
    kept: Vec<u32>,
}

#[derive(Clone, Debug)]
enum Source {
    Seed(u64),
    Script(Vec<u32>),
}

impl Tape {
    /// Numbers that follow from `seed`.
    #[must_use]
    pub const fn seeded(seed: u64) -> Tape {
        Tape {
            source: Source::Seed(seed),
            kept: Vec::new(),
        }
    }

    /// These numbers, then zeros.
    #[must_use]
    pub const fn scripted(script: Vec<u32>) -> Tape {
        Tape {
            source: Source::Script(script),
            kept: Vec::new(),
        }
    }

    /// A number from 0 to `below` - 1. Where only one is possible, nothing is decided, and nothing kept.
    ///
    /// A script's number that is too large for the question is taken modulo `below`.
    #[inline]
    pub fn draw(&mut self, below: u32) -> u32 {
        if below <= 1 {
            return 0;
        }
        let number = match &mut self.source {
            // The upper half of a product: no division, and no number is preferred by more than 2^-32.
            Source::Seed(state) => (((next(state) >> 32) * u64::from(below)) >> 32) as u32,
            Source::Script(script) => script.get(self.kept.len()).map_or(0, |n| n % below),
        };
        self.kept.push(number);
        number
    }

    /// All that was drawn.
    #[must_use]
    pub fn decisions(&self) -> &[u32] {
        &self.kept
    }
}

fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut number = *state;
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_splitmix64() {
        let mut state = 1234567;
        // The reference implementation's first ones for this seed.
        assert_eq!(next(&mut state), 6_457_827_717_110_365_317);
        assert_eq!(next(&mut state), 3_203_168_211_198_807_973);
    }

    #[test]
    fn each_number_is_below_and_each_comes() {
        let mut tape = Tape::seeded(0);
        let mut seen = [0; 7];
        for _ in 0..7_000 {
            seen[tape.draw(7) as usize] += 1;
        }
        assert!(seen.iter().all(|often| (800..1200).contains(often)));
    }

    #[test]
    fn what_decides_nothing_is_not_kept() {
        let mut tape = Tape::seeded(3);
        assert_eq!((tape.draw(1), tape.draw(0)), (0, 0));
        assert!(tape.decisions().is_empty());
    }

    #[test]
    fn a_script_answers_smaller_questions_too() {
        let mut tape = Tape::scripted(vec![9, 4]);
        assert_eq!((tape.draw(4), tape.draw(5), tape.draw(6)), (1, 4, 0));
        assert_eq!(tape.decisions(), [1, 4, 0]);
    }
}
