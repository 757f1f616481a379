//! The `Idempotency-Key` header: a request's id.

use axum::http::{HeaderMap, HeaderName};
use streamer_protocol::{ErrorBody, ErrorCode, RequestId};

pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The key, if there is one. Bare, or in the quotes of a structured field (RFC 9651, section 3.3.3).
pub(super) fn key(headers: &HeaderMap) -> Result<Option<RequestId>, ErrorBody> {
    let invalid = |what: &str| {
        ErrorBody::new(ErrorCode::ValidationError, "the Idempotency-Key is not valid")
            .at("Idempotency-Key", what)
    };
    let mut lines = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(line) = lines.next() else { return Ok(None) };
    if lines.next().is_some() {
        return Err(invalid("there is more than one"));
    }
    let text = std::str::from_utf8(line.as_bytes()).map_err(|_| invalid("it is not UTF-8"))?.trim();
    let text = match text.strip_prefix('"') {
        Some(quoted) => unquoted(quoted).ok_or_else(|| invalid("its quotes do not match"))?,
        None => text.to_owned(),
    };
    RequestId::parse(&text).map(Some).map_err(|e| invalid(&e.to_string()))
}

/// The one id of a request that may have it in two places.
pub(super) fn agreed(
    in_header: Option<RequestId>,
    in_body: Option<RequestId>,
) -> Result<Option<RequestId>, ErrorBody> {
    match (in_header, in_body) {
        (Some(header), Some(body)) if header != body => {
            let two = ErrorBody::new(ErrorCode::ValidationError, "a request has one id");
            Err(two.at("id", "differs from the Idempotency-Key: give one of them"))
        }
        (header, body) => Ok(body.or(header)),
    }
}

fn unquoted(text: &str) -> Option<String> {
    let mut unquoted = String::with_capacity(text.len());
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            '"' => return chars.next().is_none().then_some(unquoted),
            '\\' => unquoted.push(chars.next().filter(|c| matches!(c, '"' | '\\'))?),
            c => unquoted.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Result<Option<String>, ErrorBody> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(
                IDEMPOTENCY_KEY,
                axum::http::HeaderValue::from_bytes(line.as_bytes()).expect("valid"),
            );
        }
        key(&headers).map(|key| key.map(|key| key.to_string()))
    }

    #[test]
    fn a_key_is_bare_or_quoted() {
        assert_eq!(read(&[]), Ok(None));
        for (line, key) in [("a-1", "a-1"), ("\"a-1\"", "a-1"), (r#" "a\"\\b" "#, r#"a"\b"#), ("é", "é")] {
            assert_eq!(read(&[line]), Ok(Some(key.to_owned())), "{line}");
        }
        for lines in [&["\""][..], &["\"a"], &["\"a\"b"], &[r#""a\n""#], &["\"\""], &[""], &["a", "a"]] {
            assert_eq!(read(lines).expect_err("not valid").code, ErrorCode::ValidationError, "{lines:?}");
        }
        assert!(read(&["x".repeat(129).as_str()]).is_err());
    }

    #[test]
    fn two_ids_agree_or_are_refused() {
        let id = |text: &str| RequestId::parse(text).ok();
        assert_eq!(agreed(None, None), Ok(None));
        assert_eq!(agreed(id("a"), None), Ok(id("a")));
        assert_eq!(agreed(None, id("a")), Ok(id("a")));
        assert_eq!(agreed(id("a"), id("a")), Ok(id("a")));
        assert!(agreed(id("a"), id("b")).is_err());
    }
}
