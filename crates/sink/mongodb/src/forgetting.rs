//! Entries of the ledger that are not needed any more: which those are, whoever knows the outbox says.

use futures_util::TryStreamExt as _;
use mongodb::bson::{Bson, DateTime, Document, doc};
use streamer_events::{
    EventId, Moment,
    failpoint::{self, Step},
    sink::Result,
};

use crate::{
    error::of_driver,
    sink::{LEDGER, MongoSink},
};

/// Since when no event of an entry has been in the outbox, as far as somebody has looked.
const GONE_SINCE: &str = "gone_since";

/// What was recorded at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the ledger.
    pub id: String,
    /// Whose places it knows.
    pub events: Vec<EventId>,
    /// What was noted of it last.
    pub gone_since: Option<Moment>,
}

impl MongoSink {
    /// At most `limit` entries of the ledger behind that name, in the order of their names.
    pub async fn entries(&self, after: Option<&str>, limit: u32) -> Result<Vec<Entry>> {
        let behind = after.map_or_else(Document::new, |after| doc! { "_id": { "$gt": after } });
        let ledger = self.database.collection::<Document>(LEDGER);
        let find = ledger
            .find(behind)
            .sort(doc! { "_id": 1 })
            .limit(limit.into())
            .projection(doc! { "events.id": 1, GONE_SINCE: 1 });
        let finding =
            async { find.await.map_err(of_driver)?.try_collect::<Vec<_>>().await.map_err(of_driver) };
        Ok(self.within(finding).await?.iter().map(entry).collect())
    }

    /// Notes since when these entries are gone; without a time, that they are not.
    pub async fn note_gone(&self, ids: &[String], since: Option<Moment>) -> Result<()> {
        let change = match since {
            Some(since) => doc! { "$set": { GONE_SINCE: DateTime::from_millis(since.as_millis()) } },
            None => doc! { "$unset": { GONE_SINCE: "" } },
        };
        let ledger = self.database.collection::<Document>(LEDGER);
        let noting = ledger.update_many(doc! { "_id": { "$in": ids } }, change);
        let noting = self.within(async { noting.await.map_err(of_driver) });
        failpoint::around(Step::Forget, noting).await.map(drop)
    }

    /// Removes entries.
    pub async fn forget(&self, ids: &[String]) -> Result<()> {
        let ledger = self.database.collection::<Document>(LEDGER);
        let removing = ledger.delete_many(doc! { "_id": { "$in": ids } });
        let removing = self.within(async { removing.await.map_err(of_driver) });
        failpoint::around(Step::Forget, removing).await.map(drop)
    }
}

fn entry(document: &Document) -> Entry {
    let events = document.get_array("events").map(Vec::as_slice).unwrap_or_default();
    let ids = events.iter().filter_map(|event| event.as_document()?.get_str("id").ok());
    let gone_since = document.get(GONE_SINCE).and_then(Bson::as_datetime);
    Entry {
        id: document.get_str("_id").unwrap_or_default().to_owned(),
        events: ids.map(EventId::new).collect(),
        gone_since: gone_since.map(|at| Moment::from_millis(at.timestamp_millis())),
    }
}
