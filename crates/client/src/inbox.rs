//! Between the connection and the reader of one topic: bounded, and the connection never waits for it.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{CallError, TopicUpdate};

/// Holds the updates that the reader has not taken yet.
#[derive(Debug)]
pub(crate) struct Inbox {
    updates_max: usize,
    inside: Mutex<Inside>,
    reader: Notify,
}

#[derive(Debug, Default)]
struct Inside {
    updates: VecDeque<TopicUpdate>,
    end: Option<CallError>,
    ended: bool,
    /// Updates were turned away, and none is taken until the subscription begins anew.
    behind: bool,
    /// The reader has taken all that there was and waits for the rest.
    asking: bool,
    abandoned: bool,
}

impl Inbox {
    pub(crate) fn new(updates_max: usize) -> Self {
        Self { updates_max, inside: Mutex::default(), reader: Notify::new() }
    }

    /// Leaves an update. False if there was no room: then none is taken until [`catch_up`](Self::catch_up).
    pub(crate) fn push(&self, update: TopicUpdate) -> bool {
        let mut inside = self.inside.lock();
        inside.behind = inside.behind || inside.updates.len() >= self.updates_max;
        if inside.behind {
            return false;
        }
        inside.updates.push_back(update);
        drop(inside);
        self.reader.notify_one();
        true
    }

    /// Nothing comes any more, for this reason.
    pub(crate) fn end(&self, why: CallError) {
        let mut inside = self.inside.lock();
        if !inside.ended {
            (inside.ended, inside.end) = (true, Some(why));
        }
        drop(inside);
        self.reader.notify_one();
    }

    pub(crate) fn is_behind(&self) -> bool {
        self.inside.lock().behind
    }

    pub(crate) fn is_asking(&self) -> bool {
        self.inside.lock().asking
    }

    /// Takes updates again.
    pub(crate) fn catch_up(&self) {
        let mut inside = self.inside.lock();
        (inside.behind, inside.asking) = (false, false);
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.inside.lock().abandoned
    }

    pub(crate) fn abandon(&self) {
        self.inside.lock().abandoned = true;
    }

    /// The next update; `None` once there will be none, with the reason the first time. `ask` is woken when the
    /// reader has fallen behind and wants what it missed. Safe to cancel.
    pub(crate) async fn next(&self, ask: &Notify) -> Result<Option<TopicUpdate>, CallError> {
        loop {
            {
                let mut inside = self.inside.lock();
                if let Some(update) = inside.updates.pop_front() {
                    return Ok(Some(update));
                }
                if inside.ended {
                    return inside.end.take().map_or(Ok(None), Err);
                }
                if inside.behind && !inside.asking {
                    inside.asking = true;
                    ask.notify_one();
                }
            }
            self.reader.notified().await;
        }
    }
}
