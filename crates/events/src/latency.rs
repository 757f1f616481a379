//! How long an event takes from its commit to the read model, stage by stage.
//!
//! T0 is the commit, by the log; T1 decoded by the source; T2 delivered (received natively, or in Kafka); T3 taken by
//! the pipeline; T5 acknowledged by the read model. Times of different hosts are compared: where a clock runs behind,
//! a stage would be negative, and the report names that.

mod report;

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use parking_lot::Mutex;

use crate::{change::Passed, clock::Moment, event::Event};

pub use report::{Report, Skew, Spread, TypeReport};

/// At most so many event types are told apart; the rest are `other`.
pub const TYPES_MAX: usize = 32;

/// Where the rest is counted.
pub const OTHER: &str = "other";

/// Part of an event's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// T1 − T0: from the commit until the source had decoded it.
    Capture,
    /// T2 − T1: until it was delivered.
    Delivery,
    /// T3 − T2: until the pipeline took it.
    Lag,
    /// T5 − T3: until the read model had it.
    Processing,
    /// T5 − T0: all of it.
    Total,
    /// T5 since the transaction began, which is when its rows say they were made.
    SinceCreated,
}

impl Stage {
    /// All, in the order of the way.
    pub const ALL: [Self; 6] =
        [Self::Capture, Self::Delivery, Self::Lag, Self::Processing, Self::Total, Self::SinceCreated];

    /// In a word, for reports and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::Delivery => "delivery",
            Self::Lag => "consumer_lag",
            Self::Processing => "processing",
            Self::Total => "total",
            Self::SinceCreated => "since_created",
        }
    }
}

/// When one event passed where.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// When its transaction began.
    pub created_at: Moment,
    /// T0.
    pub committed_at: Option<Moment>,
    /// T1 and T2.
    pub passed: Passed,
    /// T3.
    pub taken_at: Moment,
    /// T5.
    pub done_at: Moment,
}

impl Times {
    /// The times of an event that was taken and is done.
    #[must_use]
    pub fn of(event: &Event, taken_at: Moment, done_at: Moment) -> Self {
        let Event { created_at, committed_at, passed, .. } = event;
        Self { created_at: *created_at, committed_at: *committed_at, passed: *passed, taken_at, done_at }
    }

    /// How many microseconds each stage took, where both of its ends are known. Negative where clocks differ.
    pub fn stages(&self) -> impl Iterator<Item = (Stage, i64)> {
        let Passed { decoded_at, delivered_at } = self.passed;
        let (taken, done) = (Some(self.taken_at), Some(self.done_at));
        [
            (Stage::Capture, self.committed_at, decoded_at),
            (Stage::Delivery, decoded_at, delivered_at),
            (Stage::Lag, delivered_at, taken),
            (Stage::Processing, taken, done),
            (Stage::Total, self.committed_at, done),
            (Stage::SinceCreated, Some(self.created_at), done),
        ]
        .into_iter()
        .filter_map(|(stage, from, to)| Some((stage, to?.micros_since(from?))))
    }
}

/// What was measured, bounded in memory whatever comes.
#[derive(Default)]
pub struct Latency(Mutex<Measured>);

#[derive(Default)]
struct Measured {
    all: Stages,
    by_type: BTreeMap<String, Stages>,
}

/// A histogram for each stage, made when it is first needed.
#[derive(Default)]
struct Stages([Option<Recorded>; Stage::ALL.len()]);

struct Recorded {
    micros: Histogram<u64>,
    /// Exact, where the histogram's digits are few.
    min: u64,
    max: u64,
    /// How often the end was before the beginning, and by how much at most.
    skewed: u64,
    skew_max: u64,
}

/// An hour: what takes longer counts as that.
const MICROS_MAX: u64 = 3_600_000_000;

impl Recorded {
    fn new(digits: u8) -> Self {
        let micros = Histogram::new_with_bounds(1, MICROS_MAX, digits).expect("fixed bounds are in order");
        Self { micros, min: u64::MAX, max: 0, skewed: 0, skew_max: 0 }
    }

    fn record(&mut self, micros: i64) {
        if micros < 0 {
            self.skewed += 1;
            self.skew_max = self.skew_max.max(micros.unsigned_abs());
        }
        let micros = u64::try_from(micros).unwrap_or(0).min(MICROS_MAX);
        (self.min, self.max) = (self.min.min(micros), self.max.max(micros));
        self.micros.saturating_record(micros);
    }
}

impl Stages {
    fn record(&mut self, times: &Times, digits: u8) {
        for (stage, micros) in times.stages() {
            self.0[stage as usize].get_or_insert_with(|| Recorded::new(digits)).record(micros);
        }
    }
}

impl Latency {
    /// Nothing measured yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts events: each with its type.
    pub fn record<'a>(&self, events: impl IntoIterator<Item = (&'a str, Times)>) {
        let mut measured = self.0.lock();
        for (event_type, times) in events {
            measured.all.record(&times, 3);
            let known = measured.by_type.contains_key(event_type) || measured.by_type.len() < TYPES_MAX;
            let name = if known { event_type } else { OTHER };
            if !measured.by_type.contains_key(name) {
                measured.by_type.insert(name.to_owned(), Stages::default());
            }
            if let Some(stages) = measured.by_type.get_mut(name) {
                // Two digits: there are many of these, and 1 % is enough to compare them.
                stages.record(&times, 2);
            }
        }
    }

    /// What was measured so far.
    #[must_use]
    pub fn report(&self) -> Report {
        let measured = self.0.lock();
        Report::of(&measured)
    }

    /// Forgets what was measured.
    pub fn reset(&self) {
        *self.0.lock() = Measured::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(total_micros: i64) -> Times {
        let at = |micros| Moment::from_micros(1_000_000 + micros);
        Times {
            created_at: at(-500),
            committed_at: Some(at(0)),
            passed: Passed { decoded_at: Some(at(100)), delivered_at: Some(at(300)) },
            taken_at: at(350),
            done_at: at(total_micros),
        }
    }

    #[test]
    fn stages_are_what_lies_between() {
        let latency = Latency::new();
        latency.record((1..=100).map(|n| ("UserCreated", times(1000 * n))));
        let report = latency.report();
        let total = &report.stages["total"];
        assert_eq!((total.count, total.min_ms, total.max_ms), (100, 1.0, 100.0));
        assert!((total.p50_ms - 50.0).abs() < 0.1 && (total.p99_ms - 99.0).abs() < 0.1, "{total:?}");
        assert!((total.avg_ms - 50.5).abs() < 0.1);
        assert!((report.stages["capture"].p50_ms - 0.1).abs() < 0.001);
        assert!((report.stages["since_created"].min_ms - 1.5).abs() < 0.001);
        assert_eq!(report.by_type["UserCreated"].stages["total"].count, 100);
        assert!(report.skew.is_empty());
    }

    #[test]
    fn an_unknown_commit_leaves_its_stages_out() {
        let latency = Latency::new();
        latency.record([("T", Times { committed_at: None, ..times(1000) })]);
        let report = latency.report();
        assert!(!report.stages.contains_key("total") && report.stages.contains_key("processing"));
    }

    #[test]
    fn a_clock_that_runs_behind_is_named() {
        let latency = Latency::new();
        latency.record([("T", times(-2000)), ("T", times(1000))]);
        let report = latency.report();
        assert_eq!(report.skew["total"], Skew { count: 1, max_ms: 2.0 });
    }

    #[test]
    fn types_are_bounded() {
        let latency = Latency::new();
        let names: Vec<_> = (0..TYPES_MAX + 5).map(|n| format!("T{n:03}")).collect();
        latency.record(names.iter().map(|name| (name.as_str(), times(1000))));
        let report = latency.report();
        assert_eq!(report.by_type.len(), TYPES_MAX + 1);
        assert_eq!(report.by_type[OTHER].count, 5);
        latency.reset();
        assert!(latency.report().stages.is_empty());
    }
}
