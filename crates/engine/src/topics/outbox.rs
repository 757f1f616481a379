//! Messages on their way. Durable ones go to the store: one append of a topic at a time, and all that waits goes along.
//! The others wait for the topic's lock, and whoever comes to it takes all that waits along.

use std::{collections::VecDeque, sync::Arc};

use streamer_protocol::{ErrorBody, History, Published};
use tokio::sync::oneshot;
use tracing::warn;

use super::{
    LiveTopic, State, event,
    publish::{count, full, told_of},
};
use crate::{
    core::{Core, NO_SPACE, internal},
    store::{self, Append, AppendId, Appended, ErrorKind, Message, NewMessage, Placed, TopicKey},
};

/// At most so many messages go into one append.
pub(super) const APPEND_MAX: usize = 256;

/// With more bytes of data than these, no further message goes into an append.
const APPEND_BYTES_MAX: usize = 1024 * 1024;

/// How many messages are read at once that were stored without our learning of it.
const PAGE: u32 = 64;

/// What waits to be published on one topic.
#[derive(Default)]
pub(super) struct Outbox {
    waiting: VecDeque<Waiting>,
    /// A task sees to it.
    attended: bool,
    /// The topic is no longer in the directory: find it again.
    closed: bool,
}

struct Waiting {
    message: NewMessage,
    answer: Answer,
}

/// What one message comes to: `None` if its source has published it before.
type Told = Result<Option<Published>, ErrorBody>;

pub(super) type Answer = oneshot::Sender<Told>;

type Answered = oneshot::Receiver<Told>;

impl Outbox {
    /// Takes nothing more, unless there is something. Whether it is closed.
    pub(super) fn close(&mut self) -> bool {
        self.closed = !self.attended && self.waiting.is_empty();
        self.closed
    }

    /// What goes into the next append.
    fn next_batch(&mut self) -> (Vec<NewMessage>, Vec<Answer>) {
        let batch = self.take_batch();
        self.attended = !batch.0.is_empty();
        batch
    }

    /// The first of what waits.
    pub(super) fn take_batch(&mut self) -> (Vec<NewMessage>, Vec<Answer>) {
        let mut bytes = 0;
        let (mut messages, mut answers) = (Vec::new(), Vec::new());
        while messages.len() < APPEND_MAX
            && bytes < APPEND_BYTES_MAX
            && let Some(Waiting { message, answer }) = self.waiting.pop_front()
        {
            bytes += message.data.as_str().len();
            messages.push(message);
            answers.push(answer);
        }
        (messages, answers)
    }
}

/// Stores messages and tells them to all who follow.
pub(super) async fn store(
    core: &Arc<Core>,
    key: &TopicKey,
    messages: Vec<NewMessage>,
) -> Result<Vec<Option<Published>>, ErrorBody> {
    let attended = |topic: &Arc<LiveTopic>, outbox: &mut Outbox| {
        if !std::mem::replace(&mut outbox.attended, true) {
            core.spawn(attend(Arc::clone(core), Arc::clone(topic)));
        }
    };
    let (_, answered) = enqueue(core, key, messages, attended)?;
    let mut answers = Vec::with_capacity(answered.len());
    for answered in answered {
        answers.push(answered.await.unwrap_or_else(|_| Err(lost(core)))?);
    }
    Ok(answers)
}

/// Lets messages wait on their topic, for whoever publishes all that waits there; `then` sees to it that somebody does.
pub(super) fn enqueue(
    core: &Arc<Core>,
    key: &TopicKey,
    messages: Vec<NewMessage>,
    then: impl FnOnce(&Arc<LiveTopic>, &mut Outbox),
) -> Result<(Arc<LiveTopic>, Vec<Answered>), ErrorBody> {
    loop {
        let topic = core.topics.find_or_begin(core, key)?;
        let mut outbox = topic.outbox.lock();
        if outbox.closed {
            continue;
        }
        if outbox.waiting.len() + messages.len() > core.topics.settings().publish_depth_max {
            return Err(core.overloaded("too many messages wait for this topic: try again later"));
        }
        let mut all_answered = Vec::with_capacity(messages.len());
        for message in messages {
            let (answer, answered) = oneshot::channel();
            outbox.waiting.push_back(Waiting { message, answer });
            all_answered.push(answered);
        }
        then(&topic, &mut outbox);
        drop(outbox);
        return Ok((topic, all_answered));
    }
}

/// Whoever was to publish a message ended without an answer.
pub(super) fn lost(core: &Core) -> ErrorBody {
    failed(core, &ErrorKind::Closed.into())
}

/// Stores what waits, until nothing does. In a task of its own: whoever published may go away, but what was stored
/// must be told.
async fn attend(core: Arc<Core>, topic: Arc<LiveTopic>) {
    loop {
        let (messages, answers) = topic.outbox.lock().next_batch();
        if messages.is_empty() {
            return;
        }
        match append(&core, &topic, messages).await {
            Ok(told) => {
                for (answer, told) in answers.into_iter().zip(told) {
                    // Nobody may be waiting any more; it is published all the same.
                    let _ = answer.send(told);
                }
            }
            Err(e) => {
                let error = failed(&core, &e);
                for answer in answers {
                    let _ = answer.send(Err(error.clone()));
                }
            }
        }
    }
}

async fn append(core: &Core, topic: &LiveTopic, messages: Vec<NewMessage>) -> store::Result<Vec<Told>> {
    let life = {
        let mut state = topic.lock().await;
        topic.load(core, &mut state).await?;
        (state.epoch.clone(), state.head)
    };
    let (keep, quota) = (topic.keep, core.topics.settings().quota());
    let append = Append { id: fresh_id(core), messages, life, keep, quota };
    let appended = core.persist(|| core.store.append_messages(&topic.key, &append)).await?;

    let mut state = topic.lock().await;
    catch_up(core, topic, &mut state, &appended).await;
    let (mut told, mut frames) = (Vec::with_capacity(appended.placed.len()), Vec::new());
    for (message, placed) in append.messages.into_iter().zip(&appended.placed) {
        told.push(told_of(core, &topic.key, &state.epoch, *placed));
        let Some(offset) = placed.new_offset().filter(|offset| *offset > state.head) else { continue };
        let frame = event(&topic.key.topic, &state.epoch, offset, message.data, message.at);
        (state.head, state.used_at) = (offset, message.at);
        frames.push(frame);
        count(History::Durable);
    }
    core.topics.deliver(&mut state, &frames).await;
    Ok(told)
}

/// Tells what was stored before an append without our learning of it: its reply was lost for good. That is all below
/// the first message that is new; where none is, what is repeated tells how far it goes.
async fn catch_up(core: &Core, topic: &LiveTopic, state: &mut State, appended: &Appended) {
    state.note_appended(appended);
    let known = appended.placed.iter().filter_map(|placed| match placed {
        Placed::Known(offset) => Some(*offset),
        _ => None,
    });
    let upto = appended.first_new().map(|first| first - 1).or_else(|| known.max()).unwrap_or(0);
    while state.head < upto {
        let after = state.head;
        match core.persist(|| core.store.messages(&topic.key, after, upto, PAGE)).await {
            Ok(page) if page.first().is_some_and(|message| message.offset == after + 1) => {
                state.head = page.last().map_or(state.head, |message| message.offset);
                let epoch = state.epoch.clone();
                let frame = |m: Message| event(&topic.key.topic, &epoch, m.offset, m.data, m.at);
                let frames: Vec<_> = page.into_iter().map(frame).collect();
                core.topics.deliver(state, &frames).await;
            }
            unreadable => {
                if let Err(e) = unreadable {
                    warn!(error = %e, "a topic's messages could not be read for those who follow");
                }
                core.topics.close_followers(state).await;
                state.head = upto;
            }
        }
    }
}

fn fresh_id(core: &Core) -> AppendId {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&core.random.next_u64().to_le_bytes());
    id[8..].copy_from_slice(&core.random.next_u64().to_le_bytes());
    AppendId(id)
}

/// What a publisher reads when its message could not be stored.
fn failed(core: &Core, e: &store::Error) -> ErrorBody {
    match e.kind() {
        ErrorKind::Full => return full(core),
        ErrorKind::NoSpace => return core.overloaded(NO_SPACE),
        _ => {}
    }
    let correlation_id = core.random.uuid(core.clock.now()).to_string();
    tracing::error!(correlation_id, error = %e, "a message could not be stored");
    internal(&correlation_id)
}
