//! Errors over HTTP, as problem details (RFC 9457).

use std::time::Duration;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Serialize;
use streamer_auth::Rejected;
use streamer_protocol::{Details, ErrorBody, ErrorCode, FieldProblem, RequestId, Retry};

use crate::answer;

/// What went wrong. `code`, `fields`, `correlation_id` and `retry` are those of the socket's errors.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Problem {
    /// Always `about:blank`: `code` says what went wrong.
    r#type: &'static str,
    /// The status in words.
    title: &'static str,
    /// The status of the answer.
    status: u16,
    /// For people.
    detail: String,
    /// For programs.
    code: ErrorCode,
    /// The fields that are wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<FieldProblem>,
    /// The entry in the server's log that says more.
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<String>,
    /// Whether and when to try again.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry: Option<Retry>,
    /// The request, if it could be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<RequestId>,
    /// The place of this error in the request's log: it is the outcome of a stored request.
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
}

/// With the status that fits the error's code.
pub(crate) fn problem(error: ErrorBody) -> Response {
    with_status(answer::status_of(error.code), error)
}

pub(crate) fn with_status(status: StatusCode, error: ErrorBody) -> Response {
    of_request(status, error, None, None)
}

/// About a request, or the outcome of one.
pub(crate) fn of_request(
    status: StatusCode,
    error: ErrorBody,
    request_id: Option<RequestId>,
    seq: Option<u64>,
) -> Response {
    let ErrorBody { code, message, details, retry } = error;
    let Details { fields, correlation_id } = details.unwrap_or_default();
    let title = status.canonical_reason().unwrap_or("Error");
    let problem = Problem {
        r#type: "about:blank",
        title,
        status: status.as_u16(),
        detail: message,
        code,
        fields,
        correlation_id,
        retry,
        request_id,
        seq,
    };
    let text = serde_json::to_string(&problem).expect("made of text and numbers");
    let mut response = (status, text).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    // An outcome stays what it is, however long one waits.
    let again = problem.retry.filter(|retry| retry.retryable && seq.is_none()).and_then(|retry| retry.after);
    if let Some(millis) = again {
        headers.insert(header::RETRY_AFTER, millis.div_ceil(1000).max(1).into());
    }
    response
}

/// An error that may pass, and when to try again.
pub(crate) fn later(code: ErrorCode, message: &str, after: Duration) -> Response {
    let millis = u64::try_from(after.as_millis()).unwrap_or(u64::MAX).max(1);
    let again = Retry { retryable: true, after: Some(millis), attempt: None, max_tries: None };
    problem(ErrorBody::new(code, message).retry(again))
}

/// The answer to a token that is not accepted.
pub(crate) fn rejected(rejected: Rejected) -> Response {
    let mut response = problem(ErrorBody::new(ErrorCode::Unauthorized, rejected.to_string()));
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

/// The answer to a server that takes nothing new.
pub(crate) fn draining() -> Response {
    const AGAIN: Duration = Duration::from_secs(1);
    later(ErrorCode::Overloaded, "the server is going away: connect elsewhere", AGAIN)
}

/// The answer to a field of head or query that cannot be read.
pub(crate) fn invalid(field: &str, what: impl Into<String>) -> Response {
    problem(ErrorBody::new(ErrorCode::ValidationError, format!("{field} is not valid")).at(field, what))
}

/// Nothing is here.
pub(crate) async fn not_found() -> Response {
    problem(ErrorBody::new(ErrorCode::NotFound, "there is nothing here"))
}

/// Something is here, but not for this method.
pub(crate) async fn method_not_allowed() -> Response {
    let error = ErrorBody::new(ErrorCode::ValidationError, "this method is not for this path");
    with_status(StatusCode::METHOD_NOT_ALLOWED, error)
}
