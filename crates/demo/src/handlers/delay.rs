//! `delay`: answers after as long as was asked. What it shows is waiting itself, so it waits.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use streamer_engine::{Context, Failure};
use tokio::time::{Instant, sleep_until};

use crate::Problem;

/// The longest delay.
pub const DELAY_SECONDS_MAX: u64 = 900;

const STEP: Duration = Duration::from_millis(500);

/// The most chunks of one delay.
const CHUNKS_MAX: u64 = 10_000;

/// What `delay` takes.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object")]
pub(super) struct Request {
    seconds: f64,
    /// How many partial results to hand out on the way, evenly.
    #[serde(default)]
    chunks: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Waited {
    waited_seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    chunks: Option<u64>,
}

/// What another attempt continues from.
#[derive(Debug, Serialize, Deserialize)]
struct Reached {
    waited_seconds: f64,
    chunks: u64,
}

impl Request {
    pub(super) fn check(&self) -> Result<(), Problem> {
        if !(0.0..=DELAY_SECONDS_MAX as f64).contains(&self.seconds) {
            return Err(Problem::invalid("seconds", format!("must be between 0 and {DELAY_SECONDS_MAX}")));
        }
        if self.chunks > CHUNKS_MAX {
            return Err(Problem::invalid("chunks", format!("must be at most {CHUNKS_MAX}")));
        }
        Ok(())
    }

    pub(super) fn duration(&self) -> Duration {
        Duration::try_from_secs_f64(self.seconds).unwrap_or_default()
    }

    /// When the chunk with this index is due.
    fn due(&self, chunk: u64) -> Duration {
        self.duration().mul_f64((chunk + 1) as f64 / self.chunks as f64)
    }
}

/// Waits, and shows how long it has waited. With chunks, another attempt continues from the last of them.
pub(super) async fn delay(cx: Context, request: Request) -> Result<Waited, Failure> {
    let Reached { waited_seconds, mut chunks } =
        cx.restored().unwrap_or(Reached { waited_seconds: 0.0, chunks: 0 });
    let whole = request.duration();
    let earlier = Duration::try_from_secs_f64(waited_seconds).unwrap_or_default();
    let start = Instant::now();
    let waited = || earlier + start.elapsed();
    loop {
        while chunks < request.chunks && request.due(chunks) <= waited() {
            let reached = Reached { waited_seconds: waited().as_secs_f64(), chunks: chunks + 1 };
            let chunk = serde_json::json!({ "chunk": chunks, "waited_seconds": reached.waited_seconds });
            cx.chunks_with_checkpoint(&[chunk], &reached).await?;
            chunks += 1;
        }
        let now = waited();
        if now >= whole {
            break;
        }
        let percentage = (100.0 * now.as_secs_f64() / request.seconds).round();
        cx.progress(percentage, &format!("{:.1} of {:.1} s", now.as_secs_f64(), request.seconds)).await?;
        let mut next = whole.min(now + STEP);
        if chunks < request.chunks {
            next = next.min(request.due(chunks));
        }
        tokio::select! {
            () = sleep_until(start + next.saturating_sub(earlier)) => {}
            () = cx.cancelled() => return Err(Failure::cancel()),
        }
    }
    cx.progress(100.0, "Done").await?;
    let chunks = (request.chunks > 0).then_some(chunks);
    Ok(Waited { waited_seconds: waited().as_secs_f64(), chunks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_bounded() {
        for seconds in [0.0, 0.5, 900.0] {
            assert!(Request { seconds, chunks: 0 }.check().is_ok(), "{seconds}");
        }
        for seconds in [-1.0, 900.5, f64::NAN, f64::INFINITY] {
            assert!(Request { seconds, chunks: 0 }.check().is_err(), "{seconds}");
        }
        assert!(Request { seconds: 1.0, chunks: CHUNKS_MAX + 1 }.check().is_err());
    }
}
