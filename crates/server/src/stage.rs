//! How far a client has come on its socket.

use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::Notify;

/// How far a client has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Stage {
    /// It has asked for nothing yet.
    Silent,
    /// It has.
    Asked,
    /// Its upgrade is being answered.
    Upgrading,
}

/// The stage of one socket, and the way to wait until it has left one.
#[derive(Debug)]
pub(crate) struct Stages {
    now: AtomicU8,
    changed: Notify,
}

impl Default for Stages {
    fn default() -> Self {
        Self { now: AtomicU8::new(Stage::Silent as u8), changed: Notify::new() }
    }
}

impl Stages {
    pub(crate) fn set(&self, stage: Stage) {
        self.now.store(stage as u8, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// Ready once it is at another stage.
    pub(crate) async fn left(&self, stage: Stage) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            if self.now.load(Ordering::Acquire) != stage as u8 {
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;

    use super::*;

    #[tokio::test]
    async fn who_waits_goes_on_when_the_stage_was_left() {
        let stages = Stages::default();
        stages.left(Stage::Upgrading).await;
        let left = stages.left(Stage::Silent);
        tokio::pin!(left);
        assert!(poll!(left.as_mut()).is_pending());
        stages.set(Stage::Silent);
        assert!(poll!(left.as_mut()).is_pending());
        stages.set(Stage::Upgrading);
        assert!(poll!(left).is_ready());
    }
}
