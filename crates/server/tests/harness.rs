//! A whole server per test, and clients of every manner.

mod client;
mod contract;
mod events;
mod http;
mod keys;
mod logs;
mod raw;
mod server;
mod signer;

use std::time::Duration;

pub(crate) use client::{Client, try_connect};
pub(crate) use contract::Contract;
pub(crate) use events::{Event, Events};
pub(crate) use http::{Answer, Http};
pub(crate) use keys::Token;
pub(crate) use raw::{BINARY, PING, PONG, Raw, TEXT, frame, head};
pub(crate) use server::{ADMIN_TOKEN, Server, Setup};
pub(crate) use signer::Signer;

/// Stands in every payload of a test, and in no log line.
pub(crate) const SECRET: &str = "for-the-client-alone";

/// How long a test waits for what must come.
const DEADLINE: Duration = Duration::from_secs(15);

/// The result of what must come to its end.
pub(crate) async fn in_time<T>(what: &str, coming: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, coming).await {
        Ok(came) => came,
        Err(_) => panic!("waited in vain: {what}"),
    }
}

/// Waits until a condition holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    in_time(what, waiting).await;
}
