//! Issuing tokens: for development, tests and benches, and for who runs no issuer of their own.

use std::{fmt, path::Path, time::Duration};

use streamer_protocol::{TenantId, Timestamp, UserId};

use crate::{
    Algorithm, KeyError, Token,
    claims::Issued,
    jws,
    pem_block::{self, Half},
    signing_key::SigningKey,
};

/// How long a token lives unless told otherwise.
const TTL: Duration = Duration::from_secs(60 * 60);

/// How long ago a token that is issued as expired did expire: beyond any sensible leeway.
const LONG_AGO: Duration = Duration::from_secs(24 * 60 * 60);

/// What a token shall say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Becomes `sub`.
    pub user: UserId,
    /// Becomes `tenant_id`.
    pub tenant: TenantId,
    /// Becomes `permissions`.
    pub permissions: Vec<String>,
    /// Becomes `topics`, left out if empty.
    pub topics: Vec<String>,
    /// From now to `exp`, which is in whole seconds.
    pub ttl: Duration,
    /// Becomes `iss`.
    pub issuer: Option<String>,
    /// Becomes `aud`.
    pub audience: Option<String>,
}

impl Grant {
    /// One hour, with no permissions and no topics.
    #[must_use]
    pub fn new(user: UserId, tenant: TenantId) -> Self {
        let (permissions, topics) = (Vec::new(), Vec::new());
        Self { user, tenant, permissions, topics, ttl: TTL, issuer: None, audience: None }
    }
}

/// Issues tokens with one private key.
pub struct Signer {
    key: SigningKey,
    id: Option<String>,
}

impl Signer {
    /// From PEM text: `PRIVATE KEY` (PKCS#8), `RSA PRIVATE KEY` or `EC PRIVATE KEY`, not encrypted.
    pub fn from_pem(algorithm: Algorithm, text: &str) -> Result<Self, KeyError> {
        let der = pem_block::read(text, Half::Private)?;
        Ok(Self { key: SigningKey::from_der(algorithm, &der)?, id: None })
    }

    /// From a PEM file.
    pub fn from_file(algorithm: Algorithm, path: &Path) -> Result<Self, KeyError> {
        let der = pem_block::read_file(path, Half::Private)?;
        Ok(Self { key: SigningKey::from_der(algorithm, &der)?, id: None })
    }

    /// Names the key in every token (`kid`).
    #[must_use]
    pub fn with_id(self, id: impl Into<String>) -> Self {
        Self { id: Some(id.into()), ..self }
    }

    /// What it signs with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.key.algorithm()
    }

    /// A token that is valid from `now` on. Fails only if the cryptographic library does.
    pub fn issue(&self, grant: &Grant, now: Timestamp) -> Result<Token, KeyError> {
        self.sign(&self.key, grant, now)
    }

    /// A token that was valid and expired a day before `now`.
    pub fn issue_expired(&self, grant: &Grant, now: Timestamp) -> Result<Token, KeyError> {
        let back = i64::try_from((grant.ttl + LONG_AGO).as_millis()).unwrap_or(i64::MAX);
        self.sign(&self.key, grant, Timestamp::from_millis(now.as_millis().saturating_sub(back)))
    }

    /// A token that says all the right things and is signed by a stranger: by a fresh key each time.
    pub fn issue_forged(&self, grant: &Grant, now: Timestamp) -> Result<Token, KeyError> {
        self.sign(&SigningKey::generate(self.algorithm())?, grant, now)
    }

    fn sign(&self, key: &SigningKey, grant: &Grant, now: Timestamp) -> Result<Token, KeyError> {
        let seconds = |moment: Timestamp| moment.as_millis().div_euclid(1000);
        let claims = Issued {
            sub: grant.user.as_str(),
            tenant_id: grant.tenant.as_str(),
            permissions: &grant.permissions,
            topics: &grant.topics,
            iss: grant.issuer.as_deref(),
            aud: grant.audience.as_deref(),
            iat: seconds(now),
            exp: seconds(now + grant.ttl),
        };
        jws::write(key, self.id.as_deref(), &claims)
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeyPair;

    #[test]
    fn a_public_key_or_one_of_another_algorithm_signs_nothing() {
        let pair = KeyPair::generate(Algorithm::Es256).expect("a pair");
        let refused = |algorithm, pem| Signer::from_pem(algorithm, pem).expect_err("refused");
        assert!(matches!(refused(Algorithm::Es256, pair.public_pem()), KeyError::PublicForPrivate));
        assert!(matches!(
            refused(Algorithm::Rs256, pair.private_pem()),
            KeyError::OtherAlgorithm { configured: Algorithm::Rs256, found: Algorithm::Es256 }
        ));
        let damaged = pem_block::write(&[0x30, 0x03, 0x02, 0x01, 0x00], Half::Private);
        assert!(matches!(refused(Algorithm::EdDsa, &damaged), KeyError::Unusable { .. }));
    }

    #[test]
    fn no_error_and_no_debug_shows_the_key() {
        let pair = KeyPair::generate(Algorithm::EdDsa).expect("a pair");
        let secret = pair.private_pem().lines().nth(1).expect("the key's line");
        let signer = Signer::from_pem(Algorithm::EdDsa, pair.private_pem()).expect("a signer").with_id("k");
        assert_eq!(format!("{signer:?}"), "Signer { id: Some(\"k\"), algorithm: EdDsa, .. }");

        let half = &pair.private_pem()[..pair.private_pem().len() / 2];
        for text in [pair.private_pem(), half, secret] {
            let error = crate::PublicKey::from_pem(Algorithm::EdDsa, text).expect_err("no public key");
            assert!(!format!("{error} {error:?}").contains(&secret[secret.len() - 16..]), "{error:?}");
        }
    }
}
