//! Why a token was not accepted.

/// Why a token was not accepted, by type: for the log and for a metric's label. It holds nothing out of the
/// token, so it can be shown anywhere, to the client too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Rejected {
    /// No token came with the request.
    #[error("no token was presented")]
    Missing,
    /// The token is longer than [`TOKEN_BYTES_MAX`](crate::TOKEN_BYTES_MAX).
    #[error("the token is over the longest length")]
    TooLong,
    /// Not three base64url parts around JSON objects, or a header that demands what nobody here understands.
    #[error("the token is not a signed JWT")]
    Malformed,
    /// The header names another algorithm than the key has.
    #[error("the token names another algorithm than the configured one")]
    WrongAlgorithm,
    /// The header names a key (`kid`) that is not configured. It may be new: keys rotate.
    #[error("the token names a key that is not configured")]
    UnknownKey,
    /// The signature was not made by a configured key over this content.
    #[error("the token's signature does not match a configured key")]
    BadSignature,
    /// `exp` has passed, leeway included.
    #[error("the token has expired")]
    Expired,
    /// `nbf` is ahead, leeway included.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `iss` is not the configured issuer.
    #[error("the token comes from another issuer")]
    WrongIssuer,
    /// `aud` does not name the configured audience.
    #[error("the token is meant for another audience")]
    WrongAudience,
    /// A claim that is needed is absent or null.
    #[error("the token has no claim `{0}`")]
    MissingClaim(&'static str),
    /// A claim is of the wrong type, empty, too long, out of range, or holds control characters.
    #[error("the token's claim `{0}` is not usable")]
    InvalidClaim(&'static str),
}

impl Rejected {
    /// One of a fixed set of words in snake case, fit for a metric's label.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::TooLong => "too_long",
            Self::Malformed => "malformed",
            Self::WrongAlgorithm => "wrong_algorithm",
            Self::UnknownKey => "unknown_key",
            Self::BadSignature => "bad_signature",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongAudience => "wrong_audience",
            Self::MissingClaim(_) => "missing_claim",
            Self::InvalidClaim(_) => "invalid_claim",
        }
    }
}
