//! Topics: who is on which, what they keep, and how a history becomes a live stream without a gap or a double.
//!
//! A topic lives here while somebody is on it or it keeps something in memory. Everything that happens on it happens
//! under its lock: messages get their offsets and go out in that order, subscribers come and leave. The lock is never
//! held while a peer is waited for.
//!
//! A subscriber *reads* first: what is kept above the place that it named, page by page, each at the pace of its own
//! connection. Having come to the topic's newest message it *follows*, in the same step in which that is found: so it
//! misses nothing and gets nothing twice. One that follows and has no room for a message is closed, and may come back
//! for what it missed.
//!
//! What is published while messages go out, or are appended to the store, waits, and goes together: whoever comes to
//! the lock first takes all that waits with him, and a durable topic has one append under way at a time. So there is an
//! order without a lock on the store, there are few commits, and few writes to each socket.

mod action;
mod directory;
mod leave;
mod live_topic;
mod outbox;
mod presence;
mod publish;
mod read;
mod rights;
mod ring;
mod settings;
mod subscribe;
mod subscribers;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use streamer_protocol::{
    CloseCode, ConnectionId, Epoch, ErrorBody, Event, Json, ServerFrame, Timestamp, Topic,
};
use tokio::sync::OwnedMutexGuard;

pub(crate) use action::{presence, publish, subscribe, unsubscribe};
pub(crate) use leave::{forget, keep_to_rights};
pub(crate) use presence::present;
pub use publish::Sourced;
pub(crate) use publish::{publish_as_server, publish_from};
pub use rights::Rights;
pub use settings::{HistoryRule, TopicSettings};

use self::{
    directory::Directory,
    live_topic::{LiveTopic, State},
};
use crate::{
    Frame,
    core::Core,
    push::{self, Push},
    random::Random,
    store::TopicKey,
};

/// Messages of no more bytes than these go to a connection together: so many it takes at once, unless it is slow.
const VOLLEY_BYTES_MAX: usize = 64 * 1024;

/// The topics of this process.
pub(crate) struct Topics {
    push: Arc<dyn Push>,
    settings: TopicSettings,
    directory: Directory,
    /// Tells the subscriptions of one connection to one topic apart.
    serials: AtomicU64,
    subscriptions: AtomicU64,
}

impl Topics {
    pub(crate) fn new(push: Arc<dyn Push>, settings: TopicSettings) -> Self {
        Self {
            push,
            settings,
            directory: Directory::default(),
            serials: AtomicU64::new(0),
            subscriptions: AtomicU64::new(0),
        }
    }

    pub(crate) fn settings(&self) -> &TopicSettings {
        &self.settings
    }

    /// Lets go what is too old, and the topics that nothing holds here any more.
    pub(crate) fn tidy(&self, now: Timestamp) {
        for topic in self.directory.all() {
            self.retire(&topic, now, self.settings.idle);
        }
    }

    /// Shows how much there is as metrics.
    pub(crate) fn measure(&self) {
        metrics::gauge!("streamer_topics").set(self.directory.len() as f64);
        let subscriptions = self.subscriptions.load(Ordering::Relaxed);
        metrics::gauge!("streamer_topic_subscriptions").set(subscriptions as f64);
        metrics::gauge!("streamer_topic_history_bytes", "history" => "memory")
            .set(self.directory.memory_bytes() as f64);
    }

    /// Makes a topic go if nothing holds it here.
    fn retire(&self, topic: &Arc<LiveTopic>, now: Timestamp, idle: Duration) {
        if topic.retire(now, idle) {
            self.directory.remove(topic);
        }
    }

    fn next_serial(&self) -> u64 {
        self.serials.fetch_add(1, Ordering::Relaxed)
    }

    /// The topic, which begins if it is not there.
    fn find_or_begin(&self, core: &Core, key: &TopicKey) -> Result<Arc<LiveTopic>, ErrorBody> {
        let now = core.clock.now();
        let begin = |usage| {
            let (history, keep) = self.settings.history_of(&key.topic);
            LiveTopic::new(key.clone(), history, keep, usage, fresh_epoch(core.random.as_ref()), now)
        };
        if let Some(topic) = self.directory.find_or_insert(key, &self.settings, begin) {
            return Ok(topic);
        }
        for topic in self.directory.sweepable(&key.tenant) {
            // Whatever can be had again from the store, or is worth nothing.
            self.retire(&topic, now, Duration::ZERO);
        }
        self.directory
            .find_or_insert(key, &self.settings, begin)
            .ok_or_else(|| core.overloaded("there are as many topics as there may be: try again later"))
    }

    /// The topic and its lock; it begins if it is not there.
    async fn enter(
        &self,
        core: &Core,
        key: &TopicKey,
    ) -> Result<(Arc<LiveTopic>, OwnedMutexGuard<State>), ErrorBody> {
        loop {
            let topic = self.find_or_begin(core, key)?;
            let state = topic.lock().await;
            // Else it went while the lock was waited for.
            if !state.retired {
                return Ok((topic, state));
            }
        }
    }

    /// Hands messages to all who follow. Never waits for a peer: one that has no room is closed, and can resume.
    async fn deliver(&self, state: &mut State, mut frames: &[Frame]) {
        while !frames.is_empty() {
            let (volley, rest) = frames.split_at(volley_len(frames));
            self.deliver_together(state, volley).await;
            frames = rest;
        }
    }

    async fn deliver_together(&self, state: &mut State, frames: &[Frame]) {
        let following = state.subscribers.following();
        if following.is_empty() {
            return;
        }
        let pushed = self.push.push_many(following, frames).await;
        let refused: Vec<_> = following
            .iter()
            .zip(&pushed)
            .filter_map(|(id, pushed)| Some((id.clone(), pushed.err()?)))
            .collect();
        let delivered = (following.len() - refused.len()) * frames.len();
        metrics::counter!("streamer_topic_messages_delivered_total").increment(delivered as u64);
        for (connection, why) in refused {
            self.give_up(state, &connection, why).await;
        }
    }

    /// A subscriber did not take what it was to get: it gets nothing more, so that it sees no gap.
    async fn give_up(&self, state: &mut State, connection: &ConnectionId, why: push::Error) {
        state.subscribers.hold(connection);
        let code = match why {
            push::Error::Gone | push::Error::ShuttingDown => return,
            push::Error::Busy => {
                metrics::counter!("streamer_slow_consumers_total").increment(1);
                CloseCode::SlowConsumer
            }
            push::Error::TooLarge => CloseCode::InternalError,
        };
        // One that is gone by now needs no closing.
        let _ = self.push.disconnect(connection, code).await;
    }

    /// Something is missing that cannot be had: whoever follows must come back and be told so.
    async fn close_followers(&self, state: &mut State) {
        for connection in state.subscribers.following().to_vec() {
            state.subscribers.hold(&connection);
            let _ = self.push.disconnect(&connection, CloseCode::InternalError).await;
        }
    }
}

/// How many of these frames go to a connection together: at least one.
fn volley_len(frames: &[Frame]) -> usize {
    let mut bytes = 0;
    let fitting = frames.iter().take_while(|frame| {
        bytes += frame.bytes().len();
        bytes <= VOLLEY_BYTES_MAX
    });
    fitting.count().max(1)
}

fn fresh_epoch(random: &dyn Random) -> Epoch {
    Epoch::new(format!("{:016x}", random.next_u64()))
}

/// A message as it goes to subscribers.
fn event(topic: &Topic, epoch: &Epoch, offset: u64, data: Json, timestamp: Timestamp) -> Frame {
    ServerFrame::Event(Event { topic: topic.clone(), epoch: epoch.clone(), offset, data, timestamp }).into()
}
