//! One GET, by hand: HTTP/1.0, so that the answer ends with the connection.

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

/// Gets `path` of a place without TLS.
pub(crate) async fn get(base: &str, path: &str, token: Option<&str>) -> Result<Answer, String> {
    let host = base.strip_prefix("http://").ok_or("only http:// is spoken here")?.trim_end_matches('/');
    let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let request = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\n{authorization}\r\n");
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
