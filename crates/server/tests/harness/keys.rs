//! Tokens, good and bad, by keys that are made once.

use std::{sync::OnceLock, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};
use streamer_auth::{Algorithm, Grant, KeyPair, Keys, PublicKey, Settings, Signer, Verifier};
use streamer_engine::clock::{Clock as _, SystemClock};
use streamer_protocol::{TenantId, Timestamp, UserId};

/// RS256: what a server takes unless told otherwise.
fn pair() -> &'static KeyPair {
    static PAIR: OnceLock<KeyPair> = OnceLock::new();
    PAIR.get_or_init(|| KeyPair::generate(Algorithm::Rs256).expect("a pair"))
}

/// With no leeway: a token's times are exact.
pub(super) fn verifier() -> Verifier {
    let key = PublicKey::from_pem(Algorithm::Rs256, pair().public_pem()).expect("a key");
    let keys = Keys::new([key]).expect("keys");
    Verifier::new(Settings {
        issuer: Some("tests".to_owned()),
        leeway: Duration::ZERO,
        ..Settings::new(keys)
    })
}

/// Makes tokens.
pub(crate) struct Token;

impl Token {
    /// For an hour from now.
    pub(crate) fn of(user: &str, tenant: &str) -> String {
        Self::lasting(user, tenant, SystemClock.now(), Duration::from_secs(3600))
    }

    pub(crate) fn ada() -> String {
        Self::of("ada", "acme")
    }

    /// Of ada, with these permissions and grants of topics.
    pub(crate) fn with_rights(permissions: &[&str], topics: &[&str]) -> String {
        let mut claims = Self::claims();
        claims["permissions"] = json!(permissions);
        claims["topics"] = json!(topics);
        Self::claiming(&claims)
    }

    pub(crate) fn lasting(user: &str, tenant: &str, now: Timestamp, ttl: Duration) -> String {
        let grant = Grant { ttl, ..grant(user, tenant) };
        signer().issue(&grant, now).expect("a token").as_str().to_owned()
    }

    pub(crate) fn expired() -> String {
        signer().issue_expired(&grant("ada", "acme"), SystemClock.now()).expect("a token").as_str().to_owned()
    }

    pub(crate) fn forged() -> String {
        signer().issue_forged(&grant("ada", "acme"), SystemClock.now()).expect("a token").as_str().to_owned()
    }

    /// The claims that are needed.
    pub(crate) fn claims() -> Value {
        let exp = SystemClock.now().as_millis() / 1000 + 3600;
        json!({ "sub": "ada", "tenant_id": "acme", "iss": "tests", "exp": exp })
    }

    /// Whatever is claimed, properly signed.
    pub(crate) fn claiming(claims: &Value) -> String {
        let key = EncodingKey::from_rsa_pem(pair().private_pem().as_bytes()).expect("a key");
        jsonwebtoken::encode(&Header::new(jsonwebtoken::Algorithm::RS256), claims, &key).expect("a token")
    }

    /// `alg: none`.
    pub(crate) fn unsigned() -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.", part(&json!({ "alg": "none", "typ": "JWT" })), part(&Self::claims()))
    }

    /// HS256, with the text of the public key as the shared secret.
    pub(crate) fn confused() -> String {
        let key = EncodingKey::from_secret(pair().public_pem().as_bytes());
        jsonwebtoken::encode(&Header::new(jsonwebtoken::Algorithm::HS256), &Self::claims(), &key)
            .expect("a token")
    }
}

fn signer() -> Signer {
    Signer::from_pem(Algorithm::Rs256, pair().private_pem()).expect("a signer")
}

fn grant(user: &str, tenant: &str) -> Grant {
    Grant { issuer: Some("tests".to_owned()), ..Grant::new(UserId::new(user), TenantId::new(tenant)) }
}
