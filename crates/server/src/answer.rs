//! Answers to upgrades and to operators that are errors. Those of the HTTP door are [`problem`](crate::http::problem)s.

use std::time::Duration;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use streamer_auth::Rejected;
use streamer_protocol::{ErrorBody, ErrorCode, Retry};

use crate::credentials::count_rejected;

#[derive(Serialize)]
struct Body {
    error: ErrorBody,
}

/// The status that fits a code.
pub(crate) fn status_of(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::ValidationError => StatusCode::BAD_REQUEST,
        ErrorCode::Unauthorized => StatusCode::UNAUTHORIZED,
        ErrorCode::Forbidden => StatusCode::FORBIDDEN,
        ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::Conflict | ErrorCode::Cancelled => StatusCode::CONFLICT,
        ErrorCode::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::Timeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorCode::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// An error with the status that fits its code, as `{"error": {"code", "message", …}}`.
pub(crate) fn error(error: ErrorBody) -> Response {
    with_status(status_of(error.code), error)
}

/// An error's body by itself.
pub(crate) fn body(error: ErrorBody) -> Vec<u8> {
    serde_json::to_vec(&Body { error }).expect("an error prints")
}

pub(crate) fn with_status(status: StatusCode, error: ErrorBody) -> Response {
    (status, Json(Body { error })).into_response()
}

/// An error that may pass, with the time after which to try again, in the body and in the `Retry-After` header
/// (whole seconds).
pub(crate) fn later(code: ErrorCode, message: &str, after: Duration) -> Response {
    let millis = u64::try_from(after.as_millis()).unwrap_or(u64::MAX).max(1);
    let again = Retry { retryable: true, after: Some(millis), attempt: None, max_tries: None };
    let mut response = error(ErrorBody::new(code, message).retry(again));
    response.headers_mut().insert(header::RETRY_AFTER, millis.div_ceil(1000).into());
    response
}

/// The answer to a token that is not accepted. Its reason goes to log and metric.
pub(crate) fn rejected(rejected: Rejected) -> Response {
    count_rejected(rejected);
    let mut response = error(ErrorBody::new(ErrorCode::Unauthorized, rejected.to_string()));
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

/// Something is here, but not for this method.
pub(crate) async fn method_not_allowed() -> Response {
    let error = ErrorBody::new(ErrorCode::ValidationError, "this method is not for this path");
    with_status(StatusCode::METHOD_NOT_ALLOWED, error)
}

/// Nothing is here.
pub(crate) async fn not_found() -> Response {
    error(ErrorBody::new(ErrorCode::NotFound, "there is nothing here"))
}
