//! A client of server-sent events.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpSocket, TcpStream},
};

use super::in_time;

/// What an event says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) id: u64,
    pub(crate) kind: String,
    pub(crate) data: String,
}

impl Event {
    pub(crate) fn frame(&self) -> Value {
        serde_json::from_str(&self.data).expect("JSON")
    }

    pub(crate) fn is_outcome(&self) -> bool {
        self.kind == "complete" || self.kind == "error"
    }
}

/// A stream that is being read.
pub(crate) struct Events {
    stream: BufReader<TcpStream>,
    pub(crate) head: String,
    /// What came in pieces and is not read yet.
    text: String,
    /// The time after which to come back that was told last.
    pub(crate) retry: Option<u64>,
    pub(crate) comments: usize,
}

impl Events {
    /// Listens to a path; `headers` end with line ends.
    pub(crate) async fn listen(addr: SocketAddr, path: &str, headers: &str) -> Self {
        let stream = TcpStream::connect(addr).await.expect("connected");
        Self::over(stream, path, headers).await
    }

    /// With a small window, so that little is under way before the peer is felt not to read.
    pub(crate) async fn narrow(addr: SocketAddr, path: &str, headers: &str) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("set");
        let stream = socket.connect(addr).await.expect("connected");
        Self::over(stream, path, headers).await
    }

    async fn over(mut stream: TcpStream, path: &str, headers: &str) -> Self {
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut stream = BufReader::with_capacity(4096, stream);
        let mut head = String::new();
        let reading = async {
            while !head.ends_with("\r\n\r\n") {
                assert!(stream.read_line(&mut head).await.expect("a head") > 0, "{head}");
            }
        };
        in_time("a head comes", reading).await;
        let head = head.to_ascii_lowercase();
        Self { stream, head, text: String::new(), retry: None, comments: 0 }
    }

    pub(crate) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
    }

    /// The next event; `None` once the stream has ended properly, or its connection is broken.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                if let Some(event) = self.take(&block) {
                    return Some(event);
                }
            }
            let piece = in_time("a piece comes", self.piece()).await?;
            self.text += &piece;
        }
    }

    /// Reads up to the outcome, or to the end.
    pub(crate) async fn rest(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }

    fn take(&mut self, block: &str) -> Option<Event> {
        let (mut id, mut kind, mut data) = (None, None, Vec::new());
        for line in block.lines() {
            match line.split_once(": ").unwrap_or((line, "")) {
                ("id", value) => id = value.parse().ok(),
                ("event", value) => kind = Some(value.to_owned()),
                ("data", value) => data.push(value),
                ("retry", value) => self.retry = value.parse().ok(),
                ("", _) => {}
                (line, _) if line.starts_with(':') => self.comments += 1,
                other => panic!("not of an event stream: {other:?}"),
            }
        }
        if data.is_empty() {
            return None;
        }
        Some(Event { id: id.expect("an id"), kind: kind.expect("a type"), data: data.join("\n") })
    }

    /// The next chunk of the body (RFC 9112, section 7.1).
    async fn piece(&mut self) -> Option<String> {
        let mut size = String::new();
        self.stream.read_line(&mut size).await.ok().filter(|read| *read > 0)?;
        let size = usize::from_str_radix(size.trim(), 16).expect("a size");
        let mut piece = vec![0; size + 2];
        self.stream.read_exact(&mut piece).await.ok()?;
        piece.truncate(size);
        (size > 0).then(|| String::from_utf8(piece).expect("text"))
    }
}
