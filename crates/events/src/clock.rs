//! The time of day, as a port, to the microsecond: latencies here are a few milliseconds.
//!
//! The engine's clock shows milliseconds, which is what its wire carries; and neither crate imports the other.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A moment in microseconds since 1970-01-01T00:00:00Z, printed as RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(i64);

// The years -9999 and 9999, less the widest offset: what `jiff` shows.
const SHOWN_MIN: i64 = -377_705_023_201_000_000;
const SHOWN_MAX: i64 = 253_402_207_200_000_000;

/// The text is not an RFC 3339 moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 time, such as 2026-01-31T12:00:00.000000Z")]
pub struct InvalidMoment;

impl Moment {
    /// From microseconds since the epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From milliseconds since the epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1000))
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Milliseconds since the epoch; what is finer is dropped.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// How many microseconds after `earlier` this is; negative if it is before.
    #[must_use]
    pub const fn micros_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = jiff::Timestamp::from_microsecond(self.0.clamp(SHOWN_MIN, SHOWN_MAX))
            .expect("clamped to what can be shown");
        write!(f, "{moment:.6}")
    }
}

impl FromStr for Moment {
    type Err = InvalidMoment;

    /// Reads RFC 3339 with any offset; what is finer than a microsecond is dropped.
    fn from_str(text: &str) -> Result<Self, InvalidMoment> {
        let moment: jiff::Timestamp = text.parse().map_err(|_| InvalidMoment)?;
        Ok(Self(moment.as_microsecond()))
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Tells the time of day. Waiting is `tokio::time`'s, which tests can pause.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Moment;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place here that reads the machine's clock")]
    fn now(&self) -> Moment {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        // Before 1970 the clock is not set at all.
        Moment(since_epoch.map_or(0, |span| i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_reads_microseconds() {
        let moment = Moment::from_micros(1_795_254_103_007_042);
        assert_eq!(moment.to_string(), "2026-11-21T09:41:43.007042Z");
        assert_eq!("2026-11-21T10:41:43.007042+01:00".parse(), Ok(moment));
        assert_eq!("yesterday".parse::<Moment>(), Err(InvalidMoment));
        assert!(!Moment::from_micros(i64::MAX).to_string().is_empty());
    }

    #[test]
    fn milliseconds_before_the_epoch_round_down() {
        assert_eq!(Moment::from_micros(-1).as_millis(), -1);
        assert_eq!(Moment::from_millis(7).as_micros(), 7000);
    }
}
