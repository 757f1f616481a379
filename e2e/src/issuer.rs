//! Who issues the tokens.

use std::{path::Path, sync::OnceLock};

use streamer_auth::{Algorithm, Grant, KeyPair, Signer};
use streamer_engine::clock::{Clock as _, SystemClock};
use streamer_protocol::{TenantId, UserId};

use crate::scenario::{TokenKind, Wanted};

/// An issuer of RS256 tokens with a fresh key pair.
#[derive(Debug)]
pub struct Issuer {
    pair: KeyPair,
    signer: Signer,
}

impl Issuer {
    /// One for this process, as making a key takes a moment.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Issuer> = OnceLock::new();
        SHARED.get_or_init(Self::fresh)
    }

    /// One that nobody else knows.
    #[must_use]
    pub fn fresh() -> Self {
        let pair = KeyPair::generate(Algorithm::Rs256).expect("a key can be made");
        let signer = Signer::from_pem(Algorithm::Rs256, pair.private_pem()).expect("a fresh key signs");
        Self { pair, signer }
    }

    /// The private key, PEM.
    #[must_use]
    pub fn private_pem(&self) -> &str {
        self.pair.private_pem()
    }

    /// The public key, PEM.
    #[must_use]
    pub fn public_pem(&self) -> &str {
        self.pair.public_pem()
    }

    /// Writes both keys into a folder, as `streamer token keys` does.
    pub fn write(&self, folder: &Path) {
        for (name, pem) in [("private.pem", self.private_pem()), ("public.pem", self.public_pem())] {
            std::fs::write(folder.join(name), pem).expect("the folder takes files");
        }
    }

    /// A good token for the next hour, with every permission.
    #[must_use]
    pub fn token(&self, user: &str, tenant: &str) -> String {
        let permissions = vec!["read".to_owned(), "write".to_owned()];
        self.issue(&Wanted {
            user: user.to_owned(),
            tenant: tenant.to_owned(),
            permissions,
            topics: Vec::new(),
            kind: TokenKind::Valid,
        })
    }

    /// A token as it is wanted.
    #[must_use]
    pub fn issue(&self, wanted: &Wanted) -> String {
        let grant = Grant {
            permissions: wanted.permissions.clone(),
            topics: wanted.topics.clone(),
            ..Grant::new(UserId::new(wanted.user.as_str()), TenantId::new(wanted.tenant.as_str()))
        };
        let now = SystemClock.now();
        let token = match wanted.kind {
            TokenKind::Valid => self.signer.issue(&grant, now),
            TokenKind::Expired => self.signer.issue_expired(&grant, now),
            TokenKind::Forged => self.signer.issue_forged(&grant, now),
        };
        token.expect("the key signs").as_str().to_owned()
    }
}
