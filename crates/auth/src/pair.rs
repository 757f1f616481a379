//! Fresh pairs of keys.

use std::fmt;

use crate::{
    Algorithm, KeyError,
    pem_block::{self, Half},
    signing_key::SigningKey,
};

/// A private key and its public half, as PEM texts. For development, tests and an issuer of one's own.
pub struct KeyPair {
    algorithm: Algorithm,
    private_pem: String,
    public_pem: String,
}

impl KeyPair {
    /// A fresh pair: RSA of 2048 bits (which takes a moment), EC on P-256, or Ed25519.
    pub fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        let key = SigningKey::generate(algorithm)?;
        Ok(Self {
            algorithm,
            private_pem: pem_block::write(&key.private_der()?, Half::Private),
            public_pem: pem_block::write(&key.public_der()?, Half::Public),
        })
    }

    /// What the pair signs with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The private key as PKCS#8: a secret, for a [`Signer`](crate::Signer) and a file that only its owner reads.
    #[must_use]
    pub fn private_pem(&self) -> &str {
        &self.private_pem
    }

    /// The public key as SPKI, for a [`PublicKey`](crate::PublicKey).
    #[must_use]
    pub fn public_pem(&self) -> &str {
        &self.public_pem
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_pem_of_the_usual_kinds_and_debug_hides_it() {
        for algorithm in Algorithm::ALL {
            let pair = KeyPair::generate(algorithm).expect("a pair");
            assert!(pair.private_pem().starts_with("-----BEGIN PRIVATE KEY-----\n"));
            assert!(pair.public_pem().starts_with("-----BEGIN PUBLIC KEY-----\n"));
            assert_eq!(format!("{pair:?}"), format!("KeyPair {{ algorithm: {algorithm:?}, .. }}"));
        }
    }
}
