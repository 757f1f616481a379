//! A source in memory.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    change::Change,
    position::{Epoch, Offset, Partition, Position},
    source::{Error, ErrorKind, Limit, Opened, Read, Result, Source},
};

/// A log in memory, with partitions that any number of [`MemorySource`]s read.
pub struct MemoryLog {
    kept: Mutex<Kept>,
    more: Notify,
}

struct Kept {
    epoch: Epoch,
    /// What is older than the log.
    rows: Vec<Change>,
    partitions: BTreeMap<u32, Vec<Change>>,
    confirmed: BTreeMap<Partition, Offset>,
}

impl MemoryLog {
    /// An empty log of one life.
    #[must_use]
    pub fn new(epoch: Epoch) -> Arc<Self> {
        let (rows, partitions, confirmed) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        Arc::new(Self { kept: Mutex::new(Kept { epoch, rows, partitions, confirmed }), more: Notify::new() })
    }

    /// Puts a change behind those of its partition, and gives it its position.
    pub fn append(&self, partition: u32, mut change: Change) {
        let mut kept = self.kept.lock();
        let epoch = kept.epoch.clone();
        let changes = kept.partitions.entry(partition).or_default();
        let offset = Offset::at(changes.len() as u64 + 1);
        change.position = Position { partition: Partition::of(&epoch, partition), offset };
        changes.push(change);
        drop(kept);
        self.more.notify_waiters();
    }

    /// Lays a row under the log: only a snapshot brings it.
    pub fn lay_under(&self, row: Change) {
        self.kept.lock().rows.push(row);
    }

    /// Begins another life: what the log holds becomes rows that only a snapshot brings.
    pub fn recreate(&self, epoch: Epoch) {
        let mut kept = self.kept.lock();
        let streamed: Vec<_> = std::mem::take(&mut kept.partitions).into_values().flatten().collect();
        kept.rows.extend(streamed);
        kept.confirmed.clear();
        kept.epoch = epoch;
    }

    /// The last position that is confirmed in a partition.
    #[must_use]
    pub fn confirmed(&self, partition: u32) -> Option<Offset> {
        let kept = self.kept.lock();
        kept.confirmed.get(&Partition::of(&kept.epoch, partition)).copied()
    }

    /// How many changes a partition has.
    #[must_use]
    pub fn len(&self, partition: u32) -> usize {
        self.kept.lock().partitions.get(&partition).map_or(0, Vec::len)
    }

    /// Whether everything is confirmed.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        let kept = self.kept.lock();
        kept.partitions.iter().all(|(index, changes)| {
            let confirmed = kept.confirmed.get(&Partition::of(&kept.epoch, *index));
            confirmed.map_or(0, |offset| offset.major) == changes.len() as u64
        })
    }

    /// A process that reads these partitions, from what is confirmed.
    #[must_use]
    pub fn source(self: &Arc<Self>, partitions: &[u32]) -> MemorySource {
        let reading = Reading { partitions: partitions.to_vec(), ..Reading::default() };
        MemorySource { log: Arc::clone(self), reading: Mutex::new(reading) }
    }
}

/// One process that reads a [`MemoryLog`].
pub struct MemorySource {
    log: Arc<MemoryLog>,
    reading: Mutex<Reading>,
}

#[derive(Default)]
struct Reading {
    partitions: Vec<u32>,
    /// The next change of each partition, from 0.
    next: BTreeMap<u32, usize>,
    snapshot: Option<Snapshot>,
    started: bool,
    closed: bool,
}

struct Snapshot {
    pass: u32,
    next: usize,
}

impl MemorySource {
    /// Reads other partitions from now on, each from what is confirmed: what a rebalance does.
    pub fn assign(&self, partitions: &[u32]) {
        let mut reading = self.reading.lock();
        reading.next.retain(|index, _| partitions.contains(index));
        reading.partitions = partitions.to_vec();
        drop(reading);
        self.log.more.notify_waiters();
    }

    fn take(&self, limit: Limit) -> Result<Vec<Read>> {
        let kept = self.log.kept.lock();
        let mut reading = self.reading.lock();
        if reading.closed || !reading.started {
            return Err(Error::new(ErrorKind::Closed, "is not open"));
        }
        if let Some(snapshot) = &mut reading.snapshot {
            let rows = kept.rows.iter().enumerate().skip(snapshot.next).take(limit.changes);
            let partition = Partition::snapshot(&kept.epoch, snapshot.pass);
            let mut reads: Vec<_> = rows
                .map(|(at, row)| {
                    let offset = Offset::at(at as u64 + 1);
                    let position = Position { partition: partition.clone(), offset };
                    Read::Change(Change { position, may_be_known: true, ..row.clone() })
                })
                .collect();
            snapshot.next += reads.len();
            if snapshot.next == kept.rows.len() && reads.len() < limit.changes {
                reads.push(Read::SnapshotEnd);
                reading.snapshot = None;
            }
            return Ok(reads);
        }
        let mut reads = Vec::new();
        for index in reading.partitions.clone() {
            let confirmed = kept.confirmed.get(&Partition::of(&kept.epoch, index));
            let confirmed = confirmed.map_or(0, |offset| usize::try_from(offset.major).unwrap_or(usize::MAX));
            let next = reading.next.entry(index).or_insert(confirmed);
            let changes = kept.partitions.get(&index).into_iter().flatten().skip(*next);
            let before = reads.len();
            reads.extend(changes.take(limit.changes - before).cloned().map(Read::Change));
            *next += reads.len() - before;
        }
        Ok(reads)
    }
}

#[async_trait]
impl Source for MemorySource {
    async fn open(&self) -> Result<Opened> {
        let kept = self.log.kept.lock();
        Ok(Opened { epoch: kept.epoch.clone(), has_rows_before: !kept.rows.is_empty() })
    }

    async fn start(&self, snapshot: Option<u32>) -> Result<()> {
        let mut reading = self.reading.lock();
        reading.snapshot = snapshot.map(|pass| Snapshot { pass, next: 0 });
        reading.started = true;
        Ok(())
    }

    async fn read(&self, limit: Limit) -> Result<Vec<Read>> {
        loop {
            let more = self.log.more.notified();
            tokio::pin!(more);
            more.as_mut().enable();
            let reads = self.take(limit)?;
            if !reads.is_empty() {
                return Ok(reads);
            }
            more.await;
        }
    }

    async fn confirm(&self, position: &Position) {
        let mut kept = self.log.kept.lock();
        let confirmed = kept.confirmed.entry(position.partition.clone()).or_insert(position.offset);
        *confirmed = (*confirmed).max(position.offset);
    }

    async fn close(&self) -> Result<()> {
        self.reading.lock().closed = true;
        Ok(())
    }
}
