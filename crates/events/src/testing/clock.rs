//! Clocks that tests decide.

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::clock::{Clock, Moment};

/// A clock that stands still until it is told to go on.
#[derive(Debug, Default)]
pub struct ManualClock(Mutex<Moment>);

impl ManualClock {
    /// A clock that shows `now`.
    #[must_use]
    pub fn at(now: Moment) -> Self {
        Self(Mutex::new(now))
    }

    /// Shows `now` from here on; it may be earlier than before.
    pub fn set(&self, now: Moment) {
        *self.0.lock() = now;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Moment {
        *self.0.lock()
    }
}

/// A clock that follows tokio's time, so that `tokio::time::pause` holds it and `advance` moves it.
#[derive(Debug, Clone, Copy)]
pub struct PausedClock {
    started: Instant,
    shown: Moment,
}

impl PausedClock {
    /// A clock that shows `now` at this moment of tokio's time.
    #[must_use]
    pub fn starting_at(now: Moment) -> Self {
        Self { started: Instant::now(), shown: now }
    }
}

impl Clock for PausedClock {
    fn now(&self) -> Moment {
        let since = i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX);
        Moment::from_micros(self.shown.as_micros().saturating_add(since))
    }
}
