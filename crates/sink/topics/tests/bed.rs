//! An engine, and a connection that hears its topics.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::{Value, json};
use streamer_engine::{
    Credentials, Engine, HistoryRule, Ports, Rights, Router, Settings as EngineSettings, TopicSettings,
    protocol::{ConnectionId, ErrorBody, ErrorCode, History, TenantId, Timestamp, UserId},
    push::Push as _,
    store::{ConnectionRecord, SharedStore, WorkerId},
    testing::{FakeConnections, MemoryStore},
};
use streamer_events::{
    Batch, Event,
    sink::{RefusedWrite, Result, Sink},
};
use streamer_events_conformance::outlet::Outlet;
use streamer_sink_topics::{Settings, Template, Tenant, TopicSink};

/// An engine on a store, and a sink that publishes by it.
pub(crate) struct Bed {
    pub(crate) engine: Engine,
    pub(crate) sink: TopicSink,
    fake: Arc<FakeConnections>,
}

impl Bed {
    pub(crate) fn new(store: SharedStore, history: History) -> Self {
        let fake = Arc::new(FakeConnections::new());
        let rule =
            HistoryRule { history, messages_max: 10_000, bytes_max: 10_000_000, ..HistoryRule::default() };
        let topics =
            TopicSettings { histories: vec![rule], message_bytes_max: 1000, ..TopicSettings::default() };
        let settings = EngineSettings { topics, ..EngineSettings::default() };
        let engine =
            Engine::new(Ports::new(store, fake.clone()), Router::new(), WorkerId::new("alone"), settings);
        let settings = Settings {
            template: Template::default(),
            tenant: Tenant::Field("tenant".parse().expect("a path")),
        };
        Self { sink: TopicSink::new(engine.clone(), settings), engine, fake }
    }

    /// Subscribes a connection of that name to a topic of its tenant, from a place or from now on.
    pub(crate) async fn subscribe(&self, name: &str, tenant: &str, topic: &str, since: Option<Value>) -> Ear {
        let id = ConnectionId::new(name);
        self.fake.open(&id);
        let at = Timestamp::from_millis(1_795_254_103_000);
        let record = ConnectionRecord {
            id: id.clone(),
            user: UserId::new("ada"),
            tenant: TenantId::new(tenant),
            endpoint: "here".to_owned(),
            connected_at: at,
            last_ping: at,
            user_agent: None,
            ip_address: None,
            expires_at: at + Duration::from_secs(24 * 60 * 60),
        };
        let session = self.engine.connect(&record, Arc::new(Reader)).await.expect("the store works");
        let mut payload = json!({ "topic": topic });
        if let Some(since) = since {
            payload["since"] = since;
        }
        let text = json!({ "id": "s", "action": "subscribe", "payload": payload }).to_string();
        let room = session.room().await;
        if let Some(answer) = self.engine.accept(&session, room, &text) {
            self.fake.push(&id, answer).await.expect("takes it");
        }
        let answer = self.fake.frame(&id, |frame| frame["request_id"] == "s").await;
        assert_eq!(answer["type"], "response", "{answer}");
        Ear { id, fake: Arc::clone(&self.fake), subscribed: answer["data"].clone() }
    }
}

/// What a subscriber hears.
pub(crate) struct Ear {
    id: ConnectionId,
    fake: Arc<FakeConnections>,
    pub(crate) subscribed: Value,
}

impl Ear {
    /// The events so far.
    pub(crate) fn heard(&self) -> Vec<Value> {
        let frames = self.fake.unread(&self.id).into_iter();
        frames.filter(|frame| frame["type"] == "event").collect()
    }
}

struct Reader;

impl Credentials for Reader {
    fn rights(&self) -> Arc<Rights> {
        Arc::new(Rights::new(true, false, []))
    }

    fn refresh(&self, _: &str) -> std::result::Result<Timestamp, ErrorBody> {
        Err(ErrorBody::new(ErrorCode::Unauthorized, "not valid"))
    }
}

/// The sink, and somebody who hears the suite's one topic.
pub(crate) struct Heard {
    bed: Bed,
    ear: Ear,
}

async fn heard(history: History) -> Option<(Heard, ())> {
    let bed = Bed::new(Arc::new(MemoryStore::new()), history);
    let ear = bed.subscribe("c", "acme", "Aggregate.a", None).await;
    Some((Heard { bed, ear }, ()))
}

pub(crate) async fn durable() -> Option<(Heard, ())> {
    heard(History::Durable).await
}

pub(crate) async fn in_memory() -> Option<(Heard, ())> {
    heard(History::Memory).await
}

pub(crate) async fn without_history() -> Option<(Heard, ())> {
    heard(History::None).await
}

#[async_trait]
impl Sink for Heard {
    async fn apply(&self, batch: &Batch) -> Result<Vec<RefusedWrite>> {
        self.bed.sink.apply(batch).await
    }
}

#[async_trait]
impl Outlet for Heard {
    async fn handed_on(&self) -> Vec<String> {
        let heard = self.ear.heard();
        heard.iter().map(|event| event["data"]["event_id"].as_str().expect("an id").to_owned()).collect()
    }

    fn refused(&self, event: Event) -> Event {
        Event { payload: streamer_events::Payload::new("{}"), ..event }
    }
}
