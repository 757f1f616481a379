//! Keeping keys fresh.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    Fetched, KeySource, Keys, LiveVerifier, Settings, SourceError, Verifier,
    live::{Phase, Shared},
};

/// Unknown keys make the source be asked at most this often: anybody can name one.
pub const ASK_INTERVAL: Duration = Duration::from_secs(30);

/// How long keys are kept before they are asked for again, if their source does not say.
const REFRESH: Duration = Duration::from_secs(10 * 60);

/// Whatever a source says, and after a failure.
const REFRESH_MIN: Duration = Duration::from_secs(60);

/// Whatever a source says.
const REFRESH_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How often a source is tried at the start, and the wait after the first time; it doubles from time to time.
const START_ATTEMPTS_MAX: u32 = 6;
const START_WAIT: Duration = Duration::from_millis(500);

/// What renews a [`LiveVerifier`]: run it for as long as tokens are checked. Once it ends, or is dropped, the last
/// keys stay in force.
pub struct Rotation {
    source: Box<dyn KeySource>,
    shared: Arc<Shared>,
    refresh_at: Instant,
}

impl Rotation {
    /// Fetches the first keys, with `settings` around them. Without them nobody could connect, so a source that
    /// fails is tried again for a quarter of a minute, each failure logged but the last one, which is the answer.
    pub async fn start(
        source: Box<dyn KeySource>,
        settings: impl FnOnce(Keys) -> Settings + Send,
    ) -> Result<(LiveVerifier, Self), SourceError> {
        let mut attempt = 1;
        let fetched = loop {
            match fetch(&*source).await {
                Ok(fetched) => break fetched,
                Err(error) if attempt == START_ATTEMPTS_MAX => return Err(error),
                Err(error) => {
                    let place = source.place();
                    warn!(place, reason = error.reason(), %error, attempt, "keys could not be had yet");
                }
            }
            sleep(START_WAIT * 2_u32.pow(attempt - 1)).await;
            attempt += 1;
        };
        metrics::gauge!("streamer_keys").set(count(&fetched.keys));
        info!(place = source.place(), keys = fetched.keys.len(), "keys were fetched");
        let refresh_at = Instant::now() + refresh_after(fetched.max_age);
        let verifier = Verifier::new(settings(fetched.keys));
        let (live, shared) = LiveVerifier::new(verifier, Phase::Idle { from: Instant::now() });
        Ok((live, Self { source, shared, refresh_at }))
    }

    /// Asks the source whenever its last answer is old or an unknown key is met, until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let shared = Arc::clone(&self.shared);
        let mut phase = shared.phase.subscribe();
        let mut ask_from = Instant::now();
        loop {
            let asked = async { phase.wait_for(|phase| *phase == Phase::Asking).await.map(drop) };
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep_until(self.refresh_at) => {}
                asked = asked => asked.expect("`shared` holds the sender"),
            }
            let begun = Instant::now();
            // Whoever meets an unknown key from here on waits for this answer.
            if shared.phase.send_replace(Phase::Asking) == Phase::Asking {
                ask_from = begun + ASK_INTERVAL;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.refresh() => {}
            }
            shared.phase.send_replace(Phase::Idle { from: ask_from });
        }
    }

    async fn refresh(&mut self) {
        let answer = fetch(&*self.source).await;
        let place = self.source.place();
        let wait = match answer {
            Ok(Fetched { keys, max_age }) => {
                let verifier = self.shared.current();
                if *verifier.keys() != keys {
                    metrics::gauge!("streamer_keys").set(count(&keys));
                    info!(place, keys = keys.len(), "other keys are in force");
                    self.shared.replace(verifier.with_keys(keys));
                }
                refresh_after(max_age)
            }
            Err(error) => {
                warn!(place, reason = error.reason(), %error, "keys could not be had, the last ones stay in force");
                REFRESH_MIN
            }
        };
        self.refresh_at = Instant::now() + wait;
    }
}

impl Drop for Rotation {
    fn drop(&mut self) {
        self.shared.phase.send_replace(Phase::Fixed);
    }
}

/// Asks, and counts it.
async fn fetch(source: &dyn KeySource) -> Result<Fetched, SourceError> {
    metrics::counter!("streamer_key_fetches_total").increment(1);
    source.fetch().await.inspect_err(|error| {
        metrics::counter!("streamer_key_fetch_failures_total", "reason" => error.reason()).increment(1);
    })
}

fn refresh_after(max_age: Option<Duration>) -> Duration {
    max_age.map_or(REFRESH, |max_age| max_age.clamp(REFRESH_MIN, REFRESH_MAX))
}

#[expect(clippy::cast_precision_loss, reason = "`Keys` are few")]
fn count(keys: &Keys) -> f64 {
    keys.len() as f64
}
