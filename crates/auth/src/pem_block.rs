//! One key out of a PEM text (RFC 7468).

use std::path::Path;

use crate::KeyError;

/// Which half of a pair is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Half {
    Public,
    Private,
}

impl Half {
    const fn label(self) -> &'static str {
        match self {
            Self::Public => "PUBLIC KEY",
            Self::Private => "PRIVATE KEY",
        }
    }
}

/// The DER of the one key in `text`.
pub(crate) fn read(text: &str, wanted: Half) -> Result<Vec<u8>, KeyError> {
    // An environment variable often holds the two characters `\n` where the lines broke.
    let text = if text.contains('\n') { text.to_owned() } else { text.replace("\\n", "\n") };
    let not_pem = || KeyError::NotPem { expected: wanted.label() };

    // The parser's own error may quote the text, and is dropped.
    let blocks = pem::parse_many(text).map_err(|_| not_pem())?;
    // `openssl ecparam -genkey` writes the curve before the key.
    let mut keys = blocks.into_iter().filter(|block| block.tag() != "EC PARAMETERS");
    let key = keys.next().ok_or_else(not_pem)?;
    if keys.next().is_some() {
        return Err(KeyError::Several);
    }

    let found = match key.tag() {
        "PUBLIC KEY" | "RSA PUBLIC KEY" => Half::Public,
        "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" => Half::Private,
        "ENCRYPTED PRIVATE KEY" if wanted == Half::Private => return Err(KeyError::Encrypted),
        "ENCRYPTED PRIVATE KEY" => Half::Private,
        "CERTIFICATE" if wanted == Half::Public => return Err(KeyError::Certificate),
        "CERTIFICATE" => Half::Public,
        _ => return Err(not_pem()),
    };
    match (wanted, found) {
        (Half::Public, Half::Private) => Err(KeyError::PrivateForPublic),
        (Half::Private, Half::Public) => Err(KeyError::PublicForPrivate),
        // The old form of encryption says so in a header.
        _ if key.headers().get("DEK-Info").is_some() => Err(KeyError::Encrypted),
        _ => Ok(key.into_contents()),
    }
}

/// The text of a key file. A file that is not text is not PEM.
pub(crate) fn read_file(path: &Path, wanted: Half) -> Result<Vec<u8>, KeyError> {
    let bytes =
        std::fs::read(path).map_err(|source| KeyError::Unreadable { path: path.to_owned(), source })?;
    let text = str::from_utf8(&bytes).map_err(|_| KeyError::NotPem { expected: wanted.label() })?;
    read(text, wanted)
}

pub(crate) fn write(der: &[u8], half: Half) -> String {
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&pem::Pem::new(half.label(), der), config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(label: &str) -> String {
        pem::encode(&pem::Pem::new(label, [0x30, 0x00]))
    }

    #[test]
    fn the_wrong_half_is_named() {
        for label in ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY"] {
            assert!(matches!(read(&block(label), Half::Public), Err(KeyError::PrivateForPublic)), "{label}");
        }
        for label in ["PUBLIC KEY", "RSA PUBLIC KEY", "CERTIFICATE"] {
            assert!(matches!(read(&block(label), Half::Private), Err(KeyError::PublicForPrivate)), "{label}");
        }
        assert!(matches!(read(&block("CERTIFICATE"), Half::Public), Err(KeyError::Certificate)));
        assert!(matches!(read(&block("ENCRYPTED PRIVATE KEY"), Half::Private), Err(KeyError::Encrypted)));
        let locked = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nMAA=\n\
                      -----END RSA PRIVATE KEY-----\n";
        assert!(matches!(read(locked, Half::Private), Err(KeyError::Encrypted)));
    }

    #[test]
    fn what_is_not_pem_is_told_how_it_begins() {
        for text in ["", "secret", "-----BEGIN PUBLIC KEY-----", &block("OPENSSH PRIVATE KEY")] {
            let error = read(text, Half::Public).expect_err("not a key");
            assert!(matches!(error, KeyError::NotPem { .. }), "{text}");
            assert!(error.to_string().contains("-----BEGIN PUBLIC KEY-----"), "{error}");
        }
    }

    #[test]
    fn escaped_line_breaks_and_curve_parameters_are_read_past() {
        let text = block("PUBLIC KEY");
        let escaped = text.replace("\r\n", "\\n");
        assert!(!escaped.contains('\n'));
        assert_eq!(read(&escaped, Half::Public).expect("a key"), [0x30, 0x00]);

        let with_curve = block("EC PARAMETERS") + &block("EC PRIVATE KEY");
        assert!(read(&with_curve, Half::Private).is_ok());
        assert!(matches!(read(&text.repeat(2), Half::Public), Err(KeyError::Several)));
    }
}
