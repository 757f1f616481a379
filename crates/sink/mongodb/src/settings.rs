//! Which server, which database.

use std::{fmt, time::Duration};

use crate::indexes::Index;

/// Everything about the sink.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// The server's address with its options, `mongodb://…`.
    pub uri: String,
    /// The database.
    pub database: String,
    /// How long one command may take before it counts as failed. It may have been done.
    pub command_timeout: Duration,
    /// How long a server may be looked for before that counts as a failure.
    pub server_selection_timeout: Duration,
    /// At most so many connections.
    pub connections_max: u32,
    /// What is made at start where it is missing.
    pub indexes: Vec<Index>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The address may hold a password.
        write!(f, "Settings {{ database: {:?}, .. }}", self.database)
    }
}

impl Settings {
    /// The settings of a server, the rest as specified.
    pub fn of(uri: impl Into<String>, database: impl Into<String>) -> Self {
        Self {
            uri: uri.into(),
            database: database.into(),
            command_timeout: Duration::from_secs(30),
            server_selection_timeout: Duration::from_secs(5),
            connections_max: 8,
            indexes: Index::of_the_shipped_handlers(),
        }
    }
}
