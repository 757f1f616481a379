//! Publishing a message.

use std::sync::Arc;

use streamer_protocol::{Epoch, ErrorBody, ErrorCode, History, Json, Published};

use super::{LiveTopic, State, event, fresh_epoch, outbox, ring::UsageMax};
use crate::{
    core::Core,
    store::{NewMessage, SourcePosition, TopicKey},
};

/// A message to publish.
pub(crate) struct Publication {
    /// Where.
    pub(crate) key: TopicKey,
    /// What.
    pub(crate) data: Json,
    /// Where it comes from, if from a source that may repeat itself.
    pub(crate) source: Option<SourcePosition>,
}

/// Publishes a message: the answer comes once it is as safe as its topic promises, and is on its way to all who
/// follow. `None` if its source has published it before.
///
/// To be driven to its end: what was kept must also be told.
pub(crate) async fn publish(
    core: &Arc<Core>,
    publication: Publication,
) -> Result<Option<Published>, ErrorBody> {
    let Publication { key, data, source } = publication;
    let settings = core.topics.settings();
    if data.as_str().len() > settings.message_bytes_max {
        let bytes_max = settings.message_bytes_max;
        let error = ErrorBody::new(ErrorCode::PayloadTooLarge, "the message is too large for a topic");
        return Err(error.at("payload.data", format!("at most {bytes_max} bytes")));
    }
    let message = NewMessage { data, at: core.clock.now(), source };
    let (history, _) = settings.history_of(&key.topic);
    if history == History::Durable {
        return outbox::store(core, &key, message).await;
    }
    if history == History::None && core.topics.directory.find(&key).is_none() {
        // Nobody hears it, and nothing keeps it: a life of one message.
        count(history);
        return Ok(Some(published(&key, &fresh_epoch(core.random.as_ref()), 1)));
    }
    let (topic, mut state) = core.topics.enter(core, &key).await?;
    Ok(at_once(core, &topic, &mut state, message).await)
}

/// Publishes a message that no store keeps.
async fn at_once(
    core: &Core,
    topic: &LiveTopic,
    state: &mut State,
    message: NewMessage,
) -> Option<Published> {
    let NewMessage { data, at, source } = message;
    if source.is_some_and(|source| !state.advance(&source)) {
        return None;
    }
    state.head += 1;
    state.used_at = at;
    let frame = event(&topic.key.topic, &state.epoch, state.head, data, at);
    if let Some(ring) = &mut state.ring {
        let settings = core.topics.settings();
        let max = UsageMax { tenant: settings.tenant_memory_bytes_max, all: settings.memory_bytes_max };
        ring.push(state.head, at, frame.clone(), topic.keep, max);
    }
    core.topics.deliver(state, frame).await;
    count(topic.history);
    Some(published(&topic.key, &state.epoch, state.head))
}

pub(super) fn published(key: &TopicKey, epoch: &Epoch, offset: u64) -> Published {
    Published { topic: key.topic.clone(), epoch: epoch.clone(), offset }
}

pub(super) fn count(history: History) {
    let history = match history {
        History::None => "none",
        History::Memory => "memory",
        History::Durable => "durable",
    };
    metrics::counter!("streamer_topic_messages_published_total", "history" => history).increment(1);
}
