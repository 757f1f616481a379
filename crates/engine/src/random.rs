//! Randomness, as a port: ids and jitter come from here, so that a seeded run repeats itself.

use streamer_protocol::Timestamp;
use uuid::Uuid;

/// A source of random bits.
pub trait Random: Send + Sync {
    /// The next 64 bits.
    fn next_u64(&self) -> u64;

    /// A number in `0.0..1.0`.
    fn fraction(&self) -> f64 {
        // 53 bits are what an f64 holds.
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A UUID of version 7 (RFC 9562): sorts by the time it was made.
    fn uuid(&self, now: Timestamp) -> Uuid {
        let mut bytes = [0; 10];
        bytes[..8].copy_from_slice(&self.next_u64().to_le_bytes());
        bytes[8..].copy_from_slice(&self.next_u64().to_le_bytes()[..2]);
        let millis = u64::try_from(now.as_millis()).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid()
    }

    /// 128 bits that nobody can guess, as 32 hexadecimal digits: for names that are also a right of access.
    fn unguessable(&self) -> String {
        format!("{:016x}{:016x}", self.next_u64(), self.next_u64())
    }
}

/// The generator of the thread, seeded by the operating system; fit for secrets.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn next_u64(&self) -> u64 {
        rand::random()
    }
}
