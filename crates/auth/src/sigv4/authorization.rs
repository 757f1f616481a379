//! What the `Authorization` header says.

use super::{Refused, hex};

pub(super) const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// How every credential's scope ends.
pub(super) const TERMINATOR: &str = "aws4_request";

/// `AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Authorization<'a> {
    pub(super) access_key_id: &'a str,
    /// Date, region, service and terminator, as they stand there.
    pub(super) scope: &'a str,
    pub(super) date: &'a str,
    pub(super) region: &'a str,
    pub(super) service: &'a str,
    pub(super) terminator: &'a str,
    /// Names in lower case, joined by semicolons, in order and each once.
    pub(super) signed_headers: &'a str,
    pub(super) signature: [u8; 32],
}

impl<'a> Authorization<'a> {
    pub(super) fn read(header: &'a str) -> Result<Self, Refused> {
        const HEADER: Refused = Refused::Malformed("Authorization header");
        let (scheme, parameters) = header.trim().split_once(' ').ok_or(HEADER)?;
        if scheme != ALGORITHM {
            return Err(Refused::Missing);
        }
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for parameter in parameters.split(',') {
            let (name, value) = parameter.trim().split_once('=').ok_or(HEADER)?;
            let place = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed_headers,
                "Signature" => &mut signature,
                _ => return Err(HEADER),
            };
            if place.replace(value).is_some() {
                return Err(HEADER);
            }
        }
        let (access_key_id, scope) = credential.and_then(|text| text.split_once('/')).ok_or(HEADER)?;
        let parts: Vec<&str> = scope.split('/').collect();
        let [date, region, service, terminator] = parts[..] else {
            return Err(Refused::Malformed("credential"));
        };
        let signed_headers = signed_headers.ok_or(HEADER)?;
        if !is_ordered(signed_headers) {
            return Err(Refused::Malformed("list of signed headers"));
        }
        let signature = signature.and_then(hex::decode).ok_or(Refused::Malformed("signature"))?;
        Ok(Self { access_key_id, scope, date, region, service, terminator, signed_headers, signature })
    }

    pub(super) fn signs(&self, header: &str) -> bool {
        self.signed_headers.split(';').any(|name| name == header)
    }
}

/// Names in lower case, in order, and each once: two lists that read the same cannot mean different things.
fn is_ordered(names: &str) -> bool {
    let plain = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase())
    };
    names.split(';').all(plain) && names.split(';').is_sorted_by(|one, next| one < next)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCOPE: &str = "Credential=AK/20150830/us-east-1/service/aws4_request";

    fn read(parameters: &str) -> Result<(String, String), Refused> {
        let header = format!("AWS4-HMAC-SHA256 {parameters}");
        Authorization::read(&header).map(|read| (read.scope.to_owned(), read.signed_headers.to_owned()))
    }

    #[test]
    fn it_is_taken_apart_in_any_order_with_or_without_blanks() {
        let signature = format!("Signature={}", "0".repeat(64));
        let expected = ("20150830/us-east-1/service/aws4_request".to_owned(), "host;x-amz-date".to_owned());
        for parameters in [
            format!("{SCOPE}, SignedHeaders=host;x-amz-date, {signature}"),
            format!("{SCOPE},SignedHeaders=host;x-amz-date,{signature}"),
            format!("  {signature},  SignedHeaders=host;x-amz-date , {SCOPE}"),
        ] {
            assert_eq!(read(&parameters).as_ref(), Ok(&expected), "{parameters}");
        }
    }

    #[test]
    fn what_is_not_well_formed_is_refused() {
        let signature = format!("Signature={}", "0".repeat(64));
        let good = format!("{SCOPE}, SignedHeaders=host, {signature}");
        for parameters in [
            String::new(),
            SCOPE.to_owned(),
            format!("{SCOPE}, SignedHeaders=host"),
            format!("{good}, {signature}"),
            format!("{good}, More=1"),
            format!("{good},"),
            good.replace("/20150830", ""),
            good.replace("aws4_request", "aws4_request/more"),
            good.replace("SignedHeaders=host", "SignedHeaders="),
            good.replace("SignedHeaders=host", "SignedHeaders=Host"),
            good.replace("SignedHeaders=host", "SignedHeaders=host;"),
            good.replace("SignedHeaders=host", "SignedHeaders=host;host"),
            good.replace("SignedHeaders=host", "SignedHeaders=x-amz-date;host"),
            good.replace("Signature=00", "Signature=0"),
            good.replace("Signature=00", "Signature=0Z"),
        ] {
            assert!(matches!(read(&parameters), Err(Refused::Malformed(_))), "{parameters}");
        }
        for other in
            ["Bearer a.b.c", "AWS4-ECDSA-P256-SHA256 Credential=A", "aws4-hmac-sha256 x", "Basic eDp5"]
        {
            assert_eq!(Authorization::read(other), Err(Refused::Missing), "{other}");
        }
    }
}
