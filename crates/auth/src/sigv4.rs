//! AWS Signature Version 4: who signed a request.
//!
//! By the AWS documentation, "Signature Version 4 signing process" in the IAM user guide; held to the suite of signed
//! requests that AWS publishes, and to what its SDKs send. Here are only the server's half and the way of AWS clients:
//! the signature stands in the `Authorization` header. It is stricter than the scheme asks:
//!
//! - What is hashed is the body that came, whatever `x-amz-content-sha256` says. `UNSIGNED-PAYLOAD` and the
//!   `STREAMING-…` forms are refused: a signature that does not cover the body is no more than a password.
//! - Signed URLs (`X-Amz-Signature` in the query) are refused: what is written down as an address ends up in logs, and
//!   no SDK sends them for what is served here.
//! - The time of signing may differ from ours by [`CLOCK_SKEW_MAX`], both ways. It is the `x-amz-date` header's.
//!
//! **A request that was overheard can be sent again for as long as its time is good.** The scheme has no nonce, and its
//! clock ticks in seconds: two equal messages to one connection within a second have the same signature, so that to
//! refuse a signature which was seen before would lose messages. TLS is what keeps a request from being overheard.

mod authorization;
mod canonical;
mod credential;
mod hex;
mod refused;
mod verifier;

pub use canonical::Request;
pub use credential::{Credential, Tenants};
pub use refused::Refused;
pub use verifier::{CLOCK_SKEW_MAX, Claim, DuplicateKeyId, Scope, Verifier};
