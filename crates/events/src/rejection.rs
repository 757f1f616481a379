//! Why a handler does not want an event.

use std::fmt;

/// The event is wrong, and will be so however often it is tried: it goes to the dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Where in the payload (or which column), if it is one place.
    pub path: Option<String>,
    /// What is wrong. It never quotes what the payload holds.
    pub reason: String,
}

impl Rejection {
    /// What is wrong with the event as a whole.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { path: None, reason: reason.into() }
    }

    /// Where.
    #[must_use]
    pub fn at(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "{path}: {}", self.reason),
            None => f.write_str(&self.reason),
        }
    }
}

impl std::error::Error for Rejection {}
