//! The compact form of a signed token (RFC 7515, section 3.1): `header.payload.signature`.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize, de::DeserializeOwned, de::IgnoredAny};

use crate::{KeyError, Rejected, TOKEN_BYTES_MAX, Token, signing_key::SigningKey};

/// What of the header matters here. The rest (`typ`, `jku`, `jwk`, `x5u`, ...) is ignored: a token never says
/// where its key is to be had.
#[derive(Deserialize)]
pub(crate) struct Header {
    pub(crate) alg: String,
    pub(crate) kid: Option<String>,
    crit: Option<IgnoredAny>,
}

/// A token taken apart, not yet checked.
pub(crate) struct Jws<'a> {
    pub(crate) header: Header,
    /// What the signature covers.
    pub(crate) signed: &'a str,
    pub(crate) signature: Vec<u8>,
    payload: &'a str,
}

impl<'a> Jws<'a> {
    pub(crate) fn read(token: &'a str) -> Result<Self, Rejected> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Rejected::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Rejected::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Rejected::Malformed)?;
        if payload.contains('.') {
            return Err(Rejected::Malformed);
        }
        let header: Header = json(header)?;
        // "If any of the listed extension Header Parameters are not understood ... then the JWS is invalid"
        // (section 4.1.11); none is understood here.
        if header.crit.is_some() {
            return Err(Rejected::Malformed);
        }
        Ok(Self { header, signed, signature: bytes(signature)?, payload })
    }

    /// The claims: to be read only once the signature is known to be good.
    pub(crate) fn payload<T: DeserializeOwned>(&self) -> Result<T, Rejected> {
        json(self.payload)
    }
}

fn bytes(part: &str) -> Result<Vec<u8>, Rejected> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Rejected::Malformed)
}

fn json<T: DeserializeOwned>(part: &str) -> Result<T, Rejected> {
    let text = bytes(part)?;
    // A derived reader also takes an array for an object.
    if text.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Err(Rejected::Malformed);
    }
    serde_json::from_slice(&text).map_err(|_| Rejected::Malformed)
}

#[derive(Serialize)]
struct Written<'a> {
    typ: &'static str,
    alg: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
}

pub(crate) fn write<T: Serialize>(
    key: &SigningKey,
    kid: Option<&str>,
    claims: &T,
) -> Result<Token, KeyError> {
    let header = Written { typ: "JWT", alg: key.algorithm().as_str(), kid };
    let mut token = part(&header);
    token.push('.');
    token.push_str(&part(claims));
    let signature = key.sign(token.as_bytes())?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Ok(Token::new(token))
}

fn part<T: Serialize>(value: &T) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(value).expect("header and claims are texts, lists and numbers"))
}
