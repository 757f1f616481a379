//! One request, on a connection of its own: minutes lie between two, so that there is nothing to keep open.

use std::{error::Error, pin::pin, time::Duration};

use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{ACCEPT, CONNECTION, HOST, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::{Address, BODY_BYTES_MAX, freshness};
use crate::SourceError;

/// The largest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// What the address answered, with the status 200.
pub(super) struct Answer {
    pub(super) body: Bytes,
    pub(super) max_age: Option<Duration>,
}

/// The caller bounds the time.
pub(super) async fn get(address: &Address, tls: &TlsConnector) -> Result<Answer, SourceError> {
    let stream = TcpStream::connect((address.host.as_str(), address.port)).await;
    let stream = stream.map_err(|e| SourceError::Unreachable(e.into()))?;
    match &address.server_name {
        None => exchange(stream, address).await,
        Some(name) => {
            let stream = tls.connect(name.clone(), stream).await.map_err(|e| SourceError::Tls(e.into()))?;
            exchange(stream, address).await
        }
    }
}

async fn exchange<S>(stream: S, address: &Address) -> Result<Answer, SourceError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let request = Request::get(address.target.clone())
        .header(HOST, &address.authority)
        .header(USER_AGENT, concat!("streamer/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "application/jwk-set+json, application/json")
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .expect("an address holds what a request takes");
    let answer = async { read(sender.send_request(request).await.map_err(broken)?).await };

    // The connection moves the answer; what ends it is told to the answer.
    let (mut answer, mut connection) = (pin!(answer), pin!(connection));
    tokio::select! {
        answer = &mut answer => answer,
        _ = &mut connection => answer.await,
    }
}

async fn read(response: Response<Incoming>) -> Result<Answer, SourceError> {
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

fn broken(e: impl Into<Box<dyn Error + Send + Sync>>) -> SourceError {
    SourceError::Broken(e.into())
}
