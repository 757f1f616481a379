//! What is stored of topics: the durable histories, and the port to them.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use streamer_protocol::{Epoch, IdempotencyKey, Json, TenantId, Timestamp, Topic, UserId};

use super::{Fingerprint, Result};

/// The durable histories of topics.
///
/// A topic's life has an epoch, and its messages have offsets that count from 1 without a gap. Its history is cut at
/// the old end only: what is kept is always the newest messages, without a gap among them. The topic itself is
/// forgotten long after its last message; then another life may begin.
#[async_trait]
pub trait TopicLog: Send + Sync {
    /// Appends messages to one topic, in their order, and cuts its history to [`Append::keep`]. Durable once this
    /// returns. A topic that is not there begins by [`Append::life`].
    ///
    /// A message with a [`SourcePosition`] at or below that of an earlier one of the same partition, to the same
    /// topic, is [`Dropped`](Placed::Dropped). So is one of which another place is covered in that way
    /// ([`NewMessage::known_at`]); its own counts as reached all the same. A message whose [`MessageKey`] a message
    /// has that is kept in this topic, or that stands before it in this append, is that one again
    /// ([`Known`](Placed::Known)) or contradicts it ([`Conflict`](Placed::Conflict)); either way it is not stored.
    ///
    /// Safe to repeat: the call whose id is that of the topic's newest append changes nothing and is answered as
    /// that one was. [`ErrorKind::Invalid`](super::ErrorKind::Invalid) without a message. Atomic: messages, offsets,
    /// keys, positions of sources, the cut and the quota.
    ///
    /// When a quota was used up before, nothing is done: [`ErrorKind::Full`](super::ErrorKind::Full), unless keys of
    /// messages are those of some that are kept; these are answered, and the others are [`Full`](Placed::Full).
    async fn append_messages(&self, key: &TopicKey, append: &Append) -> Result<Appended>;

    /// Where a topic stands, if it is there.
    async fn topic(&self, key: &TopicKey) -> Result<Option<TopicHead>>;

    /// At most `limit` messages with an offset above `after` and not above `upto`, in order. Those that are no longer
    /// kept are left out: the first one's offset tells.
    async fn messages(&self, key: &TopicKey, after: u64, upto: u64, limit: u32) -> Result<Vec<Message>>;

    /// Removes at most `limit` messages and topics whose time has come. Returns how many.
    async fn purge_topics(&self, now: Timestamp, limit: u32) -> Result<u64>;

    /// How much is kept, in all tenants.
    async fn topic_usage(&self) -> Result<TopicUsage>;
}

/// A topic's name: it means nothing outside its tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicKey {
    /// Whose data it is.
    pub tenant: TenantId,
    /// The name inside the tenant.
    pub topic: Topic,
}

impl TopicKey {
    /// Names a topic.
    #[must_use]
    pub fn new(tenant: TenantId, topic: Topic) -> Self {
        Self { tenant, topic }
    }
}

/// Names an append, so that it can be repeated. Nobody else's is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AppendId(pub [u8; 16]);

/// Messages for one topic.
#[derive(Debug, Clone)]
pub struct Append {
    /// Names this call.
    pub id: AppendId,
    /// The messages, in their order; at least one.
    pub messages: Vec<NewMessage>,
    /// How the topic begins if it is not there: with this epoch, above this offset.
    pub life: (Epoch, u64),
    /// How much of the topic's history is kept.
    pub keep: Keep,
    /// How much there may be in all.
    pub quota: TopicQuota,
}

/// A message that was not stored yet.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// What was published.
    pub data: Json,
    /// When.
    pub at: Timestamp,
    /// Where it comes from, if from a source that may repeat itself.
    pub source: Option<SourcePosition>,
    /// Where else it stood before, in that source or in a former life of it. Empty for nearly all.
    pub known_at: Vec<SourcePosition>,
    /// What its publisher calls it, to be able to repeat it.
    pub key: Option<MessageKey>,
}

/// Names a message to be published in one topic, as long as it is kept there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MessageKey {
    /// Whose message.
    pub user: UserId,
    /// Which one of theirs.
    pub key: IdempotencyKey,
}

impl NewMessage {
    /// What it comes to if this is the data of the message at `offset`, which has its key.
    #[must_use]
    pub fn again(&self, offset: u64, data: &Json) -> Placed {
        let is_same = self.data.as_str() == data.as_str()
            || Fingerprint::of_message(&self.data) == Fingerprint::of_message(data);
        if is_same { Placed::Known(offset) } else { Placed::Conflict }
    }
}

/// How far a source has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcePosition {
    /// Which source, which of its lives, and which part of it. Positions compare only within one.
    pub partition: Arc<str>,
    /// The place in it, which rises: the first number, then the second. Each is below 2^63.
    pub place: (u64, u64),
}

/// How much of a topic's history is kept. Whatever exceeds one of these is cut, but for the newest message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// So many messages.
    pub messages_max: u64,
    /// So many bytes of data.
    pub bytes_max: u64,
    /// For so long.
    pub age_max: Duration,
    /// How long a topic is remembered beyond the age of its newest message, so that those who come back learn that
    /// they missed nothing.
    pub forget_after: Duration,
}

/// How much there may be of topics. Counts data only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicQuota {
    /// Topics of one tenant.
    pub tenant_topics_max: u64,
    /// Bytes of one tenant.
    pub tenant_bytes_max: u64,
    /// Bytes in all.
    pub bytes_max: u64,
}

/// How much is kept of topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TopicUsage {
    /// Topics.
    pub topics: u64,
    /// Bytes of data.
    pub bytes: u64,
}

/// What an append came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The life that the topic is in.
    pub epoch: Epoch,
    /// What became of the messages, in the order in which they were given.
    pub placed: Vec<Placed>,
    /// The oldest message that is kept; one above the newest if none is.
    pub kept_from: u64,
}

impl Appended {
    /// The offset of the first message that was stored now.
    #[must_use]
    pub fn first_new(&self) -> Option<u64> {
        self.placed.iter().find_map(|placed| placed.new_offset())
    }
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placed {
    /// It is stored, with this offset.
    New(u64),
    /// It was stored before, by its key, and is at this offset.
    Known(u64),
    /// Its key is another message's.
    Conflict,
    /// Its source has told it before.
    Dropped,
    /// There was no room for it.
    Full,
}

impl Placed {
    /// The offset that it got now.
    #[must_use]
    pub const fn new_offset(self) -> Option<u64> {
        match self {
            Self::New(offset) => Some(offset),
            Self::Known(_) | Self::Conflict | Self::Dropped | Self::Full => None,
        }
    }
}

/// Where a topic stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicHead {
    /// The life that it is in.
    pub epoch: Epoch,
    /// Its newest message.
    pub offset: u64,
    /// The oldest message that is kept; one above `offset` if none is.
    pub kept_from: u64,
}

/// A message as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Its place in the topic's life.
    pub offset: u64,
    /// When it was published.
    pub at: Timestamp,
    /// What was published.
    pub data: Json,
}

impl fmt::Display for TopicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.topic, self.tenant)
    }
}
