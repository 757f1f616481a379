//! A WebSocket and nothing more: what any client in any language would do.

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, client_async, connect_async,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest as _,
        handshake::client::{Request, Response},
        http::{HeaderValue, header::AUTHORIZATION},
    },
};

use crate::patience::within;

/// One connection.
#[derive(Debug)]
pub struct Peer<S = MaybeTlsStream<TcpStream>> {
    socket: WebSocketStream<S>,
}

/// Why there is no connection.
#[derive(Debug)]
pub enum Refused {
    /// The upgrade was answered otherwise.
    Answered {
        /// Such as 401.
        status: u16,
        /// As it came.
        body: Vec<u8>,
    },
    /// Nobody is there, or the connection broke off.
    Broken,
}

/// What a connection says.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// A message.
    Frame(Value),
    /// A close with this code.
    Closed(u16),
    /// It broke off.
    Broken,
}

impl Peer {
    /// Speaks over a socket that is upgraded already.
    #[must_use]
    pub fn over(socket: WebSocketStream<MaybeTlsStream<TcpStream>>) -> Self {
        Self { socket }
    }

    /// Upgrades with a good token.
    pub async fn connect(url: &str, token: &str) -> Self {
        match Self::try_connect(url, Some(token)).await {
            Ok(peer) => peer,
            Err(refused) => panic!("the connection was refused: {refused:?}"),
        }
    }

    /// Upgrades with the token in a header, or with none.
    pub async fn try_connect(url: &str, token: Option<&str>) -> Result<Self, Refused> {
        let mut request = url.into_client_request().expect("an address");
        if let Some(token) = token {
            let value = HeaderValue::try_from(format!("Bearer {token}")).expect("a token fits into a header");
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let upgraded = within("an answer to the upgrade", Box::pin(connect_async(request))).await;
        Self::upgraded(upgraded).map(|(peer, _)| peer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    /// Upgrades on a stream that is open, by this request; gives the answer too.
    pub async fn upgrade(stream: S, request: Request) -> Result<(Self, Response), Refused> {
        Self::upgraded(within("an answer to the upgrade", Box::pin(client_async(request, stream))).await)
    }

    fn upgraded(
        upgraded: Result<(WebSocketStream<S>, Response), Error>,
    ) -> Result<(Self, Response), Refused> {
        match upgraded {
            Ok((socket, answer)) => Ok((Self { socket }, answer)),
            Err(Error::Http(answer)) => {
                let status = answer.status().as_u16();
                Err(Refused::Answered { status, body: answer.into_body().unwrap_or_default() })
            }
            Err(_) => Err(Refused::Broken),
        }
    }

    /// Sends a message of any kind. A server that is gone by now shows when it is heard next.
    pub async fn send_message(&mut self, message: Message) {
        let _ = within("room for a message", self.socket.send(message)).await;
    }

    /// Sends a request.
    pub async fn send(&mut self, id: &str, action: &str, payload: Value) {
        let message = json!({ "id": id, "action": action, "payload": payload });
        self.send_message(Message::text(message.to_string())).await;
    }

    /// What comes next.
    pub async fn hear(&mut self) -> Said {
        within("a message", self.listen()).await
    }

    /// What comes next, however long that takes. Safe to cancel.
    pub async fn listen(&mut self) -> Said {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    return Said::Frame(serde_json::from_str(&text).expect("the server speaks JSON"));
                }
                Some(Ok(Message::Close(frame))) => {
                    return Said::Closed(frame.map_or(1005, |frame| frame.code.into()));
                }
                Some(Ok(Message::Binary(_))) => panic!("the server sends no binary messages"),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Said::Broken,
            }
        }
    }

    /// The next message.
    pub async fn frame(&mut self) -> Value {
        match self.hear().await {
            Said::Frame(frame) => frame,
            other => panic!("expected a message, heard {other:?}"),
        }
    }

    /// The next message about a request; others are left out.
    pub async fn frame_of(&mut self, id: &str) -> Value {
        loop {
            let frame = self.frame().await;
            if frame["request_id"] == id {
                return frame;
            }
        }
    }

    /// Sends a request that is answered at once, and gives the answer.
    pub async fn ask(&mut self, id: &str, action: &str, payload: Value) -> Value {
        self.send(id, action, payload).await;
        self.frame_of(id).await
    }

    /// The code with which the server closes; what it says before is left out.
    pub async fn close_code(mut self) -> u16 {
        loop {
            match self.hear().await {
                Said::Frame(_) => {}
                Said::Closed(code) => return code,
                Said::Broken => panic!("the connection broke off without a close"),
            }
        }
    }

    /// Says goodbye and waits for the answer.
    pub async fn leave(mut self) {
        let _ = within("a close", self.socket.close(None)).await;
        while matches!(self.hear().await, Said::Frame(_)) {}
    }
}
