//! Clocks that tests decide.

use std::time::Duration;

use parking_lot::Mutex;
use streamer_protocol::Timestamp;
use tokio::time::Instant;

use crate::clock::Clock;

/// A clock that stands still until it is told to go on.
#[derive(Debug, Default)]
pub struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    /// A clock that shows `now`.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self(Mutex::new(now))
    }

    /// Goes on by `span` and returns what the clock shows then.
    pub fn advance(&self, span: Duration) -> Timestamp {
        let mut now = self.0.lock();
        *now = *now + span;
        *now
    }

    /// Shows `now` from here on; it may be earlier than before.
    pub fn set(&self, now: Timestamp) {
        *self.0.lock() = now;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock()
    }
}

/// A clock that follows tokio's time, so that `tokio::time::pause` holds it and `advance` moves it.
#[derive(Debug, Clone, Copy)]
pub struct PausedClock {
    started: Instant,
    shown: Timestamp,
}

impl PausedClock {
    /// A clock that shows `now` at this moment of tokio's time.
    #[must_use]
    pub fn starting_at(now: Timestamp) -> Self {
        Self { started: Instant::now(), shown: now }
    }
}

impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        self.shown + self.started.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_paused_clock_moves_with_tokio() {
        let clock = PausedClock::starting_at(Timestamp::from_millis(1_000));
        assert_eq!(clock.now(), Timestamp::from_millis(1_000));
        tokio::time::advance(Duration::from_millis(250)).await;
        assert_eq!(clock.now(), Timestamp::from_millis(1_250));
    }

    #[test]
    fn the_manual_clock_moves_when_told() {
        let clock = ManualClock::at(Timestamp::from_millis(5));
        assert_eq!(clock.advance(Duration::from_millis(2)), Timestamp::from_millis(7));
        clock.set(Timestamp::from_millis(1));
        assert_eq!(clock.now(), Timestamp::from_millis(1));
    }
}
