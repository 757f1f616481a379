//! One call, by hand: HTTP/1.0, so that the answer ends with the connection.

use std::collections::BTreeMap;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::party::within;

/// More than any answer that a scenario looks at.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// What is asked.
pub(crate) struct Call<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) headers: &'a BTreeMap<String, String>,
    pub(crate) send: Option<&'a Value>,
}

/// Calls a place without TLS.
pub(crate) async fn call(base: &str, token: Option<&str>, call: Call<'_>) -> Result<Answer, String> {
    let host = base.strip_prefix("http://").ok_or("only http:// is spoken here")?.trim_end_matches('/');
    let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let Call { method, path, headers, send } = call;
    let mut head = format!("{method} {path} HTTP/1.0\r\nHost: {host}\r\n{authorization}");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    let body = send.map(Value::to_string).unwrap_or_default();
    if send.is_some() {
        head += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    }
    let request = format!("{head}\r\n{body}");
    let exchange = async {
        let mut stream = TcpStream::connect(host).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = within("an answer", exchange).await?.map_err(|e| e.to_string())?;
    parse(&answer).ok_or_else(|| "no HTTP answer".to_owned())
}

fn parse(answer: &[u8]) -> Option<Answer> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, body: answer[end + 4..].to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_and_body_are_told_apart() {
        let answer = parse(b"HTTP/1.0 404 Not Found\r\nA: b\r\n\r\n{}\r\n\r\n").expect("an answer");
        assert_eq!((answer.status, answer.body.as_slice()), (404, &b"{}\r\n\r\n"[..]));
        assert!(parse(b"HTTP/1.0 404").is_none());
    }
}
