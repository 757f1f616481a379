//! The public keys that tokens are checked with.

use std::{fmt, path::Path};

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    rsa::PublicEncryptingKey,
    signature::ParsedPublicKey,
};

use crate::{
    Algorithm, KeyError,
    pem_block::{self, Half},
};

/// The most keys in [`Keys`]: a token that names none is tried with each.
pub const KEYS_MAX: usize = 16;

/// One public key, parsed, with the algorithm it is for.
#[derive(Clone)]
pub struct PublicKey {
    id: Option<String>,
    algorithm: Algorithm,
    parsed: ParsedPublicKey,
}

impl PublicKey {
    /// From PEM text: `PUBLIC KEY` (SPKI), or `RSA PUBLIC KEY` (PKCS#1). The two characters `\n` stand for a
    /// line break if the text has none.
    pub fn from_pem(algorithm: Algorithm, text: &str) -> Result<Self, KeyError> {
        Self::from_der(algorithm, &pem_block::read(text, Half::Public)?)
    }

    /// From a PEM file.
    pub fn from_file(algorithm: Algorithm, path: &Path) -> Result<Self, KeyError> {
        Self::from_der(algorithm, &pem_block::read_file(path, Half::Public)?)
    }

    /// Gives the key the name by which tokens ask for it (`kid`).
    #[must_use]
    pub fn with_id(self, id: impl Into<String>) -> Self {
        Self { id: Some(id.into()), ..self }
    }

    /// What tokens call it.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// What it checks, and nothing else.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(crate) fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        self.parsed.verify_sig(message, signature).is_ok()
    }

    /// From SPKI, or the plain form of the algorithm: PKCS#1, a point on the curve, the 32 bytes of Ed25519.
    pub(crate) fn from_der(algorithm: Algorithm, der: &[u8]) -> Result<Self, KeyError> {
        if let Some(parsed) = parse(algorithm, der) {
            return Ok(Self { id: None, algorithm, parsed });
        }
        match Algorithm::ALL.into_iter().find(|other| parse(*other, der).is_some()) {
            Some(found) => Err(KeyError::OtherAlgorithm { configured: algorithm, found }),
            None => Err(KeyError::Unusable { algorithm }),
        }
    }
}

fn parse(algorithm: Algorithm, der: &[u8]) -> Option<ParsedPublicKey> {
    let parsed = ParsedPublicKey::new(algorithm.verification(), der).ok()?;
    if algorithm == Algorithm::Rs256 {
        // An RSA key of the wrong size parses, and would refuse every token instead: this reading checks it.
        let spki: PublicKeyX509Der<'_> = parsed.as_der().ok()?;
        PublicEncryptingKey::from_der(spki.as_ref()).ok()?;
    }
    Some(parsed)
}

impl PartialEq for PublicKey {
    /// The same key in the same form, by the same name.
    fn eq(&self, other: &Self) -> bool {
        (&self.id, self.algorithm, self.parsed.as_ref())
            == (&other.id, other.algorithm, other.parsed.as_ref())
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicKey")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// The keys in force, wherever they came from: at least one, at most [`KEYS_MAX`], no id twice. A source that
/// changes (a key set behind an address, a secret store) makes another `Keys` and a new verifier of it:
/// [`Verifier::with_keys`](crate::Verifier::with_keys).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys(Vec<PublicKey>);

impl Keys {
    /// Checks the number and the ids.
    pub fn new(keys: impl IntoIterator<Item = PublicKey>) -> Result<Self, KeyError> {
        let keys: Vec<_> = keys.into_iter().take(KEYS_MAX + 1).collect();
        match keys.len() {
            0 => return Err(KeyError::NoKeys),
            1..=KEYS_MAX => {}
            _ => return Err(KeyError::TooMany),
        }
        for (index, key) in keys.iter().enumerate() {
            if let Some(id) = key.id()
                && keys[..index].iter().any(|earlier| earlier.id() == Some(id))
            {
                return Err(KeyError::DuplicateId { id: id.to_owned() });
            }
        }
        Ok(Self(keys))
    }

    /// None: no token is good.
    pub(crate) const fn none() -> Self {
        Self(Vec::new())
    }

    /// How many there are: at least one.
    #[expect(clippy::len_without_is_empty, reason = "never empty where it can be seen")]
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The keys that may have signed a token with this `kid`: the one of that id, or else those without an
    /// id. A token without a `kid` may be by any.
    pub(crate) fn candidates(&self, kid: Option<&str>) -> impl Iterator<Item = &PublicKey> + Clone {
        let named = kid.is_some_and(|kid| self.0.iter().any(|key| key.id() == Some(kid)));
        self.0.iter().filter(move |key| match (kid, key.id()) {
            (None, _) => true,
            (Some(kid), Some(id)) => id == kid,
            (Some(_), None) => !named,
        })
    }

    /// Whether any key is for the algorithm that a token's header names.
    pub(crate) fn know(&self, algorithm: &str) -> bool {
        self.0.iter().any(|key| key.algorithm.as_str() == algorithm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeyPair;

    // 1024 bits, made for this test by `openssl genrsa 1024 | openssl rsa -pubout`.
    const SHORT_RSA: &str = "\
-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDCi1Z+vryqlQAx3FPGhnp67iy3
JSzr5CRf4pBUzFntai34YxTKHp2wK1OnsuVejW865F/avXVrWv8D2xkF1HJg9LMq
i7SKDoE/qEC42Jt+C4cH+uqNOx50n+5fhsViPGOmTz0r3psTIHepuwzfY2qxnzzz
JOD25Cq+cm3/c24PnwIDAQAB
-----END PUBLIC KEY-----";
    // The curve P-384, made for this test by `openssl ecparam -name secp384r1 -genkey | openssl ec -pubout`.
    const OTHER_CURVE: &str = "\
-----BEGIN PUBLIC KEY-----
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEjCmiVx6HAkJY/L/VSVXUCWOZrlT942sQ
dhrj3GFhPoxu522VIlXPkpog+/N27wplQAuRgyOfJ1Hn93FiC5cf7cbTR23F4DiG
nsFW432jNRLb+C3vVw6UFy5t719bOR3V
-----END PUBLIC KEY-----";

    fn key() -> PublicKey {
        let pair = KeyPair::generate(Algorithm::EdDsa).expect("a pair");
        PublicKey::from_pem(Algorithm::EdDsa, pair.public_pem()).expect("a key")
    }

    fn ids<'a>(keys: &'a Keys, kid: Option<&str>) -> Vec<Option<&'a str>> {
        keys.candidates(kid).map(PublicKey::id).collect()
    }

    #[test]
    fn a_key_of_another_algorithm_is_named() {
        let error = PublicKey::from_pem(
            Algorithm::Rs256,
            KeyPair::generate(Algorithm::Es256).expect("a pair").public_pem(),
        )
        .expect_err("not an RSA key");
        let KeyError::OtherAlgorithm { configured: Algorithm::Rs256, found: Algorithm::Es256 } = error else {
            panic!("{error}");
        };
        assert!(error.to_string().contains("ES256"), "{error}");
    }

    #[test]
    fn keys_of_the_wrong_size_or_curve_are_refused_when_configured() {
        for (algorithm, pem) in [(Algorithm::Rs256, SHORT_RSA), (Algorithm::Es256, OTHER_CURVE)] {
            let error = PublicKey::from_pem(algorithm, pem).expect_err("not usable");
            assert!(matches!(error, KeyError::Unusable { .. }), "{error}");
        }
    }

    #[test]
    fn files_are_read_and_their_absence_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key.pem");
        let error = PublicKey::from_file(Algorithm::EdDsa, &path).expect_err("no such file");
        assert!(matches!(error, KeyError::Unreadable { .. }));
        assert!(error.to_string().contains("key.pem"), "{error}");

        std::fs::write(&path, [0xff, 0x00, 0x30]).expect("written");
        assert!(matches!(PublicKey::from_file(Algorithm::EdDsa, &path), Err(KeyError::NotPem { .. })));

        let pair = KeyPair::generate(Algorithm::EdDsa).expect("a pair");
        std::fs::write(&path, pair.public_pem()).expect("written");
        assert!(PublicKey::from_file(Algorithm::EdDsa, &path).is_ok());
    }

    #[test]
    fn keys_are_at_least_one_at_most_sixteen_and_no_id_twice() {
        assert!(matches!(Keys::new([]), Err(KeyError::NoKeys)));
        let key = key();
        assert!(Keys::new(vec![key.clone(); KEYS_MAX]).is_ok());
        assert!(matches!(Keys::new(vec![key.clone(); KEYS_MAX + 1]), Err(KeyError::TooMany)));
        let twice = Keys::new([key.clone().with_id("a"), key.clone(), key.with_id("a")]);
        assert!(matches!(twice, Err(KeyError::DuplicateId { id }) if id == "a"));
    }

    #[test]
    fn a_named_key_is_chosen_and_an_unnamed_one_serves_any_other_name() {
        let key = key();
        let keys = Keys::new([key.clone().with_id("a"), key.clone().with_id("b")]).expect("keys");
        assert_eq!(ids(&keys, Some("b")), [Some("b")]);
        assert_eq!(ids(&keys, Some("c")), []);
        assert_eq!(ids(&keys, None), [Some("a"), Some("b")]);

        let keys = Keys::new([key.clone().with_id("a"), key]).expect("keys");
        assert_eq!(ids(&keys, Some("a")), [Some("a")]);
        assert_eq!(ids(&keys, Some("c")), [None]);
    }

    #[test]
    fn debug_shows_no_key_material() {
        let shown = format!("{:?}", Keys::new([key().with_id("a")]).expect("keys"));
        assert_eq!(shown, "Keys([PublicKey { id: Some(\"a\"), algorithm: EdDsa, .. }])");
    }
}
