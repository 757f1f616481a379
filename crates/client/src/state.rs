//! What becomes of the connection.

use std::{sync::Arc, time::Duration};

use crate::ConnectError;

/// Where the connection stands.
#[derive(Debug, Clone)]
pub enum ConnectionState {
    /// Messages flow.
    Connected,
    /// It was lost. Calls stay open, and new ones wait.
    Reconnecting {
        /// The next attempt, from 1 on.
        attempt: u32,
        /// How long until then.
        wait: Duration,
    },
    /// For good: every open call has ended.
    Closed(Closed),
}

/// Why there will be no further connection.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Closed {
    /// [`Client::close`](crate::Client::close), or the client and its calls were dropped.
    #[error("closed by this program")]
    ByUs,
    /// The server closed it with a code that says to stay away, or that asks for a fresh token where there is
    /// none. Their meaning: [`CloseCode`](crate::CloseCode).
    #[error("closed by the server with {code}: {reason}")]
    ByServer {
        /// Of the close frame.
        code: u16,
        /// Of the close frame.
        reason: String,
    },
    /// It could not be made again: the last error of the last attempt.
    #[error("no way back: {0}")]
    Unreachable(#[source] Arc<ConnectError>),
    /// The server sent a message over the bound; it would do so again.
    #[error("the server sent a message over the bound of {bytes_max} bytes")]
    MessageTooLarge {
        /// As set.
        bytes_max: usize,
    },
}
