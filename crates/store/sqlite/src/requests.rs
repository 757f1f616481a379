//! Requests in their tables.
//!
//! Writes look first and refuse before they change anything; what fails after that is a fault of SQLite or of
//! the disk, and rolls back.

mod claim;
mod enqueue;
mod read;
mod run;
mod settle;

use rusqlite::{Connection, OptionalExtension, Result, Row};
use streamer_engine::store::{ErrorKind, Lease, Outcome, Record, RequestKey, Summary};
use streamer_protocol::{Action, ConnectionId, RequestId, RequestStatus, TenantId, Timestamp, UserId};

pub(crate) use self::{
    claim::{claim, reclaim, renew},
    enqueue::{enqueue, promote},
    read::{list, log, read_cursor, request},
    run::{append, finish, release, retry},
    settle::{cancel, purge, replay},
};
use crate::{
    error::Failure,
    stored_bytes::bytes_of,
    value::{Columns, int},
};

macro_rules! summary {
    () => {
        "tenant, user, id, connection, action, priority, status, progress, attempt, retry_count, max_retries, \
         takeovers, repeatable, cancel_asked, run_at, created_at, started_at, ended_at, expires_at, last_seq, \
         chunks, log_bytes"
    };
}
use summary;

fn read_summary(columns: &mut Columns<'_, '_>) -> Result<Summary> {
    let key = RequestKey {
        tenant: columns.text(TenantId::new)?,
        user: columns.text(UserId::new)?,
        id: columns.checked(RequestId::parse)?,
    };
    let mut summary = Summary {
        key,
        connection: columns.optional_text(ConnectionId::new)?,
        action: columns.checked(Action::parse)?,
        priority: columns.priority()?,
        status: columns.status()?,
        progress: columns.optional_value()?,
        attempt: columns.get()?,
        retry_count: columns.get()?,
        max_retries: columns.get()?,
        takeovers: columns.get()?,
        retry_after: None,
        repeatable: columns.get()?,
        cancel_asked: columns.get()?,
        run_at: columns.time()?,
        created_at: columns.time()?,
        started_at: columns.optional_time()?,
        ended_at: columns.optional_time()?,
        expires_at: columns.optional_time()?,
        last_seq: columns.count()?,
        chunks: columns.count()?,
        log_bytes: columns.count()?,
    };
    summary.retry_after = (summary.status == RequestStatus::Retrying).then_some(summary.run_at);
    Ok(summary)
}

fn summary_of(conn: &Connection, number: i64) -> Result<Summary> {
    let sql = concat!("SELECT ", summary!(), " FROM request WHERE number = ?1");
    conn.prepare_cached(sql)?.query_row([number], |row| read_summary(&mut Columns::of(row)))
}

fn record_of(conn: &Connection, number: i64) -> Result<Record> {
    let summary = summary_of(conn, number)?;
    let contents = "SELECT p.json, p.permissions, c.json, r.outcome FROM request r JOIN payload p ON p.request = r.number \
        LEFT JOIN checkpoint c ON c.request = r.number WHERE r.number = ?1";
    conn.prepare_cached(contents)?.query_row([number], |row| {
        let columns = &mut Columns::of(row);
        let payload = columns.json()?;
        let permissions = columns.optional_value()?.unwrap_or_default();
        let checkpoint = columns.optional_json()?;
        let outcome = read_outcome(summary.status, columns)?;
        Ok(Record { summary, payload, permissions, checkpoint, outcome })
    })
}

/// The next column is an outcome, whose kind the status tells.
fn read_outcome(status: RequestStatus, columns: &mut Columns<'_, '_>) -> Result<Option<Outcome>> {
    Ok(match status {
        RequestStatus::Completed => columns.optional_json()?.map(Outcome::Completed),
        RequestStatus::Cancelled => columns.optional_value()?.map(Outcome::Cancelled),
        _ => columns.optional_value()?.map(Outcome::Failed),
    })
}

/// Where a request stands, as far as a write needs to know.
struct Standing {
    number: i64,
    status: RequestStatus,
    /// Whether somebody holds the newest fence's lease, or ended the request under it.
    has_holder: bool,
    cancel_asked: bool,
    last_seq: u64,
    chunks: u64,
}

macro_rules! standing {
    () => {
        "SELECT number, status, holder IS NOT NULL, cancel_asked, last_seq, chunks FROM request"
    };
}

fn read_standing(row: &Row<'_>) -> Result<Standing> {
    let columns = &mut Columns::of(row);
    Ok(Standing {
        number: columns.get()?,
        status: columns.status()?,
        has_holder: columns.get()?,
        cancel_asked: columns.get()?,
        last_seq: columns.count()?,
        chunks: columns.count()?,
    })
}

fn standing(conn: &Connection, key: &RequestKey) -> Result<Option<Standing>> {
    conn.prepare_cached(concat!(standing!(), " WHERE tenant = ?1 AND user = ?2 AND id = ?3"))?
        .query_row([key.tenant.as_str(), key.user.as_str(), key.id.as_str()], read_standing)
        .optional()
}

fn lease_of(number: i64, key: RequestKey, fence: u64) -> Lease {
    Lease { key, fence, place: number.unsigned_abs() }
}

/// The request whose newest fence is the lease's.
fn under(conn: &Connection, lease: &Lease) -> std::result::Result<Standing, Failure> {
    // By its number, which is found at once. It may be another request's by now: so the key must be its, too.
    let sql =
        concat!(standing!(), " WHERE number = ?1 AND fence = ?2 AND id = ?3 AND user = ?4 AND tenant = ?5");
    let key = &lease.key;
    let found = conn
        .prepare_cached(sql)?
        .query_row(
            (int(lease.place), int(lease.fence), key.id.as_str(), key.user.as_str(), key.tenant.as_str()),
            read_standing,
        )
        .optional()?;
    Ok(found.ok_or(ErrorKind::LeaseLost)?)
}

/// Ends a request, with its outcome as the log's next entry. Returns that entry's `seq`.
fn end(
    tx: &mut crate::writer::Tx<'_>,
    key: &RequestKey,
    standing: &Standing,
    outcome: &Outcome,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<u64> {
    let seq = standing.last_seq + 1;
    let kept = outcome.to_json();
    tx.conn
        .prepare_cached(
            "UPDATE request SET status = ?2, outcome = ?3, ended_at = ?4, expires_at = ?5, last_seq = ?6, \
             due_at = NULL WHERE number = ?1",
        )?
        .execute((
            standing.number,
            outcome.status().as_str(),
            kept.as_str(),
            now.as_millis(),
            expires_at.as_millis(),
            int(seq),
        ))?;
    // Nothing is written for a request that is not announced.
    tx.conn
        .prepare_cached(
            "INSERT OR REPLACE INTO outbox (request, action, due_at) \
             SELECT number, action, ?2 FROM request WHERE number = ?1 AND announced",
        )?
        .execute((standing.number, now.as_millis()))?;
    tx.agenda.end(standing.number);
    tx.stored.add(&key.tenant, bytes_of(kept.as_str()));
    Ok(seq)
}
