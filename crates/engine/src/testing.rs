//! The ports in memory, faults on demand, and a time and a chance that tests decide.

mod clock;
mod faulty;
mod push;
mod random;
mod store;

pub use clock::{ManualClock, PausedClock};
pub use faulty::{Fault, Faulty};
pub use push::FakeConnections;
pub use random::SeededRandom;
pub use store::MemoryStore;
