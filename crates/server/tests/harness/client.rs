//! A proper WebSocket client.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpSocket, TcpStream},
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        Error, Message, Utf8Bytes,
        client::IntoClientRequest,
        handshake::client::{Request, Response},
    },
};

use super::{SECRET, Server, Token, in_time};

pub(crate) struct Client<S = TcpStream> {
    pub(crate) socket: WebSocketStream<S>,
}

/// Upgrades `path` with these headers.
pub(crate) async fn try_connect(
    stream: TcpStream,
    addr: SocketAddr,
    path: &str,
    headers: &[(&'static str, &str)],
) -> Result<(WebSocketStream<TcpStream>, Response), Error> {
    let mut request: Request = format!("ws://{addr}{path}").into_client_request().expect("a request");
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().expect("a value"));
    }
    in_time("the upgrade", client_async(request, stream)).await
}

impl Client {
    pub(crate) async fn connect(server: &Server, token: &str) -> Self {
        let stream = TcpStream::connect(server.addr).await.expect("connected");
        Self::over(stream, server, token).await
    }

    /// As ada.
    pub(crate) async fn ada(server: &Server) -> Self {
        Self::connect(server, &Token::ada()).await
    }

    /// With a small window, so that little is under way before the peer is felt not to read.
    pub(crate) async fn narrow(server: &Server, token: &str) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("set");
        let stream = socket.connect(server.addr).await.expect("connected");
        Self::over(stream, server, token).await
    }

    async fn over(stream: TcpStream, server: &Server, token: &str) -> Self {
        let bearer = format!("Bearer {token}");
        let upgraded = try_connect(stream, server.addr, "/ws", &[("authorization", &bearer)]).await;
        Self { socket: upgraded.expect("upgraded").0 }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) async fn send(&mut self, text: impl Into<String>) {
        in_time("a message leaves", self.socket.send(Message::text(text.into()))).await.expect("sent");
    }

    pub(crate) async fn ask(&mut self, id: &str, action: &str, payload: Value) {
        self.send(json!({ "id": id, "action": action, "payload": payload }).to_string()).await;
    }

    /// Asks for an echo and reads it.
    pub(crate) async fn echo(&mut self, id: &str) {
        self.ask(id, "echo", json!(SECRET)).await;
        let answer = self.frame().await;
        assert_eq!((&answer["request_id"], &answer["data"]["echo"]), (&json!(id), &json!(SECRET)));
    }

    /// The next message of the server.
    pub(crate) async fn frame(&mut self) -> Value {
        serde_json::from_str(&self.text().await).expect("JSON")
    }

    /// The next message of the server, as it came.
    pub(crate) async fn text(&mut self) -> Utf8Bytes {
        let next = async {
            loop {
                match self.socket.next().await.expect("open").expect("readable") {
                    Message::Text(text) => break text,
                    Message::Ping(_) | Message::Pong(_) => {}
                    other => panic!("not a text: {other}"),
                }
            }
        };
        in_time("a message comes", next).await
    }

    /// Reads to the close, and gives its code. Fails if the connection breaks off without one.
    pub(crate) async fn closed(mut self) -> u16 {
        self.close_code().await
    }

    pub(crate) async fn close_code(&mut self) -> u16 {
        let closed = async {
            loop {
                match self.socket.next().await.expect("a close comes before the end").expect("readable") {
                    Message::Close(frame) => break u16::from(frame.expect("with a code").code),
                    _ => continue,
                }
            }
        };
        in_time("the close comes", closed).await
    }

    /// Closes, and reads the server's answer.
    pub(crate) async fn leave(mut self) {
        self.socket.close(None).await.expect("sent");
        let gone = async { while let Some(Ok(_)) = self.socket.next().await {} };
        in_time("the server's answer", gone).await;
    }
}
