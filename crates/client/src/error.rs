//! What can go wrong: before a connection, before a request, and with a request.

use std::{error::Error, fmt, time::Duration};

use streamer_protocol::{
    Details, ErrorBody, ErrorCode, InvalidAction, InvalidRequestId, InvalidTopic, Retry,
};

use crate::Closed;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address is none, or needs TLS and the feature `tls` is off.
    #[error("unusable address: {0}")]
    Url(String),
    /// The token's provider failed.
    #[error("no token to be had")]
    Token(#[source] Box<dyn Error + Send + Sync>),
    /// The token holds characters that no header can carry.
    #[error("the token cannot be sent")]
    UnusableToken,
    /// The server answered something else than 101.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// Nothing came of it in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The network, or a peer that does not speak the protocol.
    #[error("connection failed")]
    Network(#[source] Box<dyn Error + Send + Sync>),
}

/// An upgrade that was refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// 401 for the token, 429 for the rate, 503 while draining, 500 when the store fails.
    pub status: u16,
    /// What the JSON body says, as far as it came along with the head of the answer.
    pub error: Option<ErrorBody>,
    /// When to try again: `Retry-After`, or what the body says.
    pub retry_after: Option<Duration>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server refused with {}", self.status)?;
        match &self.error {
            Some(error) => write!(f, ": {} {}", error.code, error.message),
            None => Ok(()),
        }
    }
}

impl ConnectError {
    /// Whether the same attempt may succeed later. A 401 may, once there is another token.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Url(_) | Self::UnusableToken => false,
            Self::Token(_) | Self::Timeout(_) | Self::Network(_) => true,
            Self::Refused(refusal) => matches!(refusal.status, 408 | 429 | 500..),
        }
    }

    /// The status of a refused upgrade.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused(refusal) => Some(refusal.status),
            _ => None,
        }
    }
}

/// Why a request was not sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// See [`Action`](streamer_protocol::Action).
    #[error(transparent)]
    Action(#[from] InvalidAction),
    /// See [`RequestId`](crate::RequestId).
    #[error(transparent)]
    Id(#[from] InvalidRequestId),
    /// See [`Topic`](streamer_protocol::Topic).
    #[error(transparent)]
    Topic(#[from] InvalidTopic),
    /// A request's updates are followed by [`Client::resume`](crate::Client::resume).
    #[error("a request's topic is followed by resuming the request")]
    RequestTopic,
    /// This client has a [`Subscription`](crate::Subscription) to this topic.
    #[error("this client is subscribed to this topic")]
    AlreadySubscribed,
    /// The payload or the metadata does not print as JSON.
    #[error("not printable as JSON")]
    Unprintable(#[from] serde_json::Error),
    /// Metadata is an object.
    #[error("metadata is an object")]
    Metadata,
    /// The message is over the bound; see [`Settings::request_bytes_max`](crate::Settings::request_bytes_max).
    #[error("the message has {bytes} bytes, more than {bytes_max}")]
    TooLarge {
        /// The message's.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// See [`Settings::calls_max`](crate::Settings::calls_max).
    #[error("too many calls or subscriptions are open")]
    TooManyCalls,
    /// This client has an open [`Call`](crate::Call) for this id.
    #[error("a call with this id is open")]
    AlreadyOpen,
    /// There is no connection and will be none.
    #[error(transparent)]
    Closed(Closed),
}

/// Why a request has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// It was not sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The server answered with an error.
    #[error(transparent)]
    Failed(#[from] RequestError),
    /// The connection is gone for good; the request may be running.
    #[error(transparent)]
    Closed(Closed),
    /// The server's log lacks chunks that it had: asking again did not bring them.
    #[error("the server's log skips from chunk {expected} to {found}")]
    Incomplete {
        /// The index that should have come.
        expected: u64,
        /// The index that came.
        found: u64,
    },
    /// The answer is not what this client understands.
    #[error("unexpected answer")]
    Answer(#[from] serde_json::Error),
}

impl CallError {
    /// The server's code, if it was the server's error.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Failed(error) => Some(error.code),
            _ => None,
        }
    }
}

/// What the server says went wrong with a request.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestError {
    /// For programs.
    pub code: ErrorCode,
    /// For people.
    pub message: String,
    /// Where to look.
    pub details: Option<Details>,
    /// Whether and when to try again.
    pub retry: Option<Retry>,
}

impl From<ErrorBody> for RequestError {
    fn from(ErrorBody { code, message, details, retry }: ErrorBody) -> Self {
        Self { code, message, details, retry }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)?;
        let fields = self.details.iter().flat_map(|details| &details.fields);
        for field in fields {
            write!(f, "; {}: {}", field.path, field.message)?;
        }
        Ok(())
    }
}

impl Error for RequestError {}
