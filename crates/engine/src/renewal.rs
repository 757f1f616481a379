//! When the leases of this process were last renewed, by the clock that the store judges them by.
//!
//! Renewals follow a timer, and leases the time of day. When somebody sets the clock, the machine slept, or the store
//! could not be written for a while, leases may have run out of which nobody has said so: their requests would be
//! claimed from this very process, which works on them.

use std::time::Duration;

use parking_lot::Mutex;
use streamer_protocol::Timestamp;
use tokio::time::Instant;
use tracing::warn;

/// Clocks are adjusted by less than this all the time.
const JUMP: Duration = Duration::from_secs(2);

#[derive(Default)]
pub(crate) struct Renewal(Mutex<Option<Times>>);

#[derive(Clone, Copy)]
struct Times {
    /// The time of day of the last renewal.
    renewed_at: Timestamp,
    /// The last look at both clocks.
    seen_at: Timestamp,
    seen: Instant,
}

impl Renewal {
    /// Leases were renewed at `now`.
    pub(crate) fn done(&self, now: Timestamp) {
        let mut times = self.0.lock();
        let seen = times.map_or((now, Instant::now()), |times| (times.seen_at, times.seen));
        *times = Some(Times { renewed_at: now, seen_at: seen.0, seen: seen.1 });
    }

    /// Whether leases may have run out by `now`: then they are to be renewed before anything is claimed.
    pub(crate) fn is_overdue(&self, now: Timestamp, lease: Duration) -> bool {
        let mut times = self.0.lock();
        let Some(times) = &mut *times else { return true };
        let passed = times.seen.elapsed();
        let expected = times.seen_at + passed;
        if now > expected + JUMP {
            warn!(by_ms = millis(now.since(expected)), "the clock was set ahead: leases are renewed at once");
        } else if now + JUMP < expected {
            let by_ms = millis(expected.since(now));
            warn!(by_ms, "the clock was set back: what waits for its time may wait so much longer");
        }
        (times.seen_at, times.seen) = (now, Instant::now());
        now.since(times.renewed_at) >= lease / 3 * 2
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn only_time_without_a_renewal_makes_it_overdue() {
        let at = |s: i64| Timestamp::from_millis(1000 * s);
        let renewal = Renewal::default();
        assert!(renewal.is_overdue(at(0), LEASE), "never renewed");
        renewal.done(at(0));
        assert!(!renewal.is_overdue(at(19), LEASE));
        assert!(renewal.is_overdue(at(20), LEASE));
        renewal.done(at(20));
        assert!(renewal.is_overdue(at(3600), LEASE), "set ahead");
        renewal.done(at(3600));
        assert!(!renewal.is_overdue(at(10), LEASE), "set back");
        renewal.done(at(10));
        assert!(renewal.is_overdue(at(30), LEASE));
    }
}
