//! A WebSocket and nothing more: what any client in any language would do.

use std::time::Duration;

use anyhow::Context as _;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{self, Message},
};

/// A message that is awaited longer does not come.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Peer {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

/// The status with which an upgrade was refused.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: u16,
    pub(super) body: String,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "refused with {}", self.status)
    }
}

impl std::error::Error for Refused {}

impl Peer {
    /// Connects as clients of API Gateway do: the token in the query.
    pub(super) async fn connect(url: &str, token: Option<&str>) -> anyhow::Result<Self> {
        let url = token.map_or(url.to_owned(), |token| format!("{url}?Authorization={token}"));
        match timeout(PATIENCE, connect_async(url)).await.context("no answer to the upgrade")? {
            Ok((socket, _)) => Ok(Self { socket }),
            Err(tungstenite::Error::Http(answer)) => {
                let body = answer.body().as_deref().map(String::from_utf8_lossy).unwrap_or_default();
                Err(Refused { status: answer.status().as_u16(), body: body.into_owned() }.into())
            }
            Err(e) => Err(e.into()),
        }
    }

    pub(super) async fn send(&mut self, message: &serde_json::Value) -> anyhow::Result<()> {
        Ok(self.socket.send(Message::text(message.to_string())).await?)
    }

    /// The next message.
    pub(super) async fn next(&mut self) -> anyhow::Result<serde_json::Value> {
        loop {
            let message = timeout(PATIENCE, self.socket.next()).await.context("no message came")?;
            match message.context("the connection was closed")?? {
                Message::Text(text) => return Ok(serde_json::from_str(text.as_str())?),
                Message::Close(frame) => anyhow::bail!("the connection was closed: {frame:?}"),
                _ => {}
            }
        }
    }

    pub(super) async fn close(mut self) -> anyhow::Result<()> {
        self.socket.close(None).await?;
        while let Ok(Some(Ok(_))) = timeout(PATIENCE, self.socket.next()).await {}
        Ok(())
    }
}
