//! What owners, operators and time do to a request.

use rusqlite::Result;
use streamer_engine::store::{Cancelled, EntryBody, ErrorKind, LogEntry, Outcome, RequestKey, Summary};
use streamer_protocol::{RequestStatus, TenantId, Timestamp};

use super::{end, standing, summary_of};
use crate::{
    agenda::Entry,
    error::{Failure, invalid},
    value::Columns,
    writer::Tx,
};

pub(crate) fn cancel(
    tx: &mut Tx<'_>,
    key: &RequestKey,
    outcome: &Outcome,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<Cancelled, Failure> {
    if !matches!(outcome, Outcome::Cancelled(_)) {
        return Err(invalid("a cancel ends as cancelled").into());
    }
    let standing = standing(tx.conn, key)?.ok_or(ErrorKind::NotFound)?;
    Ok(match standing.status {
        RequestStatus::Pending | RequestStatus::Retrying => {
            let seq = end(tx, key, &standing, outcome, now, expires_at)?;
            Cancelled::Ended(LogEntry { seq, at: now, body: EntryBody::Outcome(outcome.clone()) })
        }
        RequestStatus::Processing => {
            tx.conn
                .prepare_cached("UPDATE request SET cancel_asked = 1 WHERE number = ?1")?
                .execute([standing.number])?;
            Cancelled::Asked(summary_of(tx.conn, standing.number)?)
        }
        RequestStatus::Completed | RequestStatus::Failed | RequestStatus::Cancelled => {
            Cancelled::Already(summary_of(tx.conn, standing.number)?)
        }
    })
}

pub(crate) fn replay(tx: &mut Tx<'_>, key: &RequestKey, now: Timestamp) -> Result<Summary, Failure> {
    let standing = standing(tx.conn, key)?.ok_or(ErrorKind::NotFound)?;
    if standing.status != RequestStatus::Failed {
        return Err(ErrorKind::Conflict.into());
    }
    let outcome_bytes: i64 = tx
        .conn
        .prepare_cached("SELECT coalesce(octet_length(outcome), 0) FROM request WHERE number = ?1")?
        .query_row([standing.number], |row| row.get(0))?;
    tx.conn
        .prepare_cached(
            "UPDATE request SET status = 'PENDING', holder = NULL, run_at = ?2, due_at = ?2, retry_count = 0, \
             takeovers = 0, cancel_asked = 0, ended_at = NULL, expires_at = NULL, outcome = NULL \
             WHERE number = ?1",
        )?
        .execute((standing.number, now.as_millis()))?;
    tx.conn.prepare_cached("DELETE FROM outbox WHERE request = ?1")?.execute([standing.number])?;
    let summary = summary_of(tx.conn, standing.number)?;
    let (tenant, action, priority) = (key.tenant.clone(), summary.action.clone(), summary.priority);
    tx.agenda.set(standing.number, Entry { tenant, action, priority, due_at: now, leased: false });
    tx.stored.add(&key.tenant, -outcome_bytes);
    Ok(summary)
}

pub(crate) fn purge(tx: &mut Tx<'_>, now: Timestamp, limit: u32) -> Result<u64, Failure> {
    let expired: Vec<(i64, TenantId, i64)> = tx
        .conn
        .prepare_cached(
            "SELECT number, tenant, log_bytes + coalesce(octet_length(outcome), 0) + coalesce( \
             (SELECT octet_length(json) + coalesce(octet_length(permissions), 0) FROM payload WHERE payload.request = number), 0) \
             + coalesce((SELECT octet_length(json) FROM checkpoint WHERE checkpoint.request = number), 0) \
             FROM request WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2",
        )?
        .query_map((now.as_millis(), limit), |row| {
            let columns = &mut Columns::of(row);
            Ok((columns.get()?, columns.text(TenantId::new)?, columns.get()?))
        })?
        .collect::<Result<_>>()?;
    for (number, tenant, bytes) in &expired {
        tx.stored.add(tenant, -bytes);
        for removal in [
            "DELETE FROM log WHERE request = ?1",
            "DELETE FROM checkpoint WHERE request = ?1",
            "DELETE FROM payload WHERE request = ?1",
            "DELETE FROM outbox WHERE request = ?1",
            "DELETE FROM request WHERE number = ?1",
        ] {
            tx.conn.prepare_cached(removal)?.execute([number])?;
        }
    }
    Ok(expired.len() as u64)
}
