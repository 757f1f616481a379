//! Chance that repeats itself.

use parking_lot::Mutex;
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::random::Random;

/// A generator that gives the same bits for the same seed. Never for secrets.
pub struct SeededRandom(Mutex<StdRng>);

impl SeededRandom {
    /// The sequence that belongs to `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(StdRng::seed_from_u64(seed)))
    }
}

impl Random for SeededRandom {
    fn next_u64(&self) -> u64 {
        self.0.lock().next_u64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_itself_and_another_differs() {
        let drawn = |seed| {
            let random = SeededRandom::new(seed);
            [random.next_u64(), random.next_u64(), random.next_u64()]
        };
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
    }
}
