//! Metrics, for Prometheus to fetch.

use std::{convert::Infallible, fmt::Write as _, time::Duration};

use metrics::SetRecorderError;
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use metrics_util::MetricKindMask;
use tokio_util::sync::CancellationToken;

/// Bounds of histograms that end in `_seconds`: 100 µs to a minute.
const SECONDS: [f64; 18] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    30.0, 60.0,
];

/// Bounds of histograms that end in `_bytes`: 64 bytes to 16 MiB.
const BYTES: [f64; 10] =
    [64.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0, 131_072.0, 1_048_576.0, 4_194_304.0, 16_777_216.0];

/// Bounds of all other histograms, which count things.
const COUNTS: [f64; 13] =
    [1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10_000.0];

/// How often what was recorded is folded together.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Why metrics could not begin.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The bounds of a histogram were refused.
    #[error("the metrics cannot be set up")]
    Build(#[from] BuildError),
    /// Something else records in this process already.
    #[error("metrics were installed before")]
    Installed(#[from] SetRecorderError<PrometheusRecorder>),
}

/// What was recorded through the `metrics` facade.
#[derive(Debug, Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Records for the rest of the process's life. A counter or histogram whose labels nobody touched for
    /// `idle_timeout` is forgotten, so that labels do not pile up: whoever records asks the facade each time
    /// instead of keeping a handle. Gauges stay. [`upkeep`](Self::upkeep) must run.
    pub fn install(idle_timeout: Duration) -> Result<Self, MetricsError> {
        let (recorder, metrics) = Self::recorder(idle_timeout)?;
        metrics::set_global_recorder(recorder)?;
        Ok(metrics)
    }

    /// The same for a recorder that is not the process's.
    pub fn recorder(idle_timeout: Duration) -> Result<(PrometheusRecorder, Self), MetricsError> {
        let recorder = PrometheusBuilder::new()
            .set_buckets(&COUNTS)?
            .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)?
            .set_buckets_for_metric(Matcher::Suffix("_bytes".into()), &BYTES)?
            .idle_timeout(MetricKindMask::COUNTER | MetricKindMask::HISTOGRAM, Some(idle_timeout))
            .build_recorder();
        let metrics = Self(recorder.handle());
        Ok((recorder, metrics))
    }

    /// Everything recorded, in Prometheus's text format; with the process's own figures, where the system tells
    /// them, and how many series there are.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = self.0.render();
        let series = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count();
        let mut gauge = |name: &str, value: u64| {
            let _ = writeln!(text, "# TYPE {name} gauge\n{name} {value}");
        };
        gauge("streamer_metric_series", series as u64);
        if let Some(Process { resident_bytes, threads }) = Process::this() {
            gauge("process_resident_memory_bytes", resident_bytes);
            gauge("process_threads", threads);
        }
        text
    }

    /// Folds together what was recorded, until stopped; without it memory grows between two fetches.
    pub async fn upkeep(self, stop: CancellationToken) -> Result<(), Infallible> {
        let mut every = tokio::time::interval(UPKEEP_EVERY);
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = every.tick() => self.0.run_upkeep(),
            }
        }
    }
}

/// What the system says of this process.
struct Process {
    resident_bytes: u64,
    threads: u64,
}

impl Process {
    /// Read from `/proc`, where there is one.
    fn this() -> Option<Self> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let field = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            value.split_whitespace().next()?.parse::<u64>().ok()
        };
        Some(Self { resident_bytes: field("VmRSS")? * 1024, threads: field("Threads")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_have_the_bounds_of_their_unit() {
        let (recorder, metrics) = Metrics::recorder(Duration::from_secs(60)).expect("sets up");
        metrics::with_local_recorder(&recorder, || {
            metrics::histogram!("send_seconds").record(0.0003);
            metrics::histogram!("frame_bytes").record(300.0);
            metrics::histogram!("batch").record(3.0);
            metrics::counter!("sent_total", "type" => "chunk").increment(2);
        });
        let text = metrics.render();
        for line in [
            "send_seconds_bucket{le=\"0.00025\"} 0",
            "send_seconds_bucket{le=\"0.0005\"} 1",
            "send_seconds_bucket{le=\"60\"} 1",
            "frame_bytes_bucket{le=\"1024\"} 1",
            "batch_bucket{le=\"5\"} 1",
            "sent_total{type=\"chunk\"} 2",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} not in:\n{text}");
        }
    }

    #[test]
    fn the_process_and_the_series_are_counted() {
        let (recorder, metrics) = Metrics::recorder(Duration::from_secs(60)).expect("sets up");
        metrics::with_local_recorder(&recorder, || {
            metrics::gauge!("a").set(1.0);
            metrics::counter!("b", "c" => "d").increment(1);
        });
        let text = metrics.render();
        assert!(text.contains("\nstreamer_metric_series 2\n"), "{text}");
        if cfg!(target_os = "linux") {
            let resident = text.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
            let resident: u64 = resident.expect("there").parse().expect("a number");
            assert!(resident > 1024 * 1024, "{resident}");
        }
    }

    #[tokio::test]
    async fn upkeep_ends_when_stopped() {
        let (_recorder, metrics) = Metrics::recorder(Duration::from_secs(60)).expect("sets up");
        let stop = CancellationToken::new();
        stop.cancel();
        assert_eq!(metrics.upkeep(stop).await, Ok(()));
    }
}
