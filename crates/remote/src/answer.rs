//! What the head of an answer says: its kind, or why there is none.

use std::time::Duration;

use hyper::{
    StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
    http::response::Parts,
};
use serde_json::Value;
use streamer_engine::Failure;
use streamer_protocol::{ErrorCode, Timestamp};

use crate::{BodyShape, lines::Framing, record, retry_after, trouble::Trouble};

/// The longest text of an address that a client gets to read, in characters.
const TEXT_CHARS_MAX: usize = 1000;

/// How many wrong fields are passed on.
pub(crate) const FIELDS_MAX: usize = 100;

/// The longest wait that an address may ask for.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(60 * 60);

/// How a good answer is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing: the result is `null`.
    Empty,
    /// JSON, all of it the result.
    Whole,
    /// Records.
    Stream(Framing),
}

/// What a status means.
#[derive(Debug)]
pub(crate) enum Verdict {
    Good(Kind),
    /// It does not want this request, for a reason that its body tells.
    Rejected,
    Trouble(Trouble),
}

pub(crate) fn verdict(head: &Parts, now: Timestamp) -> Verdict {
    let status = head.status;
    match status.as_u16() {
        200..=299 => match kind(head) {
            Ok(kind) => Verdict::Good(kind),
            Err(trouble) => Verdict::Trouble(trouble),
        },
        300..=399 => Verdict::Trouble(Trouble::Garbage(
            "it redirects elsewhere, which is not followed: configure the new address",
        )),
        408 | 425 | 429 | 500..=599 => {
            let after = retry_after::read(&head.headers, now);
            Verdict::Trouble(Trouble::Unavailable { status: status.as_u16(), after })
        }
        // It is the server that presented itself, and no client can mend that.
        401 | 407 => Verdict::Trouble(Trouble::Unavailable { status: status.as_u16(), after: None }),
        400..=499 => Verdict::Rejected,
        _ => Verdict::Trouble(Trouble::Garbage("its answer has no status that ends a request")),
    }
}

fn kind(head: &Parts) -> Result<Kind, Trouble> {
    if matches!(head.status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT) {
        return Ok(Kind::Empty);
    }
    let encoding = head.headers.get(CONTENT_ENCODING).map(|value| value.as_bytes());
    if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case(b"identity")) {
        return Err(Trouble::Garbage("its answer is compressed, which was not asked for"));
    }
    let Some(media_type) = head.headers.get(CONTENT_TYPE) else { return Ok(Kind::Whole) };
    let media_type = media_type.to_str().unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media_type.as_str() {
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => {
            Ok(Kind::Stream(Framing::Lines))
        }
        "text/event-stream" => Ok(Kind::Stream(Framing::Events)),
        json if is_json(json) => Ok(Kind::Whole),
        _ => Err(Trouble::Garbage(
            "its answer is neither JSON nor newline-delimited JSON nor server-sent events",
        )),
    }
}

fn is_json(media_type: &str) -> bool {
    media_type == "application/json"
        || (media_type.starts_with("application/") && media_type.ends_with("+json"))
}

/// Why a request was rejected, as far as a client may know it: problem details (RFC 9457) and what FastAPI makes of a
/// payload that does not fit. Anything else in the body stays unread.
pub(crate) fn rejection(status: StatusCode, body: &[u8], shape: BodyShape) -> Failure {
    let body = body.strip_prefix(record::BYTE_ORDER_MARK).unwrap_or(body);
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    let text =
        |name: &str| problem.get(name).and_then(Value::as_str).map(safe).filter(|text| !text.is_empty());
    let message = text("detail").or_else(|| text("title")).or_else(|| text("message"));
    let message = message.unwrap_or_else(|| format!("the request was rejected ({})", status.as_u16()));
    let code = match status.as_u16() {
        403 => ErrorCode::Forbidden,
        404 | 410 => ErrorCode::NotFound,
        409 | 412 => ErrorCode::Conflict,
        413 => ErrorCode::PayloadTooLarge,
        _ => ErrorCode::ValidationError,
    };
    let listed = |name: &str| problem.get(name).and_then(Value::as_array).into_iter().flatten();
    let fields = listed("errors").filter_map(named).chain(listed("detail").filter_map(located));
    fields.take(FIELDS_MAX).fold(Failure::reject(message).code(code), |failure, (path, message)| {
        failure.also_at(in_payload(&path, shape), message)
    })
}

/// A path inside what was posted, as a path inside the payload.
fn in_payload(path: &str, shape: BodyShape) -> &str {
    match (shape, path.strip_prefix("payload")) {
        (BodyShape::Envelope, Some(rest)) => rest.strip_prefix('.').unwrap_or(rest),
        _ => path,
    }
}

/// An item of RFC 9457's example: `{"pointer": "#/age", "detail": "…"}`.
fn named(item: &Value) -> Option<(String, String)> {
    let text = |name: &str| item.get(name).and_then(Value::as_str);
    let message = text("detail").or_else(|| text("message"))?;
    let path = match text("pointer") {
        Some(pointer) => {
            let pointer = pointer.trim_start_matches('#').trim_start_matches('/');
            pointer
                .split('/')
                .map(|key| key.replace("~1", "/").replace("~0", "~"))
                .collect::<Vec<_>>()
                .join(".")
        }
        None => text("path").unwrap_or_default().to_owned(),
    };
    Some((safe(&path), safe(message)))
}

/// An item of FastAPI's: `{"loc": ["body", "age"], "msg": "…"}`.
fn located(item: &Value) -> Option<(String, String)> {
    let message = item.get("msg")?.as_str()?;
    let mut path = String::new();
    for key in item.get("loc")?.as_array()?.iter().skip_while(|key| *key == "body") {
        match key {
            Value::Number(index) => path.push_str(&format!("[{index}]")),
            Value::String(key) if path.is_empty() => path.push_str(key),
            Value::String(key) => path.push_str(&format!(".{key}")),
            _ => return None,
        }
    }
    Some((safe(&path), safe(message)))
}

/// Text of an address as others may read it: short, and without what a terminal would obey.
pub(crate) fn safe(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use hyper::{Response, header::HeaderValue};

    use super::*;

    fn head(status: u16, media_type: Option<&'static str>) -> Parts {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(status).expect("a status");
        if let Some(media_type) = media_type {
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        }
        response.into_parts().0
    }

    fn judged(status: u16, media_type: Option<&'static str>) -> Verdict {
        verdict(&head(status, media_type), Timestamp::from_millis(0))
    }

    #[test]
    fn the_media_type_says_how_to_read() {
        for (media_type, expected) in [
            (Some("application/json"), Kind::Whole),
            (Some("Application/JSON; charset=utf-8"), Kind::Whole),
            (Some("application/vnd.acme+json"), Kind::Whole),
            (None, Kind::Whole),
            (Some("application/x-ndjson"), Kind::Stream(Framing::Lines)),
            (Some("text/event-stream; charset=utf-8"), Kind::Stream(Framing::Events)),
        ] {
            assert!(
                matches!(judged(200, media_type), Verdict::Good(kind) if kind == expected),
                "{media_type:?}"
            );
        }
        for media_type in ["text/html", "text/plain", "application/octet-stream", ""] {
            let judged = judged(200, Some(media_type));
            assert!(matches!(judged, Verdict::Trouble(Trouble::Garbage(_))), "{media_type}");
        }
        assert!(matches!(judged(204, Some("text/html")), Verdict::Good(Kind::Empty)));
        let mut compressed = head(200, Some("application/json"));
        compressed.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        let judged = verdict(&compressed, Timestamp::from_millis(0));
        assert!(matches!(judged, Verdict::Trouble(Trouble::Garbage(_))));
    }

    #[test]
    fn the_status_says_what_happens_next() {
        for status in [400, 403, 404, 409, 410, 413, 422, 451] {
            assert!(matches!(judged(status, None), Verdict::Rejected), "{status}");
        }
        for status in [401, 408, 425, 429, 500, 502, 503, 599] {
            assert!(
                matches!(judged(status, None), Verdict::Trouble(Trouble::Unavailable { .. })),
                "{status}"
            );
        }
        for status in [301, 302, 304, 307, 308, 999] {
            assert!(matches!(judged(status, None), Verdict::Trouble(Trouble::Garbage(_))), "{status}");
        }
    }

    #[test]
    fn problem_details_are_passed_on_safely() {
        let shown = |status: u16, body: &str| {
            rejection(StatusCode::from_u16(status).expect("a status"), body.as_bytes(), BodyShape::Payload)
                .to_string()
        };
        assert_eq!(
            shown(422, r#"{"title": "no", "detail": "the year is\u001b[31m wrong"}"#),
            "rejected: VALIDATION_ERROR: the year is [31m wrong"
        );
        assert_eq!(shown(409, "\u{feff}{\"title\": \"taken\"}"), "rejected: CONFLICT: taken");
        assert_eq!(shown(403, "<html>secret</html>"), "rejected: FORBIDDEN: the request was rejected (403)");
        assert_eq!(shown(404, ""), "rejected: NOT_FOUND: the request was rejected (404)");
        assert!(shown(400, &format!(r#"{{"detail": "{}"}}"#, "x".repeat(5000))).len() < 1100);
    }

    #[test]
    fn wrong_fields_are_named_by_their_paths() {
        let rfc = serde_json::json!({ "pointer": "#/rows/3/a~1b", "detail": "must be positive" });
        assert_eq!(named(&rfc), Some(("rows.3.a/b".to_owned(), "must be positive".to_owned())));
        let fast_api = serde_json::json!({ "loc": ["body", "rows", 3, "amount"], "msg": "Field required" });
        assert_eq!(located(&fast_api), Some(("rows[3].amount".to_owned(), "Field required".to_owned())));
        for (shape, expected) in [(BodyShape::Envelope, "to"), (BodyShape::Payload, "payload.to")] {
            assert_eq!(in_payload("payload.to", shape), expected);
            assert_eq!(in_payload("to", shape), "to");
        }
        assert_eq!(in_payload("payload[3]", BodyShape::Envelope), "[3]");
        assert_eq!(named(&serde_json::json!(7)), None);
        assert_eq!(located(&serde_json::json!({ "loc": 7, "msg": "x" })), None);
    }
}
