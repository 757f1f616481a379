//! Circuit breakers: what has failed of late is left alone for a while.

use std::{collections::HashMap, hash::Hash, time::Duration};

use parking_lot::Mutex;
use serde::Serialize;
use tokio::time::Instant;

/// When a circuit opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSettings {
    /// So many failures in a row open the circuit.
    pub failures_max: u32,
    /// So long an open circuit lets nothing through; then one try is.
    pub open_for: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self { failures_max: 3, open_for: Duration::from_secs(30) }
    }
}

/// Whether tries go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// They do; some have failed of late.
    Closed,
    /// They do not.
    Open,
    /// The next one is let through.
    HalfOpen,
}

/// The health of peers. Holds only those that are unwell; well ones cost nothing.
#[derive(Debug)]
pub struct Breakers<K> {
    settings: BreakerSettings,
    /// What the peers are, as a metric's label has it.
    of: &'static str,
    unwell: Mutex<HashMap<K, Unwell>>,
}

#[derive(Debug)]
struct Unwell {
    failures: u32,
    /// When the circuit lets one try through again; `None` while it is closed.
    try_at: Option<Instant>,
}

impl<K: Eq + Hash + Clone> Breakers<K> {
    /// With everybody well. `of` says in a word what the peers are, for metrics.
    #[must_use]
    pub fn new(settings: BreakerSettings, of: &'static str) -> Self {
        Self { settings, of, unwell: Mutex::default() }
    }

    /// Whether a try may go through; otherwise how long until one may. An open circuit whose time has come lets one
    /// through, and none beside it.
    pub fn admit(&self, peer: &K) -> Result<(), Duration> {
        let mut all = self.unwell.lock();
        let Some(unwell) = all.get_mut(peer) else { return Ok(()) };
        let now = Instant::now();
        match unwell.try_at {
            None => Ok(()),
            Some(at) if now >= at => {
                unwell.try_at = Some(now + self.settings.open_for);
                Ok(())
            }
            Some(at) => Err(at - now),
        }
    }

    /// A try went well: the circuit closes.
    pub fn succeeded(&self, peer: &K) {
        let mut all = self.unwell.lock();
        let Some(unwell) = all.remove(peer) else { return };
        if unwell.try_at.is_some() {
            self.count("closed");
        }
        self.show(&all);
    }

    /// A try failed: one of several in a row opens the circuit.
    pub fn failed(&self, peer: &K) {
        let mut all = self.unwell.lock();
        let unwell = all.entry(peer.clone()).or_insert(Unwell { failures: 0, try_at: None });
        unwell.failures += 1;
        if unwell.failures >= self.settings.failures_max {
            if unwell.try_at.is_none() {
                self.count("open");
            }
            unwell.try_at = Some(Instant::now() + self.settings.open_for);
        }
        self.show(&all);
    }

    /// Forgets a peer that is gone.
    pub fn forget(&self, peer: &K) {
        let mut all = self.unwell.lock();
        if all.remove(peer).is_some() {
            self.show(&all);
        }
    }

    /// Those that are unwell: how often each failed in a row, and whether tries go through.
    #[must_use]
    pub fn unwell(&self) -> Vec<(K, u32, BreakerState)> {
        let now = Instant::now();
        let state = |unwell: &Unwell| match unwell.try_at {
            None => BreakerState::Closed,
            Some(at) if now >= at => BreakerState::HalfOpen,
            Some(_) => BreakerState::Open,
        };
        let all = self.unwell.lock();
        all.iter().map(|(peer, unwell)| (peer.clone(), unwell.failures, state(unwell))).collect()
    }

    /// How many are unwell. Shows in the metrics for how many of them nothing goes through.
    #[must_use]
    pub fn measure(&self) -> usize {
        let all = self.unwell.lock();
        self.show(&all);
        all.len()
    }

    fn count(&self, to: &'static str) {
        metrics::counter!("streamer_breaker_transitions_total", "of" => self.of, "to" => to).increment(1);
    }

    fn show(&self, all: &HashMap<K, Unwell>) {
        let open = all.values().filter(|unwell| unwell.try_at.is_some()).count();
        metrics::gauge!("streamer_breakers_open", "of" => self.of).set(open as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn opens_after_failures_in_a_row_and_lets_one_through_after_a_while() {
        let open_for = Duration::from_secs(30);
        let breakers = Breakers::new(BreakerSettings { failures_max: 2, open_for }, "tests");
        breakers.failed(&"a");
        breakers.succeeded(&"a");
        breakers.failed(&"a");
        assert_eq!(breakers.admit(&"a"), Ok(()), "one in a row");
        breakers.failed(&"a");
        assert_eq!(breakers.admit(&"a"), Err(open_for));
        assert_eq!(breakers.admit(&"b"), Ok(()), "another's health");
        assert_eq!(breakers.unwell(), [("a", 2, BreakerState::Open)]);
        tokio::time::advance(open_for).await;
        assert_eq!(breakers.unwell(), [("a", 2, BreakerState::HalfOpen)]);
        assert_eq!(breakers.admit(&"a"), Ok(()));
        assert_eq!(breakers.admit(&"a"), Err(open_for), "one at a time");
        breakers.succeeded(&"a");
        assert_eq!((breakers.admit(&"a"), breakers.unwell()), (Ok(()), Vec::new()));
    }
}
