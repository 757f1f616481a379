//! The `Prefer` header (RFC 7240), as far as it is about waiting.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName};

pub(super) const PREFER: HeaderName = HeaderName::from_static("prefer");
pub(super) const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// How long the client would wait for an outcome, at most `max`. Of several the first counts; what cannot be read is
/// as if it were not there.
pub(super) fn wait(headers: &HeaderMap, max: Duration) -> Option<Duration> {
    let lines = headers.get_all(PREFER).iter().filter_map(|line| line.to_str().ok());
    let wait = lines.flat_map(|line| line.split(',')).find_map(|preference| {
        // What follows a semicolon are parameters, and `wait` has none.
        let preference = preference.split(';').next()?;
        let (name, value) = preference.split_once('=')?;
        name.trim().eq_ignore_ascii_case("wait").then(|| value.trim().trim_matches('"'))
    })?;
    // A number that is too large for us is longer than anybody waits.
    let digits = !wait.is_empty() && wait.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| wait.parse().map_or(max, Duration::from_secs).min(max))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(lines: &[&str]) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(PREFER, line.parse().expect("valid"));
        }
        wait(&headers, Duration::from_secs(25)).map(|wait| wait.as_secs())
    }

    #[test]
    fn the_wait_is_found_and_bounded() {
        assert_eq!(waits(&["wait=10"]), Some(10));
        assert_eq!(waits(&["respond-async, Wait = \"7\"; x=1"]), Some(7));
        assert_eq!(waits(&["return=minimal", "wait=3, wait=9"]), Some(3));
        assert_eq!(waits(&["wait=0"]), Some(0));
        assert_eq!(waits(&["wait=26"]), Some(25));
        assert_eq!(waits(&["wait=99999999999999999999999"]), Some(25));
    }

    #[test]
    fn what_is_no_wait_is_passed_over() {
        for line in ["", "wait", "wait=", "wait=-1", "wait=1.5", "wait=soon", "await=5", "respond-async"] {
            assert_eq!(waits(&[line]), None, "{line}");
        }
        assert_eq!(waits(&[]), None);
    }
}
