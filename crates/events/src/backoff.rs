//! How long to wait before trying again.

use std::time::Duration;

use crate::random::Random;

/// Exponential backoff: `base`, doubled with every attempt, at most `max`, with a jitter of ± 25 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Before the second attempt.
    pub base: Duration,
    /// Before any attempt.
    pub max: Duration,
}

/// The share by which a wait is shortened or prolonged at most, so that not all come back at once.
const JITTER: f64 = 0.25;

impl Backoff {
    /// The wait after `failures` failures, counted from 1.
    #[must_use]
    pub fn after(&self, failures: u32, random: &dyn Random) -> Duration {
        let doubled =
            self.base.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
        doubled.min(self.max).mul_f64(1.0 - JITTER + 2.0 * JITTER * random.fraction())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;

    #[test]
    fn doubles_up_to_the_maximum_within_the_jitter() {
        let backoff = Backoff { base: Duration::from_millis(50), max: Duration::from_secs(5) };
        for (failures, millis) in [(1, 50.0), (2, 100.0), (7, 3200.0), (8, 5000.0), (100, 5000.0)] {
            let wait = backoff.after(failures, &SystemRandom).as_secs_f64() * 1000.0;
            assert!((millis * 0.75..=millis * 1.25).contains(&wait), "{failures}: {wait}");
        }
    }
}
