//! What is wrong with a key, and what to do about it.

use std::{io, path::PathBuf};

use crate::{Algorithm, KEYS_MAX};

/// Why a key cannot be used. It says what to do next, and never holds anything of the key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("the key file {} cannot be read: check that it exists and that this process may read it", path.display())]
    Unreadable {
        /// As configured.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is no PEM block in the text, or a broken one.
    #[error(
        "this is not a key in PEM: give the whole text, from its line `-----BEGIN {expected}-----` to its line \
         `-----END {expected}-----`"
    )]
    NotPem {
        /// The label that belongs there.
        expected: &'static str,
    },
    /// More than one key in one text.
    #[error("there is more than one key in this PEM text: configure each by itself, with its id")]
    Several,
    /// A private key where a public one belongs.
    #[error(
        "this is a private key, and checking tokens takes only the public one: \
         `openssl pkey -in private.pem -pubout` prints it; leave the private key with whoever issues tokens"
    )]
    PrivateForPublic,
    /// A public key where a private one belongs.
    #[error("this is a public key, and issuing tokens takes the private one of the pair")]
    PublicForPrivate,
    /// A certificate where a key belongs.
    #[error("this is a certificate: `openssl x509 -in certificate.pem -pubkey -noout` prints the key in it")]
    Certificate,
    /// The private key is locked by a passphrase.
    #[error("this private key is encrypted: `openssl pkey -in private.pem -out plain.pem` unlocks it")]
    Encrypted,
    /// A key of another algorithm than the configured one.
    #[error(
        "this key is for {found}, but {configured} is configured: configure {found}, or give {}",
        configured.keys()
    )]
    OtherAlgorithm {
        /// The algorithm that was asked for.
        configured: Algorithm,
        /// The algorithm that the key fits.
        found: Algorithm,
    },
    /// Damaged, or a kind or size of key that no algorithm here takes.
    #[error("this key is damaged or of another kind or size: {algorithm} takes {}", algorithm.keys())]
    Unusable {
        /// The algorithm that was asked for.
        algorithm: Algorithm,
    },
    /// No key at all.
    #[error("no public key is configured, so that no token could be checked: configure at least one")]
    NoKeys,
    /// More than [`KEYS_MAX`] keys.
    #[error("more than {KEYS_MAX} public keys are configured: take out those that sign no more")]
    TooMany,
    /// Two keys with one id.
    #[error("two keys have the id {id:?}: give each its own, as the issuer's tokens name it in `kid`")]
    DuplicateId {
        /// The id, which is no secret.
        id: String,
    },
    /// The cryptographic library failed to make or use a key.
    #[error("the cryptographic library could not make or use an {algorithm} key")]
    Library {
        /// The algorithm that was asked for.
        algorithm: Algorithm,
    },
}
