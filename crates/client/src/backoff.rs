//! How long to wait before the next attempt to connect.

use std::time::Duration;

/// The longest that a server may make a client wait.
const PATIENCE: Duration = Duration::from_secs(60 * 60);

/// A wait that the server named, within reason.
pub(crate) fn patient(wait: Duration) -> Duration {
    wait.min(PATIENCE)
}

/// Exponential backoff with jitter: attempt `n` waits between a half and the whole of `first * 2^(n-1)`, which
/// never exceeds `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The longest wait before the first attempt.
    pub first: Duration,
    /// The longest wait of all.
    pub max: Duration,
    /// After how many attempts in a row the client gives up; `None` never does.
    pub attempts_max: Option<u32>,
}

impl Default for Backoff {
    /// From a quarter of a second to half a minute, for ever.
    fn default() -> Self {
        Self { first: Duration::from_millis(250), max: Duration::from_secs(30), attempts_max: None }
    }
}

impl Backoff {
    /// The wait before `attempt` (from 1 on); `chance` is in 0..1.
    pub(crate) fn delay(&self, attempt: u32, chance: f64) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        let whole = self.first.saturating_mul(1 << doublings).min(self.max);
        whole / 2 + (whole / 2).mul_f64(chance)
    }

    /// Whether `attempt` is one too many.
    pub(crate) fn is_exhausted(&self, attempt: u32) -> bool {
        self.attempts_max.is_some_and(|max| attempt > max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_keep_half_of_it() {
        let backoff = Backoff::default();
        let ms = |attempt, chance| backoff.delay(attempt, chance).as_millis();
        assert_eq!([ms(1, 0.0), ms(2, 0.0), ms(3, 0.0)], [125, 250, 500]);
        assert_eq!([ms(1, 0.5), ms(2, 0.5), ms(3, 0.5)], [187, 375, 750]);
        assert_eq!(ms(8, 0.0), 15_000);
        assert_eq!(ms(u32::MAX, 0.999_999), 29_999);
    }

    #[test]
    fn a_bound_on_attempts_is_kept() {
        let backoff = Backoff { attempts_max: Some(2), ..Backoff::default() };
        assert!(!backoff.is_exhausted(2));
        assert!(backoff.is_exhausted(3));
        assert!(!Backoff::default().is_exhausted(u32::MAX));
    }
}
