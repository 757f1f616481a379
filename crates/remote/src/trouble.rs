//! What can go wrong with asking an address, and what becomes of it.

use std::{fmt, time::Duration};

use streamer_engine::Failure;
use streamer_http::Error;
use streamer_protocol::ErrorCode;

/// After no connection to an address became free.
const BUSY_WAIT: Duration = Duration::from_secs(1);

/// Why asking an address came to nothing.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// No answer, or only a part of it.
    Http(Error),
    /// Nothing came for so long: `what` was waited for.
    Silent { what: &'static str, span: Duration },
    /// The address has failed of late; it is tried again after so long.
    CircuitOpen(Duration),
    /// It answered that it cannot just now.
    Unavailable { status: u16, after: Option<Duration> },
    /// It said in its answer that this attempt failed.
    Asked { message: String, after: Option<Duration> },
    /// It does not want this request.
    Rejected(Failure),
    /// Its answer is over a bound, in bytes.
    TooLarge { what: &'static str, bytes_max: usize },
    /// Its answer is not what an answer may be. Nothing of it is quoted.
    Garbage(&'static str),
    /// The engine says so: the request was cancelled, or what came is over the engine's own bounds.
    Engine(Failure),
    /// The engine wants the work to stop.
    Stopped,
}

impl Trouble {
    /// Whether the address itself is at fault, so that it is better left alone for a while.
    pub(crate) fn is_of_the_address(&self) -> bool {
        match self {
            Self::Http(Error::Busy) => false,
            Self::Http(_) | Self::Silent { .. } => true,
            Self::Unavailable { status, .. } => *status >= 500,
            _ => false,
        }
    }

    /// One of a fixed set of words, fit for a metric's label.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Http(e) => e.reason(),
            Self::Silent { .. } => "silent",
            Self::CircuitOpen(_) => "circuit_open",
            Self::Unavailable { .. } => "unavailable",
            Self::Asked { .. } => "retry",
            Self::Rejected(_) => "rejected",
            Self::TooLarge { .. } => "too_large",
            Self::Garbage(_) => "garbage",
            Self::Engine(_) | Self::Stopped => "stopped",
        }
    }

    pub(crate) fn into_failure(self) -> Failure {
        match self {
            Self::Rejected(failure) | Self::Engine(failure) => failure,
            Self::Stopped => Failure::cancel(),
            Self::TooLarge { .. } => Failure::reject(self.to_string()).code(ErrorCode::PayloadTooLarge),
            // It was not asked: whoever waits in the queue loses no try by that.
            Self::CircuitOpen(after) => Failure::postpone(self.to_string(), after),
            Self::Http(Error::Busy) => Failure::postpone(self.to_string(), BUSY_WAIT),
            Self::Silent { .. } | Self::Http(Error::Timeout(_)) => {
                Failure::retry(self.to_string()).code(ErrorCode::Timeout)
            }
            Self::Unavailable { status, after } => {
                let failure = Failure::retry(self.to_string());
                let failure = match status {
                    429 | 503 => failure.code(ErrorCode::Overloaded),
                    _ => failure,
                };
                after_or_backoff(failure, after)
            }
            Self::Asked { after, .. } => after_or_backoff(Failure::retry(self.to_string()), after),
            Self::Http(_) | Self::Garbage(_) => Failure::retry(self.to_string()),
        }
    }
}

fn after_or_backoff(failure: Failure, after: Option<Duration>) -> Failure {
    match after {
        Some(after) => failure.after(after),
        None => failure,
    }
}

impl From<Error> for Trouble {
    fn from(e: Error) -> Self {
        Self::Http(e)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(e) => e.fmt(f),
            Self::Silent { what, span } => write!(f, "{what} did not come within {} s", span.as_secs_f64()),
            Self::CircuitOpen(_) => f.write_str("it has failed of late and is not asked for a while"),
            Self::Unavailable { status, .. } => write!(f, "it answered with the HTTP status {status}"),
            Self::Asked { message, .. } => write!(f, "it wants this tried again: {message}"),
            Self::Rejected(failure) | Self::Engine(failure) => failure.fmt(f),
            Self::TooLarge { what, bytes_max } => write!(f, "{what} has more than {bytes_max} bytes"),
            Self::Garbage(what) => f.write_str(what),
            Self::Stopped => f.write_str("it was to stop"),
        }
    }
}
