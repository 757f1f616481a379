//! MongoDB's side, read and never written.

use std::{collections::HashSet, time::Duration};

use futures_util::TryStreamExt as _;
use mongodb::{
    Cursor, Database,
    bson::{Bson, Document as Bsons, RawBsonRef, RawDocumentBuf, doc},
};
use streamer_events::{
    Document, EventId, Partition, Position,
    apply::{ID, PENDING},
    sink::Ledger as _,
};
use streamer_sink_mongodb::{DEAD_LETTERS, MongoSink, from_bson};

use super::{Error, Settings};

pub(super) struct Models<'a> {
    sink: &'a MongoSink,
    timeout: Duration,
    batch: u32,
}

/// Documents, one by one.
pub(super) struct Stream {
    cursor: Cursor<RawDocumentBuf>,
    timeout: Duration,
}

impl Stream {
    /// The next, with its id.
    pub(super) async fn next(&mut self) -> Result<Option<(String, Document)>, Error> {
        let next = within(self.timeout, self.cursor.try_next()).await?;
        let read = |found: RawDocumentBuf| -> mongodb::error::Result<_> {
            let id = match found.get(ID)? {
                Some(RawBsonRef::String(id)) => id.to_owned(),
                // Nobody of ours wrote it.
                Some(other) => Bson::try_from(other)?.to_string(),
                None => String::new(),
            };
            Ok((id, from_bson(&found, &mut Vec::new())?))
        };
        Ok(next.map(read).transpose()?)
    }
}

async fn within<T>(
    timeout: Duration,
    asking: impl Future<Output = mongodb::error::Result<T>>,
) -> Result<T, Error> {
    Ok(tokio::time::timeout(timeout, asking).await.map_err(|_| Error::Late(timeout))??)
}

impl<'a> Models<'a> {
    pub(super) fn new(sink: &'a MongoSink, settings: &Settings) -> Self {
        let batch = u32::try_from(settings.batch_max).unwrap_or(u32::MAX);
        Self { sink, timeout: settings.timeout, batch }
    }

    fn database(&self) -> &Database {
        self.sink.database()
    }

    /// What the names of the partitions begin with in the source's present life; empty before its first.
    pub(super) async fn present(&self) -> Result<String, Error> {
        let partition = self.sink.adopted().await?.map(|adopted| Partition::of(&adopted.epoch, 0));
        let life = partition.as_ref().and_then(|partition| partition.as_str().split_once('_'));
        Ok(life.map_or(String::new(), |(life, _)| life.to_owned()))
    }

    /// Where these events stand, each perhaps more than once.
    pub(super) async fn recall(&self, ids: &[EventId]) -> Result<Vec<(EventId, Position)>, Error> {
        Ok(self.sink.recall(ids).await?)
    }

    /// Which of these letters there are.
    pub(super) async fn letters(&self, ids: &[String]) -> Result<HashSet<String>, Error> {
        let mut there = HashSet::new();
        for part in ids.chunks(1000) {
            let filter = doc! { ID: { "$in": part } };
            let mut found = self.find(DEAD_LETTERS, filter, Some(doc! { ID: 1 })).await?;
            while let Some((id, _)) = found.next().await? {
                there.insert(id);
            }
        }
        Ok(there)
    }

    /// How many letters a handler has written about events of a type; of all types without one.
    pub(super) async fn count_letters(&self, handler: &str, event_type: Option<&str>) -> Result<u64, Error> {
        let mut filter = doc! { "handler": handler };
        if let Some(event_type) = event_type {
            filter.insert("event_type", event_type);
        }
        let letters = self.database().collection::<Bsons>(DEAD_LETTERS);
        within(self.timeout, async { letters.count_documents(filter).await }).await
    }

    /// Whose creation a handler has refused, among these.
    pub(super) async fn refused(
        &self,
        handler: &str,
        aggregates: &[String],
    ) -> Result<HashSet<String>, Error> {
        let mut refused = HashSet::new();
        let filter = doc! { "handler": handler, "aggregate_id": { "$in": aggregates } };
        let mut found = self.find(DEAD_LETTERS, filter, Some(doc! { "aggregate_id": 1 })).await?;
        while let Some((_, letter)) = found.next().await? {
            let aggregate = letter.get("aggregate_id").and_then(|value| value.as_text());
            refused.extend(aggregate.map(ToOwned::to_owned));
        }
        Ok(refused)
    }

    /// The documents of these ids, as they come.
    pub(super) async fn documents(&self, collection: &str, ids: &[&str]) -> Result<Stream, Error> {
        self.find(collection, doc! { ID: { "$in": ids } }, None).await
    }

    /// All documents, by their ids.
    pub(super) async fn all(&self, collection: &str) -> Result<Stream, Error> {
        let documents = self.database().collection::<RawDocumentBuf>(collection);
        let find = documents.find(doc! {}).sort(doc! { ID: 1 }).batch_size(self.batch);
        let cursor = within(self.timeout, async { find.await }).await?;
        Ok(Stream { cursor, timeout: self.timeout })
    }

    /// All documents, as the database has them.
    pub(super) async fn unordered(&self, collection: &str) -> Result<Stream, Error> {
        self.find(collection, doc! {}, None).await
    }

    /// Which of these ids have a document that was made.
    pub(super) async fn existing(&self, collection: &str, ids: &[String]) -> Result<HashSet<String>, Error> {
        let mut existing = HashSet::new();
        for part in ids.chunks(1000) {
            let filter = doc! { ID: { "$in": part } };
            let mut found = self.find(collection, filter, Some(doc! { "_pending.event": 1 })).await?;
            while let Some((id, document)) = found.next().await? {
                if !document.contains(PENDING) {
                    existing.insert(id);
                }
            }
        }
        Ok(existing)
    }

    /// Each document of these events, by the event's id.
    pub(super) async fn made_by(
        &self,
        collection: &str,
        events: &[String],
    ) -> Result<Vec<(String, String)>, Error> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let filter = doc! { "metadata.source_event_id": { "$in": events } };
        let shown = doc! { "metadata.source_event_id": 1 };
        let mut found = self.find(collection, filter, Some(shown)).await?;
        let mut made = Vec::new();
        while let Some((id, document)) = found.next().await? {
            if let Some(event) = super::documents::source(&document) {
                made.push((event.to_owned(), id));
            }
        }
        Ok(made)
    }

    async fn find(&self, collection: &str, filter: Bsons, shown: Option<Bsons>) -> Result<Stream, Error> {
        let documents = self.database().collection::<RawDocumentBuf>(collection);
        let mut find = documents.find(filter).batch_size(self.batch);
        if let Some(shown) = shown {
            find = find.projection(shown);
        }
        let cursor = within(self.timeout, async { find.await }).await?;
        Ok(Stream { cursor, timeout: self.timeout })
    }
}
