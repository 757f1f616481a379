//! What chance decides, the same for the same seed.

use std::time::Duration;

use streamer_engine::{random::Random, testing::SeededRandom};

pub(crate) struct Dice(SeededRandom);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(SeededRandom::new(seed))
    }

    /// Dice for somebody else: what one throws does not change what another gets.
    pub(crate) fn other(&self) -> Self {
        Self::new(self.0.next_u64())
    }

    /// From 0 to less than `end`.
    pub(crate) fn below(&self, end: u64) -> u64 {
        self.0.next_u64() % end
    }

    pub(crate) fn percent(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Less than so many milliseconds.
    pub(crate) fn millis(&self, end: u64) -> Duration {
        Duration::from_millis(self.below(end))
    }

    pub(crate) fn one_of<'a, T>(&self, all: &'a [T]) -> &'a T {
        let place = usize::try_from(self.below(all.len() as u64)).expect("fits");
        &all[place]
    }
}
