//! How many events there were.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;
use tracing::info;

use super::Core;
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
}

/// An event that is done.
#[derive(Debug, Clone, PartialEq, Eq)]
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

    pub(super) fn count_letters(&self, letters: usize) {
        self.letters.fetch_add(letters as u64, Ordering::Relaxed);
        metrics::counter!("streamer_events_dead_letters_total").increment(letters as u64);
    }

    /// `recent` comes with the newest first.
    pub(super) fn count_events(&self, events: usize, again: usize, writes: usize, recent: Vec<Recent>) {
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
