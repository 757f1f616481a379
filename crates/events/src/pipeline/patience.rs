//! Trying again for as long as it may help.

use std::sync::atomic::Ordering;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Tally;
use crate::{
    backoff::Backoff,
    random::Random,
    sink::{self, Error},
};

/// How a sink that fails is met: it is not the events' fault, so nothing is given up but by `halt`.
#[derive(Clone, Copy)]
pub(super) struct Patience<'a> {
    pub(super) backoff: Backoff,
    pub(super) random: &'a dyn Random,
    pub(super) halt: &'a CancellationToken,
    pub(super) tally: &'a Tally,
}

/// Why there is no answer.
pub(super) enum Halt {
    /// The pipeline is to stop, and the sink does not answer.
    Stopped,
    /// Trying again does not help.
    Failed(Error),
}

impl Patience<'_> {
    /// Calls until it succeeds. An attempt is not cut short: it may be done already.
    pub(super) async fn insist<T, Calling>(
        &self,
        what: &'static str,
        call: impl Fn() -> Calling + Send,
    ) -> Result<T, Halt>
    where
        Calling: Future<Output = sink::Result<T>> + Send,
    {
        let mut failures = 0;
        loop {
            let error = match call().await {
                Ok(done) => {
                    if failures > 0 {
                        info!(what, failures, "the sink answers again");
                    }
                    return Ok(done);
                }
                Err(e) if e.kind().is_transient() => e,
                Err(e) => return Err(Halt::Failed(e)),
            };
            failures += 1;
            self.tally.retries.fetch_add(1, Ordering::Relaxed);
            metrics::counter!("streamer_events_sink_failures_total").increment(1);
            let wait = self.backoff.after(failures, self.random);
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            warn!(what, failures, wait_ms, error = %error, "the sink does not answer");
            tokio::select! {
                biased;
                () = self.halt.cancelled() => return Err(Halt::Stopped),
                () = tokio::time::sleep(wait) => {}
            }
        }
    }
}
