//! Who calls, and whose connections they may touch.

use axum::{
    body::{Body, Bytes},
    http::{header, request::Parts},
};
use sha2::{Digest, Sha256};
use streamer_auth::sigv4::{Credential, Refused, Request};
use streamer_protocol::TenantId;
use tracing::info;

use super::{Exception, Place, body};

/// Who calls.
pub(super) enum Caller<'a> {
    /// An operator, by the admin token.
    Operator,
    /// The holder of a key, by a signature.
    Holder(&'a Credential),
}

impl Caller<'_> {
    pub(super) fn opens(&self, tenant: &TenantId) -> bool {
        match self {
            Self::Operator => true,
            Self::Holder(credential) => credential.opens(tenant),
        }
    }

    /// The id of the key that was used.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Operator => None,
            Self::Holder(credential) => Some(credential.access_key_id()),
        }
    }
}

impl Place {
    /// Who calls, and the body that they sent. A body is kept for nobody whose key is unknown.
    pub(super) async fn caller(
        &self,
        parts: &Parts,
        body: Body,
        request_id: &str,
    ) -> Result<(Caller<'_>, Bytes), Exception> {
        let (bytes_max, within) = (self.shared.message_bytes_max, self.shared.body_timeout);
        if let (Some(expected), Some(presented)) = (&self.operator_token, bearer(parts)) {
            // Comparing digests takes the same time wherever they differ.
            if Sha256::digest(presented) == Sha256::digest(expected) {
                return Ok((Caller::Operator, body::read(body, bytes_max, within).await?));
            }
            body::discard(body, within).await;
            return Err(refused(Refused::BadSignature, "admin_token", request_id));
        }
        let headers = parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let request = Request {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            query: parts.uri.query().unwrap_or_default(),
            headers,
        };
        let now = self.shared.engine.clock().now();
        let read =
            self.shared.keys.as_ref().ok_or(Refused::Missing).and_then(|keys| keys.read(&request, now));
        let claim = match read {
            Ok(claim) => claim,
            Err(why) => {
                body::discard(body, within).await;
                return Err(refused(why, why.reason(), request_id));
            }
        };
        let body = body::read(body, bytes_max, within).await?;
        let credential = claim.verify(&body).map_err(|why| refused(why, why.reason(), request_id))?;
        Ok((Caller::Holder(credential), body))
    }
}

fn bearer(parts: &Parts) -> Option<&str> {
    let presented = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = presented.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

/// Counts it by its reason, beside refused tokens, and notes it in the log.
fn refused(why: Refused, reason: &'static str, request_id: &str) -> Exception {
    metrics::counter!("streamer_authentication_failures_total", "reason" => reason).increment(1);
    info!(
        correlation_id = request_id,
        operation = "authenticate",
        reason,
        "a call of the management API was refused"
    );
    Exception::Forbidden(why)
}
