//! Where keys come from when they change while the process runs.

use std::{error::Error, time::Duration};

use async_trait::async_trait;

use crate::{Algorithm, KEYS_MAX, Keys};

/// A place that always has the keys of the day. A [`Rotation`](crate::Rotation) asks it again and again, never
/// twice at once.
#[async_trait]
pub trait KeySource: Send + Sync {
    /// The keys that count now, all of them. It bounds by itself how long it takes and how much it reads.
    async fn fetch(&self) -> Result<Fetched, SourceError>;

    /// Its place, for logs: without anything secret.
    fn place(&self) -> &str;
}

/// What a [`KeySource`] has.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The keys.
    pub keys: Keys,
    /// For how long they need not be asked for again, if the source says so.
    pub max_age: Option<Duration>,
}

/// Why keys could not be had. Nothing secret is in it.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// No connection to it.
    #[error("it cannot be reached: {0}")]
    Unreachable(Box<dyn Error + Send + Sync>),
    /// TLS failed, most often as its certificate is not trusted.
    #[error("TLS cannot be agreed on with it: {0}")]
    Tls(Box<dyn Error + Send + Sync>),
    /// The connection or its protocol broke.
    #[error("it did not answer properly: {0}")]
    Broken(Box<dyn Error + Send + Sync>),
    /// It took too long.
    #[error("it did not answer within {} s", .0.as_secs_f64())]
    Timeout(Duration),
    /// It answered with another status than 200.
    #[error("it answered with the HTTP status {0}")]
    Status(u16),
    /// It answered that the keys are elsewhere.
    #[error("it redirects elsewhere, which is not followed: configure the address where the keys are")]
    Redirect,
    /// Its answer is over the bound, in bytes.
    #[error("its answer is longer than {0} bytes")]
    TooLarge(usize),
    /// Its answer is no set of keys.
    #[error("its answer is not a JSON Web Key Set")]
    NotKeys,
    /// Not one of its keys can be used.
    #[error("it has no key to check {0} with: {keys}, for signatures", keys = .0.keys())]
    NoKeys(Algorithm),
    /// More than [`KEYS_MAX`] keys.
    #[error("it has more than {KEYS_MAX} keys of the configured algorithm")]
    TooManyKeys,
    /// Two different keys by one name.
    #[error("two different keys of it have the same `kid`")]
    DuplicateId,
}

impl SourceError {
    /// One of a fixed set of words in snake case, fit for a metric's label.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Tls(_) => "tls",
            Self::Broken(_) => "broken",
            Self::Timeout(_) => "timeout",
            Self::Status(_) => "status",
            Self::Redirect => "redirect",
            Self::TooLarge(_) => "too_large",
            Self::NotKeys => "not_keys",
            Self::NoKeys(_) => "no_keys",
            Self::TooManyKeys => "too_many_keys",
            Self::DuplicateId => "duplicate_id",
        }
    }
}
