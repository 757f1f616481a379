//! What was measured, as figures.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Measured, Recorded, Stage, Stages};

/// Latencies by stage, in all and by event type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// By stage.
    pub stages: BTreeMap<String, Spread>,
    /// By event type.
    pub by_type: BTreeMap<String, TypeReport>,
    /// Where an end lay before its beginning: the hosts' clocks differ at least by so much.
    pub skew: BTreeMap<String, Skew>,
}

/// One event type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TypeReport {
    /// How many events.
    pub count: u64,
    /// By stage.
    pub stages: BTreeMap<String, Spread>,
}

/// How a stage's times are spread, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Spread {
    pub count: u64,
    pub avg_ms: f64,
    pub min_ms: f64,
    pub max_ms: f64,
    pub p50_ms: f64,
    pub p95_ms: f64,
    pub p99_ms: f64,
}

/// How far clocks differ.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Skew {
    /// How many events showed it.
    pub count: u64,
    /// By how much at most, in milliseconds.
    pub max_ms: f64,
}

fn millis(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

impl Spread {
    fn of(recorded: &Recorded) -> Self {
        let micros = &recorded.micros;
        let at = |quantile| millis(micros.value_at_quantile(quantile).min(recorded.max));
        Self {
            count: micros.len(),
            avg_ms: micros.mean() / 1000.0,
            min_ms: millis(recorded.min),
            max_ms: millis(recorded.max),
            p50_ms: at(0.50),
            p95_ms: at(0.95),
            p99_ms: at(0.99),
        }
    }
}

impl Stages {
    fn recorded(&self) -> impl Iterator<Item = (Stage, &Recorded)> {
        Stage::ALL.into_iter().filter_map(|stage| Some((stage, self.0[stage as usize].as_ref()?)))
    }

    fn spreads(&self) -> BTreeMap<String, Spread> {
        self.recorded().map(|(stage, recorded)| (stage.as_str().to_owned(), Spread::of(recorded))).collect()
    }

    fn count(&self) -> u64 {
        self.recorded().map(|(_, recorded)| recorded.micros.len()).max().unwrap_or(0)
    }
}

impl Report {
    pub(super) fn of(measured: &Measured) -> Self {
        let skewed = measured.all.recorded().filter(|(_, recorded)| recorded.skewed > 0);
        let by_type = measured.by_type.iter().map(|(name, stages)| {
            (name.clone(), TypeReport { count: stages.count(), stages: stages.spreads() })
        });
        Self {
            stages: measured.all.spreads(),
            by_type: by_type.collect(),
            skew: skewed
                .map(|(stage, recorded)| {
                    (
                        stage.as_str().to_owned(),
                        Skew { count: recorded.skewed, max_ms: millis(recorded.skew_max) },
                    )
                })
                .collect(),
        }
    }
}
