//! A server for all of these tests, and a database in it for each.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use mongodb::bson::{self, doc};
use streamer_events::{
    Batch, DeadLetter, Document, EventId, Position, Write,
    sink::{Adopted, DeadLetters, Ledger, RefusedWrite, Result, Sink},
    testing::given,
};
use streamer_events_conformance::sink::Documents;
use streamer_servers::{mongodb::Mongodb, or_skip};
use streamer_sink_mongodb::{MongoSink, Settings, from_bson};

fn shared() -> Option<&'static Mongodb> {
    static SHARED: OnceLock<Option<Mongodb>> = OnceLock::new();
    SHARED.get_or_init(|| or_skip(Mongodb::start(512))).as_ref()
}

pub(crate) fn settings(server: &Mongodb) -> Settings {
    static NUMBER: AtomicU32 = AtomicU32::new(1);
    Settings {
        server_selection_timeout: Duration::from_secs(10),
        ..Settings::of(server.uri(), format!("db{}", NUMBER.fetch_add(1, Ordering::Relaxed)))
    }
}

/// A sink on a database of its own.
pub(crate) async fn open() -> Option<Looked> {
    open_with(|_| {}).await
}

pub(crate) async fn open_with(change: impl Fn(&mut Settings)) -> Option<Looked> {
    let mut settings = settings(shared()?);
    change(&mut settings);
    Some(Looked(MongoSink::open(&settings).await.expect("opens")))
}

/// A sink whose documents can be looked at.
pub(crate) struct Looked(pub(crate) MongoSink);

impl Looked {
    pub(crate) async fn bson(&self, collection: &str, id: &str) -> Option<bson::Document> {
        let documents = self.0.database().collection::<bson::Document>(collection);
        documents.find_one(doc! { "_id": id }).await.expect("answers")
    }
}

#[async_trait]
impl Documents for Looked {
    async fn document(&self, collection: &str, id: &str) -> Option<Document> {
        let found = self.bson(collection, id).await?;
        let raw = bson::RawDocumentBuf::try_from(&found).expect("is a document");
        Some(from_bson(&raw, &mut Vec::new()).expect("is read"))
    }
}

#[async_trait]
impl Sink for Looked {
    async fn apply(&self, batch: &Batch) -> Result<Vec<RefusedWrite>> {
        self.0.apply(batch).await
    }
}

#[async_trait]
impl Ledger for Looked {
    async fn adopted(&self) -> Result<Option<Adopted>> {
        self.0.adopted().await
    }

    async fn adopt(&self, adopted: &Adopted) -> Result<()> {
        self.0.adopt(adopted).await
    }

    async fn record(&self, events: &[(EventId, Position)]) -> Result<()> {
        self.0.record(events).await
    }

    async fn recall(&self, events: &[EventId]) -> Result<Vec<(EventId, Position)>> {
        self.0.recall(events).await
    }
}

#[async_trait]
impl DeadLetters for Looked {
    async fn bury(&self, letters: &[DeadLetter]) -> Result<()> {
        self.0.bury(letters).await
    }

    async fn letters(&self, after: Option<&str>, limit: u32) -> Result<Vec<DeadLetter>> {
        self.0.letters(after, limit).await
    }

    async fn discard(&self, ids: &[String]) -> Result<()> {
        self.0.discard(ids).await
    }

    async fn count_letters(&self) -> Result<u64> {
        self.0.count_letters().await
    }
}

/// Events of one partition, each with its offset and what it writes.
pub(crate) fn batch(events: Vec<(u64, Vec<Write>)>) -> Batch {
    let mut batch = Batch::default();
    for (offset, writes) in events {
        let event = given::event(0, offset, "Told", "{}");
        batch.add(event.into(), writes.into_iter().map(|write| ("h".into(), write)).collect());
    }
    batch
}
