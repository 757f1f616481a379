//! What every source promises.

pub mod confirming;
pub mod reading;
pub mod snapshot;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use streamer_events::{
    Change, Event, Outbox,
    source::{Limit, Opened, Read, Source},
};

/// An outbox, and the processes that read it one after the other.
#[async_trait]
pub trait Place: Send + Sync {
    /// Inserts rows that no stream will bring: they are there before the source is first opened.
    async fn lay_under(&self, rows: &[NewRow]);

    /// Inserts rows in one transaction.
    async fn commit(&self, rows: &[NewRow]);

    /// A new process that reads the outbox, in the place of the last one. Nothing is opened yet.
    async fn source(&self) -> Arc<dyn Source>;

    /// Which table is the outbox.
    fn outbox(&self) -> Outbox {
        Outbox::default()
    }
}

/// A place under test.
pub type SharedPlace = Arc<dyn Place>;

/// A row of the outbox to be.
#[derive(Debug, Clone)]
pub struct NewRow {
    /// Its id: a UUID.
    pub event_id: String,
    /// What happened.
    pub event_type: String,
    /// To what: a UUID.
    pub aggregate_id: String,
    /// Of which kind that is.
    pub aggregate_type: String,
    /// JSON text.
    pub payload: String,
}

/// Nothing here takes long; a source that hangs is stopped and told apart from one that is slow.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long nothing may come where nothing should.
const QUIET: Duration = Duration::from_millis(150);

const LIMIT: Limit = Limit { changes: 1000, bytes: 1024 * 1024 };

fn id(n: u64) -> String {
    format!("00000000-0000-4000-8000-{n:012}")
}

fn row(n: u64) -> NewRow {
    NewRow {
        event_id: id(n),
        event_type: "Told".to_owned(),
        aggregate_id: id(n % 3),
        aggregate_type: "Thing".to_owned(),
        payload: format!(r#"{{"n": {n}}}"#),
    }
}

fn rows(range: std::ops::RangeInclusive<u64>) -> Vec<NewRow> {
    range.map(row).collect()
}

/// A process that is reading.
struct Reader {
    source: Arc<dyn Source>,
    outbox: Outbox,
}

impl Reader {
    async fn begin(place: &SharedPlace) -> Self {
        Self::begin_with(place, None).await
    }

    async fn begin_with(place: &SharedPlace, snapshot: Option<u32>) -> Self {
        let (reader, _) = Self::open(place).await;
        reader.source.start(snapshot).await.expect("begins");
        reader
    }

    async fn open(place: &SharedPlace) -> (Self, Opened) {
        let source = place.source().await;
        let opened = within(source.open()).await.expect("opens");
        (Self { source, outbox: place.outbox() }, opened)
    }

    async fn read(&self, limit: Limit) -> Vec<Read> {
        within(self.source.read(limit)).await.expect("reads")
    }

    /// The next so many changes.
    async fn changes(&self, count: usize) -> Vec<Change> {
        let mut changes = Vec::new();
        while changes.len() < count {
            let limit = Limit { changes: count - changes.len(), ..LIMIT };
            for read in self.read(limit).await {
                match read {
                    Read::Change(change) => changes.push(change),
                    Read::SnapshotEnd => panic!("a snapshot ends after {} of {count}", changes.len()),
                }
            }
        }
        changes
    }

    /// All that the snapshot holds.
    async fn snapshot(&self) -> Vec<Change> {
        let mut changes = Vec::new();
        loop {
            for read in self.read(Limit { changes: 2, ..LIMIT }).await {
                match read {
                    Read::Change(change) => changes.push(change),
                    Read::SnapshotEnd => return changes,
                }
            }
        }
    }

    async fn confirm(&self, change: &Change) {
        self.source.confirm(&change.position).await;
    }

    async fn close(self) {
        within(self.source.close()).await.expect("closes");
    }

    fn event(&self, change: &Change) -> Event {
        self.outbox.event(change).expect("is of the outbox").expect("is whole")
    }

    fn ids(&self, changes: &[Change]) -> Vec<String> {
        changes.iter().map(|change| self.event(change).id.as_str().to_owned()).collect()
    }

    /// Nothing comes.
    async fn is_quiet(&self) -> bool {
        tokio::time::timeout(QUIET, self.source.read(LIMIT)).await.is_err()
    }
}

async fn within<T>(doing: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, doing).await.expect("in time")
}
