//! The ports in memory, for tests of one's own; each passes the suite that adapters pass.

mod clock;
mod faulty;
#[doc(hidden)]
pub mod given;
mod random;
mod sink;
mod source;

pub use clock::{ManualClock, PausedClock};
pub use faulty::{Fault, FaultySink, FaultySource};
pub use random::SeededRandom;
pub use sink::MemorySink;
pub use source::{MemoryLog, MemorySource};
