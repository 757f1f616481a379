//! Publishing a message.

use std::{sync::Arc, time::Duration};

use streamer_protocol::{Epoch, ErrorBody, ErrorCode, History, Json, Published};
use tokio::{sync::oneshot::error::TryRecvError, time::Instant};

use super::{
    LiveTopic, State, event, fresh_epoch,
    outbox::{self, Answer},
    ring::{Kept, Keyed, UsageMax},
};
use crate::{
    core::Core,
    store::{ErrorKind, MessageKey, NewMessage, Placed, SourcePosition, TopicKey},
};

/// Messages to publish, in their order.
struct Publication {
    /// Where.
    key: TopicKey,
    /// What.
    messages: Vec<Message>,
}

/// One of them.
struct Message {
    /// What.
    data: Json,
    /// Where it comes from, if from a source that may repeat itself.
    source: Option<SourcePosition>,
    /// Where else it stood before.
    known_at: Vec<SourcePosition>,
    /// What its publisher calls it, to be able to repeat it.
    key: Option<MessageKey>,
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
        Self { data, source: Some(source), known_at, key: None }
    }
}

impl Publication {
    /// One message, which is repeated only with its key.
    fn of(topic: TopicKey, data: Json, key: Option<MessageKey>) -> Self {
        Self { key: topic, messages: vec![Message { data, source: None, known_at: Vec::new(), key }] }
    }
}

/// Publishes a message as the server, to any topic but a request's, though nobody wait for it any more.
pub(crate) async fn publish_as_server(
    core: &Arc<Core>,
    topic: TopicKey,
    data: Json,
) -> Result<Published, ErrorBody> {
    apart(core, Publication::of(topic, data, None)).await.map(the_one)
}

/// As [`publish_as_server`], of messages that their source may have published before: `None` for those.
pub(crate) async fn publish_from(
    core: &Arc<Core>,
    topic: TopicKey,
    messages: Vec<Sourced>,
) -> Result<Vec<Option<Published>>, ErrorBody> {
    let messages = messages.into_iter().map(Into::into).collect();
    apart(core, Publication { key: topic, messages }).await
}

/// In a task of its own: the caller may go away at any moment, but what is kept must be told.
async fn apart(core: &Arc<Core>, publication: Publication) -> Result<Vec<Option<Published>>, ErrorBody> {
    if publication.key.topic.request().is_some() {
        let message = "a request's topic carries its log, and nothing else";
        return Err(ErrorBody::new(ErrorCode::Forbidden, message));
    }
    let publishing = Arc::clone(core);
    let publishing = core.spawn(async move { publish(&publishing, publication).await });
    publishing.await.unwrap_or_else(|_| {
        let correlation_id = core.random.uuid(core.clock.now()).to_string();
        Err(core.refusal(&ErrorKind::Closed.into(), &correlation_id))
    })
}

/// Publishes a client's message, which is repeated only with its key. To be driven to its end, as below.
pub(super) async fn publish_one(
    core: &Arc<Core>,
    topic: TopicKey,
    data: Json,
    key: Option<MessageKey>,
) -> Result<Published, ErrorBody> {
    publish(core, Publication::of(topic, data, key)).await.map(the_one)
}

fn the_one(published: Vec<Option<Published>>) -> Published {
    published.into_iter().next().flatten().expect("only a source's are dropped")
}

/// Publishes messages: the answer comes once they are as safe as their topic promises, and are on their way to all who
/// follow. `None` for those that their source has published before; those that their keys tell to be kept already are
/// answered as they were then. After an error some may be published, the first ones.
///
/// To be driven to its end: what was kept must also be told.
async fn publish(core: &Arc<Core>, publication: Publication) -> Result<Vec<Option<Published>>, ErrorBody> {
    let Publication { key, messages } = publication;
    let settings = core.topics.settings();
    if messages.iter().any(|message| message.data.as_str().len() > settings.message_bytes_max) {
        let bytes_max = settings.message_bytes_max;
        let error = ErrorBody::new(ErrorCode::PayloadTooLarge, "the message is too large for a topic");
        return Err(error.at("payload.data", format!("at most {bytes_max} bytes")));
    }
    let at = core.clock.now();
    let new = |Message { data, source, known_at, key }| NewMessage { data, at, source, known_at, key };
    let messages = messages.into_iter().map(new).collect::<Vec<_>>();
    let (history, _) = settings.history_of(&key.topic);
    if history == History::None && messages.iter().any(|message| message.key.is_some()) {
        let message = "what is not kept cannot be known again: this topic keeps nothing";
        let error = ErrorBody::new(ErrorCode::ValidationError, message);
        return Err(error.at(KEY_PATH, "only for topics that have a history: leave it out"));
    }
    if history == History::None && core.topics.directory.find(&key).is_none() {
        // Nobody hears them, and nothing keeps them: a life of a few messages.
        let epoch = fresh_epoch(core.random.as_ref());
        messages.iter().for_each(|_| count(history));
        return Ok((1..).zip(&messages).map(|(offset, _)| Some(published(&key, &epoch, offset))).collect());
    }
    // One by one they would take a commit or a round of writes each; all at once there may be no room for them.
    let piece = settings.publish_depth_max.clamp(1, outbox::APPEND_MAX);
    let mut answers = Vec::with_capacity(messages.len());
    let mut messages = messages.into_iter().peekable();
    while messages.peek().is_some() {
        let piece = messages.by_ref().take(piece).collect();
        answers.extend(match history {
            History::Durable => outbox::store(core, &key, piece).await?,
            History::None | History::Memory => at_once(core, &key, piece).await?,
        });
    }
    Ok(answers)
}

/// Where a publisher gives the key of a message.
const KEY_PATH: &str = "payload.idempotency_key";

/// A message has the key of another one.
fn conflict() -> ErrorBody {
    let error = ErrorBody::new(ErrorCode::Conflict, "the idempotency key stands for another message");
    error.at(KEY_PATH, "this topic keeps another message of yours that has it: each has its own")
}

/// There is no room for a message that was promised to be kept.
pub(super) fn full(core: &Core) -> ErrorBody {
    core.overloaded("the topics keep as much as they may: try again later")
}

/// What is published in the same moment is awaited, to go together: that takes less time than one more write for each
/// follower. It is awaited once, and once more for every so many of them.
const MANY: usize = 128;

/// For so long, for each of them: little of what a write takes. Those who publish as their messages arrive have only
/// now heard of the last volley's end, and what they send then would miss the next one by a hair.
const GATHERED_FOR_EACH: Duration = Duration::from_nanos(20);

/// Lets all that can go on now go on.
async fn gather(followers: usize) {
    let (begun, patience) = (Instant::now(), GATHERED_FOR_EACH.saturating_mul(followers as u32));
    for _ in 0..=followers / MANY {
        tokio::task::yield_now().await;
        if begun.elapsed() >= patience {
            break;
        }
    }
}

/// Publishes messages that no store keeps, together with what waits before them.
async fn at_once(
    core: &Arc<Core>,
    key: &TopicKey,
    messages: Vec<NewMessage>,
) -> Result<Vec<Option<Published>>, ErrorBody> {
    let (topic, answered) = outbox::enqueue(core, key, messages, |_, _| {})?;
    let mut state = topic.lock().await;
    let mut answers = Vec::with_capacity(answered.len());
    for mut answered in answered {
        let answer = loop {
            match answered.try_recv() {
                Ok(answer) => break answer,
                Err(TryRecvError::Closed) => break Err(outbox::lost(core)),
                // It is among those that wait, and nobody else has the lock.
                Err(TryRecvError::Empty) => {
                    gather(state.subscribers.following().len()).await;
                    let (messages, answers) = topic.outbox.lock().take_batch();
                    deliver(core, &topic, &mut state, messages, answers).await;
                }
            }
        };
        answers.push(answer?);
    }
    Ok(answers)
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
    for new in messages {
        if new.source.as_ref().is_some_and(|source| !state.advance(source, &new.known_at)) {
            told.push(Placed::Dropped);
            continue;
        }
        if let Some(again) = state.ring.as_ref().and_then(|ring| ring.again(&new)) {
            told.push(again);
            continue;
        }
        let NewMessage { data, at, key, .. } = new;
        state.head += 1;
        state.used_at = at;
        let key = key.map(|key| Keyed::of(key, &data));
        let frame = event(&topic.key.topic, &state.epoch, state.head, data, at);
        if let Some(ring) = &mut state.ring {
            ring.push(Kept { offset: state.head, at, frame: frame.clone(), key }, topic.keep, max);
        }
        frames.push(frame);
        count(topic.history);
        told.push(Placed::New(state.head));
    }
    core.topics.deliver(state, &frames).await;
    for (answer, placed) in answers.into_iter().zip(told) {
        // Nobody may be waiting any more; it is published all the same.
        let _ = answer.send(told_of(core, &topic.key, &state.epoch, placed));
    }
}

/// What the publisher of a message is told.
pub(super) fn told_of(
    core: &Core,
    key: &TopicKey,
    epoch: &Epoch,
    placed: Placed,
) -> Result<Option<Published>, ErrorBody> {
    match placed {
        Placed::New(offset) | Placed::Known(offset) => Ok(Some(published(key, epoch, offset))),
        Placed::Dropped => Ok(None),
        Placed::Conflict => Err(conflict()),
        Placed::Full => Err(full(core)),
    }
}

fn published(key: &TopicKey, epoch: &Epoch, offset: u64) -> Published {
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
