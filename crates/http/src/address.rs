//! Whom to ask, and where.

use std::{fmt, net::IpAddr, str::FromStr};

use hyper::Uri;
use rustls::pki_types::ServerName;

/// An address that somebody configured. Whoever answers there is trusted, so it is `https`, or on this machine, or at a
/// host that was named as one to be asked without encryption.
///
/// It is shown without its query, which may hold a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// In the way a request names it: path and query.
    target: Uri,
    /// Host and port, as they stand in the address.
    authority: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Whom the certificate has to name, if it is `https`.
    pub(crate) server_name: Option<ServerName<'static>>,
    shown: String,
}

/// What is wrong with an [`Address`]. Nothing of it is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No absolute URL with a host.
    #[error("must be a URL, such as https://host.example/path")]
    NotAUrl,
    /// Plain `http`, or something else.
    #[error("must begin with https://; http:// is taken for localhost and loopback addresses")]
    NotHttps,
    /// Credentials in the URL.
    #[error("must not hold a user or a password")]
    Credentials,
}

impl Address {
    /// Without its query.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The path with its query, as a request names it.
    #[must_use]
    pub fn target(&self) -> &Uri {
        &self.target
    }

    /// The value of a request's `Host`.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Reads an address; `http://` is taken for `plain_hosts` too, by their exact names.
    pub fn parse<H: AsRef<str>>(text: &str, plain_hosts: &[H]) -> Result<Self, AddressError> {
        let uri: Uri = text.parse().map_err(|_| AddressError::NotAUrl)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(AddressError::NotAUrl);
        };
        if authority.as_str().contains('@') {
            return Err(AddressError::Credentials);
        }
        let bracketed = authority.host();
        // A port that is none would be passed over.
        if bracketed.is_empty() || (authority.port_u16().is_none() && authority.as_str() != bracketed) {
            return Err(AddressError::NotAUrl);
        }
        let host = bracketed.trim_start_matches('[').trim_end_matches(']');
        let server_name = match scheme {
            "https" => Some(ServerName::try_from(host.to_owned()).map_err(|_| AddressError::NotAUrl)?),
            "http" if is_loopback(host) => None,
            "http" if plain_hosts.iter().any(|plain| host.eq_ignore_ascii_case(plain.as_ref())) => None,
            _ => return Err(AddressError::NotHttps),
        };
        let target = uri.path_and_query().and_then(|target| target.as_str().parse().ok());
        Ok(Self {
            target: target.ok_or(AddressError::NotAUrl)?,
            authority: authority.to_string(),
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(if server_name.is_some() { 443 } else { 80 }),
            server_name,
            shown: format!("{scheme}://{authority}{}", uri.path()),
        })
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse::<&str>(text, &[])
    }
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({})", self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Address, AddressError> {
        text.parse()
    }

    #[test]
    fn https_is_taken_from_anywhere_and_http_from_this_machine() {
        for (text, host, port) in [
            ("https://issuer.example/keys", "issuer.example", 443),
            ("https://issuer.example", "issuer.example", 443),
            ("https://10.0.0.7:8443/keys", "10.0.0.7", 8443),
            ("https://[2001:db8::1]/keys", "2001:db8::1", 443),
            ("http://localhost:8080/keys", "localhost", 8080),
            ("http://127.0.0.1/keys", "127.0.0.1", 80),
            ("http://[::1]:9/keys", "::1", 9),
        ] {
            let address = read(text).expect(text);
            assert_eq!((address.host.as_str(), address.port), (host, port), "{text}");
            assert_eq!(address.server_name.is_some(), text.starts_with("https"), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_trusted_or_asked_is_refused() {
        for (text, expected) in [
            ("http://issuer.example/keys", AddressError::NotHttps),
            ("http://10.0.0.7/keys", AddressError::NotHttps),
            ("http://localhost.example/keys", AddressError::NotHttps),
            ("http://127.0.0.1.example/keys", AddressError::NotHttps),
            ("ftp://issuer.example/keys", AddressError::NotHttps),
            ("https://ada:secret@issuer.example/keys", AddressError::Credentials),
            ("http://localhost@issuer.example/keys", AddressError::Credentials),
            ("", AddressError::NotAUrl),
            ("issuer.example", AddressError::NotAUrl),
            ("/keys", AddressError::NotAUrl),
            ("https://", AddressError::NotAUrl),
            ("https://issuer.example:99999/keys", AddressError::NotAUrl),
            ("https://issuer.example:/keys", AddressError::NotAUrl),
            ("https://iss uer.example/keys", AddressError::NotAUrl),
        ] {
            assert_eq!(read(text).expect_err(text), expected, "{text}");
        }
    }

    #[test]
    fn http_is_taken_from_a_host_that_was_named() {
        let parse = |text: &str| Address::parse(text, &["app", "10.0.0.7"]);
        assert!(parse("http://app:3000/work").is_ok());
        assert!(parse("http://APP/work").is_ok());
        assert!(parse("http://10.0.0.7/work").is_ok());
        for text in ["http://app.example/", "http://ap/", "http://10.0.0.70/", "ftp://app/"] {
            assert_eq!(parse(text).expect_err(text), AddressError::NotHttps, "{text}");
        }
    }

    #[test]
    fn a_query_is_sent_and_never_shown() {
        let address = read("https://issuer.example/keys?code=hush").expect("an address");
        assert_eq!(address.target, "/keys?code=hush");
        assert_eq!(address.to_string(), "https://issuer.example/keys");
        assert_eq!(format!("{address:?}"), "Address(https://issuer.example/keys)");
    }
}
