//! The body of a call: of the right kind, bounded in bytes and time.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use futures_util::StreamExt;
use streamer_protocol::{ErrorBody, ErrorCode};
use tokio::time::timeout;

use super::problem;

/// Read and thrown away at most, so that a client which is still writing gets to read why it is refused.
const LINGER_BYTES_MAX: usize = 1024 * 1024;
const LINGER_TIME_MAX: Duration = Duration::from_secs(2);

/// Whether the headers announce JSON that is not larger than `bytes_max`.
pub(super) fn check(headers: &HeaderMap, bytes_max: usize) -> Result<(), Box<Response>> {
    let of = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let media_type = of(header::CONTENT_TYPE).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let suffixed = media_type.strip_prefix("application/").is_some_and(|name| name.ends_with("+json"));
    if media_type != "application/json" && !suffixed {
        return Err(unsupported("send JSON, with Content-Type: application/json"));
    }
    if headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return Err(unsupported("send JSON that is not compressed"));
    }
    let announced = of(header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|length| length > bytes_max as u64) {
        return Err(too_large(bytes_max));
    }
    Ok(())
}

/// Reads a whole body.
pub(super) async fn read(body: Body, bytes_max: usize, within: Duration) -> Result<Bytes, Box<Response>> {
    let mut body = body.into_data_stream();
    let mut read = Vec::new();
    let reading = async {
        while let Some(piece) = body.next().await {
            let Ok(piece) = piece else {
                let broken = ErrorBody::new(ErrorCode::ValidationError, "the body broke off");
                return Err(Box::new(problem::problem(broken)));
            };
            if read.len() + piece.len() > bytes_max {
                discard(&mut body).await;
                return Err(too_large(bytes_max));
            }
            read.extend_from_slice(&piece);
        }
        Ok(())
    };
    match timeout(within, reading).await {
        Ok(Ok(())) => Ok(read.into()),
        Ok(Err(refused)) => Err(refused),
        Err(_) => {
            let slow = ErrorBody::new(ErrorCode::Timeout, "the body did not come in time");
            let mut response = problem::with_status(StatusCode::REQUEST_TIMEOUT, slow);
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            Err(Box::new(response))
        }
    }
}

/// Lets the client of a refused call end its writing, unless it asked before it writes (`Expect: 100-continue`).
pub(super) async fn linger(headers: &HeaderMap, body: Body) {
    if headers.contains_key(header::EXPECT) {
        return;
    }
    discard(&mut body.into_data_stream()).await;
}

async fn discard(body: &mut axum::body::BodyDataStream) {
    let discarding = async {
        let mut bytes = 0;
        while let Some(Ok(piece)) = body.next().await {
            bytes += piece.len();
            if bytes > LINGER_BYTES_MAX {
                return;
            }
        }
    };
    let _ = timeout(LINGER_TIME_MAX, discarding).await;
}

fn unsupported(message: &str) -> Box<Response> {
    let error = ErrorBody::new(ErrorCode::ValidationError, message);
    let mut response = problem::with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE, error);
    // RFC 9110, section 12.5.1: what would be taken.
    response.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    Box::new(response)
}

fn too_large(bytes_max: usize) -> Box<Response> {
    let message = format!("a request has at most {bytes_max} bytes");
    Box::new(problem::problem(ErrorBody::new(ErrorCode::PayloadTooLarge, message)))
}
