//! Whether every event of the outbox is where it belongs, and nothing else is.
//!
//! Both sides are read once and in their order, a batch at a time, each batch compared with what the other side has of it:
//! the rows of the outbox, in one snapshot, with the documents that their handlers write; then the documents, by their
//! ids, with the rows that they come from. So a verification takes the same memory whatever it verifies.
//!
//! What is compared is at rest when nothing is written meanwhile. An event on its way is a difference until it arrives:
//! whoever verifies beside a running pipeline tries again for a while.

mod content;
mod differences;
mod documents;
mod doubts;
mod events;
mod ledger;
mod models;
mod outbox;
mod statistics;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::Serialize;
use streamer_events::{Moment, Outbox, Registry, sink};
use streamer_sink_mongodb::MongoSink;
use streamer_source_postgres::{QueryError, Server};

pub use differences::{Difference, Differences, Kind};
pub use documents::Documents;
pub use statistics::Statistic;

use doubts::Doubts;
use events::Recount;
use ledger::Ledger;
use models::Models;
use outbox::Rows;

use crate::lookup::Lookup;

/// What is verified.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the outbox is.
    pub server: Server,
    /// The outbox.
    pub outbox: Outbox,
    /// The column whose values rise with the rows.
    pub sequence: String,
    /// A row may have so many bytes.
    pub row_bytes_max: usize,
    /// How long the next row, or one question, may take.
    pub timeout: Duration,
    /// At most so many rows or documents are compared at once.
    pub batch_max: usize,
    /// No more rows are compared at once than have about so many bytes.
    pub batch_bytes_max: usize,
    /// Rows and documents that were made before are left out. Without it, everything since the oldest row is verified,
    /// and all documents if no row was ever pruned.
    pub since: Option<Moment>,
}

impl Settings {
    /// The settings of a server, the rest as specified.
    #[must_use]
    pub fn of(server: Server) -> Self {
        Self {
            server,
            outbox: Outbox::default(),
            sequence: "sequence_id".into(),
            row_bytes_max: 64 * 1024 * 1024,
            timeout: Duration::from_secs(60),
            batch_max: 500,
            batch_bytes_max: 4 * 1024 * 1024,
            since: None,
        }
    }
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The outbox cannot be read.
    #[error(transparent)]
    Postgres(#[from] QueryError),
    /// The read models cannot be read.
    #[error("MongoDB cannot be read")]
    Models(#[from] sink::Error),
    /// The same.
    #[error("MongoDB cannot be read")]
    MongoDb(#[from] mongodb::error::Error),
    /// The same.
    #[error("MongoDB: no answer within {0:?}")]
    Late(Duration),
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verified {
    /// Whether there is no difference.
    pub is_whole: bool,
    /// What was looked at.
    pub window: Window,
    /// Events, by their types.
    pub by_type: BTreeMap<String, Counts>,
    /// Those of all types.
    pub total: Counts,
    /// Documents, by their collections.
    pub documents: BTreeMap<String, Documents>,
    /// What is counted in documents, and counted again.
    pub statistics: Vec<Statistic>,
    /// What is not as it should be.
    pub differences: Differences,
}

/// Which part of the outbox there is to compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Window {
    /// Rows in it.
    pub rows: u64,
    /// When the oldest of them was made.
    pub since: Option<Moment>,
    /// Whether that is all there ever was: no rows were pruned, none are left out. Otherwise documents that are older
    /// than the window are not expected to have their rows.
    pub is_everything: bool,
}

/// Events of a type, each in one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Rows in PostgreSQL.
    pub postgres: u64,
    /// Events that MongoDB has, in whichever way: those below but the missing ones.
    pub mongodb: u64,
    /// All that their handlers wanted is written; nothing, if they have none.
    pub applied: u64,
    /// Some of it waits for a document to be made.
    pub waiting: u64,
    /// Some of it was refused, and is in the dead letters.
    pub dead_lettered: u64,
    /// None of this.
    pub missing: u64,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.postgres += other.postgres;
        self.mongodb += other.mongodb;
        self.applied += other.applied;
        self.waiting += other.waiting;
        self.dead_lettered += other.dead_lettered;
        self.missing += other.missing;
    }
}

/// So many types are told apart; the rest are `other`.
const TYPES_MAX: usize = 100;

/// Compares both sides.
pub async fn verify(settings: &Settings, sink: &MongoSink, registry: &Registry) -> Result<Verified, Error> {
    let models = Models::new(sink, settings);
    let mut findings = Findings { doubts: Doubts::of(&models).await?, ..Findings::default() };
    let mut rows = Rows::open(settings).await?;
    let window = rows.window();
    let mut ledger = Ledger::open(&models).await?;
    while let Some(batch) = rows.next().await? {
        events::compare(batch, &mut ledger, &models, registry, &mut findings).await?;
        if findings.doubts.is_full() {
            findings.settle(settings, &models, registry).await?;
        }
    }
    findings.settle(settings, &models, registry).await?;
    let unreadable = rows.close().await;
    events::compare_unreadable(unreadable, &models, &mut findings).await?;

    let Settings { server, outbox, row_bytes_max, timeout, .. } = settings;
    let mut lookup = Lookup::open(server, outbox, *row_bytes_max, *timeout).await?;
    let documents = documents::compare(&mut lookup, &models, &window, settings, &mut findings).await?;
    lookup.close().await;
    let statistics = statistics::compare(&models, &window, &documents, &mut findings).await?;

    let Findings { by_type, mut differences, removed_from, .. } = findings;
    differences.forgive(&removed_from);
    let mut total = Counts::default();
    by_type.values().for_each(|counts| total.add(counts));
    let is_whole = differences.count == 0;
    Ok(Verified { is_whole, window, by_type, total, documents, statistics, differences })
}

/// What has been found so far.
#[derive(Default)]
struct Findings {
    by_type: BTreeMap<String, Counts>,
    differences: Differences,
    recount: Recount,
    /// Collections from whose documents some handler takes things away.
    removed_from: BTreeSet<String>,
    doubts: Doubts,
}

impl Findings {
    async fn settle(
        &mut self,
        settings: &Settings,
        models: &Models<'_>,
        registry: &Registry,
    ) -> Result<(), Error> {
        self.doubts.settle(settings, models, registry, &mut self.differences).await
    }

    fn counts(&mut self, event_type: &str) -> &mut Counts {
        let is_known = self.by_type.contains_key(event_type) || self.by_type.len() < TYPES_MAX;
        let name = if is_known { event_type } else { "other" };
        self.by_type.entry(name.to_owned()).or_default()
    }
}
