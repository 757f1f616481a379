//! Why a store could not do what it was asked.

use std::fmt;

/// What a store answers.
pub type Result<T> = std::result::Result<T, Error>;

/// A kind, for the engine to act on, and its cause, for the log.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What the engine can tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// There is no such thing.
    NotFound,
    /// The id stands for something else, or the state does not allow it.
    Conflict,
    /// Another fence is out, or the request has ended: change nothing more.
    LeaseLost,
    /// A quota is used up.
    Full,
    /// The disk is full.
    NoSpace,
    /// An argument that no caller should have sent, such as a foreign cursor.
    Invalid,
    /// A passing fault: the same call may succeed later. It may also have been done.
    Unavailable,
    /// The store is shutting down.
    Closed,
    /// The data is damaged: a person must look.
    Corrupt,
}

impl ErrorKind {
    /// Whether the same call may succeed if it is made again.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        matches!(self, Self::Unavailable)
    }

    /// Whether the same call may succeed once somebody has made room.
    #[must_use]
    pub const fn is_used_up(self) -> bool {
        matches!(self, Self::Full | Self::NoSpace)
    }

    /// In a word, for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::LeaseLost => "lease_lost",
            Self::Full => "full",
            Self::NoSpace => "no_space",
            Self::Invalid => "invalid",
            Self::Unavailable => "unavailable",
            Self::Closed => "closed",
            Self::Corrupt => "corrupt",
        }
    }
}

impl Error {
    /// An error with its cause.
    pub fn new(kind: ErrorKind, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { kind, source: Some(source.into()) }
    }

    /// What to act on.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self { kind, source: None }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Some(source) => write!(f, "store: {}: {source}", self.kind.as_str()),
            None => write!(f, "store: {}", self.kind.as_str()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
