//! How many events there were.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tracing::info;

use super::{Core, Pace};
use crate::clock::Moment;

/// Counts since the pipeline was made.
#[derive(Default)]
pub struct Tally {
    /// Events that are done.
    pub(super) events: AtomicU64,
    /// Events that were read before, and came again.
    pub(super) again: AtomicU64,
    /// Writes of their handlers.
    pub(super) writes: AtomicU64,
    /// Changes that are no events: other tables, updates, deletes.
    pub(super) passed_over: AtomicU64,
    /// Dead letters.
    pub(super) letters: AtomicU64,
    /// Attempts of a sink that failed.
    pub(super) retries: AtomicU64,
    recent: Mutex<VecDeque<Recent>>,
    seconds: Mutex<Seconds>,
}

/// An event that is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recent {
    /// What happened.
    pub event_type: String,
    /// To what.
    pub aggregate_id: String,
    /// When it was done.
    pub done_at: Moment,
    /// How long that took since its commit, in microseconds.
    pub total_micros: i64,
}

impl Recent {
    /// How many are kept.
    pub const MAX: usize = 5;
}

impl Tally {
    /// Events that are done, without those that came [`again`](Self::again).
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    /// Events that were read before and came again, at another position: around a snapshot.
    #[must_use]
    pub fn again(&self) -> u64 {
        self.again.load(Ordering::Relaxed)
    }

    /// Writes that their handlers wanted.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    /// Changes that are no events.
    #[must_use]
    pub fn passed_over(&self) -> u64 {
        self.passed_over.load(Ordering::Relaxed)
    }

    /// Dead letters written, one that was written again counted twice.
    #[must_use]
    pub fn letters(&self) -> u64 {
        self.letters.load(Ordering::Relaxed)
    }

    /// Attempts of a sink that failed.
    #[must_use]
    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// The last events, the newest first.
    #[must_use]
    pub fn recent(&self) -> Vec<Recent> {
        self.recent.lock().iter().cloned().collect()
    }

    /// How fast events came, as seen at `now`.
    #[must_use]
    pub fn pace(&self, now: Moment) -> Pace {
        let mut seconds = self.seconds.lock();
        seconds.reach(now);
        let Seconds { before, active, most, .. } = *seconds;
        Pace { last_second: before, active_seconds: active, per_second_max: most }
    }

    pub(super) fn count_letters(&self, letters: usize) {
        self.letters.fetch_add(letters as u64, Ordering::Relaxed);
        metrics::counter!("streamer_events_dead_letters_total").increment(letters as u64);
    }

    /// `recent` comes with the newest first.
    pub(super) fn count_events(
        &self,
        now: Moment,
        events: usize,
        again: usize,
        writes: usize,
        recent: Vec<Recent>,
    ) {
        self.seconds.lock().count(now, events as u64);
        self.events.fetch_add(events as u64, Ordering::Relaxed);
        self.again.fetch_add(again as u64, Ordering::Relaxed);
        self.writes.fetch_add(writes as u64, Ordering::Relaxed);
        metrics::counter!("streamer_events_total").increment(events as u64);
        if again > 0 {
            metrics::counter!("streamer_events_again_total").increment(again as u64);
        }
        metrics::histogram!("streamer_events_batch_size").record((events + again) as f64);
        let mut known = self.recent.lock();
        for event in recent.into_iter().rev() {
            known.push_front(event);
        }
        known.truncate(Recent::MAX);
    }
}

/// Events by the seconds of the clock.
#[derive(Debug, Default)]
struct Seconds {
    /// Which second it is.
    second: i64,
    /// Events in it.
    current: u64,
    /// Events in the one before.
    before: u64,
    /// Seconds with events.
    active: u64,
    /// The most in one.
    most: u64,
}

impl Seconds {
    /// It is `now`.
    fn reach(&mut self, now: Moment) {
        let second = now.as_micros().div_euclid(1_000_000);
        if second != self.second {
            self.before = if second == self.second + 1 { self.current } else { 0 };
            (self.second, self.current) = (second, 0);
        }
    }

    fn count(&mut self, now: Moment, events: u64) {
        self.reach(now);
        self.active += u64::from(self.current == 0 && events > 0);
        self.current += events;
        self.most = self.most.max(self.current);
    }
}

/// Tells the log now and then how it goes, as long as something does.
pub(super) async fn summarize(core: &Core) {
    let mut before = 0;
    loop {
        tokio::time::sleep(core.settings.summary_interval).await;
        let events = core.tally.events();
        if events == before {
            continue;
        }
        let report = core.latency.report();
        let total = report.stages.get("total");
        info!(
            events,
            since_last = events - before,
            dead_letters = core.tally.letters(),
            p50_ms = total.map(|spread| spread.p50_ms),
            p99_ms = total.map(|spread| spread.p99_ms),
            "events so far"
        );
        for (stage, skew) in report.skew {
            info!(stage, count = skew.count, max_ms = skew.max_ms, "the clocks of two hosts differ");
        }
        before = events;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_by_full_seconds() {
        let at = Moment::from_millis;
        let tally = Tally::default();
        for (millis, events) in [(1000, 5), (1900, 5), (2100, 30), (7000, 1)] {
            tally.count_events(at(millis), events, 0, 0, Vec::new());
        }
        let pace = |millis| tally.pace(at(millis));
        assert_eq!(pace(7999), Pace { last_second: 0, active_seconds: 3, per_second_max: 30 });
        assert_eq!(pace(8000).last_second, 1);
        assert_eq!(pace(9000).last_second, 0);
        assert!((pace(9000).sustained(41) - 41.0 / 3.0).abs() < 1e-9);
        assert!(Pace::default().sustained(0).abs() < 1e-9);
    }
}
