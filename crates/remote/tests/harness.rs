//! What the tests stand on.

mod node;
mod script;

use std::time::Duration;

pub(crate) use node::{Node, code, handler, remote, remote_with, secret};
pub(crate) use script::{Asked, Script, Step, ok, raw, stream};

/// How long anything may take to happen. Long, as tests share their machine; only a failure waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// The output of what must end in time.
pub(crate) async fn soon<T>(what: &str, coming: impl Future<Output = T>) -> T {
    let came = tokio::time::timeout(PATIENCE, coming).await;
    came.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// Waits until a condition holds.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let looking = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(what, looking).await;
}
