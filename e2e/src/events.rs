//! A listener to server-sent events, by hand: HTTP/1.0, so that the stream ends with the connection.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use crate::patience::within;

/// A stream that is being read.
pub struct Events {
    stream: BufReader<TcpStream>,
    status: u16,
}

/// One event.
#[derive(Debug, Clone)]
pub struct Event {
    /// Where to go on after it.
    pub id: u64,
    /// Such as `chunk`.
    pub kind: String,
    /// The frame.
    pub frame: Value,
}

impl Events {
    /// Listens to a request as the bearer of a token, from after an event if there was one.
    pub async fn listen(address: SocketAddr, request: &str, token: &str, last: Option<u64>) -> Self {
        let last = last.map(|last| format!("Last-Event-ID: {last}\r\n")).unwrap_or_default();
        let call = format!(
            "GET /v1/requests/{request}/events HTTP/1.0\r\nHost: {address}\r\nAccept: text/event-stream\r\n\
             Authorization: Bearer {token}\r\n{last}\r\n"
        );
        let asking = async {
            let mut stream = BufReader::new(TcpStream::connect(address).await?);
            stream.write_all(call.as_bytes()).await?;
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).await? > 0 {}
            Ok::<_, std::io::Error>((stream, head))
        };
        let (stream, head) = within("a stream of events", asking).await.expect("the address is served");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Self { stream, status: status.expect("an HTTP answer") }
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The next event; `None` once the stream has ended, or broke off.
    pub async fn next(&mut self) -> Option<Event> {
        let (mut id, mut kind, mut data) = (None, None, String::new());
        loop {
            let mut line = String::new();
            let read = within("a line of events", self.stream.read_line(&mut line)).await;
            read.ok().filter(|read| *read > 0)?;
            match line.trim_end_matches('\n').split_once(": ") {
                Some(("id", value)) => id = value.parse().ok(),
                Some(("event", value)) => kind = Some(value.to_owned()),
                Some(("data", value)) => data += value,
                _ if line == "\n" && !data.is_empty() => {
                    let frame = serde_json::from_str(&data).expect("an event holds a frame");
                    return Some(Event { id: id.expect("an id"), kind: kind.expect("a type"), frame });
                }
                _ => {}
            }
        }
    }
}
