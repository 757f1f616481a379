//! One request, on a connection of its own: minutes lie between two, so that there is nothing to keep open.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{
    Request, StatusCode,
    body::Bytes,
    header::{ACCEPT, CONNECTION, HOST, USER_AGENT},
};
use streamer_http::{Connection, Error, Response};
use tokio_rustls::TlsConnector;

use super::{Address, BODY_BYTES_MAX, freshness};
use crate::SourceError;

/// What the address answered, with the status 200.
pub(super) struct Answer {
    pub(super) body: Bytes,
    pub(super) max_age: Option<Duration>,
}

/// The caller bounds the time.
pub(super) async fn get(address: &Address, tls: &TlsConnector) -> Result<Answer, SourceError> {
    let mut connection = Connection::open(address, tls).await?;
    let request = Request::get(address.target().clone())
        .header(HOST, address.authority())
        .header(USER_AGENT, concat!("streamer/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "application/jwk-set+json, application/json")
        .header(CONNECTION, "close")
        .body(Full::new(Bytes::new()))
        .expect("an address holds what a request takes");
    read(connection.send(request).await?).await
}

async fn read(response: Response) -> Result<Answer, SourceError> {
    let status = response.status();
    if status.is_redirection() {
        return Err(SourceError::Redirect);
    }
    if status != StatusCode::OK {
        return Err(SourceError::Status(status.as_u16()));
    }
    let max_age = freshness::max_age(response.headers());
    let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await.map_err(|e| {
        if e.is::<LengthLimitError>() {
            SourceError::TooLarge(BODY_BYTES_MAX)
        } else {
            SourceError::Broken(e)
        }
    })?;
    Ok(Answer { body: body.to_bytes(), max_age })
}

impl From<Error> for SourceError {
    fn from(e: Error) -> Self {
        match e {
            Error::Unreachable(e) => Self::Unreachable(e),
            Error::Tls(e) => Self::Tls(e),
            Error::Timeout(span) => Self::Timeout(span),
            other => Self::Broken(other.into()),
        }
    }
}
