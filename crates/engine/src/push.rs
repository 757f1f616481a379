//! The way to connections, as the engine sees it. Who holds the sockets implements it.

use std::fmt;

use async_trait::async_trait;
use streamer_protocol::{CloseCode, ConnectionId};

use crate::Frame;

/// Hands messages to connections.
///
/// Messages to one connection arrive in the order in which they were pushed. A push never waits for a peer:
/// what cannot be taken now is [`Error::Busy`], and it is the caller's to decide what that means.
#[async_trait]
pub trait Push: Send + Sync {
    /// Hands one message to one connection.
    async fn push(&self, to: &ConnectionId, frame: Frame) -> Result<()>;

    /// Hands messages, in order, to many connections at once. The answer has one item per connection, in order; after
    /// an error that connection may have got the first of the messages.
    async fn push_many(&self, to: &[ConnectionId], frames: &[Frame]) -> Vec<Result<()>> {
        let mut pushed = Vec::with_capacity(to.len());
        for connection in to {
            let mut result = Ok(());
            for frame in frames {
                result = self.push(connection, frame.clone()).await;
                if result.is_err() {
                    break;
                }
            }
            pushed.push(result);
        }
        pushed
    }

    /// Returns once the connection has room again after [`Error::Busy`].
    async fn drained(&self, to: &ConnectionId) -> Result<()>;

    /// For how many connections something waits that was pushed and has not left yet.
    fn behind(&self) -> usize {
        0
    }

    /// Whether the connection is there.
    async fn is_active(&self, to: &ConnectionId) -> bool;

    /// Closes the connection, without waiting for its peer.
    async fn disconnect(&self, to: &ConnectionId, why: CloseCode) -> Result<()>;
}

/// What a push answers.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Error {
    /// There is no such connection, or no longer.
    Gone,
    /// It has no room now: its peer reads too slowly, or a passing fault stands in the way.
    Busy,
    /// The message is larger than the connection takes.
    TooLarge,
    /// The sender is shutting down.
    ShuttingDown,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gone => "the connection is gone",
            Self::Busy => "the connection has no room now",
            Self::TooLarge => "the message is too large for the connection",
            Self::ShuttingDown => "shutting down",
        })
    }
}

impl std::error::Error for Error {}
