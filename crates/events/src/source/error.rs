//! Why a source cannot go on.

use std::fmt;

/// What a source answers.
pub type Result<T> = std::result::Result<T, Error>;

/// A kind, what is wrong, and what mends it.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    mend: Option<String>,
}

/// What the pipeline can tell apart. None of these passes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The server is not set up for reading, or does not let us in.
    NotReady,
    /// What was not confirmed can no longer be had.
    Lost,
    /// The server sends what cannot be understood.
    Corrupt,
    /// The source was closed.
    Closed,
}

impl ErrorKind {
    /// In a word, for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotReady => "not_ready",
            Self::Lost => "lost",
            Self::Corrupt => "corrupt",
            Self::Closed => "closed",
        }
    }
}

impl Error {
    /// What is wrong.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), mend: None }
    }

    /// What mends it: a command or a statement, to be copied.
    #[must_use]
    pub fn mended_by(mut self, mend: impl Into<String>) -> Self {
        self.mend = Some(mend.into());
        self
    }

    /// What to act on.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What mends it, if something that can be written down does.
    #[must_use]
    pub fn mend(&self) -> Option<&str> {
        self.mend.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "source: {}", self.message)?;
        match &self.mend {
            Some(mend) => write!(f, "; to mend it: {mend}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}
