//! Stable error codes.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// What went wrong, in a word that never changes. The message beside it is for people.
///
/// A code that this version does not know reads as [`InternalError`](Self::InternalError): an older client still
/// learns that its request has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum ErrorCode {
    /// The message or its payload is not what the action takes; `details.fields` names where.
    ValidationError,
    /// No valid token.
    Unauthorized,
    /// The token does not grant this.
    Forbidden,
    /// No such action, or no such request of this user.
    NotFound,
    /// The id is taken by a request with another payload.
    Conflict,
    /// The message, a chunk or the log of a request is over its bound.
    PayloadTooLarge,
    /// Too many messages or connections, or in too short a time: try again after `retry.after` milliseconds.
    RateLimited,
    /// The action's time was up.
    Timeout,
    /// The request was cancelled.
    Cancelled,
    /// The queue is full: try again after `retry.after` milliseconds.
    Overloaded,
    /// Something failed inside; `details.correlation_id` finds it in the server's log.
    InternalError,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [Self; 11] = [
        Self::ValidationError,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::Conflict,
        Self::PayloadTooLarge,
        Self::RateLimited,
        Self::Timeout,
        Self::Cancelled,
        Self::Overloaded,
        Self::InternalError,
    ];

    /// The code as it stands on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ValidationError => "VALIDATION_ERROR",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Forbidden => "FORBIDDEN",
            Self::NotFound => "NOT_FOUND",
            Self::Conflict => "CONFLICT",
            Self::PayloadTooLarge => "PAYLOAD_TOO_LARGE",
            Self::RateLimited => "RATE_LIMITED",
            Self::Timeout => "TIMEOUT",
            Self::Cancelled => "CANCELLED",
            Self::Overloaded => "OVERLOADED",
            Self::InternalError => "INTERNAL_ERROR",
        }
    }
}

impl<'de> Deserialize<'de> for ErrorCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self::ALL.into_iter().find(|code| code.as_str() == text).unwrap_or(Self::InternalError))
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_and_the_text_agree() {
        for code in ErrorCode::ALL {
            let wire = serde_json::to_string(&code).expect("prints");
            assert_eq!(wire, format!("\"{code}\""));
            assert_eq!(serde_json::from_str::<ErrorCode>(&wire).expect("reads"), code);
        }
    }

    #[test]
    fn a_code_of_a_later_version_is_still_an_error() {
        let code: ErrorCode = serde_json::from_str("\"TEAPOT\"").expect("reads");
        assert_eq!(code, ErrorCode::InternalError);
    }
}
