//! Errors as the SDKs of AWS know them.

use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use streamer_auth::sigv4::Refused;

const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// Why a call came to nothing. The first four are those that the API documents and SDKs have a type for; the SDKs
/// repeat `LimitExceeded` and what follows `NotText` by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exception {
    /// There is no such connection for this caller.
    Gone,
    /// Nobody who may.
    Forbidden(Refused),
    /// The body is over the bound of a message.
    PayloadTooLarge,
    /// The connection's peer reads too slowly.
    LimitExceeded,
    /// A text frame holds UTF-8, and the body is something else.
    NotText,
    /// The body did not arrive in time.
    Slow,
    /// The server is going away.
    Unavailable,
    /// The server failed.
    Internal,
}

impl Exception {
    const fn status(self) -> StatusCode {
        match self {
            Self::Gone => StatusCode::GONE,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::LimitExceeded => StatusCode::TOO_MANY_REQUESTS,
            Self::NotText => StatusCode::BAD_REQUEST,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The type's name, from which an SDK makes an error of its language.
    const fn name(self) -> &'static str {
        match self {
            Self::Gone => "GoneException",
            Self::Forbidden(_) => "ForbiddenException",
            Self::PayloadTooLarge => "PayloadTooLargeException",
            Self::LimitExceeded => "LimitExceededException",
            Self::NotText => "BadRequestException",
            Self::Slow => "RequestTimeoutException",
            Self::Unavailable => "ServiceUnavailableException",
            Self::Internal => "InternalServerErrorException",
        }
    }

    fn message(self) -> String {
        match self {
            Self::Gone => "the connection is gone".to_owned(),
            Self::Forbidden(refused) => refused.to_string(),
            Self::PayloadTooLarge => "the message is larger than the connection takes".to_owned(),
            Self::LimitExceeded => "the connection has no room: its client reads too slowly".to_owned(),
            Self::NotText => "messages are text frames: the data must be UTF-8".to_owned(),
            Self::Slow => "the body did not arrive in time".to_owned(),
            Self::Unavailable => "the server is going away".to_owned(),
            Self::Internal => "the connection could not be looked up".to_owned(),
        }
    }
}

impl IntoResponse for Exception {
    fn into_response(self) -> Response {
        let body = json!({ "__type": self.name(), "message": self.message() });
        let mut response = (self.status(), Json(body)).into_response();
        response.headers_mut().insert(ERROR_TYPE, HeaderValue::from_static(self.name()));
        if matches!(self, Self::LimitExceeded | Self::Unavailable) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
