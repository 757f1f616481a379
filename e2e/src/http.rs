//! One HTTP call, by hand: HTTP/1.0, so that the answer ends with the connection.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::patience::within;

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Such as 200.
    pub status: u16,
    /// Its first lines, in lower case.
    pub head: String,
    /// As it came.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body, which is JSON.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("not JSON ({e}): {}", self.text()))
    }

    /// The body, which is text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Gets a path, as the bearer of a token if there is one.
pub async fn get(address: SocketAddr, path: &str, token: Option<&str>) -> Answer {
    call(address, "GET", path, token, None).await
}

/// Gets a path over a stream that is open.
pub async fn get_over(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    host: &str,
    path: &str,
    token: Option<&str>,
) -> Answer {
    exchange(stream, &request(host, "GET", path, token, None)).await
}

/// Posts JSON to a path.
pub async fn post(address: SocketAddr, path: &str, token: Option<&str>, body: &Value) -> Answer {
    call(address, "POST", path, token, Some(body)).await
}

/// Calls a path with any method.
pub async fn call(
    address: SocketAddr,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: Option<&Value>,
) -> Answer {
    let answered = try_call(address, method, path, token, body).await;
    answered.unwrap_or_else(|| panic!("{method} {path}: the address is not served"))
}

/// Calls a path with these headers, and no token among them unless they have one.
pub async fn call_with(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&Value>,
) -> Answer {
    let stream = within("a connection", TcpStream::connect(address)).await.expect("the address is served");
    exchange(stream, &request_with(&address.to_string(), method, path, headers, body)).await
}

/// One call, where nobody may be there to answer it.
pub async fn try_call(
    address: SocketAddr,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: Option<&Value>,
) -> Option<Answer> {
    let stream = within("a connection", TcpStream::connect(address)).await.ok()?;
    try_exchange(stream, &request(&address.to_string(), method, path, token, body)).await
}

fn request(host: &str, method: &str, path: &str, token: Option<&str>, body: Option<&Value>) -> String {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<_> = bearer.iter().map(|bearer| ("Authorization", bearer.as_str())).collect();
    request_with(host, method, path, &headers, body)
}

fn request_with(
    host: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&Value>,
) -> String {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let body = body.map(Value::to_string).unwrap_or_default();
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.0\r\nHost: {host}\r\n{headers}Content-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

async fn exchange(stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> Answer {
    let line = request.lines().next().unwrap_or_default();
    try_exchange(stream, request).await.unwrap_or_else(|| panic!("{line}: no HTTP answer"))
}

async fn try_exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> Option<Answer> {
    let exchange = async {
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    parse(&within("an HTTP answer", exchange).await.ok()?)
}

fn parse(answer: &[u8]) -> Option<Answer> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?.to_ascii_lowercase();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, head, body: answer[end + 4..].to_vec() })
}
