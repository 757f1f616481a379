//! The slot: the server's memory of how far we are.
//!
//! PostgreSQL has no name for a slot but the one that we give it: a slot that was dropped and made anew looks the same
//! and has a gap before it. So a table of ours beside the outbox keeps, for each slot, its incarnation and the furthest
//! position that was ever told to the server. It is written first: a slot that stands further is not the one we knew.

use streamer_events::{
    change::Lsn,
    failpoint::{self, Step},
    source::{Error as SourceError, ErrorKind},
};
use tracing::info;

use crate::{
    connection::{Connection, literal, quoted},
    error::{Error, Result},
    settings::Settings,
};

/// The name of the table of slots.
pub(crate) const TABLE: &str = "streamer_slots";

/// The table of slots, in the outbox's schema.
pub(crate) fn table(settings: &Settings) -> String {
    format!("{}.{}", quoted(&settings.outbox.schema), quoted(TABLE))
}

/// What makes the table.
pub(crate) fn table_definition(settings: &Settings) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {} (slot_name text PRIMARY KEY, incarnation text NOT NULL, \
         reported pg_lsn NOT NULL, overlap pg_lsn, created_at timestamptz NOT NULL DEFAULT now())",
        table(settings)
    )
}

/// A slot that is ready to be read.
#[derive(Debug)]
pub(crate) struct Slot {
    /// Which slot of its name it is.
    pub(crate) incarnation: String,
    /// How far it is confirmed.
    pub(crate) confirmed: Lsn,
    /// The furthest position that was told to the server.
    pub(crate) reported: Lsn,
    /// Changes that were committed before this may also have been rows of a snapshot.
    pub(crate) overlap: Option<Lsn>,
    /// The name of a snapshot of what was there when the slot was made, if it was made just now.
    pub(crate) exported: Option<String>,
}

struct Found {
    confirmed: Lsn,
    is_lost: bool,
    plugin: String,
    database: Option<String>,
}

/// Finds the slot, or makes it if there never was one.
pub(crate) async fn open(
    control: &mut Connection,
    replication: &mut Connection,
    settings: &Settings,
) -> Result<Slot> {
    let found = find(control, settings).await?;
    let known = known(control, settings).await?;
    match (found, known) {
        (None, None) => make(control, replication, settings).await,
        (None, Some((_, reported, _))) => Err(lost(settings, "is gone", reported)),
        (Some(found), _)
            if found.plugin != "pgoutput" || found.database.as_ref() != Some(&settings.server.database) =>
        {
            Err(foreign(settings))
        }
        (Some(found), Some((_, reported, _))) if found.is_lost => {
            Err(lost(settings, "was invalidated, because it held back too much of the log", reported))
        }
        (Some(found), Some((_, reported, _))) if found.confirmed > reported => {
            Err(lost(settings, "was made anew or moved by somebody else", reported))
        }
        (Some(found), Some((incarnation, reported, overlap))) => {
            Ok(Slot { incarnation, confirmed: found.confirmed, reported, overlap, exported: None })
        }
        (Some(found), None) => adopt(control, settings, found.confirmed, None).await,
    }
}

async fn find(control: &mut Connection, settings: &Settings) -> Result<Option<Found>> {
    let sql = format!(
        "SELECT coalesce(confirmed_flush_lsn, '0/0'), coalesce(wal_status, '') = 'lost', plugin, database \
         FROM pg_catalog.pg_replication_slots WHERE slot_name = {}",
        literal(&settings.slot)
    );
    let Some(row) = control.query(&sql).await?.into_iter().next() else { return Ok(None) };
    let mut fields = row.into_iter();
    let mut field = || fields.next().flatten();
    Ok(Some(Found {
        confirmed: lsn(field())?,
        is_lost: field().as_deref() == Some("t"),
        plugin: field().unwrap_or_default(),
        database: field(),
    }))
}

type Known = (String, Lsn, Option<Lsn>);

async fn known(control: &mut Connection, settings: &Settings) -> Result<Option<Known>> {
    let (table, slot) = (table(settings), literal(&settings.slot));
    let sql = format!("SELECT incarnation, reported, overlap FROM {table} WHERE slot_name = {slot}");
    let Some(row) = control.query(&sql).await?.into_iter().next() else { return Ok(None) };
    let mut fields = row.into_iter();
    let incarnation = fields.next().flatten().unwrap_or_default();
    let reported = lsn(fields.next().flatten())?;
    let overlap = fields.next().flatten().map(|text| lsn(Some(text))).transpose()?;
    Ok(Some((incarnation, reported, overlap)))
}

async fn make(control: &mut Connection, replication: &mut Connection, settings: &Settings) -> Result<Slot> {
    let options = match replication.version() {
        170_000.. => "(SNAPSHOT 'export', FAILOVER true)",
        150_000.. => "(SNAPSHOT 'export')",
        _ => "EXPORT_SNAPSHOT",
    };
    let sql = format!("CREATE_REPLICATION_SLOT {} LOGICAL pgoutput {options}", quoted(&settings.slot));
    let made = failpoint::around(Step::MakeSlot, replication.query(&sql)).await?;
    let mut fields = made.into_iter().next().unwrap_or_default().into_iter().skip(1);
    let (point, exported) = (lsn(fields.next().flatten())?, fields.next().flatten());
    info!(slot = %settings.slot, at = %point, "the slot was made");
    adopt(control, settings, point, exported).await
}

async fn adopt(
    control: &mut Connection,
    settings: &Settings,
    confirmed: Lsn,
    exported: Option<String>,
) -> Result<Slot> {
    // The place alone could be another slot's too: somebody's clock makes it one of a kind.
    let (table, slot) = (table(settings), literal(&settings.slot));
    let incarnation = format!("{}/{}", settings.slot, confirmed.to_string().replace('/', "-"));
    let sql = format!(
        "INSERT INTO {table} (slot_name, incarnation, reported) VALUES ({slot}, {} || '/' || \
         (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, {}) RETURNING incarnation",
        literal(&incarnation),
        literal(&confirmed.to_string())
    );
    let known = failpoint::around(Step::KnowSlot, control.value(&sql)).await?;
    let incarnation = known.unwrap_or(incarnation);
    Ok(Slot { incarnation, confirmed, reported: confirmed, overlap: None, exported })
}

/// Writes down that positions up to this one will be told to the server.
pub(crate) async fn report(control: &mut Connection, settings: &Settings, upto: Lsn) -> Result<()> {
    let (table, slot, upto) = (table(settings), literal(&settings.slot), literal(&upto.to_string()));
    let sql = format!("UPDATE {table} SET reported = {upto} WHERE slot_name = {slot}");
    failpoint::around(Step::Report, control.query(&sql)).await.map(drop)
}

/// Writes down that changes committed before this may also be rows of a snapshot.
pub(crate) async fn overlap(control: &mut Connection, settings: &Settings, upto: Lsn) -> Result<()> {
    let (table, slot, upto) = (table(settings), literal(&settings.slot), literal(&upto.to_string()));
    let sql = format!("UPDATE {table} SET overlap = greatest(overlap, {upto}) WHERE slot_name = {slot}");
    failpoint::around(Step::Overlap, control.query(&sql)).await.map(drop)
}

/// Forgets the slot, so that the next [`open`] makes it.
pub(crate) async fn remove(control: &mut Connection, settings: &Settings) -> Result<()> {
    let (table, slot) = (table(settings), literal(&settings.slot));
    let sql = format!(
        "SELECT pg_catalog.pg_drop_replication_slot(slot_name) FROM pg_catalog.pg_replication_slots \
         WHERE slot_name = {slot}"
    );
    failpoint::around(Step::DropSlot, control.query(&sql)).await?;
    let sql = format!("DELETE FROM {table} WHERE slot_name = {slot}");
    failpoint::around(Step::ForgetSlot, control.query(&sql)).await.map(drop)
}

/// How far the slot is behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lag {
    /// Bytes of the log between what is confirmed and the log's end.
    pub bytes: u64,
    /// Bytes of the log that the server keeps for the slot.
    pub retained_bytes: u64,
    /// In PostgreSQL's word: `reserved`, `extended`, `unreserved` or `lost`.
    pub wal_status: String,
}

/// How far the slot is behind, if it is there.
pub(crate) async fn lag(control: &mut Connection, settings: &Settings) -> Result<Option<Lag>> {
    let slot = literal(&settings.slot);
    let sql = format!(
        "SELECT greatest(pg_current_wal_lsn() - confirmed_flush_lsn, 0), \
         greatest(pg_current_wal_lsn() - restart_lsn, 0), coalesce(wal_status, '') \
         FROM pg_catalog.pg_replication_slots WHERE slot_name = {slot}"
    );
    let Some(row) = control.query(&sql).await?.into_iter().next() else { return Ok(None) };
    let mut fields = row.into_iter().map(Option::unwrap_or_default);
    let mut bytes = || fields.next().and_then(|text| text.parse().ok()).unwrap_or(0);
    let (behind, retained_bytes) = (bytes(), bytes());
    Ok(Some(Lag { bytes: behind, retained_bytes, wal_status: fields.next().unwrap_or_default() }))
}

pub(crate) fn lsn(text: Option<String>) -> Result<Lsn> {
    let text = text.unwrap_or_default();
    text.parse().map_err(|_| {
        let message = format!("the server says {text:?} where a log sequence number should be");
        Error::Fatal(SourceError::new(ErrorKind::Corrupt, message))
    })
}

/// The slot is not what it was.
pub(crate) fn lost(settings: &Settings, what: &str, reported: Lsn) -> Error {
    let slot = &settings.slot;
    let message = format!(
        "the replication slot {slot} {what}: changes that were committed after {reported} may be missing from the \
         read models"
    );
    Error::Fatal(SourceError::new(ErrorKind::Lost, message).mended_by("streamer events resnapshot"))
}

fn foreign(settings: &Settings) -> Error {
    let (slot, database) = (&settings.slot, &settings.server.database);
    let message = format!("the replication slot {slot} is not one of pgoutput in the database {database}");
    Error::Fatal(SourceError::new(ErrorKind::NotReady, message).mended_by("another name for the slot"))
}
