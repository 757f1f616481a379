//! Who works on what, and until when.

use rusqlite::{Connection, OptionalExtension, Result};
use streamer_engine::store::{
    Claim, Claimed, EntryBody, Lease, LogEntry, Record, Renewed, RunningMax, WorkerId,
};
use streamer_protocol::{RequestStatus, Timestamp};

use super::{Standing, lease_of, read_summary, summary, under};
use crate::{
    error::Failure,
    value::{Columns, int},
    writer::Tx,
};

pub(crate) fn claim(
    tx: &mut Tx<'_>,
    worker: &WorkerId,
    now: Timestamp,
    lease_until: Timestamp,
    limit: u32,
    running_max: &RunningMax,
) -> Result<Claimed, Failure> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let (taken, next_due) = tx.agenda.claim(now, lease_until, limit, running_max);
    let mut claims = Vec::with_capacity(taken.len());
    for number in taken {
        claims.push(lease(tx, number, worker, now, lease_until)?);
    }
    // The log has a restart: nobody may read of it before it is durable.
    tx.durable |= claims.iter().any(|claim| claim.restart.is_some());
    Ok(Claimed { claims, next_due })
}

fn lease(
    tx: &mut Tx<'_>,
    number: i64,
    worker: &WorkerId,
    now: Timestamp,
    lease_until: Timestamp,
) -> Result<Claim> {
    let conn = tx.conn;
    // Read, then written: a RETURNING would make a table for its answer each time.
    let sql = concat!(
        "SELECT ",
        summary!(),
        ", fence, covered, json, permissions FROM request \
         LEFT JOIN payload ON payload.request = number WHERE number = ?1"
    );
    let (mut summary, fence, covered, payload, permissions) =
        conn.prepare_cached(sql)?.query_row([number], |row| {
            let columns = &mut Columns::of(row);
            let (summary, fence, covered) = (read_summary(columns)?, columns.count()? + 1, columns.count()?);
            Ok((summary, fence, covered, columns.json()?, columns.optional_value()?.unwrap_or_default()))
        })?;
    summary.takeovers += u32::from(summary.status == RequestStatus::Processing);
    summary.status = RequestStatus::Processing;
    summary.attempt += 1;
    summary.retry_after = None;
    let started_at = *summary.started_at.get_or_insert(now);
    conn.prepare_cached(
        "UPDATE request SET takeovers = ?2, status = 'PROCESSING', attempt = ?3, fence = ?4, holder = ?5, \
         due_at = ?6, outcome = NULL, started_at = ?7 WHERE number = ?1",
    )?
    .execute((
        number,
        summary.takeovers,
        summary.attempt,
        int(fence),
        worker.as_str(),
        lease_until.as_millis(),
        started_at.as_millis(),
    ))?;
    let attempt = summary.attempt;
    let (restart, checkpoint) = match attempt {
        1 => (None, None),
        _ => {
            let body = EntryBody::Restart { attempt, from_index: covered };
            let entry = LogEntry { seq: summary.last_seq + 1, at: now, body };
            let void = void_chunks(conn, number, covered)?;
            append_restart(conn, number, &entry, attempt, covered)?;
            tx.stored.add(&summary.key.tenant, -void);
            summary.last_seq = entry.seq;
            summary.chunks = covered;
            summary.log_bytes = summary.log_bytes.saturating_add_signed(-void);
            let checkpoint = conn
                .prepare_cached("SELECT json FROM checkpoint WHERE request = ?1")?
                .query_row([number], |row| Columns::of(row).json())
                .optional()?;
            (Some(entry), checkpoint)
        }
    };
    let lease = lease_of(number, summary.key.clone(), fence);
    Ok(Claim { lease, record: Record { summary, payload, permissions, checkpoint, outcome: None }, restart })
}

/// Removes the chunks from `covered` on, and the restarts that another one from there makes superfluous. Answers how
/// many bytes the chunks had.
fn void_chunks(conn: &Connection, number: i64, covered: u64) -> Result<i64> {
    let void: i64 = conn
        .prepare_cached(
            "SELECT coalesce(sum(octet_length(json)), 0) FROM log WHERE request = ?1 AND place >= ?2",
        )?
        .query_row((number, int(covered)), |row| row.get(0))?;
    conn.prepare_cached("DELETE FROM log WHERE request = ?1 AND place >= ?2")?
        .execute((number, int(covered)))?;
    conn.prepare_cached("UPDATE request SET chunks = ?2, log_bytes = log_bytes - ?3 WHERE number = ?1")?
        .execute((number, int(covered), void))?;
    Ok(void)
}

fn append_restart(conn: &Connection, number: i64, entry: &LogEntry, attempt: u32, from: u64) -> Result<()> {
    conn.prepare_cached("INSERT INTO log (request, seq, at, place, attempt) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute((number, int(entry.seq), entry.at.as_millis(), int(from), attempt))?;
    conn.prepare_cached("UPDATE request SET last_seq = ?2 WHERE number = ?1")?
        .execute((number, int(entry.seq)))?;
    Ok(())
}

pub(crate) fn renew(
    tx: &mut Tx<'_>,
    leases: &[Lease],
    lease_until: Timestamp,
) -> Result<Vec<Renewed>, Failure> {
    let mut renewal = tx.conn.prepare_cached("UPDATE request SET due_at = ?2 WHERE number = ?1")?;
    let mut answers = Vec::with_capacity(leases.len());
    for lease in leases {
        answers.push(match under(tx.conn, lease) {
            Ok(Standing { number, status: RequestStatus::Processing, cancel_asked, .. }) => {
                renewal.execute((number, lease_until.as_millis()))?;
                tx.agenda.reschedule(number, lease_until, true);
                Renewed::Held { cancel_asked }
            }
            Ok(_) | Err(Failure::Refused(_)) => Renewed::Lost,
            Err(broken) => return Err(broken),
        });
    }
    Ok(answers)
}

pub(crate) fn reclaim(tx: &mut Tx<'_>, worker: &WorkerId, now: Timestamp) -> Result<u64, Failure> {
    let reclaimed: Vec<i64> = tx
        .conn
        .prepare_cached(
            "UPDATE request INDEXED BY request_open SET due_at = ?2 \
             WHERE expires_at IS NULL AND due_at > ?2 AND status = 'PROCESSING' AND holder = ?1 RETURNING number",
        )?
        .query_map((worker.as_str(), now.as_millis()), |row| row.get(0))?
        .collect::<Result<_>>()?;
    for number in &reclaimed {
        tx.agenda.reschedule(*number, now, true);
    }
    Ok(reclaimed.len() as u64)
}
