//! The canonical form of a request: what is hashed and signed.

use aws_lc_rs::digest::{SHA256, digest};

use super::hex;

/// A request as it came over the wire, but for its body.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// In capitals.
    pub method: &'a str,
    /// The path, not decoded.
    pub path: &'a str,
    /// What follows the question mark, not decoded.
    pub query: &'a str,
    /// Names in lower case with their values, in the order in which they came.
    pub headers: Vec<(&'a str, &'a [u8])>,
}

impl<'a> Request<'a> {
    /// The values of a header, in order.
    pub(super) fn values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.headers.iter().filter(move |(other, _)| *other == name).map(|(_, value)| *value)
    }

    /// The hash of the canonical request, which covers the headers named and this body.
    pub(super) fn digest(&self, signed_headers: &str, body: &[u8]) -> String {
        let mut text = format!("{}\n{}\n{}\n", self.method, path(self.path), query(self.query)).into_bytes();
        for name in signed_headers.split(';') {
            text.extend(name.bytes());
            for (count, value) in self.values(name).enumerate() {
                text.push(if count == 0 { b':' } else { b',' });
                text.extend(trimmed(value));
            }
            text.push(b'\n');
        }
        text.extend(format!("\n{signed_headers}\n{}", hex::encode(digest(&SHA256, body).as_ref())).bytes());
        hex::encode(digest(&SHA256, &text).as_ref())
    }
}

/// The path with its dot segments and doubled slashes resolved, and encoded once more than it was on the wire: all
/// services but S3 have it so. `@` and `%40` are different paths here, each with its own signature.
fn path(raw: &str) -> String {
    let mut segments = Vec::new();
    for segment in raw.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            plain => segments.push(plain),
        }
    }
    let mut canonical = String::with_capacity(raw.len() + 16);
    for segment in &segments {
        canonical.push('/');
        encode(segment.bytes(), &mut canonical);
    }
    if segments.is_empty() || raw.ends_with('/') {
        canonical.push('/');
    }
    canonical
}

/// The query's parameters, encoded in the one way that counts, and in order.
fn query(raw: &str) -> String {
    let encoded = |text: &str| {
        let mut canonical = String::with_capacity(text.len());
        encode(decoded(text).into_iter(), &mut canonical);
        canonical
    };
    let parameters = raw.split('&').filter(|parameter| !parameter.is_empty());
    let mut parameters: Vec<_> = parameters
        .map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")))
        .map(|(name, value)| (encoded(name), encoded(value)))
        .collect();
    parameters.sort();
    let parameters: Vec<_> = parameters.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    parameters.join("&")
}

fn encode(bytes: impl Iterator<Item = u8>, into: &mut String) {
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            into.push(char::from(byte));
        } else {
            into.push_str(&format!("%{byte:02X}"));
        }
    }
}

/// Percent-encoding undone; a plus stays a plus, and what is no encoding stays as it is.
fn decoded(text: &str) -> Vec<u8> {
    let mut rest = text.as_bytes();
    let mut bytes = Vec::with_capacity(rest.len());
    while let [first, after @ ..] = rest {
        let value = |digit: &u8| char::from(*digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let encoded = match after {
            [high, low, ..] if *first == b'%' => value(high).zip(value(low)),
            _ => None,
        };
        match encoded {
            Some((high, low)) => {
                bytes.push(high << 4 | low);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}

/// A header's value without blanks around it, and with single ones inside.
fn trimmed(value: &[u8]) -> Vec<u8> {
    let words = value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(&b' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_resolved_and_encoded_once_more() {
        for (raw, canonical) in [
            ("/", "/"),
            ("", "/"),
            ("//", "/"),
            ("/./", "/"),
            ("/a/..", "/"),
            ("/../a", "/a"),
            ("//a//b//", "/a/b/"),
            ("/a/./b", "/a/b"),
            ("/a b", "/a%20b"),
            ("/prod/@connections/L0SM9cOFvHcCIhw%3D", "/prod/%40connections/L0SM9cOFvHcCIhw%253D"),
            ("/prod/%40connections/L0SM9cOFvHcCIhw%3D", "/prod/%2540connections/L0SM9cOFvHcCIhw%253D"),
        ] {
            assert_eq!(path(raw), canonical, "{raw}");
        }
    }

    #[test]
    fn a_query_is_put_in_order_and_encoded_in_one_way() {
        for (raw, canonical) in [
            ("", ""),
            ("&&", ""),
            ("a", "a="),
            ("b=2&a=1", "a=1&b=2"),
            ("a=2&a=1", "a=1&a=2"),
            ("a=b=c", "a=b%3Dc"),
            ("a=x+y%20z%2bw", "a=x%2By%20z%2Bw"),
            ("a=%7e%41", "a=~A"),
            ("a=%zz%4", "a=%25zz%254"),
            ("Param-3=3&Param=2&%E1%88%B4=1", "%E1%88%B4=1&Param=2&Param-3=3"),
        ] {
            assert_eq!(query(raw), canonical, "{raw}");
        }
    }

    #[test]
    fn a_value_loses_its_outer_blanks_and_its_double_ones() {
        assert_eq!(trimmed(b"  \"a   b\t c\"  "), b"\"a b c\"");
        assert_eq!(trimmed(b" "), b"");
        assert_eq!(trimmed(b"\xff  \xfe"), b"\xff \xfe");
    }
}
