//! What a query says, or which of its fields is wrong.

use axum::{extract::FromRequestParts, http::request::Parts, response::Response};
use serde::de::DeserializeOwned;
use streamer_protocol::{ErrorBody, ErrorCode};

use crate::answer;

/// The fields of a request's query.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let query = parts.uri.query().unwrap_or_default();
        let fields = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
        serde_path_to_error::deserialize(fields).map(Self).map_err(|e| {
            let error = ErrorBody::new(ErrorCode::ValidationError, "the query is not valid");
            let path = Some(e.path().to_string()).filter(|path| path != ".").unwrap_or_default();
            answer::error(error.at(path, e.inner().to_string()))
        })
    }
}
