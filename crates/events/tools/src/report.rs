//! What a pipeline has measured, as a report: latencies by stage and by event type beside what was aimed at.

use std::fmt::Write as _;

use serde::Serialize;
use streamer_events::{
    Figures,
    latency::{Spread, Stage},
};

/// A figure beside its target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Target {
    /// What it is.
    pub name: &'static str,
    /// What was aimed at.
    pub target: f64,
    /// What was reached; none where nothing was measured.
    pub reached: Option<f64>,
    /// In which unit both are.
    pub unit: &'static str,
    /// Whether more is better.
    pub is_at_least: bool,
    /// Whether it was reached.
    pub is_met: bool,
}

/// A pipeline's report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Whether all targets were reached.
    pub is_met: bool,
    /// Each of them.
    pub targets: Vec<Target>,
    /// Events a second, over the seconds in which there were any.
    pub events_per_second: f64,
    /// Events that were not dead-lettered, in per cent.
    pub success_percent: f64,
    /// Everything that was measured.
    pub figures: Figures,
}

/// A name, what is aimed at, and where the figure stands.
type Aim = (&'static str, f64, fn(&Spread) -> f64);

/// The seeds' targets for the time from the commit to the read model, in milliseconds.
const LATENCIES: [Aim; 3] = [
    ("latency P50", 30.0, |spread| spread.p50_ms),
    ("latency P95", 100.0, |spread| spread.p95_ms),
    ("latency P99", 200.0, |spread| spread.p99_ms),
];
/// Events a second.
const RATE: f64 = 100.0;
/// Per cent of the events.
const SUCCESS: f64 = 99.9;

impl Report {
    /// Of what was measured.
    #[must_use]
    pub fn of(figures: Figures) -> Self {
        let events = figures.events;
        let events_per_second = figures.pace.sustained(events);
        let letters = figures.dead_letters.min(events);
        let success_percent =
            if events == 0 { 100.0 } else { 100.0 * (events - letters) as f64 / events as f64 };
        let measured = |value: f64| (events > 0).then_some(value);
        let mut targets = vec![at_least("throughput", RATE, measured(events_per_second), "events/s")];
        let total = figures.latency.stages.get(Stage::Total.as_str());
        for (name, target, of) in LATENCIES {
            let reached = total.map(of);
            let is_met = reached.is_some_and(|reached| reached < target);
            targets.push(Target { name, target, reached, unit: "ms", is_at_least: false, is_met });
        }
        targets.push(at_least("success", SUCCESS, measured(success_percent), "%"));
        let is_met = targets.iter().all(|target| target.is_met);
        Self { is_met, targets, events_per_second, success_percent, figures }
    }

    /// For people: a table of the stages, one of the types, and the targets.
    #[must_use]
    pub fn text(&self) -> String {
        let Figures { at, since, state, events, latency, pace, .. } = &self.figures;
        let mut text = format!(
            "{state}, {events} events\nsince {since}, as of {at}\n{:.1} events a second while there were any, at most {} \
             in one second\n\n",
            self.events_per_second, pace.per_second_max
        );
        heading(&mut text, "stage");
        for (stage, what) in STAGES {
            if let Some(spread) = latency.stages.get(stage.as_str()) {
                row(&mut text, what, spread);
            }
        }
        text.push('\n');
        heading(&mut text, "commit to read model");
        for (name, of_type) in &latency.by_type {
            if let Some(spread) = of_type.stages.get(Stage::Total.as_str()) {
                row(&mut text, name, spread);
            }
        }
        for (stage, skew) in &latency.skew {
            let (count, max) = (skew.count, skew.max_ms);
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "the clocks of two hosts differ: {stage} came out negative {count} times, by up to {max} ms"
            );
        }
        let _ = writeln!(text, "\n{:<20}{:>16}{:>18}", "target", "aimed at", "reached");
        for target in &self.targets {
            let Target { name, target, reached, unit, is_at_least, is_met } = target;
            let sign = if *is_at_least { ">" } else { "<" };
            let reached = reached.map_or("-".to_owned(), |reached| format!("{reached:.2} {unit}"));
            let aimed = format!("{sign} {target} {unit}");
            let met = if *is_met { "met" } else { "MISSED" };
            let _ = writeln!(text, "{name:<20}{aimed:>16}{reached:>18}  {met}");
        }
        text
    }
}

/// The stages as people read them.
const STAGES: [(Stage, &str); 6] = [
    (Stage::Capture, "capture (T1-T0)"),
    (Stage::Delivery, "delivery (T2-T1)"),
    (Stage::Lag, "consumer lag (T3-T2)"),
    (Stage::Processing, "processing (T5-T3)"),
    (Stage::Total, "total (T5-T0)"),
    (Stage::SinceCreated, "since created_at"),
];

fn at_least(name: &'static str, target: f64, reached: Option<f64>, unit: &'static str) -> Target {
    let is_met = reached.is_some_and(|reached| reached > target);
    Target { name, target, reached, unit, is_at_least: true, is_met }
}

fn heading(text: &mut String, what: &str) {
    let columns = ["count", "avg", "min", "max", "P50", "P95", "P99"].map(|name| format!("{name:>8}"));
    let _ = writeln!(text, "{what:<20}{}  ms", columns.concat());
}

fn row(text: &mut String, name: &str, spread: &Spread) {
    let Spread { count, avg_ms, min_ms, max_ms, p50_ms, p95_ms, p99_ms } = spread;
    let columns = [avg_ms, min_ms, max_ms, p50_ms, p95_ms, p99_ms].map(|ms| {
        let digits = if *ms < 1000.0 { 2 } else { 0 };
        format!("{ms:>8.digits$}")
    });
    let _ = writeln!(text, "{name:<20}{count:>8}{}", columns.concat());
}

#[cfg(test)]
mod tests {
    use streamer_events::{
        Moment, Pace,
        change::Passed,
        latency::{Latency, Times},
    };

    use super::*;

    fn figures(events: u64, dead_letters: u64, total_ms: i64) -> Figures {
        let latency = Latency::new();
        let at = |ms: i64| Moment::from_millis(1_000_000 + ms);
        let times = Times {
            created_at: at(0),
            committed_at: Some(at(0)),
            passed: Passed { decoded_at: Some(at(1)), delivered_at: Some(at(1)) },
            taken_at: at(2),
            done_at: at(total_ms),
        };
        latency.record((0..events).map(|_| ("UserCreated", times)));
        Figures {
            at: at(5000),
            since: at(0),
            state: "streaming".to_owned(),
            events,
            again: 0,
            pace: Pace { last_second: 0, active_seconds: 4, per_second_max: events },
            writes: events,
            passed_over: 0,
            dead_letters,
            retries: 0,
            slot: None,
            recent: Vec::new(),
            latency: latency.report(),
        }
    }

    fn missed(report: &Report) -> Vec<&str> {
        report.targets.iter().filter(|target| !target.is_met).map(|target| target.name).collect()
    }

    #[test]
    fn each_target_is_judged_by_itself() {
        assert!(Report::of(figures(1000, 0, 10)).is_met);
        assert_eq!(missed(&Report::of(figures(399, 0, 10))), ["throughput"]);
        assert_eq!(missed(&Report::of(figures(1000, 2, 10))), ["success"]);
        assert_eq!(missed(&Report::of(figures(1000, 0, 50))), ["latency P50"]);
        assert_eq!(missed(&Report::of(figures(1000, 0, 150))), ["latency P50", "latency P95"]);
        assert_eq!(missed(&Report::of(figures(1000, 0, 250))).len(), 3);
        assert_eq!(missed(&Report::of(figures(0, 0, 1))).len(), 5, "nothing measured is nothing met");
    }

    #[test]
    fn what_one_process_writes_another_reads() {
        let written = figures(1000, 1, 10);
        let text = serde_json::to_string(&written).expect("is JSON");
        let read: Figures = serde_json::from_str(&text).expect("is read");
        assert_eq!(read, written);
        assert_eq!(Report::of(read), Report::of(written));
    }

    #[test]
    fn the_text_has_every_stage_type_and_target() {
        let text = Report::of(figures(1000, 0, 250)).text();
        for part in ["capture (T1-T0)", "total (T5-T0)", "UserCreated", "P99", "MISSED", "success", "250.00"]
        {
            assert!(text.contains(part), "{part} is missing in:\n{text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 80), "wider than a terminal:\n{text}");
    }
}
