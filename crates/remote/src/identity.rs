//! Whose request it is, as headers say it.

use aws_lc_rs::digest;
use hyper::header::{HeaderName, HeaderValue};
use streamer_engine::store::RequestKey;
use streamer_protocol::Action;

pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("streamer-request-id");
pub(crate) const TENANT: HeaderName = HeaderName::from_static("streamer-tenant");
pub(crate) const USER: HeaderName = HeaderName::from_static("streamer-user");
pub(crate) const ACTION: HeaderName = HeaderName::from_static("streamer-action");
pub(crate) const ATTEMPT: HeaderName = HeaderName::from_static("streamer-attempt");
pub(crate) const CORRELATION: HeaderName = HeaderName::from_static("streamer-correlation-id");

/// How many bytes of the hash an idempotency key has: as many as nobody meets twice.
const KEY_BYTES: usize = 16;

/// The headers that name a request.
pub(crate) fn headers(key: &RequestKey, action: &Action) -> [(HeaderName, HeaderValue); 4] {
    [
        (REQUEST_ID, text(key.id.as_str())),
        (TENANT, text(key.tenant.as_str())),
        (USER, text(key.user.as_str())),
        (ACTION, text(action.as_str())),
    ]
}

/// Any text as a header's value: percent-encoded UTF-8, but for what is plain ASCII.
pub(crate) fn text(text: &str) -> HeaderValue {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'!'..=b'~' if byte != b'%' => encoded.push(byte.into()),
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    HeaderValue::try_from(encoded).expect("visible ASCII")
}

/// The same for every attempt at one thing, and another for anything else: a hash over its whole name, each part with its
/// length before it.
pub(crate) fn idempotency_key(key: &RequestKey, parts: &[&str]) -> HeaderValue {
    let mut hash = digest::Context::new(&digest::SHA256);
    for part in [key.tenant.as_str(), key.user.as_str(), key.id.as_str()].iter().chain(parts) {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let hash = hash.finish();
    let hex: String = hash.as_ref()[..KEY_BYTES].iter().map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::try_from(hex).expect("hexadecimal digits")
}

#[cfg(test)]
mod tests {
    use streamer_protocol::{RequestId, TenantId, UserId};

    use super::*;

    fn key(tenant: &str, user: &str, id: &str) -> RequestKey {
        RequestKey::new(TenantId::new(tenant), UserId::new(user), RequestId::parse(id).expect("an id"))
    }

    #[test]
    fn any_name_fits_into_a_header() {
        assert_eq!(text("ada@acme.example"), "ada@acme.example");
        assert_eq!(text("100% é\r\nx"), "100%25%20%C3%A9%0D%0Ax");
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let plain = idempotency_key(&key("a", "bc", "1"), &["work"]);
        assert_eq!(plain, idempotency_key(&key("a", "bc", "1"), &["work"]));
        assert_eq!(plain.len(), 32);
        for other in [
            idempotency_key(&key("ab", "c", "1"), &["work"]),
            idempotency_key(&key("a", "bc", "2"), &["work"]),
            idempotency_key(&key("a", "bc", "1"), &["wor", "k"]),
        ] {
            assert_ne!(plain, other);
        }
    }
}
