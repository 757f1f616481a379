//! Who is asking: from a token and the configured public keys to an [`Identity`].
//!
//! A door finds the token of an upgrade with [`presented`] and checks it with a [`Verifier`]:
//!
//! ```
//! use streamer_auth::{Algorithm, Grant, KeyPair, Keys, PublicKey, Settings, Signer, Verifier, presented};
//! use streamer_protocol::{TenantId, Timestamp, UserId};
//!
//! let pair = KeyPair::generate(Algorithm::EdDsa)?;
//! let now = Timestamp::parse("2026-11-21T09:41:43.007Z")?;
//! let token = Signer::from_pem(Algorithm::EdDsa, pair.private_pem())?
//!     .issue(&Grant::new(UserId::new("ada"), TenantId::new("acme")), now)?;
//!
//! let verifier = Verifier::new(Settings::new(Keys::new([PublicKey::from_pem(Algorithm::EdDsa, pair.public_pem())?])?));
//! let header = format!("Bearer {}", token.as_str());
//! let identity = verifier.verify(presented(None, Some(&header), None)?.token.as_str(), now)?;
//! assert_eq!(identity.tenant.as_str(), "acme");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Where keys change while the process runs, a [`Rotation`] asks a [`KeySource`] for them, and doors check with a
//! [`LiveVerifier`]; with the feature `jwks` a key set behind an address is such a source.
//!
//! Where clients sign each request instead, as those of AWS do, [`sigv4`] says who they are.
//!
//! The algorithm belongs to the key and is never taken from the token; there is no `none` and no HMAC to
//! choose. Time is an argument, so that a simulation controls it. No token, no private key and nothing out of
//! them is ever shown by `Debug`, `Display` or an error.

mod algorithm;
mod claims;
mod identity;
#[cfg(feature = "jwks")]
pub mod jwks;
mod jws;
mod key;
mod key_error;
mod live;
mod pair;
mod pem_block;
mod presented;
mod rejected;
mod rotation;
mod signer;
mod signing_key;
pub mod sigv4;
mod source;
mod token;
mod verifier;

pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use identity::{Identity, NAME_CHARS_MAX};
pub use key::{KEYS_MAX, Keys, PublicKey};
pub use key_error::KeyError;
pub use live::LiveVerifier;
pub use pair::KeyPair;
pub use presented::{Presented, SUBPROTOCOL, presented};
pub use rejected::Rejected;
pub use rotation::{ASK_INTERVAL, Rotation};
pub use signer::{Grant, Signer};
pub use source::{Fetched, KeySource, SourceError};
pub use token::{TOKEN_BYTES_MAX, Token};
pub use verifier::{LEEWAY, Settings, Verifier};
