//! How far a run has come, as it is shown: never falling, and not too often.

use std::time::Duration;

use streamer_protocol::Json;
use tokio::time::Instant;

use crate::store::ProgressState;

/// Clamps and throttles what a handler reports.
#[derive(Debug)]
pub(crate) struct Shown {
    interval: Duration,
    highest: f64,
    metadata: serde_json::Map<String, serde_json::Value>,
    pending: Option<ProgressState>,
    next_at: Option<Instant>,
}

impl Shown {
    /// Continues from what an earlier attempt showed.
    pub(crate) fn new(interval: Duration, earlier: Option<&ProgressState>) -> Self {
        let highest = earlier.map_or(0.0, |progress| progress.percentage);
        let metadata =
            earlier.and_then(|progress| progress.metadata.as_ref()?.get().ok()).unwrap_or_default();
        Self { interval, highest, metadata, pending: None, next_at: None }
    }

    /// Takes a report. It waits until [`take`](Self::take).
    pub(crate) fn report(&mut self, percentage: f64, message: &str) {
        if percentage.is_finite() {
            self.highest = self.highest.max(percentage.clamp(0.0, 100.0));
        }
        let metadata =
            (!self.metadata.is_empty()).then(|| serde_json::Value::Object(self.metadata.clone()).into());
        let message = message.to_owned();
        self.pending = Some(ProgressState { percentage: self.highest, message, metadata });
    }

    /// Sets what goes along with every report from now on.
    pub(crate) fn set(&mut self, key: &str, value: serde_json::Value) {
        self.metadata.insert(key.to_owned(), value);
    }

    /// How many bytes a report would have.
    pub(crate) fn bytes(&self, message: &str) -> usize {
        let metadata = if self.metadata.is_empty() {
            0
        } else {
            Json::of(&self.metadata).map_or(0, |m| m.as_str().len())
        };
        message.len() + metadata
    }

    /// When what waits may be shown: `None` if nothing does.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.pending.as_ref().map(|_| self.next_at.unwrap_or_else(Instant::now))
    }

    /// Takes what waits, if it may be shown now.
    pub(crate) fn take_due(&mut self) -> Option<ProgressState> {
        if self.due()? <= Instant::now() { self.take() } else { None }
    }

    /// What was taken could not be shown: it waits again, unless something newer does.
    pub(crate) fn put_back(&mut self, taken: ProgressState) {
        self.pending.get_or_insert(taken);
    }

    /// Takes what waits, to be shown now; the next may follow after the interval.
    pub(crate) fn take(&mut self) -> Option<ProgressState> {
        let pending = self.pending.take()?;
        self.next_at = Some(Instant::now() + self.interval);
        Some(pending)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn never_falls_and_keeps_the_last_within_an_interval() {
        let mut shown = Shown::new(Duration::from_millis(100), None);
        assert_eq!(shown.due(), None);
        shown.report(40.0, "a");
        assert_eq!(shown.due(), Some(Instant::now()));
        assert_eq!(shown.take().expect("waits").percentage, 40.0);
        shown.report(30.0, "b");
        shown.report(f64::NAN, "c");
        assert_eq!(shown.due(), Some(Instant::now() + Duration::from_millis(100)));
        let last = shown.take().expect("waits");
        assert_eq!((last.percentage, last.message.as_str()), (40.0, "c"));
        shown.report(1e9, "d");
        assert_eq!(shown.take().expect("waits").percentage, 100.0);
    }
}
