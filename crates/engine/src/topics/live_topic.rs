//! A topic while it lives in this process.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use streamer_protocol::{Epoch, History, Lost, Position, Timestamp};
use tokio::sync::OwnedMutexGuard;

use super::{
    outbox::Outbox,
    ring::{Ring, Usage},
    subscribers::Subscribers,
};
use crate::{
    core::Core,
    store::{self, Appended, Keep, SourcePosition, TopicHead, TopicKey},
};

pub(super) struct LiveTopic {
    pub(super) key: TopicKey,
    pub(super) history: History,
    pub(super) keep: Keep,
    state: Arc<tokio::sync::Mutex<State>>,
    /// What waits to be stored.
    pub(super) outbox: Mutex<Outbox>,
}

/// What happens on a topic happens under its lock.
pub(super) struct State {
    pub(super) epoch: Epoch,
    /// The newest message that was delivered.
    pub(super) head: u64,
    /// The history in memory, if it is there.
    pub(super) ring: Option<Ring>,
    /// The oldest message that the store keeps, as far as is known.
    stored_from: u64,
    /// Whether it is known where the store has the topic.
    loaded: bool,
    pub(super) subscribers: Subscribers,
    /// How far sources have come, where no store keeps that.
    sources: HashMap<Arc<str>, (u64, u64)>,
    /// When it was last of use.
    pub(super) used_at: Timestamp,
    /// It is no longer in the directory: find it again.
    pub(super) retired: bool,
}

impl LiveTopic {
    pub(super) fn new(
        key: TopicKey,
        history: History,
        keep: Keep,
        usage: Usage,
        epoch: Epoch,
        now: Timestamp,
    ) -> Self {
        let state = State {
            epoch,
            head: 0,
            ring: (history == History::Memory).then(|| Ring::new(usage)),
            stored_from: 1,
            loaded: history != History::Durable,
            subscribers: Subscribers::default(),
            sources: HashMap::new(),
            used_at: now,
            retired: false,
        };
        let state = Arc::new(tokio::sync::Mutex::new(state));
        Self { key, history, keep, state, outbox: Mutex::default() }
    }

    pub(super) async fn lock(&self) -> OwnedMutexGuard<State> {
        Arc::clone(&self.state).lock_owned().await
    }

    /// Sees where the store has the topic, unless that is known.
    pub(super) async fn load(&self, core: &Core, state: &mut State) -> store::Result<()> {
        if !state.loaded {
            if let Some(TopicHead { epoch, offset, kept_from }) =
                core.persist(|| core.store.topic(&self.key)).await?
            {
                (state.epoch, state.head, state.stored_from) = (epoch, offset, kept_from);
            }
            state.loaded = true;
        }
        Ok(())
    }

    /// Lets go what is too old; and all of it, if nobody is on it, nothing is kept here and nothing waits, for so
    /// long. Then the answer is true, and the topic must be taken out of the directory.
    pub(super) fn retire(&self, now: Timestamp, idle: Duration) -> bool {
        // Whoever has the lock uses it.
        let Ok(mut state) = self.state.try_lock() else { return false };
        if let Some(ring) = &mut state.ring {
            ring.expire(now, self.keep);
        }
        let kept = state.ring.as_ref().is_some_and(|ring| !ring.is_empty());
        let in_use = kept || !state.subscribers.is_empty() || now.since(state.used_at) < idle;
        state.retired = state.retired || !in_use && self.outbox.lock().close();
        state.retired
    }
}

impl State {
    /// The oldest message that is kept; one above the newest if none is.
    pub(super) fn kept_from(&self, history: History) -> u64 {
        match history {
            History::None => self.head + 1,
            History::Memory => self.ring.as_ref().and_then(Ring::oldest).unwrap_or(self.head + 1),
            History::Durable => self.stored_from.min(self.head + 1),
        }
    }

    /// Notes what the store has cut since.
    pub(super) fn note_stored(&mut self, stored: &TopicHead) {
        if stored.epoch == self.epoch {
            self.stored_from = self.stored_from.max(stored.kept_from);
        }
    }

    /// Notes what an append has told.
    pub(super) fn note_appended(&mut self, appended: &Appended) {
        if appended.epoch != self.epoch {
            // The store began another life: whoever follows sees it begin.
            self.epoch = appended.epoch.clone();
            self.head = appended.first_new().map_or(0, |first| first - 1);
        }
        self.stored_from = appended.kept_from;
    }

    /// From where a subscriber reads, and what it has lost if it cannot go on from where it was.
    pub(super) fn reads_from(&self, since: &Position, history: History) -> (u64, Option<Lost>) {
        let kept_from = self.kept_from(history);
        let lost = if since.epoch != self.epoch {
            Lost::Epoch
        } else if since.offset > self.head {
            Lost::Ahead
        } else if since.offset + 1 < kept_from {
            Lost::Trimmed
        } else {
            return (since.offset, None);
        };
        (kept_from - 1, Some(lost))
    }

    /// Notes how far a source has come. False if it had come as far before, or the message is known by another place.
    pub(super) fn advance(&mut self, source: &SourcePosition, known_at: &[SourcePosition]) -> bool {
        if self.covers(source) {
            return false;
        }
        let is_known = known_at.iter().any(|place| self.covers(place));
        self.sources.insert(Arc::clone(&source.partition), source.place);
        !is_known
    }

    fn covers(&self, source: &SourcePosition) -> bool {
        self.sources.get(&source.partition).is_some_and(|before| source.place <= *before)
    }
}
