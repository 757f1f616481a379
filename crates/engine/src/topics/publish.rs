//! Publishing a message.

use std::sync::Arc;

use streamer_protocol::{Epoch, ErrorBody, ErrorCode, History, Json, Published};

use super::{LiveTopic, State, event, fresh_epoch, outbox, ring::UsageMax};
use crate::{
    core::Core,
    store::{NewMessage, SourcePosition, TopicKey},
};

/// Messages to publish, in their order.
pub(crate) struct Publication {
    /// Where.
    pub(crate) key: TopicKey,
    /// What.
    pub(crate) messages: Vec<Message>,
}

/// One of them.
pub(crate) struct Message {
    /// What.
    data: Json,
    /// Where it comes from, if from a source that may repeat itself.
    source: Option<SourcePosition>,
    /// Where else it stood before.
    known_at: Vec<SourcePosition>,
}

/// A message of a source that may repeat itself.
#[derive(Debug, Clone)]
pub struct Sourced {
    /// What.
    pub data: Json,
    /// Where it stands in its source.
    pub source: SourcePosition,
    /// Where else it stood before, in that source or in a former life of it. Empty for nearly all.
    pub known_at: Vec<SourcePosition>,
}

impl From<Sourced> for Message {
    fn from(Sourced { data, source, known_at }: Sourced) -> Self {
        Self { data, source: Some(source), known_at }
    }
}

impl Publication {
    /// One message of nobody who repeats it.
    pub(crate) fn of(key: TopicKey, data: Json) -> Self {
        Self { key, messages: vec![Message { data, source: None, known_at: Vec::new() }] }
    }
}

/// Publishes a message of nobody who repeats it. To be driven to its end, as below.
pub(crate) async fn publish_one(core: &Arc<Core>, key: TopicKey, data: Json) -> Result<Published, ErrorBody> {
    let published = publish(core, Publication::of(key, data)).await?;
    Ok(published.into_iter().next().flatten().expect("only a source's are dropped"))
}

/// Publishes messages: the answer comes once they are as safe as their topic promises, and are on their way to all who
/// follow. `None` for those that their source has published before. After an error some may be published, the first ones.
///
/// To be driven to its end: what was kept must also be told.
pub(crate) async fn publish(
    core: &Arc<Core>,
    publication: Publication,
) -> Result<Vec<Option<Published>>, ErrorBody> {
    let Publication { key, messages } = publication;
    let settings = core.topics.settings();
    if messages.iter().any(|message| message.data.as_str().len() > settings.message_bytes_max) {
        let bytes_max = settings.message_bytes_max;
        let error = ErrorBody::new(ErrorCode::PayloadTooLarge, "the message is too large for a topic");
        return Err(error.at("payload.data", format!("at most {bytes_max} bytes")));
    }
    let at = core.clock.now();
    let new = |Message { data, source, known_at }| NewMessage { data, at, source, known_at };
    let messages = messages.into_iter().map(new).collect::<Vec<_>>();
    let (history, _) = settings.history_of(&key.topic);
    if history == History::Durable {
        return outbox::store(core, &key, messages).await;
    }
    if history == History::None && core.topics.directory.find(&key).is_none() {
        // Nobody hears them, and nothing keeps them: a life of a few messages.
        let epoch = fresh_epoch(core.random.as_ref());
        messages.iter().for_each(|_| count(history));
        return Ok((1..).zip(&messages).map(|(offset, _)| Some(published(&key, &epoch, offset))).collect());
    }
    let (topic, mut state) = core.topics.enter(core, &key).await?;
    let mut answers = Vec::with_capacity(messages.len());
    for message in messages {
        answers.push(at_once(core, &topic, &mut state, message).await);
    }
    Ok(answers)
}

/// Publishes a message that no store keeps.
async fn at_once(
    core: &Core,
    topic: &LiveTopic,
    state: &mut State,
    message: NewMessage,
) -> Option<Published> {
    let NewMessage { data, at, source, known_at } = message;
    if source.is_some_and(|source| !state.advance(&source, &known_at)) {
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
