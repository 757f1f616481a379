//! Any sink, with a place before and after each of its writes.
//!
//! It has the whole ports: a write that is new there has no way past this file.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Step, around};
use crate::{
    batch::Batch,
    event::EventId,
    letter::DeadLetter,
    position::Position,
    sink::{Adopted, DeadLetters, Ledger, ReadModels, RefusedWrite, Result, Sink},
};

pub(super) struct Models(pub(super) Arc<dyn ReadModels>);

#[async_trait]
impl Sink for Models {
    async fn apply(&self, batch: &Batch) -> Result<Vec<RefusedWrite>> {
        around(Step::Apply, self.0.apply(batch)).await
    }
}

#[async_trait]
impl Ledger for Models {
    async fn adopted(&self) -> Result<Option<Adopted>> {
        self.0.adopted().await
    }

    async fn adopt(&self, adopted: &Adopted) -> Result<()> {
        around(Step::Adopt, self.0.adopt(adopted)).await
    }

    async fn record(&self, events: &[(EventId, Position)]) -> Result<()> {
        around(Step::Record, self.0.record(events)).await
    }

    async fn recall(&self, events: &[EventId]) -> Result<Vec<(EventId, Position)>> {
        self.0.recall(events).await
    }
}

#[async_trait]
impl DeadLetters for Models {
    async fn bury(&self, letters: &[DeadLetter]) -> Result<()> {
        around(Step::Bury, self.0.bury(letters)).await
    }

    async fn letters(&self, after: Option<&str>, limit: u32) -> Result<Vec<DeadLetter>> {
        self.0.letters(after, limit).await
    }

    async fn discard(&self, ids: &[String]) -> Result<()> {
        around(Step::Discard, self.0.discard(ids)).await
    }

    async fn count_letters(&self) -> Result<u64> {
        self.0.count_letters().await
    }
}

pub(super) struct Other(pub(super) Arc<dyn Sink>);

#[async_trait]
impl Sink for Other {
    async fn apply(&self, batch: &Batch) -> Result<Vec<RefusedWrite>> {
        around(Step::Publish, self.0.apply(batch)).await
    }
}
