//! How a handler says that it did not succeed.

use std::{error::Error, fmt, time::Duration};

use streamer_protocol::{Details, ErrorBody, ErrorCode, FieldProblem};

/// What happens next is the handler's to say: [`reject`](Self::reject) ends the request,
/// [`retry`](Self::retry) has it tried again, [`postpone`](Self::postpone) puts it back, [`cancel`](Self::cancel) ends it
/// as cancelled.
#[derive(Debug)]
pub struct Failure(Kind);

#[derive(Debug)]
enum Kind {
    Reject { code: ErrorCode, message: String, fields: Vec<FieldProblem> },
    Retry { code: ErrorCode, cause: Box<dyn Error + Send + Sync>, after: Option<Duration> },
    Postpone { cause: Box<dyn Error + Send + Sync>, after: Duration },
    Cancel,
}

/// A failure as the engine acts on it.
pub(crate) enum Verdict {
    Reject(ErrorBody),
    Retry { code: ErrorCode, cause: Box<dyn Error + Send + Sync>, after: Option<Duration> },
    Postpone { cause: Box<dyn Error + Send + Sync>, after: Duration },
    Cancel,
}

impl Failure {
    /// Ends the request: trying again would not help. The client reads `message`, under `VALIDATION_ERROR`
    /// unless [`code`](Self::code) says otherwise; under `INTERNAL_ERROR` only the log does.
    #[must_use]
    pub fn reject(message: impl Into<String>) -> Self {
        Self(Kind::Reject { code: ErrorCode::ValidationError, message: message.into(), fields: Vec::new() })
    }

    /// The attempt failed for a reason that may pass: it is repeated as often as the action allows. The client
    /// never reads `cause`; the log does.
    #[must_use]
    pub fn retry(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Kind::Retry { code: ErrorCode::InternalError, cause: cause.into(), after: None })
    }

    /// The attempt could not begin, and did nothing: what it needs has no room just now. A queued request goes back into
    /// the queue for so long, and no try is spent; of a short one the client reads `OVERLOADED`, and how long to wait.
    /// The client never reads `cause`; the log does.
    #[must_use]
    pub fn postpone(cause: impl Into<Box<dyn Error + Send + Sync>>, after: Duration) -> Self {
        Self(Kind::Postpone { cause: cause.into(), after })
    }

    /// Ends the request as cancelled. What [`Context`](crate::Context) answers once somebody asked for that.
    #[must_use]
    pub fn cancel() -> Self {
        Self(Kind::Cancel)
    }

    /// The code the client reads. Of a retry: once no try is left, or at once if the request is a short one; beside
    /// `INTERNAL_ERROR` it may be `TIMEOUT` or `OVERLOADED`.
    #[must_use]
    pub fn code(mut self, to: ErrorCode) -> Self {
        if let Kind::Reject { code, .. } | Kind::Retry { code, .. } = &mut self.0 {
            *code = to;
        }
        self
    }

    /// For a rejection: the field of the payload that is wrong, by its path, such as `rows[3].amount`. An
    /// empty path is the payload itself.
    #[must_use]
    pub fn at(self, path: &str) -> Self {
        let Kind::Reject { message, .. } = &self.0 else { return self };
        let message = message.clone();
        self.also_at(path, message)
    }

    /// For a rejection: one more wrong field, with a message of its own.
    #[must_use]
    pub fn also_at(mut self, path: &str, message: impl Into<String>) -> Self {
        if let Kind::Reject { fields, .. } = &mut self.0 {
            let path = match path {
                "" | "." => "payload".to_owned(),
                path if path.starts_with('[') => format!("payload{path}"),
                path => format!("payload.{path}"),
            };
            fields.push(FieldProblem { path, message: message.into() });
        }
        self
    }

    /// For a retry: not before so long. Otherwise the action's backoff decides.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        if let Kind::Retry { after, .. } = &mut self.0 {
            *after = Some(wait);
        }
        self
    }

    pub(crate) fn into_verdict(self) -> Verdict {
        match self.0 {
            Kind::Reject { code, message, fields } => {
                let details = (!fields.is_empty()).then_some(Details { fields, correlation_id: None });
                Verdict::Reject(ErrorBody { code, message, details, retry: None })
            }
            Kind::Retry { code, cause, after } => Verdict::Retry { code, cause, after },
            Kind::Postpone { cause, after } => Verdict::Postpone { cause, after },
            Kind::Cancel => Verdict::Cancel,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Reject { code, message, .. } => write!(f, "rejected: {code}: {message}"),
            Kind::Retry { cause, .. } => write!(f, "to be retried: {cause}"),
            Kind::Postpone { cause, .. } => write!(f, "to be postponed: {cause}"),
            Kind::Cancel => f.write_str("cancelled"),
        }
    }
}
