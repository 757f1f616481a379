//! The ledger, kept from growing for ever.
//!
//! It is asked where an event stood when its row is read anew: by a snapshot, or by the stream around one. So an entry is
//! needed for as long as one of its events has a row, and for as long as a row may come back: with a backup of PostgreSQL that
//! is restored. How long ago the rows went, nobody has written down; so what is found without rows is noted, and removed by a
//! later run, when that is long enough ago.
//!
//! A snapshot that is being read may still bring rows that are gone. Before anything is removed, the slot must be confirmed
//! beyond the moment in which its rows were looked for: then whoever reads it has left every older snapshot behind.

use std::time::Duration;

use streamer_events::{Moment, sink, source};
use streamer_sink_mongodb::{Entry, MongoSink};
use streamer_source_postgres::{QueryError, Settings, until_confirmed};

use crate::lookup::Lookup;

/// So many entries are looked at at once.
const PAGE: u32 = 100;

/// So many entries are removed at once: for each time the slot is waited for.
const REMOVED_AT_ONCE: usize = 10_000;

/// So many events are asked for, or entries removed, in one command.
const AT_ONCE: usize = 1000;

/// How long one question to PostgreSQL may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Why it was not done, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The outbox cannot be read.
    #[error(transparent)]
    Outbox(#[from] QueryError),
    /// The slot is not confirmed.
    #[error(transparent)]
    Source(#[from] source::Error),
    /// The ledger cannot be read or written.
    #[error("the ledger in MongoDB cannot be read or written")]
    Ledger(#[from] sink::Error),
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pruned {
    /// Events that were removed from the ledger.
    pub removed: u64,
    /// Events whose rows are gone, not long enough as far as is known.
    pub gone: u64,
    /// Events that stay: they have rows, or were recorded at once with some that have.
    pub kept: u64,
}

/// Removes the entries whose events have had no rows for `gone_for`, and notes which have none `now`. Waits for the
/// processor to confirm what is committed, at most for `patience` each time. Safe to repeat, and beside a processor.
pub async fn prune(
    settings: &Settings,
    sink: &MongoSink,
    gone_for: Duration,
    now: Moment,
    patience: Duration,
) -> Result<Pruned, Error> {
    let Settings { server, outbox, message_bytes_max, .. } = settings;
    let mut lookup = Lookup::open(server, outbox, *message_bytes_max, TIMEOUT).await?;
    // A row that is only hidden may be read again.
    lookup.refuse_hidden_rows().await?;
    let mut pruning = Pruning { gone_for, now, due: Vec::new(), pruned: Pruned::default() };
    let mut after: Option<String> = None;
    loop {
        let entries = sink.entries(after.as_deref(), PAGE).await?;
        let Some(last) = entries.last() else { break };
        after = Some(last.id.clone());
        pruning.look_at(entries, &mut lookup, sink).await?;
        if pruning.due.len() >= REMOVED_AT_ONCE {
            pruning.remove(settings, sink, patience).await?;
        }
    }
    pruning.remove(settings, sink, patience).await?;
    lookup.close().await;
    Ok(pruning.pruned)
}

struct Pruning {
    gone_for: Duration,
    now: Moment,
    /// Entries that are to be removed, and how many events they have.
    due: Vec<(String, u64)>,
    pruned: Pruned,
}

impl Pruning {
    async fn look_at(
        &mut self,
        entries: Vec<Entry>,
        lookup: &mut Lookup,
        sink: &MongoSink,
    ) -> Result<(), Error> {
        let has_rows = with_rows(&entries, lookup).await?;
        let (mut came_back, mut newly_gone) = (Vec::new(), Vec::new());
        for (entry, has_rows) in entries.into_iter().zip(has_rows) {
            let count = entry.events.len() as u64;
            if has_rows {
                self.pruned.kept += count;
                came_back.extend(entry.gone_since.map(|_| entry.id));
                continue;
            }
            if entry.gone_since.is_none() {
                newly_gone.push(entry.id.clone());
            }
            let gone_since = entry.gone_since.unwrap_or(self.now);
            let gone_for = u64::try_from(self.now.micros_since(gone_since)).unwrap_or(0);
            match Duration::from_micros(gone_for) >= self.gone_for {
                true => self.due.push((entry.id, count)),
                false => self.pruned.gone += count,
            }
        }
        if !came_back.is_empty() {
            sink.note_gone(&came_back, None).await?;
        }
        if !newly_gone.is_empty() {
            sink.note_gone(&newly_gone, Some(self.now)).await?;
        }
        Ok(())
    }

    async fn remove(
        &mut self,
        settings: &Settings,
        sink: &MongoSink,
        patience: Duration,
    ) -> Result<(), Error> {
        if self.due.is_empty() {
            return Ok(());
        }
        until_confirmed(settings, patience).await?;
        let (ids, counts): (Vec<String>, Vec<u64>) = std::mem::take(&mut self.due).into_iter().unzip();
        for part in ids.chunks(AT_ONCE) {
            sink.forget(part).await?;
        }
        self.pruned.removed += counts.iter().sum::<u64>();
        Ok(())
    }
}

/// Of each entry, whether one of its events has a row. What was recorded was committed: a row that is not there is gone.
async fn with_rows(entries: &[Entry], lookup: &mut Lookup) -> Result<Vec<bool>, Error> {
    let mut has_rows = vec![false; entries.len()];
    let events = entries.iter().enumerate();
    let events: Vec<(usize, String)> = events
        .flat_map(|(at, entry)| entry.events.iter().map(move |event| (at, event.as_str().to_owned())))
        .collect();
    for part in events.chunks(AT_ONCE) {
        let ids: Vec<String> =
            part.iter().filter(|(at, _)| !has_rows[*at]).map(|(_, event)| event.clone()).collect();
        let there = lookup.aggregates(&ids).await?;
        for (at, event) in part {
            has_rows[*at] |= there.contains_key(event);
        }
    }
    Ok(has_rows)
}
