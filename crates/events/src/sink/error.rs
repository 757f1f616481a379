//! Why a sink could not do what it was asked.

use std::fmt;

/// What a sink answers.
pub type Result<T> = std::result::Result<T, Error>;

/// A kind, for the pipeline to act on, and its cause, for the log.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What the pipeline can tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A passing fault: the same call may succeed later. It may also have been done.
    Unavailable,
    /// Who we say we are, or what we may do there, is not enough: a person must look, and the pipeline waits.
    Denied,
    /// An argument that no caller should have sent.
    Invalid,
    /// The data is damaged: a person must look.
    Corrupt,
}

impl ErrorKind {
    /// Whether the same call may succeed if it is made again.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        // Rights can be given while the pipeline waits.
        matches!(self, Self::Unavailable | Self::Denied)
    }

    /// In a word, for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Denied => "denied",
            Self::Invalid => "invalid",
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

    /// What lies behind it.
    #[must_use]
    pub fn cause(&self) -> Option<&(dyn std::error::Error + Send + Sync + 'static)> {
        self.source.as_deref()
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
            Some(source) => write!(f, "sink: {}: {source}", self.kind.as_str()),
            None => write!(f, "sink: {}", self.kind.as_str()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // Its own text has the cause already: whoever prints a chain would say it twice.
        self.source.as_deref().and_then(std::error::Error::source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_says_each_cause_once() {
        let error = Error::new(ErrorKind::Unavailable, std::io::Error::other("no route"));
        assert_eq!(error.to_string(), "sink: unavailable: no route");
        assert!(std::error::Error::source(&error).is_none());
        assert_eq!(error.cause().map(ToString::to_string).as_deref(), Some("no route"));
    }
}
