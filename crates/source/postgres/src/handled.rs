//! Rows of the outbox whose events are where they belong: marked, or removed.
//!
//! Which ones those are, the slot says: what was committed before a position that is confirmed is durable in every sink.
//! So the rows are looked at in one snapshot, the end of the log is noted after it, and nothing is touched before the slot
//! is confirmed up to there. A row that is committed meanwhile is not in the snapshot.

use std::time::Duration;

use streamer_events::{
    failpoint::{self, Step},
    source::{self, Error as SourceError, ErrorKind},
};
use tokio::time::{Instant, sleep};

use crate::{
    connection::{Connection, Purpose, literal, quoted},
    error::{Error, Result},
    settings::Settings,
};

/// So many rows are changed by one statement.
const PAGE: usize = 1000;

/// How often the slot is looked at while it is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What is done to rows whose events are durable in every sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handled {
    /// Those that are `pending` become `processed`, with the time in `published_at`.
    Mark,
    /// Those that were made so long ago are removed.
    Remove {
        /// How long ago.
        older_than: Duration,
    },
}

/// Does it, and says to how many rows. Waits for the processor to confirm what is committed now, at most for `patience`.
/// Safe to repeat; neither comes back as an event.
pub async fn see_to_handled(
    settings: &Settings,
    handled: Handled,
    patience: Duration,
) -> source::Result<u64> {
    let seeing_to = see_to(settings, handled, patience).await;
    seeing_to.map_err(told)
}

/// Waits until the processor has confirmed what is committed now, at most for `patience`. Whoever reads the slot then reads no
/// rows of a snapshot that is older than the call.
pub async fn until_confirmed(settings: &Settings, patience: Duration) -> source::Result<()> {
    let waiting = async {
        let mut connection =
            Connection::open(&settings.server, Purpose::Queries, settings.message_bytes_max).await?;
        await_confirmed(&mut connection, settings, patience).await?;
        connection.close().await
    };
    waiting.await.map_err(told)
}

fn told(error: Error) -> SourceError {
    error.fatal().unwrap_or_else(|e| SourceError::new(ErrorKind::NotReady, e.to_string()))
}

async fn see_to(settings: &Settings, handled: Handled, patience: Duration) -> Result<u64> {
    let open = || Connection::open(&settings.server, Purpose::Queries, settings.message_bytes_max);
    let (mut reading, mut writing) = (open().await?, open().await?);
    let (condition, change) = statements(settings, handled);
    let outbox = &settings.outbox;
    let table = format!("{}.{}", quoted(&outbox.schema), quoted(&outbox.table));
    let id = quoted(&outbox.event_id);
    reading.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let cursor = format!("DECLARE handled NO SCROLL CURSOR FOR SELECT {id} FROM {table} WHERE {condition}");
    reading.query(&cursor).await?;
    await_confirmed(&mut writing, settings, patience).await?;
    let mut count = 0;
    loop {
        let page = reading.query(&format!("FETCH {PAGE} FROM handled")).await?;
        let ids: Vec<_> = page.into_iter().flatten().flatten().map(|id| literal(&id)).collect();
        if ids.is_empty() {
            break;
        }
        let sql = format!(
            "WITH changed AS ({}) SELECT count(*) FROM changed",
            change(&table, &format!("{id} IN ({})", ids.join(", ")))
        );
        let changed = failpoint::around(Step::SeeTo, writing.value(&sql)).await?;
        count += changed.and_then(|count| count.parse::<u64>().ok()).unwrap_or(0);
    }
    writing.close().await?;
    reading.close().await?;
    Ok(count)
}

type Change = Box<dyn Fn(&str, &str) -> String + Send>;

/// Which rows, and what changes those of a table that a condition picks.
fn statements(settings: &Settings, handled: Handled) -> (String, Change) {
    match handled {
        Handled::Mark => (
            "status = 'pending'".to_owned(),
            Box::new(|table, which| {
                format!(
                    "UPDATE {table} SET status = 'processed', published_at = clock_timestamp() \
                     WHERE {which} AND status = 'pending' RETURNING 1"
                )
            }),
        ),
        Handled::Remove { older_than } => (
            format!(
                "{} < now() - interval '{} seconds'",
                quoted(&settings.outbox.created_at),
                older_than.as_secs()
            ),
            Box::new(|table, which| format!("DELETE FROM {table} WHERE {which} RETURNING 1")),
        ),
    }
}

/// Waits until the slot is confirmed up to the log's end, as it is now.
async fn await_confirmed(connection: &mut Connection, settings: &Settings, patience: Duration) -> Result<()> {
    let slot = &settings.slot;
    let end = connection.value("SELECT pg_catalog.pg_current_wal_insert_lsn()").await?.unwrap_or_default();
    // A transaction of our own behind it: on an idle log there would be nothing to confirm until the heart beats twice.
    connection.query("SELECT pg_catalog.pg_logical_emit_message(true, 'streamer', '')").await?;
    let sql = format!(
        "SELECT confirmed_flush_lsn >= {}::pg_lsn FROM pg_catalog.pg_replication_slots WHERE slot_name = {}",
        literal(&end),
        literal(slot)
    );
    let began = Instant::now();
    loop {
        let problem = match connection.value(&sql).await?.as_deref() {
            Some("t") => return Ok(()),
            Some(_) => format!(
                "the slot {slot} is not confirmed up to {end}: is a processor running, and not far behind?"
            ),
            None => format!("there is no replication slot {slot}"),
        };
        if began.elapsed() >= patience {
            let error = SourceError::new(ErrorKind::NotReady, problem).mended_by("streamer events run");
            return Err(Error::Fatal(error));
        }
        sleep(LOOK_EVERY).await;
    }
}
