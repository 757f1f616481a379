//! The time of day, as a port: nothing else in the engine asks the machine for it.

use streamer_protocol::Timestamp;

/// Tells the time of day. Waiting is `tokio::time`'s, which tests can pause.
pub trait Clock: Send + Sync {
    /// Now, to the millisecond.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> Timestamp {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        // Before 1970 the clock is not set at all.
        let millis = since_epoch.map_or(0, |span| i64::try_from(span.as_millis()).unwrap_or(i64::MAX));
        Timestamp::from_millis(millis)
    }
}
