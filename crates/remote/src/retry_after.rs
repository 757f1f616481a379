//! When to come again (RFC 9110, section 10.2.3).

use std::time::{Duration, UNIX_EPOCH};

use hyper::{HeaderMap, header::RETRY_AFTER};
use streamer_protocol::Timestamp;

/// The longest wait that is obeyed.
const WAIT_MAX: Duration = Duration::from_secs(60 * 60);

/// What is left to wait; none if nothing is said that can be read.
pub(crate) fn read(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match value.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = httpdate::parse_http_date(value).ok()?.duration_since(UNIX_EPOCH).ok()?;
            Timestamp::from_millis(i64::try_from(at.as_millis()).ok()?).since(now)
        }
    };
    Some(wait.min(WAIT_MAX))
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn seconds_and_dates_are_obeyed_within_a_bound() {
        // Tue, 21 Nov 2026 would be a lie: the weekday is the reader's to ignore or to check.
        let now = Timestamp::parse("2026-11-21T09:41:43.000Z").expect("a time");
        for (value, expected) in [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("999999", Some(3600)),
            ("Sat, 21 Nov 2026 09:42:43 GMT", Some(60)),
            ("Sat, 21 Nov 2026 09:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(value));
            assert_eq!(read(&headers, now), expected.map(Duration::from_secs), "{value}");
        }
        assert_eq!(read(&HeaderMap::new(), now), None);
    }
}
