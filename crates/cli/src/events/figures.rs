//! What a pipeline has measured, for Prometheus and as JSON.

use std::{fmt::Write as _, path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use streamer_events::{Figures, Pipeline, latency::Spread};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::config::Events;

/// Runs the pipeline until it ends, and keeps its metrics file meanwhile, once more at the end.
pub(crate) async fn run(
    pipeline: &Arc<Pipeline>,
    events: &Events,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let Some(file) = &events.metrics_file else { return Ok(pipeline.run(stop.clone()).await?) };
    let ended = CancellationToken::new();
    let keeping = keep_file(pipeline, file, events.metrics_file_interval_s.duration(), &ended);
    let running = async {
        let _not_kept_longer = ended.drop_guard_ref();
        pipeline.run(stop.clone()).await
    };
    let (kept, ran) = tokio::join!(keeping, running);
    let state = if ran.is_ok() { "stopped" } else { "failed" };
    let kept = kept.and_then(|()| write(&Figures { state: state.to_owned(), ..pipeline.figures() }, file));
    if let Err(e) = kept {
        warn!(error = format!("{e:#}"), "the metrics file is not written any more");
    }
    Ok(ran?)
}

async fn keep_file(
    pipeline: &Pipeline,
    file: &Path,
    every: Duration,
    ended: &CancellationToken,
) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(every);
    while ended.run_until_cancelled(ticks.tick()).await.is_some() {
        write(&pipeline.figures(), file)?;
    }
    Ok(())
}

/// As the metrics file and the admin address have them.
pub(crate) fn json(figures: &Figures) -> String {
    serde_json::to_string_pretty(figures).expect("numbers and text are JSON")
}

/// Under another name first: who reads the file finds it whole.
fn write(figures: &Figures, file: &Path) -> anyhow::Result<()> {
    let written = || {
        let mut fresh = file.as_os_str().to_owned();
        fresh.push(".new");
        std::fs::write(&fresh, json(figures))?;
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
