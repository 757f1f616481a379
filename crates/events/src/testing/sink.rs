//! A sink in memory.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::{
    apply::{Applied, apply, waiting},
    batch::{Batch, Group},
    event::EventId,
    letter::DeadLetter,
    position::Position,
    sink::{Adopted, DeadLetters, Error, ErrorKind, Ledger, RefusedWrite, Result, Sink},
    value::Document,
};

type Key = (String, String);

/// Documents, ledger and dead letters in memory; gone with the process.
#[derive(Debug, Default)]
pub struct MemorySink(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    documents: BTreeMap<Key, Document>,
    adopted: Option<Adopted>,
    known: BTreeMap<EventId, BTreeSet<String>>,
    letters: BTreeMap<String, DeadLetter>,
    /// How often a group was found applied before, for tests that want to have seen it.
    repeated: u64,
}

impl MemorySink {
    /// Empty.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A document, if it is there.
    #[must_use]
    pub fn document(&self, collection: &str, id: &str) -> Option<Document> {
        self.0.lock().documents.get(&(collection.to_owned(), id.to_owned())).cloned()
    }

    /// All documents, by collection and id.
    #[must_use]
    pub fn documents(&self) -> BTreeMap<(String, String), Document> {
        self.0.lock().documents.clone()
    }

    /// How many writes wait for an insert.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.lock().documents.values().map(waiting).sum()
    }

    /// How often a group was found to have been applied before.
    #[must_use]
    pub fn repeated(&self) -> u64 {
        self.0.lock().repeated
    }
}

impl Kept {
    fn apply(&mut self, group: &Group, refused: &mut Vec<RefusedWrite>) {
        let key = (group.collection.to_string(), group.id.to_string());
        match apply(self.documents.get(&key).cloned(), group) {
            Applied::Known => self.repeated += 1,
            Applied::Document(document) => drop(self.documents.insert(key, document)),
            Applied::Refused(writes) => refused.extend(writes.into_iter().map(|write| RefusedWrite {
                author: write.author,
                collection: group.collection.clone(),
                id: group.id.clone(),
                refusal: write.refusal,
            })),
        }
    }
}

#[async_trait]
impl Sink for MemorySink {
    async fn apply(&self, batch: &Batch) -> Result<Vec<RefusedWrite>> {
        let mut refused = Vec::new();
        let mut kept = self.0.lock();
        for group in &batch.groups {
            kept.apply(group, &mut refused);
        }
        Ok(refused)
    }
}

#[async_trait]
impl Ledger for MemorySink {
    async fn adopted(&self) -> Result<Option<Adopted>> {
        Ok(self.0.lock().adopted.clone())
    }

    async fn adopt(&self, adopted: &Adopted) -> Result<()> {
        self.0.lock().adopted = Some(adopted.clone());
        Ok(())
    }

    async fn record(&self, events: &[(EventId, Position)]) -> Result<()> {
        let mut kept = self.0.lock();
        for (id, position) in events {
            kept.known.entry(id.clone()).or_default().insert(position.to_string());
        }
        Ok(())
    }

    async fn recall(&self, events: &[EventId]) -> Result<Vec<(EventId, Position)>> {
        let kept = self.0.lock();
        let known = events.iter().filter_map(|id| Some((id, kept.known.get(id)?)));
        let pairs = known.flat_map(|(id, positions)| positions.iter().map(move |text| (id, text)));
        pairs
            .map(|(id, text)| {
                let position = text.parse().map_err(|e| Error::new(ErrorKind::Corrupt, e))?;
                Ok((id.clone(), position))
            })
            .collect()
    }
}

#[async_trait]
impl DeadLetters for MemorySink {
    async fn bury(&self, letters: &[DeadLetter]) -> Result<()> {
        let mut kept = self.0.lock();
        for letter in letters {
            kept.letters.entry(letter.id.clone()).or_insert_with(|| letter.clone());
        }
        Ok(())
    }

    async fn letters(&self, after: Option<&str>, limit: u32) -> Result<Vec<DeadLetter>> {
        let kept = self.0.lock();
        let above = kept.letters.values().filter(|letter| after.is_none_or(|after| *letter.id > *after));
        Ok(above.take(limit as usize).cloned().collect())
    }

    async fn discard(&self, ids: &[String]) -> Result<()> {
        let mut kept = self.0.lock();
        for id in ids {
            kept.letters.remove(id);
        }
        Ok(())
    }

    async fn count_letters(&self) -> Result<u64> {
        Ok(self.0.lock().letters.len() as u64)
    }
}
