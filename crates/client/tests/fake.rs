//! A server that says what a test tells it to.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use streamer_client::{Backoff, Client, ConnectionState, Settings};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{Request, Response},
        http::HeaderMap,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

const PATIENCE: Duration = Duration::from_secs(10);

/// Fails the test instead of hanging.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} did not happen"))
}

pub(crate) struct Fake {
    listener: TcpListener,
}

pub(crate) struct Peer {
    socket: WebSocketStream<TcpStream>,
    pub(crate) headers: HeaderMap,
    pub(crate) path: String,
}

impl Fake {
    pub(crate) async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.expect("a free port") }
    }

    pub(crate) fn settings(&self) -> Settings {
        let backoff =
            Backoff { first: Duration::from_millis(2), max: Duration::from_millis(20), attempts_max: None };
        Settings::new(format!("ws://{}/ws", self.listener.local_addr().expect("bound")))
            .token("t0")
            .backoff(backoff)
    }

    /// A client with these settings and its connection.
    pub(crate) async fn meet(&self, settings: Settings) -> (Client, Peer) {
        let (client, peer) = tokio::join!(Client::connect(settings), self.accept());
        (client.expect("connected"), peer)
    }

    pub(crate) async fn client(&self) -> (Client, Peer) {
        self.meet(self.settings()).await
    }

    #[expect(clippy::result_large_err, reason = "the library's type")]
    pub(crate) async fn accept(&self) -> Peer {
        let (stream, _) = soon("a connection", self.listener.accept()).await.expect("accepted");
        stream.set_nodelay(true).expect("a TCP option");
        let (mut headers, mut path) = (HeaderMap::new(), String::new());
        let look = |request: &Request, mut response: Response| {
            headers = request.headers().clone();
            path = request.uri().to_string();
            if headers.contains_key("sec-websocket-protocol") {
                response
                    .headers_mut()
                    .insert("sec-websocket-protocol", "streamer.v1".parse().expect("valid"));
            }
            Ok(response)
        };
        let socket = soon("an upgrade", accept_hdr_async(stream, look)).await.expect("upgraded");
        Peer { socket, headers, path }
    }

    /// Answers the next upgrade with something else.
    pub(crate) async fn refuse(&self, status: u16, headers: &str, body: &str) {
        let (mut stream, _) = soon("a connection", self.listener.accept()).await.expect("accepted");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(soon("a request", stream.read_u8()).await.expect("readable"));
        }
        let length = body.len();
        let answer = format!("HTTP/1.1 {status} No\r\n{headers}Content-Length: {length}\r\n\r\n{body}");
        stream.write_all(answer.as_bytes()).await.expect("writable");
        stream.shutdown().await.expect("closed");
    }
}

impl Peer {
    /// The client's next message.
    pub(crate) async fn hear(&mut self) -> Value {
        loop {
            match soon("a message", self.socket.next()).await.expect("open").expect("readable") {
                Message::Text(text) => return serde_json::from_str(&text).expect("JSON"),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    /// The client's next message, which must be a resume: its id, the request's id, and after which `seq`.
    pub(crate) async fn hear_resume(&mut self) -> (String, String, u64) {
        let message = self.hear().await;
        assert_eq!(message["action"], "resume", "{message}");
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let payload = &message["payload"];
        (text(&message["id"]), text(&payload["request_id"]), payload["after_seq"].as_u64().expect("a number"))
    }

    /// Hears a resume of `id` after `seq` and answers it.
    pub(crate) async fn resumed(&mut self, id: &str, after_seq: u64) {
        let (message_id, request_id, after) = self.hear_resume().await;
        assert_eq!((request_id.as_str(), after), (id, after_seq));
        self.respond(&message_id, json!({ "request_id": id, "status": "PROCESSING", "last_seq": 99 })).await;
    }

    pub(crate) async fn say_text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.expect("writable");
    }

    pub(crate) async fn say(&mut self, mut frame: Value) {
        frame["timestamp"] = "2026-01-31T12:00:00.000Z".into();
        self.say_text(&frame.to_string()).await;
    }

    pub(crate) async fn respond(&mut self, id: &str, data: Value) {
        self.say(json!({ "type": "response", "request_id": id, "success": true, "data": data })).await;
    }

    pub(crate) async fn acknowledge(&mut self, id: &str) {
        self.say(json!({ "type": "acknowledgment", "request_id": id, "status": "queued", "message": "m" }))
            .await;
    }

    pub(crate) async fn progress(&mut self, id: &str, seq: u64, percentage: f64) {
        let frame = json!({ "type": "progress", "request_id": id, "seq": seq, "percentage": percentage, "message": "m" });
        self.say(frame).await;
    }

    pub(crate) async fn chunk(&mut self, id: &str, seq: u64, index: u64, data: &str) {
        let frame = json!({ "type": "chunk", "request_id": id, "seq": seq, "index": index, "data": data });
        self.say(frame).await;
    }

    pub(crate) async fn restart(&mut self, id: &str, seq: u64, from_index: u64) {
        let frame = json!({ "type": "restart", "request_id": id, "seq": seq, "attempt": 2, "from_index": from_index });
        self.say(frame).await;
    }

    pub(crate) async fn complete(&mut self, id: &str, seq: u64, result: Value) {
        let frame =
            json!({ "type": "complete", "request_id": id, "seq": seq, "success": true, "result": result });
        self.say(frame).await;
    }

    pub(crate) async fn fail(&mut self, id: &str, seq: Option<u64>, error: Value) {
        let mut frame = json!({ "type": "error", "request_id": id, "error": error });
        if let Some(seq) = seq {
            frame["seq"] = seq.into();
        }
        self.say(frame).await;
    }

    pub(crate) async fn ping(&mut self) {
        self.socket.send(Message::Ping("beat".into())).await.expect("writable");
    }

    pub(crate) async fn hear_raw(&mut self) -> Option<Message> {
        soon("something", self.socket.next()).await.and_then(Result::ok)
    }

    pub(crate) async fn close(mut self, code: u16) {
        let frame = CloseFrame { code: CloseCode::from(code), reason: "because".into() };
        self.socket.close(Some(frame)).await.expect("writable");
        while self.socket.next().await.is_some_and(|heard| heard.is_ok()) {}
    }
}

/// Waits until the connection's state is as wanted.
pub(crate) async fn until(client: &Client, wanted: impl FnMut(&ConnectionState) -> bool) -> ConnectionState {
    soon("the state", client.state().wait_for(wanted)).await.expect("the client lives").clone()
}
