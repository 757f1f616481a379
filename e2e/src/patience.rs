//! Waiting for what must come, and no longer.

use std::time::Duration;

use tokio::time::{sleep, timeout};

/// How long anything may take to happen. Long, as tests share their machine; only a failure waits for it.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks at a condition that does not tell by itself.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The output of what must end in time.
pub async fn within<T>(what: &str, coming: impl Future<Output = T>) -> T {
    match timeout(PATIENCE, coming).await {
        Ok(came) => came,
        Err(_) => panic!("waited in vain for {what}"),
    }
}

/// Waits until there is an answer.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            sleep(LOOK_EVERY).await;
        }
    };
    within(what, looking).await
}
