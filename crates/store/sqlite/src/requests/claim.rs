//! Who works on what, and until when.

use rusqlite::{Connection, OptionalExtension, Result};
use streamer_engine::store::{Claim, EntryBody, Lease, LogEntry, Renewed, WorkerId};
use streamer_protocol::Timestamp;

use super::record_of;
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
) -> Result<Vec<Claim>, Failure> {
    let due: Vec<i64> = tx
        .conn
        .prepare_cached("SELECT number FROM request WHERE due_at <= ?1 ORDER BY due_at, number LIMIT ?2")?
        .query_map((now.as_millis(), limit), |row| row.get(0))?
        .collect::<Result<_>>()?;
    let mut claims = Vec::with_capacity(due.len());
    for number in due {
        claims.push(lease(tx.conn, number, worker, now, lease_until)?);
    }
    Ok(claims)
}

fn lease(
    conn: &Connection,
    number: i64,
    worker: &WorkerId,
    now: Timestamp,
    lease_until: Timestamp,
) -> Result<Claim> {
    let (fence, attempt, covered, last_seq) = conn
        .prepare_cached(
            "UPDATE request SET takeovers = takeovers + (status = 'PROCESSING'), status = 'PROCESSING', \
             attempt = attempt + 1, fence = fence + 1, holder = ?2, due_at = ?3, outcome = NULL, \
             started_at = coalesce(started_at, ?4) WHERE number = ?1 \
             RETURNING fence, attempt, covered, last_seq",
        )?
        .query_row((number, worker.as_str(), lease_until.as_millis(), now.as_millis()), |row| {
            let columns = &mut Columns::of(row);
            Ok((columns.count()?, columns.get::<u32>()?, columns.count()?, columns.count()?))
        })?;
    let restart = match attempt {
        1 => None,
        _ => {
            let body = EntryBody::Restart { attempt, from_index: covered };
            let entry = LogEntry { seq: last_seq + 1, at: now, body };
            void_chunks(conn, number, covered)?;
            append_restart(conn, number, &entry, attempt, covered)?;
            Some(entry)
        }
    };
    let record = record_of(conn, number)?;
    Ok(Claim { lease: Lease { key: record.summary.key.clone(), fence }, record, restart })
}

/// Removes the chunks from `covered` on, and the restarts that another one from there makes superfluous.
fn void_chunks(conn: &Connection, number: i64, covered: u64) -> Result<()> {
    let void: i64 = conn
        .prepare_cached(
            "SELECT coalesce(sum(octet_length(json)), 0) FROM log WHERE request = ?1 AND place >= ?2",
        )?
        .query_row((number, int(covered)), |row| row.get(0))?;
    conn.prepare_cached("DELETE FROM log WHERE request = ?1 AND place >= ?2")?
        .execute((number, int(covered)))?;
    conn.prepare_cached("UPDATE request SET chunks = ?2, log_bytes = log_bytes - ?3 WHERE number = ?1")?
        .execute((number, int(covered), void))?;
    Ok(())
}

fn append_restart(conn: &Connection, number: i64, entry: &LogEntry, attempt: u32, from: u64) -> Result<()> {
    conn.prepare_cached("INSERT INTO log (request, seq, at, place, attempt) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute((number, int(entry.seq), entry.at.as_millis(), int(from), attempt))?;
    conn.prepare_cached("UPDATE request SET last_seq = ?2 WHERE number = ?1")?
        .execute((number, int(entry.seq)))?;
    Ok(())
}

pub(crate) fn next_due(conn: &Connection) -> Result<Option<Timestamp>> {
    conn.prepare_cached("SELECT due_at FROM request WHERE due_at IS NOT NULL ORDER BY due_at LIMIT 1")?
        .query_row([], |row| Columns::of(row).time())
        .optional()
}

pub(crate) fn renew(
    tx: &mut Tx<'_>,
    leases: &[Lease],
    lease_until: Timestamp,
) -> Result<Vec<Renewed>, Failure> {
    let mut renewal = tx.conn.prepare_cached(
        "UPDATE request SET due_at = ?5 WHERE tenant = ?1 AND user = ?2 AND id = ?3 AND fence = ?4 \
         AND status = 'PROCESSING' RETURNING cancel_asked",
    )?;
    let mut answers = Vec::with_capacity(leases.len());
    for Lease { key, fence } in leases {
        let (tenant, user, id) = (key.tenant.as_str(), key.user.as_str(), key.id.as_str());
        let held = renewal
            .query_row((tenant, user, id, int(*fence), lease_until.as_millis()), |row| row.get(0))
            .optional()?;
        answers.push(held.map_or(Renewed::Lost, |cancel_asked| Renewed::Held { cancel_asked }));
    }
    Ok(answers)
}

pub(crate) fn reclaim(tx: &mut Tx<'_>, worker: &WorkerId, now: Timestamp) -> Result<u64, Failure> {
    let reclaimed = tx
        .conn
        .prepare_cached(
            "UPDATE request SET due_at = ?2 WHERE due_at > ?2 AND status = 'PROCESSING' AND holder = ?1",
        )?
        .execute((worker.as_str(), now.as_millis()))?;
    Ok(reclaimed as u64)
}
