//! Whose signature counts, and for which tenants.

use std::fmt;

use aws_lc_rs::{constant_time::verify_slices_are_equal, digest, hmac};
use streamer_protocol::TenantId;

/// An access key with its secret, and the tenants whose things its holder may touch. The secrets are kept as what
/// they are checked with; nothing gives them out again.
#[derive(Clone)]
pub struct Credential {
    access_key_id: String,
    /// The first key of the derivation: `AWS4` and the secret.
    secret: hmac::Key,
    session_token: Option<digest::Digest>,
    tenants: Tenants,
}

/// Whose things a credential opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tenants {
    /// Everybody's.
    All,
    /// One tenant's.
    Only(TenantId),
}

impl Credential {
    /// Takes effect as given.
    #[must_use]
    pub fn new(access_key_id: impl Into<String>, secret_access_key: &str, tenants: Tenants) -> Self {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, format!("AWS4{secret_access_key}").as_bytes());
        Self { access_key_id: access_key_id.into(), secret, session_token: None, tenants }
    }

    /// Makes it a credential that counts only together with this session token, as temporary ones do.
    #[must_use]
    pub fn with_session_token(self, token: &str) -> Self {
        Self { session_token: Some(digest::digest(&digest::SHA256, token.as_bytes())), ..self }
    }

    /// Its name, which is no secret.
    #[must_use]
    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    /// Whether it opens this tenant's things.
    #[must_use]
    pub fn opens(&self, tenant: &TenantId) -> bool {
        match &self.tenants {
            Tenants::All => true,
            Tenants::Only(own) => own == tenant,
        }
    }

    /// Whether what came as the session token, or did not, is what the credential has.
    pub(super) fn has_session_token(&self, presented: Option<&[u8]>) -> bool {
        match (&self.session_token, presented) {
            (None, None) => true,
            (Some(own), Some(presented)) => {
                let presented = digest::digest(&digest::SHA256, presented);
                verify_slices_are_equal(own.as_ref(), presented.as_ref()).is_ok()
            }
            _ => false,
        }
    }

    /// The key for one day, region and service.
    pub(super) fn signing_key(&self, date: &str, region: &str, service: &str) -> hmac::Key {
        [date, region, service, super::authorization::TERMINATOR]
            .iter()
            .fold(self.secret.clone(), |key, part| {
                hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, part.as_bytes()).as_ref())
            })
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("access_key_id", &self.access_key_id)
            .field("tenants", &self.tenants)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::hex;
    use super::*;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    /// The example of the documentation's page on deriving a signing key.
    #[test]
    fn the_signing_key_is_the_documented_one() {
        let key =
            Credential::new("AKIDEXAMPLE", SECRET, Tenants::All).signing_key("20150830", "us-east-1", "iam");
        // The key itself is not given out: a message signed with it is as good.
        let expected = hmac::Key::new(
            hmac::HMAC_SHA256,
            &hex::decode("c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9").expect("hex"),
        );
        assert!(hmac::verify(&expected, b"m", hmac::sign(&key, b"m").as_ref()).is_ok());
    }

    #[test]
    fn a_tenant_is_opened_by_its_own_key_or_by_one_for_all() {
        let (acme, globex) = (TenantId::new("acme"), TenantId::new("globex"));
        let own = Credential::new("A", SECRET, Tenants::Only(acme.clone()));
        assert!(own.opens(&acme) && !own.opens(&globex));
        assert!(Credential::new("A", SECRET, Tenants::All).opens(&globex));
    }

    #[test]
    fn a_session_token_is_the_one_that_is_there_or_none() {
        let plain = Credential::new("A", SECRET, Tenants::All);
        assert!(plain.has_session_token(None) && !plain.has_session_token(Some(b"t")));
        let temporary = plain.with_session_token("t");
        assert!(temporary.has_session_token(Some(b"t")));
        assert!(!temporary.has_session_token(None) && !temporary.has_session_token(Some(b"u")));
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!("{:?}", Credential::new("AK", SECRET, Tenants::All).with_session_token("hush"));
        assert_eq!(shown, "Credential { access_key_id: \"AK\", tenants: All, .. }");
    }
}
