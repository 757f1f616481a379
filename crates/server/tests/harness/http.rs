//! A minimal HTTP client.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{ADMIN_TOKEN, Token, in_time};

/// A request to be sent.
pub(crate) struct Http {
    pub(super) addr: SocketAddr,
    pub(super) method: &'static str,
    pub(super) target: String,
    host: String,
    headers: String,
    pub(super) body: Vec<u8>,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Http {
    pub(crate) fn new(method: &'static str, addr: SocketAddr, target: impl Into<String>) -> Self {
        let (headers, body) = (String::new(), Vec::new());
        Self { addr, method, target: target.into(), host: addr.to_string(), headers, body }
    }

    pub(crate) fn get(addr: SocketAddr, target: impl Into<String>) -> Self {
        Self::new("GET", addr, target)
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers += &format!("{name}: {value}\r\n");
        self
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn operator(self) -> Self {
        self.bearer(ADMIN_TOKEN)
    }

    pub(crate) fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    pub(crate) fn post(addr: SocketAddr, target: impl Into<String>) -> Self {
        Self::new("POST", addr, target)
    }

    /// A request to be run, of ada's.
    pub(crate) fn submit(addr: SocketAddr, id: &str, action: &str, payload: Value) -> Self {
        let request = json!({ "id": id, "action": action, "payload": payload });
        Self::post(addr, "/v1/requests").bearer(&Token::ada()).json(request)
    }

    pub(crate) fn json(mut self, body: impl ToString) -> Self {
        self.body = body.to_string().into();
        self.header("content-type", "application/json")
    }

    /// With whatever body, and what its headers say of it.
    pub(crate) fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    pub(crate) async fn send(self) -> Answer {
        let Self { addr, method, target, host, headers, body } = self;
        let len = body.len();
        let request = format!(
            "{method} {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {len}\r\n\
             {headers}\r\n"
        );
        let asking = async {
            let mut stream = TcpStream::connect(addr).await.expect("connected");
            stream.write_all(request.as_bytes()).await.expect("sent");
            stream.write_all(&body).await.expect("sent");
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.expect("answered");
            answer
        };
        let answer = in_time("an HTTP answer", asking).await;
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8(answer[..end].to_vec()).expect("text").to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Answer { status, head, body: answer[end + 4..].to_vec() }
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{}", self.head);
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    /// The status and the code of an error.
    pub(crate) fn error(&self) -> (u16, String) {
        let (message, code) = match self.header("content-type") {
            Some("application/problem+json") => {
                let problem = self.problem();
                (problem["detail"].clone(), problem["code"].clone())
            }
            _ => {
                let error = self.json()["error"].clone();
                (error["message"].clone(), error["code"].clone())
            }
        };
        assert!(message.as_str().is_some_and(|message| !message.is_empty()), "{message}");
        (self.status, code.as_str().expect("a code").to_owned())
    }

    /// The problem details that it is.
    pub(crate) fn problem(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.head);
        let problem: Value = serde_json::from_slice(&self.body).expect("JSON");
        assert_eq!((&problem["type"], &problem["status"]), (&"about:blank".into(), &self.status.into()));
        problem
    }

    /// The first field that a problem names.
    pub(crate) fn wrong_field(&self) -> String {
        self.problem()["fields"][0]["path"].as_str().expect("a field").to_owned()
    }
}
