//! Where a request is found.

use axum::http::HeaderValue;
use streamer_protocol::RequestId;

/// The path of a request, below the path to which it was posted.
pub(super) fn of(posted_to: &str, id: &RequestId) -> HeaderValue {
    let mut path = posted_to.trim_end_matches('/').to_owned();
    path.push('/');
    for byte in id.as_str().bytes() {
        // RFC 3986, section 2.3: everything else may mean something. Dots alone do, too.
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' => path.push(char::from(byte)),
            b'.' if !matches!(id.as_str(), "." | "..") => path.push('.'),
            _ => path.push_str(&format!("%{byte:02X}")),
        }
    }
    HeaderValue::from_str(&path).expect("a path was matched, and the rest is plain")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_has_a_path() {
        let of = |id: &str| of("/prod/v1/requests", &RequestId::parse(id).expect("valid"));
        assert_eq!(of("a-1.b_c~"), "/prod/v1/requests/a-1.b_c~");
        assert_eq!(of("a/b?c#d e%é"), "/prod/v1/requests/a%2Fb%3Fc%23d%20e%25%C3%A9");
        assert_eq!(of(".."), "/prod/v1/requests/%2E%2E");
    }
}
