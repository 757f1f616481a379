//! Why a signed request was not accepted.

/// Why a signed request was not accepted, by type: for the log and for a metric's label. It holds nothing out of the
/// request, so it can be shown anywhere, to the client too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refused {
    /// No signature came with the request.
    #[error("the request is not signed: an Authorization header of AWS4-HMAC-SHA256 is needed")]
    Missing,
    /// The signature stands in the query.
    #[error("signed URLs are not accepted: sign with the Authorization header")]
    InQuery,
    /// What is named is not well formed.
    #[error("the {0} is not as AWS Signature Version 4 has it")]
    Malformed(&'static str),
    /// Nobody has this access key. The same words as for a wrong signature, so that key ids cannot be tried out.
    #[error("the signature does not match: check the secret access key and the way of signing")]
    UnknownKey,
    /// The signature was made with another secret, or over another request.
    #[error("the signature does not match: check the secret access key and the way of signing")]
    BadSignature,
    /// The credential's scope names another region.
    #[error("the request is signed for another region than the configured one")]
    WrongRegion,
    /// The credential's scope names another service, or does not end as it should.
    #[error("the request is signed for another service")]
    WrongService,
    /// Signed too long ago, or in the future.
    #[error("the time of signing is more than five minutes off: check the clocks")]
    ClockSkew,
    /// A header that means something is not covered by the signature, or is signed and did not arrive.
    #[error("the header {0} must be there and signed")]
    Unsigned(&'static str),
    /// The signature does not cover the body.
    #[error("the payload must be signed: UNSIGNED-PAYLOAD and STREAMING forms are not accepted")]
    UnsignedPayload,
    /// A session token came that the credential does not have, or did not come though it has one.
    #[error("the session token is not the credential's")]
    SessionToken,
}

impl Refused {
    /// One of a fixed set of words in snake case, fit for a metric's label beside those of
    /// [`Rejected`](crate::Rejected).
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Missing => "signature_missing",
            Self::InQuery => "signature_in_query",
            Self::Malformed(_) => "signature_malformed",
            Self::UnknownKey => "signature_unknown_key",
            Self::BadSignature => "signature_mismatch",
            Self::WrongRegion => "signature_wrong_region",
            Self::WrongService => "signature_wrong_service",
            Self::ClockSkew => "signature_clock_skew",
            Self::Unsigned(_) => "signature_header_unsigned",
            Self::UnsignedPayload => "signature_payload_unsigned",
            Self::SessionToken => "signature_session_token",
        }
    }
}
