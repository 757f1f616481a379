//! What a worker does under its lease.

use rusqlite::{Connection, OptionalExtension};
use streamer_engine::store::{EntryBody, ErrorKind, Lease, LogEntry, Outcome, Quota};
use streamer_protocol::{ErrorBody, Json, RequestStatus, Timestamp};

use super::{Standing, end, under};
use crate::{
    error::{Failure, invalid},
    stored_bytes::bytes_of,
    value::{int, json_text},
    writer::Tx,
};

pub(crate) fn append(
    tx: &mut Tx<'_>,
    lease: &Lease,
    entries: &[LogEntry],
    checkpoint: Option<&Json>,
    quota: &Quota,
) -> Result<bool, Failure> {
    let standing = under(tx.conn, lease)?;
    if standing.status != RequestStatus::Processing {
        return Err(ErrorKind::LeaseLost.into());
    }
    if entries.last().is_some_and(|last| last.seq < standing.last_seq) {
        return Ok(standing.cancel_asked); // Done long ago: a later call has changed the checkpoint since.
    }
    let known = entries.iter().take_while(|entry| entry.seq <= standing.last_seq).count();
    let new = &entries[known..];
    continues(&standing, new)?;
    let chunks = bytes_of_chunks(new);
    let larger_by = match checkpoint {
        Some(checkpoint) => bytes_of(checkpoint.as_str()) - bytes_of_checkpoint(tx.conn, standing.number)?,
        None => 0,
    };
    let (tenant, added) = (&lease.key.tenant, chunks + larger_by);
    if added > 0 && added.unsigned_abs() > tx.stored.room(tx.conn, tenant, quota)? {
        return Err(ErrorKind::Full.into());
    }
    tx.stored.add(tenant, added);
    if !new.is_empty() {
        write(tx.conn, &standing, new, chunks)?;
    }
    if let Some(checkpoint) = checkpoint {
        tx.conn
            .prepare_cached("INSERT OR REPLACE INTO checkpoint (request, json) VALUES (?1, ?2)")?
            .execute((standing.number, checkpoint.as_str()))?;
        tx.conn
            .prepare_cached("UPDATE request SET covered = chunks WHERE number = ?1")?
            .execute([standing.number])?;
    }
    Ok(standing.cancel_asked)
}

/// Whether these entries are the log's next.
fn continues(standing: &Standing, entries: &[LogEntry]) -> Result<(), Failure> {
    let (mut seq, mut index) = (standing.last_seq, standing.chunks);
    for entry in entries {
        let fits = match entry.body {
            EntryBody::Progress(_) => true,
            EntryBody::Chunk { index: given, .. } => given == index,
            EntryBody::Restart { .. } | EntryBody::Outcome(_) => false,
        };
        if !fits || entry.seq <= seq {
            return Err(invalid("an entry that does not continue the log").into());
        }
        seq = entry.seq;
        index += u64::from(matches!(entry.body, EntryBody::Chunk { .. }));
    }
    Ok(())
}

fn bytes_of_chunks(entries: &[LogEntry]) -> i64 {
    let bytes = |entry: &LogEntry| match &entry.body {
        EntryBody::Chunk { data, .. } => bytes_of(data.as_str()),
        _ => 0,
    };
    entries.iter().map(bytes).sum()
}

fn bytes_of_checkpoint(conn: &Connection, number: i64) -> rusqlite::Result<i64> {
    let kept = conn
        .prepare_cached("SELECT octet_length(json) FROM checkpoint WHERE request = ?1")?
        .query_row([number], |row| row.get(0))
        .optional()?;
    Ok(kept.unwrap_or(0))
}

/// `bytes` are the chunks'.
fn write(conn: &Connection, standing: &Standing, entries: &[LogEntry], bytes: i64) -> rusqlite::Result<()> {
    let (mut chunks, mut progress) = (0_i64, None);
    for entry in entries {
        match &entry.body {
            EntryBody::Chunk { index, data } => {
                chunks += 1;
                conn.prepare_cached(
                    "INSERT INTO log (request, seq, at, place, json) VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute((
                    standing.number,
                    int(entry.seq),
                    entry.at.as_millis(),
                    int(*index),
                    data.as_str(),
                ))?;
            }
            EntryBody::Progress(state) => progress = Some((entry, state)),
            EntryBody::Restart { .. } | EntryBody::Outcome(_) => {}
        }
    }
    let last_seq = int(entries.last().map_or(standing.last_seq, |last| last.seq));
    match progress {
        None => conn
            .prepare_cached(
                "UPDATE request SET last_seq = ?2, chunks = chunks + ?3, log_bytes = log_bytes + ?4 \
                 WHERE number = ?1",
            )?
            .execute((standing.number, last_seq, chunks, bytes))?,
        Some((entry, state)) => conn
            .prepare_cached(
                "UPDATE request SET last_seq = ?2, chunks = chunks + ?3, log_bytes = log_bytes + ?4, \
                 progress_seq = ?5, progress_at = ?6, progress = ?7 WHERE number = ?1",
            )?
            .execute((
                standing.number,
                last_seq,
                chunks,
                bytes,
                int(entry.seq),
                entry.at.as_millis(),
                json_text(state),
            ))?,
    };
    Ok(())
}

pub(crate) fn finish(
    tx: &mut Tx<'_>,
    lease: &Lease,
    outcome: &Outcome,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<u64, Failure> {
    let standing = under(tx.conn, lease)?;
    if !standing.has_holder {
        return Err(ErrorKind::LeaseLost.into());
    }
    if standing.status.is_final() {
        return Ok(standing.last_seq);
    }
    Ok(end(tx, &lease.key, &standing, outcome, now, expires_at)?)
}

pub(crate) fn retry(
    tx: &mut Tx<'_>,
    lease: &Lease,
    run_at: Timestamp,
    error: &ErrorBody,
) -> Result<(), Failure> {
    let standing = under(tx.conn, lease)?;
    match standing.status {
        RequestStatus::Processing => {}
        RequestStatus::Retrying => return Ok(()),
        _ => return Err(ErrorKind::LeaseLost.into()),
    }
    tx.conn
        .prepare_cached(
            "UPDATE request SET status = 'RETRYING', holder = NULL, run_at = ?2, due_at = ?2, \
             retry_count = retry_count + 1, outcome = ?3 WHERE number = ?1",
        )?
        .execute((standing.number, run_at.as_millis(), json_text(error)))?;
    tx.agenda.reschedule(standing.number, run_at, false);
    Ok(())
}

pub(crate) fn release(tx: &mut Tx<'_>, lease: &Lease, run_at: Timestamp) -> Result<(), Failure> {
    let standing = under(tx.conn, lease)?;
    match standing.status {
        RequestStatus::Processing => {}
        RequestStatus::Pending => return Ok(()),
        _ => return Err(ErrorKind::LeaseLost.into()),
    }
    tx.conn
        .prepare_cached(
            "UPDATE request SET status = 'PENDING', holder = NULL, run_at = ?2, due_at = ?2 WHERE number = ?1",
        )?
        .execute((standing.number, run_at.as_millis()))?;
    tx.agenda.reschedule(standing.number, run_at, false);
    Ok(())
}
