//! Where writes go, as the pipeline sees it. Every adapter passes `streamer-events-conformance`.

mod error;

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    apply::Refusal,
    batch::{Author, Batch},
    event::EventId,
    letter::DeadLetter,
    position::{Epoch, Position},
};

pub use error::{Error, ErrorKind, Result};

/// Takes the events of a source, with the writes that their handlers want.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Durable once this returns, but for what the answer refuses. Each group is applied as
    /// [`apply`](crate::apply::apply) says: what a document's position covers changes nothing, so a batch may be
    /// repeated, and so may parts of it in batches of other boundaries.
    ///
    /// A group with a refused write is applied at most up to that write, and its position stays below it: the caller
    /// puts the refusals into the dead letters first, and calls again with them left out
    /// ([`Group::void`](crate::batch::Group::void)). Other groups are applied.
    ///
    /// Atomic: each group, with its document's position. After an error any of the groups may have been applied.
    /// Batches that share a partition are applied one after the other, never at once.
    async fn apply(&self, batch: &Batch) -> Result<Vec<RefusedWrite>>;
}

/// A write that a document refused.
#[derive(Debug, Clone, PartialEq)]
pub struct RefusedWrite {
    /// Whose write. Of an event of the batch, or of an earlier one whose write waited.
    pub author: Author,
    /// Where the document is kept; empty in a sink that knows no documents.
    pub collection: Arc<str>,
    /// Its `_id`.
    pub id: Arc<str>,
    /// Why.
    pub refusal: Refusal,
}

/// Which events are known, and from which life of the source.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// The life of the source that the documents' positions belong to; none before the first.
    async fn adopted(&self) -> Result<Option<Adopted>>;

    /// Replaces it. Durable once this returns.
    async fn adopt(&self, adopted: &Adopted) -> Result<()>;

    /// Writes down where each event stands, beside where it stood before. Durable once this returns, and called
    /// before the first of an event's writes is applied. Safe to repeat.
    async fn record(&self, events: &[(EventId, Position)]) -> Result<()>;

    /// The positions of those events that are known, in any order, a pair for each.
    async fn recall(&self, events: &[EventId]) -> Result<Vec<(EventId, Position)>>;
}

/// The life of a source, as far as the sink has seen it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    /// Which life.
    pub epoch: Epoch,
    /// The number of its snapshot that was begun and not finished, if so.
    pub snapshot: Option<u32>,
}

/// What was refused.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// Durable once this returns. Safe to repeat: a letter that is there stays as it is.
    async fn bury(&self, letters: &[DeadLetter]) -> Result<()>;

    /// At most `limit` letters whose id is above `after`, in the order of their ids.
    async fn letters(&self, after: Option<&str>, limit: u32) -> Result<Vec<DeadLetter>>;

    /// Removes letters. Unknown ids are skipped.
    async fn discard(&self, ids: &[String]) -> Result<()>;

    /// How many there are.
    async fn count_letters(&self) -> Result<u64>;
}

/// A sink of documents, with what makes its writes count once. Adapters never name this trait.
pub trait ReadModels: Sink + Ledger + DeadLetters {}
impl<T: Sink + Ledger + DeadLetters> ReadModels for T {}
