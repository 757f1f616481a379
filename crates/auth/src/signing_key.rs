//! A private key, parsed.

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    error::Unspecified,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
        RsaKeyPair,
    },
};

use crate::{Algorithm, KeyError};

/// One private key with the algorithm it is for. No `Debug`: there is nothing to show.
pub(crate) enum SigningKey {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl SigningKey {
    pub(crate) fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        match algorithm {
            Algorithm::Rs256 => RsaKeyPair::generate(KeySize::Rsa2048).map(Self::Rsa),
            Algorithm::Es256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map(Self::Ec),
            Algorithm::EdDsa => Ed25519KeyPair::generate().map(Self::Ed),
        }
        .map_err(|Unspecified| KeyError::Library { algorithm })
    }

    /// From PKCS#8, or the older forms that are an algorithm's own: PKCS#1 for RSA, SEC 1 for EC.
    pub(crate) fn from_der(algorithm: Algorithm, der: &[u8]) -> Result<Self, KeyError> {
        if let Some(key) = parse(algorithm, der) {
            return Ok(key);
        }
        match Algorithm::ALL.into_iter().find(|other| parse(*other, der).is_some()) {
            Some(found) => Err(KeyError::OtherAlgorithm { configured: algorithm, found }),
            None => Err(KeyError::Unusable { algorithm }),
        }
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        match self {
            Self::Rsa(_) => Algorithm::Rs256,
            Self::Ec(_) => Algorithm::Es256,
            Self::Ed(_) => Algorithm::EdDsa,
        }
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map(|()| signature)
            }
            Self::Ec(key) => key.sign(&random, message).map(|signature| signature.as_ref().to_vec()),
            Self::Ed(key) => key.try_sign(message).map(|signature| signature.as_ref().to_vec()),
        }
        .map_err(|Unspecified| KeyError::Library { algorithm: self.algorithm() })
    }

    /// The private half as PKCS#8, in the version that every tool reads.
    pub(crate) fn private_der(&self) -> Result<Vec<u8>, KeyError> {
        let pkcs8 = |der: Pkcs8V1Der<'_>| der.as_ref().to_vec();
        match self {
            Self::Rsa(key) => key.as_der().map(pkcs8),
            Self::Ec(key) => key.to_pkcs8v1().map(|document| document.as_ref().to_vec()),
            Self::Ed(key) => key.as_der().map(pkcs8),
        }
        .map_err(|Unspecified| KeyError::Library { algorithm: self.algorithm() })
    }

    /// The public half as SPKI.
    pub(crate) fn public_der(&self) -> Result<Vec<u8>, KeyError> {
        let spki: Result<PublicKeyX509Der<'_>, Unspecified> = match self {
            Self::Rsa(key) => key.public_key().as_der(),
            Self::Ec(key) => key.public_key().as_der(),
            Self::Ed(key) => key.public_key().as_der(),
        };
        spki.map(|der| der.as_ref().to_vec())
            .map_err(|Unspecified| KeyError::Library { algorithm: self.algorithm() })
    }
}

fn parse(algorithm: Algorithm, der: &[u8]) -> Option<SigningKey> {
    match algorithm {
        Algorithm::Rs256 => {
            RsaKeyPair::from_pkcs8(der).or_else(|_| RsaKeyPair::from_der(der)).map(SigningKey::Rsa).ok()
        }
        Algorithm::Es256 => {
            EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, der).map(SigningKey::Ec).ok()
        }
        Algorithm::EdDsa => Ed25519KeyPair::from_pkcs8(der).map(SigningKey::Ed).ok(),
    }
}
