//! The client against a scripted server.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test")]

mod calls;
mod connection;
mod fake;
mod golden;
mod reader;
#[cfg(feature = "tls")]
mod tls;
mod topics;
