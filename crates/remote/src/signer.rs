//! Signs what is sent, so that its receiver knows whom it is from: HTTP Message Signatures (RFC 9421) by HMAC-SHA256,
//! over the body's digest (RFC 9530).
//!
//! Of the two standards at hand, Standard Webhooks covers id, time and body; this one covers method, path and identity
//! too, and lets several signatures stand side by side, which is how keys are changed.

use std::{fmt, sync::Arc};

use aws_lc_rs::{digest, hmac};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::{
    HeaderMap, Method, Uri,
    header::{HeaderName, HeaderValue},
};
use streamer_engine::clock::Clock;

/// How many keys sign at once: the one in use and the one that is coming or going.
pub const KEYS_MAX: usize = 2;

/// The shortest secret, in characters.
pub const SECRET_CHARS_MIN: usize = 32;

const DIGEST: HeaderName = HeaderName::from_static("content-digest");
const INPUT: HeaderName = HeaderName::from_static("signature-input");
const SIGNATURE: HeaderName = HeaderName::from_static("signature");

/// What is wrong with a key. Nothing of it is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The id cannot stand in a header.
    #[error("a key's name is a lower-case letter, followed by at most 31 lower-case letters, digits, - or _")]
    Id,
    /// The secret can be guessed.
    #[error("a key has at least {SECRET_CHARS_MIN} characters")]
    Short,
}

/// A secret that receiver and server share, with its name.
#[derive(Clone)]
pub struct SigningKey {
    id: String,
    key: hmac::Key,
}

impl SigningKey {
    /// The bytes of `secret` are the key, as they are: no encoding to get wrong.
    pub fn new(id: &str, secret: &str) -> Result<Self, KeyError> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
        if id.len() > 32 || !id.starts_with(|c: char| c.is_ascii_lowercase()) || !id.bytes().all(plain) {
            return Err(KeyError::Id);
        }
        if secret.chars().count() < SECRET_CHARS_MIN {
            return Err(KeyError::Short);
        }
        Ok(Self { id: id.to_owned(), key: hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()) })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Signs with every key that is active.
#[derive(Clone)]
pub struct Signer {
    keys: Vec<SigningKey>,
    clock: Arc<dyn Clock>,
}

impl Signer {
    /// Each request is signed by each of these keys.
    #[must_use]
    pub fn new(keys: Vec<SigningKey>, clock: Arc<dyn Clock>) -> Self {
        Self { keys, clock }
    }

    /// Adds digest and signatures to the headers. Signed are the method, the path, the query, the digest and every
    /// header that is there by now, each once.
    pub(crate) fn sign(&self, method: &Method, target: &Uri, headers: &mut HeaderMap, body: &[u8]) {
        let hash = digest::digest(&digest::SHA256, body);
        headers.insert(DIGEST, value(format!("sha-256=:{}:", STANDARD.encode(hash))));

        let path = if target.path().is_empty() { "/" } else { target.path() };
        let query = target.query().unwrap_or_default();
        let mut covered = String::from(r#""@method" "@path" "@query""#);
        let mut base = format!("\"@method\": {method}\n\"@path\": {path}\n\"@query\": ?{query}\n");
        for (name, value) in headers.iter() {
            covered.push_str(&format!(" \"{name}\""));
            base.push_str(&format!("\"{name}\": {}\n", value.to_str().unwrap_or_default().trim()));
        }
        let created = self.clock.now().as_millis().div_euclid(1000);
        let (mut inputs, mut signatures) = (Vec::new(), Vec::new());
        for SigningKey { id, key } in &self.keys {
            let parameters = format!("({covered});created={created};keyid=\"{id}\";alg=\"hmac-sha256\"");
            signatures.push(format!("{id}=:{}:", signature(key, &base, &parameters)));
            inputs.push(format!("{id}={parameters}"));
        }
        if !inputs.is_empty() {
            headers.insert(INPUT, value(inputs.join(", ")));
            headers.insert(SIGNATURE, value(signatures.join(", ")));
        }
    }
}

/// RFC 9421, sections 2.5 and 3.1: `base` are the lines of the covered components.
fn signature(key: &hmac::Key, base: &str, parameters: &str) -> String {
    let signed = format!("{base}\"@signature-params\": {parameters}");
    STANDARD.encode(hmac::sign(key, signed.as_bytes()))
}

fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("made of what headers take")
}

#[cfg(test)]
mod tests {
    use streamer_engine::testing::PausedClock;
    use streamer_protocol::Timestamp;

    use super::*;

    /// RFC 9421, appendices B.1.5 and B.2.5.
    #[test]
    fn agrees_with_the_example_of_the_standard() {
        let secret =
            "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";
        let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(secret).expect("base64"));
        let base = "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n\"@authority\": example.com\n\"content-type\": application/json\n";
        let parameters =
            "(\"date\" \"@authority\" \"content-type\");created=1618884473;keyid=\"test-shared-secret\"";
        assert_eq!(signature(&key, base, parameters), "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=");
    }

    fn signed(keys: &[(&str, &str)]) -> HeaderMap {
        let keys = keys.iter().map(|(id, secret)| SigningKey::new(id, secret).expect("a key")).collect();
        let clock = PausedClock::starting_at(Timestamp::from_millis(1_795_254_103_007));
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        headers.insert("streamer-tenant", HeaderValue::from_static("acme"));
        let target = "/work?x=1".parse().expect("a target");
        Signer::new(keys, Arc::new(clock)).sign(&Method::POST, &target, &mut headers, br#"{"year":2026}"#);
        headers
    }

    /// The vector of docs/handlers.md, computed by another implementation: `python3 -c` with hashlib and hmac.
    #[tokio::test(start_paused = true)]
    async fn agrees_with_the_vector_of_the_book() {
        let headers = signed(&[("k1", "0123456789abcdef0123456789abcdef")]);
        assert_eq!(headers["content-digest"], "sha-256=:P4SXktsPml95mXUSz46H+OwXAu1M91O/Tr5dwC34qMw=:");
        assert_eq!(
            headers["signature-input"],
            "k1=(\"@method\" \"@path\" \"@query\" \"content-type\" \"streamer-tenant\" \"content-digest\");created=1795254103;keyid=\"k1\";alg=\"hmac-sha256\""
        );
        assert_eq!(headers["signature"], "k1=:kCwWrHnYBlP9c03rMAIG4Sh7C405Dnfkb5dVDd1cmGs=:");
    }

    #[tokio::test(start_paused = true)]
    async fn two_keys_sign_side_by_side() {
        let one = signed(&[("k1", "0123456789abcdef0123456789abcdef")]);
        let both =
            signed(&[("k1", "0123456789abcdef0123456789abcdef"), ("k2", "abcdefghabcdefghabcdefghabcdefgh")]);
        let text = |headers: &HeaderMap, name: &str| headers[name].to_str().expect("text").to_owned();
        let signatures = text(&both, "signature");
        let (first, second) = signatures.split_once(", ").expect("two");
        assert_eq!(first, text(&one, "signature"), "the key in use signs as before");
        assert!(second.starts_with("k2=:"), "{second}");
        assert!(text(&both, "signature-input").contains(", k2=("));
        assert!(!signed(&[]).contains_key("signature"));
    }

    #[test]
    fn names_and_secrets_are_checked_and_never_shown() {
        let secret = "0123456789abcdef0123456789abcdef";
        for id in ["", "K1", "1k", "k 1", "k\"", &"k".repeat(33)] {
            assert_eq!(SigningKey::new(id, secret).expect_err(id), KeyError::Id);
        }
        assert_eq!(SigningKey::new("k", &secret[1..]).expect_err("short"), KeyError::Short);
        let shown = format!("{:?}", SigningKey::new("k-1_a", secret).expect("a key"));
        assert!(shown.contains("k-1_a") && !shown.contains("0123"), "{shown}");
    }
}
