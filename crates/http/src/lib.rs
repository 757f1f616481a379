//! The requests that Streamer itself makes: for keys, to handlers, webhooks and hooks.
//!
//! HTTP/1.1 over TCP, or TLS by rustls. Deliberately absent, so that what is asked is what was configured: redirects,
//! proxies out of the environment, decompression. Whoever drops an [`Answer`] before its end closes its connection.

mod address;
mod connection;
mod error;
mod pool;
pub mod trust;

pub use address::{Address, AddressError};
pub use connection::{Connection, HEAD_BYTES_MAX, Request, Response};
pub use error::Error;
pub use pool::{Answer, Body, Pool, PoolSettings, Ready};
