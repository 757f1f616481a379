//! What an issuer publishes as its keys.

use streamer_auth::{Algorithm, KEYS_MAX, Keys, SourceError, jwks};

use crate::{Target, examples};

/// Reads key sets.
pub struct KeySets {
    /// Reads one.
    pub read: fn(&[u8], Algorithm) -> Result<Keys, SourceError>,
}

impl Default for KeySets {
    fn default() -> Self {
        Self { read: jwks::read }
    }
}

impl Target for KeySets {
    fn name(&self) -> &'static str {
        "key_sets"
    }

    fn examples(&self) -> Vec<Vec<u8>> {
        examples::read("fuzz/corpus/key_sets")
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            "{",
            "}",
            "[",
            "]",
            "\"",
            ":",
            ",",
            "null",
            "{\"keys\":[",
            "\"kty\":",
            "\"RSA\"",
            "\"EC\"",
            "\"OKP\"",
            "\"kid\":",
            "\"use\":",
            "\"sig\"",
            "\"enc\"",
            "\"alg\":",
            "\"crv\":",
            "\"P-256\"",
            "\"Ed25519\"",
            "\"n\":",
            "\"e\":",
            "\"x\":",
            "\"y\":",
            "\"d\":",
            "\"AQAB\"",
            "AAAA",
            "=",
            "\\u0000",
            "{\"kty\":\"OKP\"},",
        ]
    }

    fn take(&mut self, input: &[u8]) -> Result<(), String> {
        for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa] {
            match (self.read)(input, algorithm) {
                Ok(keys) if keys.len() > KEYS_MAX => return Err(format!("{} keys", keys.len())),
                Err(e) if e.to_string().is_empty() => return Err("no reason".to_owned()),
                _ => {}
            }
        }
        Ok(())
    }
}
