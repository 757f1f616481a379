//! Whose request it is, as headers say it.

use aws_lc_rs::digest;
use hyper::header::{HeaderName, HeaderValue};
use streamer_engine::store::RequestKey;
use streamer_protocol::{Action, Permissions};

pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("streamer-request-id");
pub(crate) const TENANT: HeaderName = HeaderName::from_static("streamer-tenant");
pub(crate) const USER: HeaderName = HeaderName::from_static("streamer-user");
pub(crate) const ACTION: HeaderName = HeaderName::from_static("streamer-action");
pub(crate) const ATTEMPT: HeaderName = HeaderName::from_static("streamer-attempt");
pub(crate) const CORRELATION: HeaderName = HeaderName::from_static("streamer-correlation-id");

pub(crate) const PERMISSIONS: HeaderName = HeaderName::from_static("streamer-permissions");

/// The longest list of permissions that a header holds, in bytes: servers refuse a request whose head is too large.
const PERMISSIONS_BYTES_MAX: usize = 4096;

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
    HeaderValue::try_from(encoded(text)).expect("visible ASCII")
}

fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'!'..=b'~' if byte != b'%' => encoded.push(byte.into()),
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// Permissions as a header's value: each as any text is, and their commas too, with commas between. None if that is too
/// long for a header.
pub(crate) fn permissions(permissions: &Permissions) -> Option<HeaderValue> {
    let names: Vec<_> = permissions.iter().map(|name| encoded(name).replace(',', "%2C")).collect();
    let list = names.join(",");
    (list.len() <= PERMISSIONS_BYTES_MAX).then(|| HeaderValue::try_from(list).expect("visible ASCII"))
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
    fn permissions_are_a_list_in_order_and_bounded() {
        let list = |names: &[&str]| permissions(&names.iter().copied().collect());
        assert_eq!(list(&["write", "read"]).expect("short"), "read,write");
        assert_eq!(list(&["a,b", "é %"]).expect("short"), "a%2Cb,%C3%A9%20%25");
        assert_eq!(list(&[]).expect("short"), "");
        let long: Vec<String> = (0..100).map(|n| format!("{n}{}", "x".repeat(100))).collect();
        assert_eq!(permissions(&long.into_iter().collect()), None);
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
