//! The sink: a batch's events, published by topic.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use streamer_engine::{
    Engine, Sourced,
    store::{SourcePosition, TopicKey},
};
use streamer_events::{
    Batch, Event, Position, Rejection,
    apply::Refusal,
    batch::{Arrival, Author},
    sink::{Error, ErrorKind, RefusedWrite, Result, Sink},
};
use streamer_protocol::{ErrorBody, ErrorCode};

use crate::{message::Message, template::Template, tenant::Tenant};

/// Who refuses, in the dead letters.
pub const HANDLER: &str = "topics";

/// So many topics are published to at once.
const TOPICS_AT_ONCE: usize = 32;

/// Which topic an event goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Its name.
    pub template: Template,
    /// Whose it is.
    pub tenant: Tenant,
}

/// Publishes every event to its topic.
pub struct TopicSink {
    engine: Engine,
    settings: Settings,
}

impl TopicSink {
    /// Publishes as the server.
    #[must_use]
    pub fn new(engine: Engine, settings: Settings) -> Self {
        Self { engine, settings }
    }

    fn read(&self, arrival: &Arrival) -> std::result::Result<(TopicKey, Sourced), Rejection> {
        let event = &*arrival.event;
        let key = TopicKey::new(self.settings.tenant.of(event)?, self.settings.template.topic(event)?);
        let data = Message::of(event)?;
        let bytes_max = self.engine.topic_message_bytes_max();
        if data.as_str().len() > bytes_max {
            let reason = format!("the message has {} bytes; a topic takes {bytes_max}", data.as_str().len());
            return Err(Rejection::new(reason));
        }
        let known_at = arrival.known_at.iter().map(place).collect();
        Ok((key, Sourced { data, source: place(&event.position), known_at }))
    }
}

#[async_trait]
impl Sink for TopicSink {
    /// What cannot be published is refused; all other events are in their topics once this returns, as safe as those
    /// promise.
    async fn apply(&self, batch: &Batch) -> Result<Vec<RefusedWrite>> {
        let mut refused = Vec::new();
        let mut by_topic: HashMap<TopicKey, Vec<Sourced>> = HashMap::new();
        for arrival in &batch.events {
            match self.read(arrival) {
                Ok((key, message)) => by_topic.entry(key).or_default().push(message),
                Err(rejection) => refused.extend(refusal(batch, &arrival.event, &rejection)),
            }
        }
        let publishing = by_topic.into_iter().map(|(key, messages)| async move {
            // A topic's messages in their order: what is below a position that it has reached is dropped.
            self.engine.publish_from(&key, messages).await.map(drop).map_err(unavailable)
        });
        stream::iter(publishing).buffer_unordered(TOPICS_AT_ONCE).try_collect::<()>().await?;
        Ok(refused)
    }
}

/// None if it is in the dead letters already.
fn refusal(batch: &Batch, event: &Event, rejection: &Rejection) -> Option<RefusedWrite> {
    let author = Author { event: event.id.clone(), handler: HANDLER.into() };
    let is_void = batch.void.contains(&author);
    (!is_void).then(|| RefusedWrite {
        author,
        collection: Arc::default(),
        id: Arc::default(),
        refusal: Refusal::Unpublishable(rejection.to_string()),
    })
}

/// Where an event stands, as topics keep it.
fn place(position: &Position) -> SourcePosition {
    let (major, minor) = (position.offset.major, u64::from(position.offset.minor));
    SourcePosition { partition: position.partition.as_str().into(), place: (major, minor) }
}

/// Whatever keeps the engine from publishing passes, or is for a person to mend while the pipeline waits.
fn unavailable(error: ErrorBody) -> Error {
    let kind = match error.code {
        ErrorCode::ValidationError | ErrorCode::Forbidden | ErrorCode::PayloadTooLarge => ErrorKind::Invalid,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, format!("{}: {}", error.code, error.message))
}
