//! Why there is no answer.

use std::{error, time::Duration};

/// Why there is no answer, or not all of it. Nothing secret is in it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection to it.
    #[error("it cannot be reached: {0}")]
    Unreachable(#[source] Box<dyn error::Error + Send + Sync>),
    /// TLS failed, most often as its certificate is not trusted.
    #[error("TLS cannot be agreed on with it: {0}")]
    Tls(#[source] Box<dyn error::Error + Send + Sync>),
    /// The connection or its protocol broke.
    #[error("it did not answer properly: {0}")]
    Broken(#[source] Box<dyn error::Error + Send + Sync>),
    /// No connection within this time.
    #[error("no connection to it within {} s", .0.as_secs_f64())]
    Timeout(Duration),
    /// As many connections to it as may be are in use.
    #[error("all connections to it are in use")]
    Busy,
}

impl Error {
    pub(crate) fn broken(e: impl Into<Box<dyn error::Error + Send + Sync>>) -> Self {
        Self::Broken(e.into())
    }

    /// One of a fixed set of words in snake case, fit for a metric's label.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Tls(_) => "tls",
            Self::Broken(_) => "broken",
            Self::Timeout(_) => "timeout",
            Self::Busy => "busy",
        }
    }
}
