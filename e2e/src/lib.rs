//! End-to-end tests: real processes, real components.
//!
//! Beside the [`scenario`]s, which any place and any language can play, stands what tests of the binary itself need: it
//! is run as a [`command`], as a [`server`] that is killed and started again, and talked to by a [`peer`], over
//! [`http`] and its streams of [`events`]. All of this is for tests, and fails them by a panic that says what did not come.

pub mod audit;
pub mod aws;
pub mod certificate;
pub mod client;
pub mod command;
pub mod disk;
pub mod events;
pub mod http;
pub mod image;
pub mod issuer;
pub mod load;
pub mod origin;
pub mod patience;
pub mod peer;
pub mod promises;
pub mod proxy;
pub mod publisher;
pub mod scenario;
pub mod server;
pub mod subscriber;
