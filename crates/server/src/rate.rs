//! How much may come in a minute.
//!
//! The generic cell rate algorithm (ITU-T I.371): all that is remembered of a client is when everything it has
//! spent will have come back to it.

use std::time::Duration;

use tokio::time::Instant;

const MINUTE: Duration = Duration::from_secs(60);

/// So many a minute, and as many at once after a quiet minute.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    /// What one costs.
    each: Duration,
}

impl Rate {
    /// No rate at all for 0.
    pub(crate) fn per_minute(count: u32) -> Option<Self> {
        MINUTE.checked_div(count).map(|each| Self { each })
    }

    /// So many times the rate.
    pub(crate) fn times(self, factor: u32) -> Self {
        Self { each: self.each / factor }
    }
}

/// What a client has spent.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spent {
    /// When all of it will have come back; `None` if nothing was ever spent.
    back_at: Option<Instant>,
}

impl Spent {
    /// Spends `count` at once. If that is over the rate nothing is spent, and the answer is how long to wait.
    pub(crate) fn spend(&mut self, count: u32, rate: Rate, now: Instant) -> Result<(), Duration> {
        let back_at = self.back_at.map_or(now, |back_at| back_at.max(now)) + rate.each * count;
        let over = back_at.saturating_duration_since(now + MINUTE);
        if over.is_zero() {
            self.back_at = Some(back_at);
            return Ok(());
        }
        Err(over)
    }

    /// Whether everything has come back, so that there is nothing to remember.
    pub(crate) fn is_forgotten(&self, now: Instant) -> bool {
        self.back_at.is_none_or(|back_at| back_at <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minutes_worth_passes_at_once_and_then_one_after_the_other() {
        let rate = Rate::per_minute(10).expect("a rate");
        let (mut spent, start) = (Spent::default(), Instant::now());
        for _ in 0..10 {
            assert_eq!(spent.spend(1, rate, start), Ok(()));
        }
        assert_eq!(spent.spend(1, rate, start), Err(Duration::from_secs(6)));
        let later = start + Duration::from_secs(5);
        assert_eq!(spent.spend(1, rate, later), Err(Duration::from_secs(1)));
        assert_eq!(spent.spend(1, rate, later + Duration::from_secs(1)), Ok(()));
        assert!(!spent.is_forgotten(start + MINUTE));
        assert!(spent.is_forgotten(start + MINUTE + Duration::from_secs(6)));
        assert_eq!(spent.spend(11, rate, start + 10 * MINUTE), Err(Duration::from_secs(6)));
    }

    #[test]
    fn in_the_long_run_the_rate_is_held() {
        let rate = Rate::per_minute(100).expect("a rate");
        let (mut spent, start) = (Spent::default(), Instant::now());
        let tried = (0..=60_000).map(|n| start + Duration::from_millis(10 * n));
        let passed = tried.filter(|now| spent.spend(1, rate, *now).is_ok()).count();
        assert_eq!(passed, 1100, "ten minutes at the rate, and one that was saved up");
    }

    #[test]
    fn no_rate_is_no_limit() {
        assert!(Rate::per_minute(0).is_none());
    }
}
