//! What a pipeline has measured, for Prometheus and as JSON.

use std::{fmt::Write as _, path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use serde::Serialize;
use streamer_events::{
    Moment, Pipeline,
    clock::{Clock as _, SystemClock},
    latency::{Report, Spread},
};
use tokio_util::sync::CancellationToken;

/// The metrics file.
#[derive(Debug, Serialize)]
struct Figures {
    /// When it was written.
    at: Moment,
    /// Since when it counts.
    since: Moment,
    /// opening, snapshot or streaming.
    state: &'static str,
    /// Events that are done.
    events: u64,
    /// Events that were read before and came again, around a snapshot.
    again: u64,
    /// Events a second, since the beginning.
    events_per_second: f64,
    /// Writes that their handlers wanted.
    writes: u64,
    /// Changes that are no events.
    passed_over: u64,
    /// Dead letters written.
    dead_letters: u64,
    /// Attempts of a sink that failed.
    retries: u64,
    /// How long events took, by stage, in all and by event type.
    latency: Report,
}

fn figures(pipeline: &Pipeline, since: Moment) -> Figures {
    let (tally, at) = (pipeline.tally(), SystemClock.now());
    let seconds = at.micros_since(since).max(1) as f64 / 1e6;
    Figures {
        at,
        since,
        state: pipeline.state().borrow().as_str(),
        events: tally.events(),
        again: tally.again(),
        events_per_second: tally.events() as f64 / seconds,
        writes: tally.writes(),
        passed_over: tally.passed_over(),
        dead_letters: tally.letters(),
        retries: tally.retries(),
        latency: pipeline.latency().report(),
    }
}

/// Writes the metrics file now and then, and once more at the end.
pub(crate) async fn keep_file(
    pipeline: Arc<Pipeline>,
    file: impl AsRef<Path> + Send,
    every: Duration,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let since = SystemClock.now();
    let mut ticks = tokio::time::interval(every);
    loop {
        let stopped = tokio::select! {
            biased;
            () = stop.cancelled() => true,
            _ = ticks.tick() => false,
        };
        write(&figures(&pipeline, since), file.as_ref())?;
        if stopped {
            return Ok(());
        }
    }
}

/// Under another name first: who reads the file finds it whole.
fn write(figures: &Figures, file: &Path) -> anyhow::Result<()> {
    let written = || {
        let mut fresh = file.as_os_str().to_owned();
        fresh.push(".new");
        std::fs::write(&fresh, serde_json::to_vec_pretty(figures)?)?;
        std::fs::rename(&fresh, file)?;
        anyhow::Ok(())
    };
    written().with_context(|| format!("events.metrics_file {} cannot be written", file.display()))
}

/// The latencies as summaries of Prometheus: exact quantiles, which the buckets of a histogram could only guess.
pub(crate) fn metrics(pipeline: &Pipeline) -> String {
    const NAME: &str = "streamer_events_latency_seconds";
    let report = pipeline.latency().report();
    let mut text = format!("# TYPE {NAME} summary\n");
    let mut spread = |labels: &str, spread: &Spread| {
        for (quantile, ms) in [("0.5", spread.p50_ms), ("0.95", spread.p95_ms), ("0.99", spread.p99_ms)] {
            let _ = writeln!(text, "{NAME}{{{labels},quantile=\"{quantile}\"}} {}", ms / 1000.0);
        }
        let sum = spread.avg_ms * spread.count as f64 / 1000.0;
        let _ = writeln!(text, "{NAME}_sum{{{labels}}} {sum}\n{NAME}_count{{{labels}}} {}", spread.count);
    };
    for (stage, of_stage) in &report.stages {
        spread(&format!("stage=\"{stage}\",event_type=\"\""), of_stage);
    }
    for (event_type, of_type) in &report.by_type {
        let event_type = event_type.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        for (stage, of_stage) in &of_type.stages {
            spread(&format!("stage=\"{stage}\",event_type=\"{event_type}\""), of_stage);
        }
    }
    text
}
