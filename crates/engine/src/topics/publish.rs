//! Publishing a message.

use std::sync::Arc;

use streamer_protocol::{Epoch, ErrorBody, ErrorCode, History, Json, Published};
use tokio::sync::oneshot::error::TryRecvError;

use super::{
    LiveTopic, State, event, fresh_epoch,
    outbox::{self, Answer},
    ring::UsageMax,
};
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
    at_once(core, &key, message).await
}

/// With so many followers, what its publisher has sent in the same moment is awaited, to go together: that takes less
/// time than one more write for each.
const MANY: usize = 128;

/// Publishes a message that no store keeps, together with what waits before it.
async fn at_once(
    core: &Arc<Core>,
    key: &TopicKey,
    message: NewMessage,
) -> Result<Option<Published>, ErrorBody> {
    let (topic, mut answered) = outbox::enqueue(core, key, message, |_, _| {})?;
    let mut state = topic.lock().await;
    if state.subscribers.following().len() >= MANY {
        tokio::task::yield_now().await;
    }
    loop {
        match answered.try_recv() {
            Ok(answer) => return answer,
            Err(TryRecvError::Closed) => return Err(outbox::lost(core)),
            // Ours is among those that wait, and nobody else has the lock.
            Err(TryRecvError::Empty) => {
                let (messages, answers) = topic.outbox.lock().take_batch();
                deliver(core, &topic, &mut state, messages, answers).await;
            }
        }
    }
}

async fn deliver(
    core: &Core,
    topic: &LiveTopic,
    state: &mut State,
    messages: Vec<NewMessage>,
    answers: Vec<Answer>,
) {
    let settings = core.topics.settings();
    let max = UsageMax { tenant: settings.tenant_memory_bytes_max, all: settings.memory_bytes_max };
    let (mut frames, mut told) = (Vec::with_capacity(messages.len()), Vec::with_capacity(messages.len()));
    for NewMessage { data, at, source } in messages {
        if source.is_some_and(|source| !state.advance(&source)) {
            told.push(None);
            continue;
        }
        state.head += 1;
        state.used_at = at;
        let frame = event(&topic.key.topic, &state.epoch, state.head, data, at);
        if let Some(ring) = &mut state.ring {
            ring.push(state.head, at, frame.clone(), topic.keep, max);
        }
        frames.push(frame);
        count(topic.history);
        told.push(Some(published(&topic.key, &state.epoch, state.head)));
    }
    core.topics.deliver(state, &frames).await;
    for (answer, told) in answers.into_iter().zip(told) {
        // Nobody may be waiting any more; it is published all the same.
        let _ = answer.send(Ok(told));
    }
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
