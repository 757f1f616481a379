//! What is not installed.

use std::io::Write as _;

/// A server cannot be started here.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {why}")]
pub struct Missing {
    what: &'static str,
    why: String,
}

impl Missing {
    pub(crate) fn new(what: &'static str, why: impl std::fmt::Display) -> Self {
        Self { what, why: why.to_string() }
    }
}

/// For tests: the server, or none with a line that says so; with `CI=true` it must be there.
///
/// # Panics
/// With `CI=true`, if the server is missing.
pub fn or_skip<T>(started: Result<T, Missing>) -> Option<T> {
    match started {
        Ok(server) => Some(server),
        Err(e) if std::env::var_os("CI").is_some_and(|ci| ci == "true") => panic!("{e}"),
        Err(e) => {
            // Past the capture of a passing test's output.
            drop(writeln!(std::io::stderr(), "skipped: {e}"));
            None
        }
    }
}
