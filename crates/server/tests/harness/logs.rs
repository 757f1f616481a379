//! What a test's server logs and counts.

use std::{
    io,
    sync::{Arc, OnceLock},
};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde_json::Value;
use tracing_subscriber::fmt::MakeWriter;

/// Everything that is logged on this thread while it lives.
pub(super) struct Logs {
    written: Written,
    _subscriber: tracing::subscriber::DefaultGuard,
}

#[derive(Clone, Default)]
struct Written(Arc<std::sync::Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Written {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Logs {
    pub(super) fn capture() -> Self {
        // A callsite that is met first on a thread without a subscriber would be off for all of them.
        static EVERYTHING: OnceLock<()> = OnceLock::new();
        EVERYTHING.get_or_init(|| {
            let nowhere = tracing_subscriber::fmt().with_writer(io::sink);
            let nowhere = nowhere.with_max_level(tracing::Level::TRACE).finish();
            tracing::subscriber::set_global_default(nowhere).expect("the only one");
        });
        let written = Written::default();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_max_level(tracing::Level::TRACE)
            .with_writer(written.clone())
            .finish();
        Self { written, _subscriber: tracing::subscriber::set_default(subscriber) }
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.written.0.lock().expect("no panic").clone()).expect("text")
    }

    pub(super) fn lines(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

/// Everything that is counted on this thread while it lives.
pub(super) struct Counts {
    pub(super) handle: PrometheusHandle,
    _recorder: metrics::LocalRecorderGuard<'static>,
}

impl Counts {
    pub(super) fn capture() -> Self {
        let recorder = Box::leak(Box::new(PrometheusBuilder::new().build_recorder()));
        let handle = recorder.handle();
        Self { handle, _recorder: metrics::set_default_local_recorder(recorder) }
    }
}
