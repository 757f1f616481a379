//! A certificate and its key, as files hold them.

use std::{fmt, io, path::Path, path::PathBuf};

use rustls::{
    crypto::aws_lc_rs::sign::any_supported_type,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use sha2::{Digest as _, Sha256};
use streamer_protocol::Timestamp;

use super::validity;

/// A file of more bytes is none of ours.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Which of the two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Half {
    /// The certificate's.
    Certificate,
    /// The private key's.
    Key,
}

/// What two files held, or what was wrong with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Digest([u8; 32]);

/// Why a certificate and its key cannot be used. Tells nothing of what the files hold.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("the {half} file {} cannot be read: {source}", path.display())]
    Unreadable {
        /// Which.
        half: Half,
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds something else.
    #[error("the {half} file {} {problem}", path.display())]
    Unusable {
        /// Which.
        half: Half,
        /// Where.
        path: PathBuf,
        /// What is wrong.
        problem: &'static str,
    },
    /// They do not belong together.
    #[error("the key in {} does not match the certificate in {}", key.display(), certificate.display())]
    Mismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
    /// TLS itself cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
}

impl TlsError {
    /// Which of the two files is to be looked at.
    #[must_use]
    pub fn half(&self) -> Half {
        match self {
            Self::Unreadable { half, .. } | Self::Unusable { half, .. } => *half,
            Self::Mismatch { .. } => Half::Key,
            Self::Setup(_) => Half::Certificate,
        }
    }

    /// As long as the same thing is wrong there is nothing new.
    pub(super) fn digest(&self) -> Digest {
        Digest(Sha256::digest(self.to_string()).into())
    }
}

impl fmt::Display for Half {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "certificate",
            Self::Key => "key",
        })
    }
}

/// A certificate and its key.
pub(super) struct Pair {
    pub(super) certified: CertifiedKey,
    pub(super) not_after: Timestamp,
    pub(super) digest: Digest,
}

impl Pair {
    pub(super) fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let certificate_pem = read(Half::Certificate, certificate)?;
        let key_pem = read(Half::Key, key)?;
        let digest = Sha256::new().chain_update(&certificate_pem).chain_update(&key_pem).finalize();

        let unusable = |half, problem| {
            let path = match half {
                Half::Certificate => certificate,
                Half::Key => key,
            };
            TlsError::Unusable { half, path: path.to_owned(), problem }
        };
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&certificate_pem).collect();
        let chain = chain.map_err(|_| unusable(Half::Certificate, "is not PEM"))?;
        let Some(own) = chain.first() else {
            return Err(unusable(Half::Certificate, "holds no certificate in PEM"));
        };
        let not_after = validity::not_after(own)
            .ok_or_else(|| unusable(Half::Certificate, "holds a certificate that cannot be read"))?;
        // What exactly is wrong might tell of the key.
        let der = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|_| {
            unusable(Half::Key, "holds no private key in PEM (PKCS#8, SEC 1 or PKCS#1, not encrypted)")
        })?;
        let signing = any_supported_type(&der)
            .map_err(|_| unusable(Half::Key, "holds a key that cannot be used: RSA, ECDSA or Ed25519 can"))?;
        let certified = CertifiedKey::new(chain, signing);
        match certified.keys_match() {
            Ok(()) => Ok(Self { certified, not_after, digest: Digest(digest.into()) }),
            Err(rustls::Error::InconsistentKeys(_)) => {
                Err(TlsError::Mismatch { key: key.to_owned(), certificate: certificate.to_owned() })
            }
            Err(_) => Err(unusable(Half::Certificate, "holds a certificate that cannot be read")),
        }
    }
}

fn read(half: Half, path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |source| TlsError::Unreadable { half, path: path.to_owned(), source };
    let len = std::fs::metadata(path).map_err(unreadable)?.len();
    if len > FILE_BYTES_MAX {
        let problem = "is too large to be one";
        return Err(TlsError::Unusable { half, path: path.to_owned(), problem });
    }
    std::fs::read(path).map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use rcgen::{KeyPair, PKCS_ED25519, PKCS_RSA_SHA256};

    use super::*;

    fn written(folder: &Path, name: &str, text: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("written");
        path
    }

    fn certificate(key: &KeyPair) -> String {
        let params = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("valid");
        pem("CERTIFICATE", params.self_signed(key).expect("made").der())
    }

    fn pem(kind: &str, der: &[u8]) -> String {
        pem::encode(&pem::Pem::new(kind, der))
    }

    #[test]
    fn keys_of_every_kind_are_taken() {
        let folder = tempfile::tempdir().expect("a folder");
        for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &PKCS_ED25519, &PKCS_RSA_SHA256] {
            let key = KeyPair::generate_for(algorithm).expect("made");
            let certificate = written(folder.path(), "cert.pem", &certificate(&key));
            let key = written(folder.path(), "key.pem", &pem("PRIVATE KEY", &key.serialize_der()));
            let pair = Pair::read(&certificate, &key).expect("usable");
            // What rcgen gives: the year 4096.
            assert!(pair.not_after.to_string().starts_with("4096-"), "{}", pair.not_after);
        }
        // The forms of openssl: SEC 1 for elliptic curves, PKCS#1 for RSA. Both wrap the same numbers.
        for (name, kind) in [("sec1", "EC PRIVATE KEY"), ("pkcs1", "RSA PRIVATE KEY")] {
            let algorithm = if name == "sec1" { &rcgen::PKCS_ECDSA_P256_SHA256 } else { &PKCS_RSA_SHA256 };
            let key = KeyPair::generate_for(algorithm).expect("made");
            let inner = pkcs8_content(&key.serialize_der());
            let pem = pem(kind, &inner);
            let certificate = written(folder.path(), "cert.pem", &certificate(&key));
            let key = written(folder.path(), "key.pem", &pem);
            assert!(Pair::read(&certificate, &key).is_ok(), "{name}");
        }
    }

    /// What the last field of a PKCS#8 key holds, as far as keys of these kinds go.
    fn pkcs8_content(der: &[u8]) -> Vec<u8> {
        let mut rest = validity::content(der, 0x30).expect("a sequence").0;
        for tag in [0x02, 0x30] {
            rest = validity::content(rest, tag).expect("a field").1;
        }
        validity::content(rest, 0x04).expect("an octet string").0.to_vec()
    }

    #[test]
    fn what_is_wrong_is_told_without_showing_anything() {
        let folder = tempfile::tempdir().expect("a folder");
        let [one, other] = [(); 2].map(|()| KeyPair::generate().expect("made"));
        let secret = pem("PRIVATE KEY", &one.serialize_der());
        let good = written(folder.path(), "cert.pem", &certificate(&one));
        let key = written(folder.path(), "key.pem", &secret);
        let empty = written(folder.path(), "empty.pem", "");
        let cut = written(folder.path(), "cut.pem", &secret[..secret.len() - 40]);
        let damaged = "-----BEGIN CERTIFICATE-----\nMAMCAQA=\n-----END CERTIFICATE-----\n";
        let damaged = written(folder.path(), "damaged.pem", damaged);
        let stranger = written(folder.path(), "other.pem", &pem("PRIVATE KEY", &other.serialize_der()));
        let missing = folder.path().join("missing.pem");
        let cases = [
            (&missing, &key, Half::Certificate, "cannot be read"),
            (&good, &missing, Half::Key, "cannot be read"),
            (&empty, &key, Half::Certificate, "holds no certificate"),
            (&key, &key, Half::Certificate, "holds no certificate"),
            (&damaged, &key, Half::Certificate, "cannot be read"),
            (&good, &empty, Half::Key, "holds no private key"),
            (&good, &good, Half::Key, "holds no private key"),
            (&good, &cut, Half::Key, "holds no private key"),
            (&good, &stranger, Half::Key, "does not match"),
        ];
        for (certificate, key, half, told) in cases {
            let error = Pair::read(certificate, key).err().expect(told);
            assert_eq!(error.half(), half, "{error}");
            let text = format!("{error} {error:?}");
            assert!(text.contains(told), "{text}");
            assert!(secret.lines().all(|line| line.starts_with('-') || !text.contains(line)), "{text}");
        }
    }
}
