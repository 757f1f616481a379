//! Tokens, from wherever a request may carry one.

use streamer_auth::{
    Algorithm, Grant, Identity, KeyPair, Keys, PublicKey, Rejected, Settings, Signer, Verifier, presented,
};
use streamer_protocol::{TenantId, Timestamp, UserId};

use crate::{Target, examples};

/// Whether a token is good.
pub type Verify = Box<dyn Fn(&str, Timestamp) -> Result<Identity, Rejected>>;

/// Finds and checks tokens.
pub struct Tokens {
    /// What is good, and what of it is signed.
    issued: Vec<String>,
    verify: Verify,
    now: Timestamp,
}

impl Default for Tokens {
    fn default() -> Self {
        Self::checked_by(|verifier| Box::new(move |token, now| verifier.verify(token, now)))
    }
}

impl Tokens {
    /// With another check in place of the product's, which it is given.
    #[must_use]
    pub fn checked_by(check: impl FnOnce(Verifier) -> Verify) -> Self {
        let now = Timestamp::from_millis(1_790_000_000_000);
        let (mut issued, mut keys) = (Vec::new(), Vec::new());
        for (algorithm, id) in [(Algorithm::EdDsa, Some("ed")), (Algorithm::Es256, None)] {
            let pair = KeyPair::generate(algorithm).expect("a key can be made");
            let key = PublicKey::from_pem(algorithm, pair.public_pem()).expect("a key");
            let signer = Signer::from_pem(algorithm, pair.private_pem()).expect("a key");
            let (key, signer) = match id {
                Some(id) => (key.with_id(id), signer.with_id(id)),
                None => (key, signer),
            };
            keys.push(key);
            let grant = Grant::new(UserId::new("ada"), TenantId::new("acme"));
            issued.push(signer.issue(&grant, now).expect("a token").as_str().to_owned());
        }
        let verifier = Verifier::new(Settings::new(Keys::new(keys).expect("two keys")));
        Self { issued, verify: check(verifier), now }
    }
}

impl Target for Tokens {
    fn name(&self) -> &'static str {
        "tokens"
    }

    fn examples(&self) -> Vec<Vec<u8>> {
        let good = self.issued.iter().flat_map(|token| {
            ["", "Bearer ", "Authorization=", "streamer.v1, bearer."]
                .map(|before| format!("{before}{token}").into_bytes())
        });
        good.chain(examples::read("fuzz/corpus/tokens")).collect()
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            ".",
            "..",
            "=",
            "eyJhbGciOiJub25lIn0",
            "eyJhbGciOiJIUzI1NiJ9",
            "e30",
            "W10",
            "Bearer ",
            "bearer ",
            "bearer.",
            "streamer.v1",
            ", ",
            "Authorization=",
            "%20",
            "%2E",
            "&",
            "\u{0}",
            "A",
            "-",
            "_",
            "+",
            "/",
        ]
    }

    fn take(&mut self, input: &[u8]) -> Result<(), String> {
        let text = String::from_utf8_lossy(input);
        let mut tokens = vec![text.to_string()];
        for (query, header, protocols) in
            [(Some(&*text), None, None), (None, Some(&*text), None), (None, None, Some(&*text))]
        {
            if let Ok(found) = presented(query, header, protocols) {
                tokens.push(found.token.as_str().to_owned());
            }
        }
        for token in tokens {
            match (self.verify)(&token, self.now) {
                Ok(identity) => {
                    let signed = |text: &str| text.rsplit_once('.').map(|(signed, _)| signed.to_owned());
                    if !self.issued.iter().any(|issued| signed(issued) == signed(&token)) {
                        return Err(format!("{identity:?} by a token that nobody issued: {token}"));
                    }
                }
                Err(rejected) if rejected.to_string().is_empty() => return Err("no reason".to_owned()),
                Err(_) => {}
            }
        }
        Ok(())
    }
}
