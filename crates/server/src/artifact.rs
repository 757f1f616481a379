//! Files, for their owners.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderValue, header},
    response::Response,
};
use streamer_engine::store::ArtifactId;
use streamer_protocol::{ErrorBody, ErrorCode};
use tokio_util::io::ReaderStream;
use tracing::error;

use crate::{
    door::Shared,
    http::{BearerOrQuery, problem::problem},
};

/// `GET /v1/artifacts/{id}`: the file, if the token is its owner's. Anybody else's is not there.
pub(crate) async fn get(
    State(shared): State<Arc<Shared>>,
    BearerOrQuery(identity): BearerOrQuery,
    id: Result<Path<String>, PathRejection>,
) -> Response {
    let missing = || problem(ErrorBody::new(ErrorCode::NotFound, "you have no such artifact"));
    let Some(id) = id.ok().and_then(|Path(id)| ArtifactId::parse(&id)) else { return missing() };
    match shared.engine.store().artifact(&identity.tenant, &identity.user, &id).await {
        Ok(None) => missing(),
        Ok(Some((artifact, body))) => {
            let mut response = Response::new(Body::from_stream(ReaderStream::new(body)));
            let headers = response.headers_mut();
            let media_type = HeaderValue::from_str(&artifact.media_type);
            let media_type = media_type.unwrap_or(HeaderValue::from_static("application/octet-stream"));
            headers.insert(header::CONTENT_TYPE, media_type);
            headers.insert(header::CONTENT_LENGTH, artifact.size.into());
            headers.insert(header::CONTENT_DISPOSITION, disposition(&artifact.name));
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
            // What a handler wrote is never run as a page of this origin.
            headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
            response
        }
        Err(e) => {
            let engine = &shared.engine;
            let correlation_id = engine.random().uuid(engine.clock().now()).to_string();
            error!(correlation_id, operation = "artifact", error = %e, "an artifact could not be read");
            let failed = ErrorBody::new(ErrorCode::InternalError, "the artifact could not be read");
            problem(failed.correlated(correlation_id))
        }
    }
}

/// To be saved, under a name that holds nothing but plain characters.
fn disposition(name: &str) -> HeaderValue {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._- ".contains(c) { c } else { '_' };
    let name: String = name.chars().take(128).map(plain).collect();
    HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")).expect("plain characters")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_break_out_of_its_header() {
        assert_eq!(disposition("a\"b\r\n/é.pdf"), "attachment; filename=\"a_b____.pdf\"");
    }
}
