//! How long a server lives.

use std::path::PathBuf;

/// How long a server lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lifetime {
    /// Never longer than the process that started it, however that ends (on Linux; elsewhere, if that is not killed).
    #[default]
    OfStarter,
    /// Until it is dropped, or beyond the process if it is kept by then. One that is killed, or ends without dropping, leaves
    /// it behind.
    Keepable,
}

/// A server that lives on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// What ends it: its process id.
    pub pid: u32,
    /// What is to be removed then.
    pub folder: PathBuf,
}
