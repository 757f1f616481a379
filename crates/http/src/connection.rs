//! One connection to an address.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use crate::{Address, Error};

/// The largest head of an answer, in bytes.
pub const HEAD_BYTES_MAX: usize = 32 * 1024;

/// What is asked.
pub type Request = hyper::Request<Full<Bytes>>;

/// What is answered.
pub type Response = hyper::Response<Incoming>;

/// A connection over which one request after the other can be sent. Dropping it closes it.
#[derive(Debug)]
pub struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    /// Moves the bytes. Aborted with the connection, so that its peer learns at once that nobody listens any more.
    _moving: AbortOnDropHandle<()>,
}

impl Connection {
    /// Connects. The caller bounds the time.
    pub async fn open(address: &Address, tls: &TlsConnector) -> Result<Self, Error> {
        let stream = TcpStream::connect((address.host.as_str(), address.port)).await;
        let stream = stream.map_err(|e| Error::Unreachable(e.into()))?;
        // A request is written whole and then awaited.
        stream.set_nodelay(true).map_err(|e| Error::Unreachable(e.into()))?;
        match &address.server_name {
            None => Self::over(stream).await,
            Some(name) => {
                let stream = tls.connect(name.clone(), stream).await.map_err(|e| Error::Tls(e.into()))?;
                Self::over(stream).await
            }
        }
    }

    async fn over<S>(stream: S) -> Result<Self, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(Error::broken)?;
        let moving = tokio::spawn(async move {
            // What ends it is told to whoever waits for an answer.
            let _ = connection.await;
        });
        Ok(Self { sender, _moving: AbortOnDropHandle::new(moving) })
    }

    /// Sends a request and waits for the head of its answer. The caller bounds the time.
    pub async fn send(&mut self, request: Request) -> Result<Response, Error> {
        self.exchange(request).await.map_err(Error::broken)
    }

    pub(crate) async fn exchange(&mut self, request: Request) -> hyper::Result<Response> {
        // Not yet so if the answer before was read to its end a moment ago.
        self.sender.ready().await?;
        self.sender.send_request(request).await
    }

    /// Whether its peer has closed it, as far as is known.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}
