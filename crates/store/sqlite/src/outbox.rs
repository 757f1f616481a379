//! The outbox in its table: what is told is taken out.

use std::collections::BTreeSet;

use rusqlite::{Connection, Result};
use streamer_engine::store::{
    Announcement, ErrorKind, GivenUp, OutboxDepth, Outcome, Page, RequestKey, ToAnnounce,
};
use streamer_protocol::{Action, RequestId, RequestStatus, TenantId, Timestamp, UserId};

use crate::{
    error::Failure,
    value::{Columns, int, json_text},
    writer::Tx,
};

/// The row of a request that was taken under a fence, and not since.
const TAKEN: &str =
    "request = (SELECT number FROM request WHERE tenant = ?1 AND user = ?2 AND id = ?3) AND fence = ?4";

pub(crate) fn take(
    tx: &mut Tx<'_>,
    now: Timestamp,
    lease_until: Timestamp,
    limit: u32,
    except: &BTreeSet<Action>,
) -> std::result::Result<ToAnnounce, Failure> {
    let next_due = tx
        .conn
        .prepare_cached("SELECT min(due_at) FROM outbox WHERE due_at > ?1")?
        .query_row([now.as_millis()], |row| Columns::of(row).optional_time())?;
    let due: Vec<i64> = tx
        .conn
        .prepare_cached(
            "SELECT request FROM outbox WHERE due_at <= ?1 AND action NOT IN (SELECT value FROM json_each(?2)) \
             ORDER BY due_at, request LIMIT ?3",
        )?
        .query_map((now.as_millis(), json_text(except), limit), |row| row.get(0))?
        .collect::<Result<_>>()?;
    for number in &due {
        tx.conn
            .prepare_cached("UPDATE outbox SET due_at = ?2, fence = fence + 1 WHERE request = ?1")?
            .execute((number, lease_until.as_millis()))?;
    }
    let announcements = due.iter().map(|number| announcement(tx.conn, *number)).collect::<Result<_>>()?;
    Ok(ToAnnounce { announcements, next_due })
}

fn announcement(conn: &Connection, number: i64) -> Result<Announcement> {
    conn.prepare_cached(
        "SELECT r.tenant, r.user, r.id, r.action, r.status, r.outcome, r.last_seq, r.created_at, r.ended_at, \
         r.attempt, o.failures, o.fence FROM outbox o JOIN request r ON r.number = o.request WHERE o.request = ?1",
    )?
    .query_row([number], |row| {
        let columns = &mut Columns::of(row);
        let key = key(columns)?;
        let (action, status) = (columns.checked(Action::parse)?, columns.status()?);
        let outcome = match status {
            RequestStatus::Completed => Outcome::Completed(columns.json()?),
            RequestStatus::Cancelled => Outcome::Cancelled(columns.value()?),
            _ => Outcome::Failed(columns.value()?),
        };
        Ok(Announcement {
            key,
            action,
            outcome,
            seq: columns.count()?,
            created_at: columns.time()?,
            ended_at: columns.time()?,
            attempt: columns.get()?,
            failures: columns.get()?,
            fence: columns.count()?,
        })
    })
}

fn key(columns: &mut Columns<'_, '_>) -> Result<RequestKey> {
    Ok(RequestKey {
        tenant: columns.text(TenantId::new)?,
        user: columns.text(UserId::new)?,
        id: columns.checked(RequestId::parse)?,
    })
}

pub(crate) fn announced(tx: &mut Tx<'_>, key: &RequestKey, fence: u64) -> std::result::Result<(), Failure> {
    tx.conn.prepare_cached(&format!("DELETE FROM outbox WHERE {TAKEN}"))?.execute((
        key.tenant.as_str(),
        key.user.as_str(),
        key.id.as_str(),
        int(fence),
    ))?;
    Ok(())
}

pub(crate) fn put_off(
    tx: &mut Tx<'_>,
    key: &RequestKey,
    fence: u64,
    due_at: Timestamp,
    why: Option<&str>,
) -> std::result::Result<(), Failure> {
    tx.conn
        .prepare_cached(&format!(
            "UPDATE outbox SET due_at = ?5, fence = fence + 1, failures = failures + (?6 IS NOT NULL), \
             why = coalesce(?6, why) WHERE {TAKEN}"
        ))?
        .execute((
            key.tenant.as_str(),
            key.user.as_str(),
            key.id.as_str(),
            int(fence),
            due_at.as_millis(),
            why,
        ))?;
    Ok(())
}

pub(crate) fn give_up(
    tx: &mut Tx<'_>,
    key: &RequestKey,
    fence: u64,
    now: Timestamp,
    why: &str,
) -> std::result::Result<(), Failure> {
    tx.conn
        .prepare_cached(&format!(
            "UPDATE outbox SET due_at = NULL, fence = fence + 1, failures = failures + 1, given_up_at = ?5, why = ?6 \
             WHERE {TAKEN}"
        ))?
        .execute((
            key.tenant.as_str(),
            key.user.as_str(),
            key.id.as_str(),
            int(fence),
            now.as_millis(),
            why,
        ))?;
    Ok(())
}

/// The cursor is the number of a page's last request.
pub(crate) fn given_up(conn: &Connection, limit: u32, before: Option<i64>) -> Result<Page<GivenUp>> {
    let sql = "SELECT r.number, r.tenant, r.user, r.id, r.action, o.failures, o.why, r.ended_at, o.given_up_at \
        FROM outbox o JOIN request r ON r.number = o.request WHERE o.due_at IS NULL AND o.request < ?1 \
        ORDER BY o.request DESC LIMIT ?2";
    let mut listing = conn.prepare_cached(sql)?;
    let rows = listing.query_map((before.unwrap_or(i64::MAX), i64::from(limit) + 1), |row| {
        let columns = &mut Columns::of(row);
        let number: i64 = columns.get()?;
        let given_up = GivenUp {
            key: key(columns)?,
            action: columns.checked(Action::parse)?,
            failures: columns.get()?,
            why: columns.get()?,
            ended_at: columns.time()?,
            given_up_at: columns.time()?,
        };
        Ok((number, given_up))
    })?;
    let mut items: Vec<(i64, GivenUp)> = rows.collect::<Result<_>>()?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = items.len() > limit;
    items.truncate(limit);
    let cursor = items.last().filter(|_| more).map(|(number, _)| number.to_string());
    Ok(Page { items: items.into_iter().map(|(_, item)| item).collect(), cursor })
}

pub(crate) fn revive(tx: &mut Tx<'_>, key: &RequestKey, now: Timestamp) -> std::result::Result<(), Failure> {
    let revived = tx
        .conn
        .prepare_cached(
            "UPDATE outbox SET due_at = ?4, failures = 0, why = NULL, given_up_at = NULL WHERE due_at IS NULL \
             AND request = (SELECT number FROM request WHERE tenant = ?1 AND user = ?2 AND id = ?3)",
        )?
        .execute((key.tenant.as_str(), key.user.as_str(), key.id.as_str(), now.as_millis()))?;
    if revived == 0 { Err(ErrorKind::NotFound.into()) } else { Ok(()) }
}

pub(crate) fn depth(conn: &Connection) -> Result<OutboxDepth> {
    let sql = "SELECT count(due_at), count(*) FROM outbox";
    let (waiting, all): (i64, i64) =
        conn.prepare_cached(sql)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let count = |value: i64| u64::try_from(value).unwrap_or(0);
    Ok(OutboxDepth { waiting: count(waiting), given_up: count(all - waiting) })
}
