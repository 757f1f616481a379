//! A client that sends what bytes it likes.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::in_time;

pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
}

/// The first byte of a frame: the last of its message, of this kind.
pub(crate) const TEXT: u8 = 0x81;
pub(crate) const BINARY: u8 = 0x82;
pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8a;

/// A frame as a client sends it, masked with zeros.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = head(first, payload.len());
    bytes.extend_from_slice(payload);
    bytes
}

/// A masked frame's head.
pub(crate) fn head(first: u8, len: usize) -> Vec<u8> {
    let mut bytes = vec![first];
    match len {
        0..126 => bytes.push(0x80 | u8::try_from(len).expect("small")),
        126..65536 => {
            bytes.push(0x80 | 126);
            bytes.extend(u16::try_from(len).expect("small").to_be_bytes());
        }
        _ => {
            bytes.push(0x80 | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes
}

impl Raw {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(addr).await.expect("connected") }
    }

    /// The head of an upgrade.
    pub(crate) fn upgrade(token: &str) -> String {
        format!(
            "GET /ws HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             authorization: Bearer {token}\r\n\r\n"
        )
    }

    /// A WebSocket whose frames are the test's own.
    pub(crate) async fn websocket(addr: SocketAddr, token: &str) -> Self {
        let mut raw = Self::connect(addr).await;
        raw.send(Self::upgrade(token).as_bytes()).await;
        let head = raw.head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        // RFC 6455, section 1.3.
        assert!(head.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        raw
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        in_time("bytes leave", self.stream.write_all(bytes)).await.expect("sent");
    }

    /// The head of an answer.
    pub(crate) async fn head(&mut self) -> String {
        let mut head = Vec::new();
        let reading = async {
            while !head.ends_with(b"\r\n\r\n") {
                head.push(self.stream.read_u8().await.expect("a head"));
            }
        };
        in_time("a head comes", reading).await;
        String::from_utf8(head).expect("text")
    }

    /// The next frame: its first byte and its payload.
    pub(crate) async fn frame(&mut self) -> (u8, Vec<u8>) {
        let reading = async {
            let first = self.stream.read_u8().await.expect("a frame");
            let len = match self.stream.read_u8().await.expect("a frame") {
                126 => usize::from(self.stream.read_u16().await.expect("a frame")),
                127 => usize::try_from(self.stream.read_u64().await.expect("a frame")).expect("fits"),
                len => usize::from(len),
            };
            let mut payload = vec![0; len];
            self.stream.read_exact(&mut payload).await.expect("a frame");
            (first, payload)
        };
        in_time("a frame comes", reading).await
    }

    /// Reads to the close and to the end, and gives the close's code.
    pub(crate) async fn closed(mut self) -> u16 {
        let code = loop {
            if let (0x88, payload) = self.frame().await {
                break u16::from_be_bytes([payload[0], payload[1]]);
            }
        };
        self.ended().await;
        code
    }

    /// Waits until the server has closed.
    pub(crate) async fn ended(&mut self) {
        let mut rest = Vec::new();
        // A reset is an end too.
        let _ = in_time("the server closes", self.stream.read_to_end(&mut rest)).await;
    }
}
