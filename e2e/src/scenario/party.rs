//! One connection of a scenario.

use std::{future::Future, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{
        Bytes, Error, Message,
        client::IntoClientRequest as _,
        http::{
            HeaderValue,
            header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL},
        },
        protocol::CloseFrame,
    },
};

use super::file::Placement;

/// How long anything may take to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// RFC 6455, 7.4.1: a close frame without a code; a connection that broke off.
const NO_STATUS: u16 = 1005;
const ABNORMAL: u16 = 1006;

#[derive(Debug)]
pub(crate) struct Party {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    part: streamer_protocol::PartJoiner,
}

/// What became of an upgrade.
pub(crate) enum Upgrade {
    Open(Box<Party>),
    Refused { status: u16, body: Vec<u8> },
}

/// What a connection said.
#[derive(Debug)]
pub(crate) enum Said {
    Frame(Value),
    Pong,
    Closed(u16),
}

impl Party {
    pub(crate) async fn connect(url: &str, token: Option<&str>, by: Placement) -> Result<Upgrade, String> {
        let url = match (token, by) {
            (Some(token), Placement::Query) => {
                format!("{url}{}Authorization={token}", if url.contains('?') { '&' } else { '?' })
            }
            _ => url.to_owned(),
        };
        let mut request = url.into_client_request().map_err(|e| e.to_string())?;
        let header = match (token, by) {
            (Some(token), Placement::Header) => Some((AUTHORIZATION, format!("Bearer {token}"))),
            (Some(token), Placement::Subprotocol) => {
                Some((SEC_WEBSOCKET_PROTOCOL, format!("streamer.v1, bearer.{token}")))
            }
            _ => None,
        };
        if let Some((name, value)) = header {
            request.headers_mut().insert(name, HeaderValue::try_from(value).map_err(|e| e.to_string())?);
        }
        match within("an answer to the upgrade", Box::pin(connect_async(request))).await? {
            Ok((socket, _)) => {
                let part = streamer_protocol::PartJoiner::new(16 << 20);
                Ok(Upgrade::Open(Box::new(Self { socket, part })))
            }
            Err(Error::Http(answer)) => {
                let status = answer.status().as_u16();
                Ok(Upgrade::Refused { status, body: answer.into_body().unwrap_or_default() })
            }
            Err(e) => Err(e.to_string()),
        }
    }

    pub(crate) async fn send(&mut self, text: String) -> Result<(), String> {
        self.send_message(Message::text(text)).await
    }

    pub(crate) async fn send_binary(&mut self, bytes: Vec<u8>) -> Result<(), String> {
        self.send_message(Message::Binary(bytes.into())).await
    }

    pub(crate) async fn ping(&mut self) -> Result<(), String> {
        self.send_message(Message::Ping(Bytes::from_static(b"scenario"))).await
    }

    async fn send_message(&mut self, message: Message) -> Result<(), String> {
        match within("sending", self.socket.send(message)).await? {
            // A server may close before it has read a large message whole: the close is what is expected then.
            Ok(()) | Err(Error::Io(_) | Error::ConnectionClosed | Error::Protocol(_)) => Ok(()),
            Err(e) => Err(e.to_string()),
        }
    }

    /// The next frame, pong or close; parts are joined.
    pub(crate) async fn hear(&mut self) -> Result<Said, String> {
        within("a message", self.hear_patiently()).await?
    }

    /// Whether nothing comes for so long.
    pub(crate) async fn hear_nothing(&mut self, lasting: Duration) -> Result<(), String> {
        match timeout(lasting, self.hear_patiently()).await {
            Err(_) => Ok(()),
            Ok(said) => Err(format!("expected nothing, heard {:?}", said?)),
        }
    }

    async fn hear_patiently(&mut self) -> Result<Said, String> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text).map_err(|e| format!("not JSON: {e}"))?;
                    if frame["type"] != "part" {
                        return Ok(Said::Frame(frame));
                    }
                    let part = serde_json::from_value(frame).map_err(|e| e.to_string())?;
                    if let Some(whole) = self.part.add(part).map_err(|e| e.to_string())? {
                        return serde_json::from_str(&whole).map(Said::Frame).map_err(|e| e.to_string());
                    }
                }
                Some(Ok(Message::Pong(_))) => return Ok(Said::Pong),
                Some(Ok(Message::Close(frame))) => {
                    return Ok(Said::Closed(frame.map_or(NO_STATUS, |frame| frame.code.into())));
                }
                Some(Ok(Message::Binary(_))) => return Err("a binary message".into()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Ok(Said::Closed(ABNORMAL)),
            }
        }
    }

    /// Says goodbye and waits for the answer.
    pub(crate) async fn disconnect(mut self) -> Result<(), String> {
        let goodbye = CloseFrame { code: 1000.into(), reason: "bye".into() };
        self.send_message(Message::Close(Some(goodbye))).await?;
        while !matches!(self.hear().await?, Said::Closed(_)) {}
        Ok(())
    }
}

/// Fails with what did not happen instead of waiting for ever.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> Result<T, String> {
    timeout(PATIENCE, future).await.map_err(|_| format!("{what} did not come within {PATIENCE:?}"))
}
