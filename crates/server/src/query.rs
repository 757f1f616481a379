//! What a query says, or which of its fields is wrong.

use axum::http::Uri;
use serde::de::DeserializeOwned;
use streamer_protocol::{ErrorBody, ErrorCode};

/// Reads the fields of an address's query.
pub(crate) fn read<T: DeserializeOwned>(uri: &Uri) -> Result<T, ErrorBody> {
    let query = uri.query().unwrap_or_default();
    let fields = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
    serde_path_to_error::deserialize(fields).map_err(|e| {
        let path = Some(e.path().to_string()).filter(|path| path != ".").unwrap_or_default();
        ErrorBody::new(ErrorCode::ValidationError, "the query is not valid").at(path, e.inner().to_string())
    })
}
