//! Checking a token.

use std::time::Duration;

use streamer_protocol::Timestamp;

use crate::{Identity, Keys, Rejected, claims::Claims, jws::Jws};

/// How far the clocks of issuer and server may differ, unless told otherwise.
pub const LEEWAY: Duration = Duration::from_secs(30);

/// What a token has to satisfy.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who may sign. Each key brings its algorithm.
    pub keys: Keys,
    /// The only `iss` that is accepted; any, or none, if not set.
    pub issuer: Option<String>,
    /// What `aud` has to name; not looked at if not set.
    pub audience: Option<String>,
    /// How long a token is still taken after `exp`, and already before `nbf`.
    pub leeway: Duration,
}

impl Settings {
    /// Any issuer, any audience, [`LEEWAY`].
    #[must_use]
    pub fn new(keys: Keys) -> Self {
        Self { keys, issuer: None, audience: None, leeway: LEEWAY }
    }
}

/// Checks tokens. The keys are parsed once, before; a check takes no lock and does no I/O, so that one verifier
/// is shared by all.
#[derive(Debug, Clone)]
pub struct Verifier {
    settings: Settings,
}

impl Verifier {
    /// Takes effect as given: whatever could be wrong was told when the keys were read.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// Takes no token at all: for a server that has no keys, as its callers are known by other means.
    #[must_use]
    pub fn refusing() -> Self {
        Self::new(Settings::new(Keys::none()))
    }

    /// The same rules with other keys: what a [`Rotation`](crate::Rotation) makes.
    #[must_use]
    pub fn with_keys(&self, keys: Keys) -> Self {
        Self { settings: Settings { keys, ..self.settings.clone() } }
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.settings.keys
    }

    /// Who presents `token` at `now`.
    ///
    /// The signature is checked first, so that nothing is said about a forged token but that it is one; then
    /// `exp` (refused from `exp` plus leeway on) and `nbf` (refused until `nbf` minus leeway), `iss`, `aud`,
    /// and the claims of the [`Identity`].
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Identity, Rejected> {
        let jws = Jws::read(token)?;
        self.check_signature(&jws)?;
        let claims: Claims = jws.payload()?;

        let Settings { issuer, audience, leeway, .. } = &self.settings;
        let expires_at = claims.expires_at()?;
        if now >= expires_at + *leeway {
            return Err(Rejected::Expired);
        }
        if claims.not_before()?.is_some_and(|not_before| now + *leeway < not_before) {
            return Err(Rejected::NotYetValid);
        }
        if let Some(issuer) = issuer {
            claims.issued_by(issuer)?;
        }
        if let Some(audience) = audience {
            claims.meant_for(audience)?;
        }
        claims.identity(expires_at)
    }

    /// The header's `alg` only ever narrows the choice of keys; each key checks by its own algorithm.
    fn check_signature(&self, jws: &Jws<'_>) -> Result<(), Rejected> {
        let keys = &self.settings.keys;
        if !keys.know(&jws.header.alg) {
            return Err(Rejected::WrongAlgorithm);
        }
        let mut named = keys.candidates(jws.header.kid.as_deref()).peekable();
        if named.peek().is_none() {
            return Err(Rejected::UnknownKey);
        }
        let mut fitting = named.filter(|key| key.algorithm().as_str() == jws.header.alg).peekable();
        if fitting.peek().is_none() {
            return Err(Rejected::WrongAlgorithm);
        }
        if fitting.any(|key| key.signed(jws.signed.as_bytes(), &jws.signature)) {
            Ok(())
        } else {
            Err(Rejected::BadSignature)
        }
    }
}

#[cfg(test)]
mod tests {
    use streamer_protocol::{TenantId, UserId};

    use super::*;
    use crate::{Algorithm, Grant, KeyPair, Signer};

    #[test]
    fn without_keys_no_token_is_good() {
        let now = Timestamp::from_millis(1_800_000_000_000);
        let pair = KeyPair::generate(Algorithm::EdDsa).expect("a pair");
        let signer = Signer::from_pem(Algorithm::EdDsa, pair.private_pem()).expect("signs");
        let grant = Grant::new(UserId::new("ada"), TenantId::new("acme"));
        let token = signer.issue(&grant, now).expect("a token");
        assert_eq!(Verifier::refusing().verify(token.as_str(), now), Err(Rejected::WrongAlgorithm));
        assert!(Verifier::refusing().verify("", now).is_err());
    }
}
