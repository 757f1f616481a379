//! Checking a signature.

use std::{collections::HashMap, time::Duration};

use aws_lc_rs::hmac;
use streamer_protocol::Timestamp;

use super::{
    Credential, Refused, Request,
    authorization::{ALGORITHM, Authorization, TERMINATOR},
};

/// How far the clocks of client and server may differ.
pub const CLOCK_SKEW_MAX: Duration = Duration::from_secs(5 * 60);

/// What signatures must be made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Such as `us-east-1`.
    pub region: String,
    /// Such as `execute-api`.
    pub service: String,
}

/// Two credentials have the same access key id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the access key id {0} is there twice")]
pub struct DuplicateKeyId(pub String);

/// Checks signed requests. A check takes no lock and does no I/O.
#[derive(Debug)]
pub struct Verifier {
    scope: Scope,
    credentials: HashMap<String, Credential>,
}

/// A request whose signature is all that is left to check, once its body is there.
#[derive(Debug)]
pub struct Claim<'v, 'r> {
    request: &'r Request<'r>,
    authorization: Authorization<'r>,
    signed_at: &'r str,
    credential: &'v Credential,
}

impl Verifier {
    /// For these credentials, each by its own id.
    pub fn new(
        scope: Scope,
        credentials: impl IntoIterator<Item = Credential>,
    ) -> Result<Self, DuplicateKeyId> {
        let mut known = HashMap::new();
        for credential in credentials {
            if let Some(twice) = known.insert(credential.access_key_id().to_owned(), credential) {
                return Err(DuplicateKeyId(twice.access_key_id().to_owned()));
            }
        }
        Ok(Self { scope, credentials: known })
    }

    /// Everything that can be said before the body is read: so that it is read for nobody who has no key.
    pub fn read<'v, 'r>(
        &'v self,
        request: &'r Request<'r>,
        now: Timestamp,
    ) -> Result<Claim<'v, 'r>, Refused> {
        let in_query = |parameter: &str| {
            let name = parameter.split('=').next().unwrap_or_default();
            ["X-Amz-Signature", "X-Amz-Algorithm"].iter().any(|ours| name.eq_ignore_ascii_case(ours))
        };
        if request.query.split('&').any(in_query) {
            return Err(Refused::InQuery);
        }
        let header = only(request, "authorization", Refused::Malformed("Authorization header"))?;
        let authorization = Authorization::read(header.ok_or(Refused::Missing)?)?;
        let credential = self.credentials.get(authorization.access_key_id).ok_or(Refused::UnknownKey)?;

        let signed_at = only(request, "x-amz-date", Refused::Malformed("x-amz-date header"))?;
        let signed_at = signed_at.ok_or(Refused::Unsigned("x-amz-date"))?;
        let moment = moment(signed_at).ok_or(Refused::Malformed("x-amz-date header"))?;
        if authorization.region != self.scope.region {
            return Err(Refused::WrongRegion);
        }
        if authorization.service != self.scope.service || authorization.terminator != TERMINATOR {
            return Err(Refused::WrongService);
        }
        if !signed_at.starts_with(authorization.date) || authorization.date.len() != DATE_CHARS {
            return Err(Refused::Malformed("credential"));
        }
        if now.since(moment).max(moment.since(now)) > CLOCK_SKEW_MAX {
            return Err(Refused::ClockSkew);
        }
        covers(&authorization, request)?;
        let session_token = request.values("x-amz-security-token").collect::<Vec<_>>();
        if session_token.len() > 1 || !credential.has_session_token(session_token.first().copied()) {
            return Err(Refused::SessionToken);
        }
        Ok(Claim { request, authorization, signed_at, credential })
    }
}

impl<'v> Claim<'v, '_> {
    /// Who signed this request with this body.
    pub fn verify(&self, body: &[u8]) -> Result<&'v Credential, Refused> {
        let Authorization { scope, date, region, service, signed_headers, signature, .. } =
            &self.authorization;
        let digest = self.request.digest(signed_headers, body);
        let text = format!("{ALGORITHM}\n{}\n{scope}\n{digest}", self.signed_at);
        let key = self.credential.signing_key(date, region, service);
        // Takes the same time wherever the two differ.
        hmac::verify(&key, text.as_bytes(), signature).map_err(|_| Refused::BadSignature)?;
        Ok(self.credential)
    }
}

/// Whether the signature covers all that we act on. Other headers may come unsigned: proxies add their own.
fn covers(authorization: &Authorization<'_>, request: &Request<'_>) -> Result<(), Refused> {
    for needed in ["host", "x-amz-date"] {
        if !authorization.signs(needed) {
            return Err(Refused::Unsigned(needed));
        }
    }
    for optional in ["x-amz-content-sha256", "x-amz-security-token"] {
        if request.values(optional).next().is_some() && !authorization.signs(optional) {
            return Err(Refused::Unsigned(optional));
        }
    }
    if authorization.signed_headers.split(';').any(|name| request.values(name).next().is_none()) {
        return Err(Refused::Malformed("list of signed headers"));
    }
    let unsigned = |form: &[u8]| form == b"UNSIGNED-PAYLOAD" || form.starts_with(b"STREAMING-");
    match request.values("x-amz-content-sha256").any(unsigned) {
        true => Err(Refused::UnsignedPayload),
        false => Ok(()),
    }
}

/// The one value of a header, as text.
fn only<'a>(request: &Request<'a>, name: &str, wrong: Refused) -> Result<Option<&'a str>, Refused> {
    let mut values = request.values(name);
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => std::str::from_utf8(value).map(Some).map_err(|_| wrong),
        (Some(_), Some(_)) => Err(wrong),
    }
}

/// The date is so long: `20150830`.
const DATE_CHARS: usize = 8;

/// ISO 8601's basic form, always UTC: `20150830T123600Z`.
fn moment(text: &str) -> Option<Timestamp> {
    let form = text.bytes().enumerate().all(|(place, byte)| match place {
        8 => byte == b'T',
        15 => byte == b'Z',
        _ => byte.is_ascii_digit(),
    });
    let part = |from, to| text.get(from..to);
    let (Some(year), Some(month), Some(day)) = (part(0, 4), part(4, 6), part(6, 8)) else { return None };
    let (Some(hour), Some(minute), Some(second)) = (part(9, 11), part(11, 13), part(13, 15)) else {
        return None;
    };
    let text =
        (form && text.len() == 16).then(|| format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z"))?;
    Timestamp::parse(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_one_form() {
        let expected = Timestamp::parse("2015-08-30T12:36:00Z").ok();
        assert_eq!(moment("20150830T123600Z"), expected);
        assert!(expected.is_some());
        for wrong in [
            "",
            "20150830",
            "20150830T123600",
            "20150830T123600Z0",
            "20150830 123600Z",
            "20151330T123600Z",
            "2015-08-30T12:36:00Z",
            "éééééééé",
        ] {
            assert_eq!(moment(wrong), None, "{wrong}");
        }
    }
}
