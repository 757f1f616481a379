//! Topics, as a program sees them.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;
use streamer_protocol::{Epoch, Event, Position, Presence, Present, Published, Subscribed, Topic};
use tokio::sync::oneshot;

use crate::{CallError, Client, SendError, inbox::Inbox, topic_book::NewTopic};

/// What a subscriber hears.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum TopicUpdate {
    /// A message: the next one, unless [`Subscribed`](Self::Subscribed) before it said that some were lost.
    Message(Event),
    /// Somebody came or left; only if that was asked for.
    Presence(Presence),
    /// The subscription began anew after a break, and something was lost (`lost` says why, `kept_from` which message
    /// is the next that may come) or is to be seen anew (who is `present`).
    Subscribed(Subscribed),
}

/// A subscription that is being put together: [`Client::subscribe`].
#[derive(Debug)]
#[must_use = "nothing is subscribed to before `begin`"]
pub struct SubscriptionBuilder<'c> {
    client: &'c Client,
    topic: String,
    since: Option<Position>,
    presence: bool,
}

impl SubscriptionBuilder<'_> {
    /// From the message after this one, as far as it is kept.
    pub fn since(self, position: Position) -> Self {
        Self { since: Some(position), ..self }
    }

    /// With all that is kept. The answer says that this is not a resumption (`lost` is `epoch`).
    pub fn with_history(self) -> Self {
        self.since(Position { epoch: Epoch::new(""), offset: 0 })
    }

    /// And tell who is there, who comes and who leaves.
    pub fn presence(self) -> Self {
        Self { presence: true, ..self }
    }

    /// Subscribes, and waits for the answer. While the connection is being made again, it waits for that.
    pub async fn begin(self) -> Result<Subscription, CallError> {
        let topic = Topic::parse(&self.topic).map_err(SendError::from)?;
        if topic.request().is_some() {
            return Err(SendError::RequestTopic.into());
        }
        let client = self.client.clone();
        let inbox = Arc::new(Inbox::new(client.settings().updates_max));
        // Made first: if this future is dropped, so is the subscription, and the connection forgets it.
        let place = Place { client: client.clone(), inbox: Arc::clone(&inbox) };
        let (began, beginning) = oneshot::channel();
        let (since, presence) = (self.since, self.presence);
        client.open_topic(NewTopic { topic, since, presence, inbox, began }).await?;
        let began = beginning.await.map_err(|_| client.closed())??;
        Ok(Subscription { place, position: began.position, subscribed: began.subscribed })
    }
}

/// How a subscription began.
#[derive(Debug)]
pub(crate) struct Began {
    pub(crate) subscribed: Subscribed,
    /// Before the first message that may come.
    pub(crate) position: Position,
}

/// A subscription to a topic, which lasts over connections: what was published while there was none is fetched, as
/// far as the topic keeps it. Dropping it unsubscribes.
#[derive(Debug)]
#[must_use = "dropping a subscription ends it"]
pub struct Subscription {
    place: Place,
    position: Position,
    subscribed: Subscribed,
}

/// Where a subscription's updates are left.
#[derive(Debug)]
struct Place {
    client: Client,
    inbox: Arc<Inbox>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.inbox.abandon();
        self.client.ask().notify_one();
    }
}

impl Subscription {
    /// How it began.
    #[must_use]
    pub fn subscribed(&self) -> &Subscribed {
        &self.subscribed
    }

    /// The last message that was taken: what [`since`](SubscriptionBuilder::since) takes in another process, once
    /// everything up to here has been dealt with.
    #[must_use]
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// The next update, in order and once; `None` after the error that ended the subscription. Safe to cancel.
    pub async fn next(&mut self) -> Result<Option<TopicUpdate>, CallError> {
        let update = self.place.inbox.next(self.place.client.ask()).await?;
        if let Some(TopicUpdate::Message(event)) = &update {
            self.position = Position { epoch: event.epoch.clone(), offset: event.offset };
        }
        Ok(update)
    }
}

impl Client {
    /// A subscription to a topic of this user's tenant. One at a time for each topic.
    pub fn subscribe(&self, topic: &str) -> SubscriptionBuilder<'_> {
        SubscriptionBuilder { client: self, topic: topic.to_owned(), since: None, presence: false }
    }

    /// Publishes a message. A message whose answer was lost with a connection is published again: subscribers may get
    /// it twice, under different offsets. Where that matters: [`publish_once`](Self::publish_once).
    pub async fn publish<T: Serialize + ?Sized>(
        &self,
        topic: &str,
        data: &T,
    ) -> Result<Published, CallError> {
        let data = streamer_protocol::Json::of(data).map_err(SendError::from)?;
        let payload = json!({ "topic": topic, "data": data });
        Ok(self.request("publish").payload(&payload).outcome().await?.get()?)
    }

    /// Publishes a message once, however often this is called with the same key and data, by this process or another
    /// one of the same user: as long as the topic keeps the message, the answer is the same. Beyond a restart of the
    /// server that holds for topics with a durable history.
    ///
    /// With other data, the key (1 to 128 characters) is a conflict; a topic that keeps nothing refuses keys
    /// (`VALIDATION_ERROR`).
    pub async fn publish_once<T: Serialize + ?Sized>(
        &self,
        topic: &str,
        key: &str,
        data: &T,
    ) -> Result<Published, CallError> {
        let data = streamer_protocol::Json::of(data).map_err(SendError::from)?;
        let payload = json!({ "topic": topic, "data": data, "idempotency_key": key });
        Ok(self.request("publish").payload(&payload).outcome().await?.get()?)
    }

    /// Who is on a topic.
    pub async fn presence(&self, topic: &str) -> Result<Present, CallError> {
        Ok(self.request("presence").payload(&json!({ "topic": topic })).outcome().await?.get()?)
    }
}
