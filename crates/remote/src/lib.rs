//! Work, webhooks and hooks behind URLs, in any language.
//!
//! [`Remote`] knows whom it may call and how: what it calls are addresses out of the configuration and nothing else. A
//! [`UrlHandler`] runs the requests of an action by asking an address, [`UrlWebhooks`] tells outcomes, a [`Hook`] asks
//! who connects or calls. Every request is signed ([`Signer`]), bounded in time and size, and stopped by a circuit breaker where
//! its address has failed of late.

mod answer;
mod handler;
mod hook;
mod identity;
mod lines;
mod record;
mod remote;
mod retry_after;
mod signer;
mod target;
mod trouble;
mod webhook;

pub use handler::{BodyShape, HandlerSettings, UrlHandler};
pub use hook::{Admitted, Disconnected, Hook, Knock, Refused};
pub use remote::{Remote, RemoteSettings};
pub use signer::{KEYS_MAX, KeyError, SECRET_CHARS_MIN, Signer, SigningKey};
pub use streamer_http::{Address, AddressError, PoolSettings, trust};
pub use target::Target;
pub use webhook::UrlWebhooks;
