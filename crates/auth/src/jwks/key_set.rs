//! Reading a key set.

use aws_lc_rs::{encoding::AsDer as _, signature::RsaPublicKeyComponents};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;

use crate::{Algorithm, KEYS_MAX, KeyError, Keys, NAME_CHARS_MAX, PublicKey, SourceError};

/// How long a coordinate on P-256 and a public key of Ed25519 are, in bytes.
const COORDINATE_BYTES: usize = 32;

/// What is looked at of a key: RFC 7517, section 4; RFC 7518, section 6; RFC 8037, section 2.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    /// The private half.
    d: Option<IgnoredAny>,
}

/// The keys in `body` that check signatures by `algorithm`. Others are passed over; the same key twice is one. As a
/// [`Source`](super::Source) reads what it fetches; for keys that came by another way.
pub fn read(body: &[u8], algorithm: Algorithm) -> Result<Keys, SourceError> {
    let Ok(Value::Object(mut set)) = serde_json::from_slice(body) else { return Err(SourceError::NotKeys) };
    let Some(Value::Array(entries)) = set.remove("keys") else { return Err(SourceError::NotKeys) };
    let mut keys = Vec::new();
    for key in entries.into_iter().filter_map(|entry| usable(entry, algorithm)) {
        if !keys.contains(&key) {
            keys.push(key);
        }
        if keys.len() > KEYS_MAX {
            return Err(SourceError::TooManyKeys);
        }
    }
    Keys::new(keys).map_err(|e| match e {
        KeyError::DuplicateId { .. } => SourceError::DuplicateId,
        _ => SourceError::NoKeys(algorithm),
    })
}

fn usable(entry: Value, algorithm: Algorithm) -> Option<PublicKey> {
    // A derived reader also takes an array for an object.
    let jwk: Jwk = entry.is_object().then(|| serde_json::from_value(entry).ok())??;
    let fits = jwk.r#use.as_ref().is_none_or(|purpose| purpose == "sig")
        && jwk.alg.as_ref().is_none_or(|named| named == algorithm.as_str())
        && jwk.key_ops.as_ref().is_none_or(|operations| operations.iter().any(|name| name == "verify"))
        && jwk.kid.as_ref().is_none_or(|kid| kid.chars().count() <= NAME_CHARS_MAX)
        // Published, it is nobody's secret any more: anybody could sign with it.
        && jwk.d.is_none();
    if !fits {
        return None;
    }
    let key = PublicKey::from_der(algorithm, &material(&jwk, algorithm)?).ok()?;
    Some(match jwk.kid {
        Some(kid) => key.with_id(kid),
        None => key,
    })
}

/// The key in a form that the library parses, if it is of the algorithm's kind.
fn material(jwk: &Jwk, algorithm: Algorithm) -> Option<Vec<u8>> {
    match (algorithm, jwk.kty.as_str(), jwk.crv.as_deref()) {
        (Algorithm::Rs256, "RSA", _) => {
            let (n, e) = (number(jwk.n.as_deref())?, number(jwk.e.as_deref())?);
            let spki = RsaPublicKeyComponents { n, e }.as_der().ok()?;
            Some(spki.as_ref().to_vec())
        }
        (Algorithm::Es256, "EC", Some("P-256")) => {
            // A point, uncompressed: SEC 1, section 2.3.3.
            Some([&[4], &*coordinate(jwk.x.as_deref())?, &*coordinate(jwk.y.as_deref())?].concat())
        }
        (Algorithm::EdDsa, "OKP", Some("Ed25519")) => coordinate(jwk.x.as_deref()),
        _ => None,
    }
}

fn bytes(text: Option<&str>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text?).ok()
}

fn coordinate(text: Option<&str>) -> Option<Vec<u8>> {
    bytes(text).filter(|bytes| bytes.len() == COORDINATE_BYTES)
}

/// Some issuers write a zero before it, as ASN.1 does.
fn number(text: Option<&str>) -> Option<Vec<u8>> {
    let mut bytes = bytes(text)?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.drain(..zeros);
    Some(bytes)
}
