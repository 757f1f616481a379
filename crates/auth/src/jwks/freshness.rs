//! For how long an answer is good (RFC 9111).

use std::time::Duration;

use hyper::{
    HeaderMap,
    header::{AGE, CACHE_CONTROL},
};

/// What is left of `max-age`; nothing if the answer must not be kept; none if it does not say.
pub(super) fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let mut max_age = None;
    for directive in values.flat_map(|value| value.split(',')).map(str::trim) {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        if name.eq_ignore_ascii_case("no-store") || name.eq_ignore_ascii_case("no-cache") {
            return Some(Duration::ZERO);
        }
        if name.eq_ignore_ascii_case("max-age") {
            max_age = value.trim_matches('"').parse().ok().or(max_age);
        }
    }
    let age = headers.get(AGE).and_then(|value| value.to_str().ok()?.parse().ok());
    Some(Duration::from_secs(max_age?).saturating_sub(Duration::from_secs(age.unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn the_directive_is_found_among_others() {
        for (value, age, expected) in [
            ("max-age=300", None, Some(300)),
            ("public, Max-Age=\"300\", must-revalidate", None, Some(300)),
            ("max-age=300", Some("100"), Some(200)),
            ("max-age=300", Some("400"), Some(0)),
            ("max-age=300", Some("soon"), Some(300)),
            ("max-age=300, no-store", None, Some(0)),
            ("no-cache", None, Some(0)),
            ("s-maxage=300", None, None),
            ("max-age=soon", None, None),
            ("max-age=-1", None, None),
            ("max-age=99999999999999999999999", None, None),
            ("", None, None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CACHE_CONTROL, HeaderValue::from_static(value));
            if let Some(age) = age {
                headers.insert(AGE, HeaderValue::from_static(age));
            }
            assert_eq!(max_age(&headers), expected.map(Duration::from_secs), "{value} {age:?}");
        }
        assert_eq!(max_age(&HeaderMap::new()), None);
    }
}
