//! The ledger: where each event stands. A document holds what was recorded at once, not one event.

use std::collections::HashSet;

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use mongodb::bson::{Bson, Document, RawArrayBuf, RawBson, RawDocumentBuf, doc, rawdoc};
use streamer_events::{
    EventId, Partition, Position,
    sink::{Adopted, Error, ErrorKind, Ledger, Result},
};

use crate::{
    command::{self, Write},
    error::of_driver,
    sink::{LEDGER, MongoSink, SOURCE},
};

/// So many events in one document.
const EVENTS_MAX: usize = 2000;
/// So many ids in one question.
const IDS_MAX: usize = 1000;

#[async_trait]
impl Ledger for MongoSink {
    async fn adopted(&self) -> Result<Option<Adopted>> {
        let source = self.database.collection::<Document>(SOURCE);
        let find = source.find_one(doc! { "_id": "source" });
        let found = self.within(async { find.await.map_err(of_driver) }).await?;
        let Some(found) = found else { return Ok(None) };
        let epoch = found.get_str("epoch").unwrap_or_default().parse().map_err(corrupt)?;
        let snapshot = found.get("snapshot").and_then(Bson::as_i32).and_then(|pass| u32::try_from(pass).ok());
        Ok(Some(Adopted { epoch, snapshot }))
    }

    async fn adopt(&self, adopted: &Adopted) -> Result<()> {
        let snapshot = adopted
            .snapshot
            .map_or(RawBson::Null, |pass| RawBson::Int32(i32::try_from(pass).unwrap_or(i32::MAX)));
        let id = "source";
        let source = rawdoc! { "_id": id, "epoch": adopted.epoch.to_string(), "snapshot": snapshot };
        self.keep(SOURCE, vec![(id.to_owned(), source)]).await
    }

    async fn record(&self, events: &[(EventId, Position)]) -> Result<()> {
        let mut partitions: Vec<(&Partition, Vec<&(EventId, Position)>)> = Vec::new();
        for event in events {
            match partitions.iter_mut().find(|(partition, _)| **partition == event.1.partition) {
                Some((_, of_partition)) => of_partition.push(event),
                None => partitions.push((&event.1.partition, vec![event])),
            }
        }
        let parts = partitions
            .iter()
            .flat_map(|(partition, events)| events.chunks(EVENTS_MAX).map(|part| recorded(partition, part)));
        self.keep(LEDGER, parts.collect()).await
    }

    async fn recall(&self, events: &[EventId]) -> Result<Vec<(EventId, Position)>> {
        let mut recalled = Vec::new();
        for part in events.chunks(IDS_MAX) {
            let wanted: HashSet<&str> = part.iter().map(EventId::as_str).collect();
            let ids: Vec<&str> = part.iter().map(EventId::as_str).collect();
            let ledger = self.database.collection::<Document>(LEDGER);
            let find = ledger.find(doc! { "events.id": { "$in": ids } });
            let finding = async {
                let mut found = find.await.map_err(of_driver)?;
                while let Some(document) = found.try_next().await.map_err(of_driver)? {
                    read(&document, &wanted, &mut recalled)?;
                }
                Ok(())
            };
            self.within(finding).await?;
        }
        Ok(recalled)
    }
}

impl MongoSink {
    /// Replaces documents by their ids, or inserts them.
    async fn keep(&self, collection: &str, documents: Vec<(String, RawDocumentBuf)>) -> Result<()> {
        if documents.is_empty() {
            return Ok(());
        }
        let writes = documents
            .into_iter()
            .map(|(id, update)| Write::Upsert { query: rawdoc! { "_id": id }, update })
            .collect();
        let failed = command::write(self, collection, writes).await?;
        match failed.first() {
            None => Ok(()),
            // Two who insert the same at once: one of them is told so, and may try again.
            Some(failed) => Err(Error::new(ErrorKind::Unavailable, failed.message.clone())),
        }
    }
}

/// A document of the ledger, with its id.
fn recorded(partition: &Partition, events: &[&(EventId, Position)]) -> (String, RawDocumentBuf) {
    let offset =
        |event: Option<&&(EventId, Position)>| event.map(|(_, at)| at.offset.to_string()).unwrap_or_default();
    // Recorded again with the same bounds, it is the same.
    let id = format!("{partition}@{}..{}", offset(events.first()), offset(events.last()));
    let mut list = RawArrayBuf::new();
    for (event, at) in events {
        list.push(rawdoc! { "id": event.as_str(), "at": at.offset.to_string() });
    }
    let document = rawdoc! { "_id": id.as_str(), "partition": partition.as_str(), "events": list };
    (id, document)
}

fn read(document: &Document, wanted: &HashSet<&str>, recalled: &mut Vec<(EventId, Position)>) -> Result<()> {
    let partition: Partition = document.get_str("partition").unwrap_or_default().parse().map_err(corrupt)?;
    let events = document.get_array("events").map_err(corrupt)?.iter().filter_map(Bson::as_document);
    for event in events {
        let id = event.get_str("id").map_err(corrupt)?;
        if wanted.contains(id) {
            let offset = event.get_str("at").map_err(corrupt)?.parse().map_err(corrupt)?;
            recalled.push((EventId::new(id), Position { partition: partition.clone(), offset }));
        }
    }
    Ok(())
}

fn corrupt(e: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Corrupt, e)
}
