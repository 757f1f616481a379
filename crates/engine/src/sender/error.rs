//! Why a message did not reach a connection.

use std::fmt;

use serde::Serialize;

/// Why a message did not reach a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SendError {
    /// There is no such connection.
    NotFound,
    /// The connection was stored but is gone; its record is removed.
    Stale,
    /// The message is larger than the connection takes.
    TooLarge,
    /// Sends to the connection have failed of late: it is tried again in a while.
    CircuitOpen,
    /// The server is going away.
    ShuttingDown,
    /// It was tried several times, and the connection had no room.
    Unavailable,
    /// The message does not print as JSON.
    Unencodable,
}

impl SendError {
    /// In a word, for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Stale => "stale",
            Self::TooLarge => "too_large",
            Self::CircuitOpen => "circuit_open",
            Self::ShuttingDown => "shutting_down",
            Self::Unavailable => "unavailable",
            Self::Unencodable => "unencodable",
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "there is no such connection",
            Self::Stale => "the connection is gone",
            Self::TooLarge => "the message is too large",
            Self::CircuitOpen => "sends to the connection have failed of late",
            Self::ShuttingDown => "the server is going away",
            Self::Unavailable => "the connection has no room",
            Self::Unencodable => "the message does not print as JSON",
        })
    }
}

impl std::error::Error for SendError {}
