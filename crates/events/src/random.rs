//! Randomness, as a port: the jitter of waits comes from here, so that a seeded run repeats itself.

/// A source of random bits.
pub trait Random: Send + Sync {
    /// The next 64 bits.
    fn next_u64(&self) -> u64;

    /// A number in `0.0..1.0`.
    fn fraction(&self) -> f64 {
        // 53 bits are what an f64 holds.
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The generator of the thread, seeded by the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn next_u64(&self) -> u64 {
        rand::random()
    }
}
