//! Real servers on this machine, private to whoever starts them: for tests, benchmarks and the demonstration.
//!
//! Each listens on 127.0.0.1 at a free port, keeps its data in a folder of its own, and dies with the process that
//! started it, even if that is killed, unless it is [kept](Lifetime). What must be installed, [`install`] installs.

mod child;
mod folder;
pub mod install;
mod lifetime;
mod missing;
pub mod mongodb;
pub mod postgres;
mod unprivileged;

pub use lifetime::{Kept, Lifetime};
pub use missing::{Missing, or_skip};

/// Whether this process may do everything, and so must start servers as somebody else.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::getuid().is_root()
}
