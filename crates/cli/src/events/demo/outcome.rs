//! What the demonstration came to.

use std::{fmt::Write as _, path::PathBuf};

use serde::Serialize;
use streamer_events::latency::Stage;
use streamer_events_tools::{load::Loaded, report::Report, verify::Verified};

use crate::events::verify;

/// All of it.
#[derive(Debug, Default, Serialize)]
pub(super) struct Outcome {
    pub(super) servers: Addresses,
    pub(super) steps: Vec<Step>,
    /// What was left running.
    pub(super) kept: Option<Kept>,
    /// Why it broke off.
    pub(super) error: Option<String>,
}

/// Where the servers are.
#[derive(Debug, Default, Serialize)]
pub(super) struct Addresses {
    pub(super) postgres: String,
    pub(super) mongodb: String,
    /// Whether they were started for this.
    pub(super) are_own: bool,
}

/// One step of it.
#[derive(Debug, Serialize)]
pub(super) struct Step {
    pub(super) loaded: Loaded,
    pub(super) verified: Verified,
    pub(super) report: Report,
}

/// Servers that live on.
#[derive(Debug, Serialize)]
pub(super) struct Kept {
    /// For `--config`.
    pub(super) config: PathBuf,
    pub(super) pids: Vec<u32>,
    pub(super) folders: Vec<PathBuf>,
    #[serde(skip)]
    pub(super) addresses: String,
}

impl Step {
    fn events(&self) -> u64 {
        self.loaded.written + self.loaded.known
    }

    /// In a line.
    pub(super) fn line(&self) -> String {
        let Verified { is_whole, total, differences, .. } = &self.verified;
        let found = match is_whole {
            true => format!("{} of {}, no difference", total.mongodb, total.postgres),
            false => format!("{} DIFFERENCES", differences.count),
        };
        let late = match self.loaded.rate_wanted {
            Some(wanted) if !self.loaded.is_held => format!(" (and not at {wanted:.1}/s)"),
            _ => String::new(),
        };
        format!("{} events at {:.1}/s{late}; verified: {found}", self.events(), self.loaded.rate)
    }

    /// `events rate p50 p95 p99 max verified`, as a row.
    fn row(&self) -> String {
        let total = self.report.figures.latency.stages.get(Stage::Total.as_str());
        let latencies = total.map(|total| [total.p50_ms, total.p95_ms, total.p99_ms, total.max_ms]);
        let latencies = latencies.map_or(String::new(), |all| all.map(|ms| format!("{ms:>10.2}")).concat());
        let verified = if self.verified.is_whole { "whole" } else { "DIFFERENT" };
        format!("{:<12}{:>10.1}{latencies:<40}  {verified}", self.events(), self.loaded.rate)
    }
}

impl Outcome {
    /// Whether every step was verified.
    pub(super) fn is_whole(&self) -> bool {
        self.error.is_none() && self.steps.iter().all(|step| step.verified.is_whole)
    }

    /// Whether the last step met every target.
    pub(super) fn is_met(&self) -> bool {
        self.steps.last().is_some_and(|step| step.report.is_met)
    }

    /// For people: the last step in full, and all of them in rows.
    pub(super) fn text(&self) -> String {
        let Some(last) = self.steps.last() else { return String::new() };
        let mut text = format!(
            "\n{}\nThe last step, {} events, stage by stage:\nT0 committed, T1 decoded, T2 received, T3 taken, T5 in \
             the read model\n\n{}",
            verify::table(&last.verified),
            last.events(),
            last.report.text()
        );
        // Writing to a string does not fail.
        if let Some(wanted) = last.loaded.rate_wanted {
            let _ = writeln!(text, "(this step was to write {wanted:.1} events/s)");
        }
        let columns = ["events/s", "P50", "P95", "P99", "max"].map(|name| format!("{name:>10}")).concat();
        let _ = writeln!(text, "\n{:<12}{columns}  verified", "events");
        for step in &self.steps {
            let _ = writeln!(text, "{}", step.row());
        }
        text
    }
}

impl Kept {
    /// For people: where they are, how they are used, and what ends them.
    pub(super) fn text(&self) -> String {
        let config = self.config.display();
        let pids = self.pids.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
        let folders =
            self.folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(" ");
        format!(
            "\nKept, until you end them:\n{}Every command of events finds them, such as:\n  streamer events verify --config {config}\n\
             To end them:\n  kill -INT {pids}; sleep 2; rm -r {folders}\n",
            self.addresses
        )
    }
}
