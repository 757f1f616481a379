//! What is asked about requests.

use rusqlite::{Connection, OptionalExtension, Result, Row, params_from_iter, types::Value};
use streamer_engine::store::{EntryBody, LogEntry, Page, Record, RequestFilter, RequestKey, Summary};
use streamer_protocol::RequestStatus;

use super::{read_outcome, read_summary, record_of, standing, summary};
use crate::value::{Columns, int};

pub(crate) fn request(conn: &Connection, key: &RequestKey) -> Result<Option<Record>> {
    standing(conn, key)?.map(|standing| record_of(conn, standing.number)).transpose()
}

/// The newest that match and came before `after`, the last request of an earlier page; `None` if that is gone. The
/// cursor of a page is its last request's key, and no number: numbers would tell one tenant how much others ask.
pub(crate) fn list(
    conn: &Connection,
    filter: &RequestFilter,
    limit: u32,
    after: Option<&RequestKey>,
) -> Result<Option<Page<Summary>>> {
    let before = match after {
        None => i64::MAX,
        Some(key) => match standing(conn, key)? {
            Some(standing) => standing.number,
            None => return Ok(None),
        },
    };
    let mut sql = format!("SELECT {} FROM request {} WHERE number < ?", summary!(), index_for(filter));
    let mut values = vec![Value::from(before)];
    let equal = [
        ("tenant", filter.tenant.as_ref().map(|tenant| tenant.as_str())),
        ("user", filter.user.as_ref().map(|user| user.as_str())),
        ("action", filter.action.as_ref().map(|action| action.as_str())),
    ];
    for (column, value) in equal {
        if let Some(value) = value {
            sql += &format!(" AND {column} = ?");
            values.push(Value::from(value.to_owned()));
        }
    }
    if let Some(status) = filter.status {
        // As text, so that SQLite sees that a partial index fits. Open is what does not expire.
        sql += &format!(" AND status = '{status}'");
        sql += if status.is_final() { " AND expires_at IS NOT NULL" } else { " AND expires_at IS NULL" };
    }
    sql += " ORDER BY number DESC LIMIT ?";
    values.push(Value::from(i64::from(limit) + 1));

    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let (mut items, mut cursor) = (Vec::<Summary>::new(), None);
    while let Some(row) = rows.next()? {
        if items.len() == limit {
            cursor = items.last().map(|last| cursor_of(&last.key));
            break;
        }
        items.push(read_summary(&mut Columns::of(row))?);
    }
    Ok(Some(Page { items, cursor }))
}

fn cursor_of(RequestKey { tenant, user, id }: &RequestKey) -> String {
    serde_json::to_string(&(tenant, user, id)).expect("three texts")
}

/// What [`cursor_of`] printed.
pub(crate) fn read_cursor(cursor: &str) -> Option<RequestKey> {
    let (tenant, user, id) = serde_json::from_str(cursor).ok()?;
    Some(RequestKey { tenant, user, id })
}

/// The index that holds the fewest rows that do not match. Without one the table is read backwards, which finds
/// the newest at once unless hardly any match.
fn index_for(filter: &RequestFilter) -> &'static str {
    match (filter.tenant.is_some() && filter.user.is_some(), filter.status) {
        (true, _) => "INDEXED BY request_key",
        (_, Some(RequestStatus::Failed)) => "INDEXED BY request_failed",
        (_, Some(status)) if !status.is_final() => "INDEXED BY request_open",
        _ => "NOT INDEXED",
    }
}

/// The log is spread over the request's row (its progress and its end) and the table of chunks and restarts.
pub(crate) fn log(conn: &Connection, key: &RequestKey, after: u64, limit: u32) -> Result<Vec<LogEntry>> {
    let Some(Ends { number, progress, outcome }) = ends(conn, key)? else { return Ok(Vec::new()) };
    let mut entries: Vec<LogEntry> = conn
        .prepare_cached(
            "SELECT seq, at, place, attempt, json FROM log WHERE request = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
        )?
        .query_map((number, int(after), limit), read_entry)?
        .collect::<Result<_>>()?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut is_last_page = entries.len() < limit;
    if let Some(progress) = progress.filter(|progress| progress.seq > after) {
        let place = entries.partition_point(|entry| entry.seq < progress.seq);
        // Behind a full page it may belong to a later one.
        if place < limit {
            entries.insert(place, progress);
            is_last_page &= entries.len() < limit;
            entries.truncate(limit);
        }
    }
    if is_last_page && let Some(outcome) = outcome.filter(|outcome| outcome.seq > after) {
        entries.push(outcome);
    }
    Ok(entries)
}

struct Ends {
    number: i64,
    progress: Option<LogEntry>,
    outcome: Option<LogEntry>,
}

fn ends(conn: &Connection, key: &RequestKey) -> Result<Option<Ends>> {
    let find = "SELECT number, progress_seq, progress_at, progress, last_seq, ended_at, status, outcome \
        FROM request WHERE tenant = ?1 AND user = ?2 AND id = ?3";
    conn.prepare_cached(find)?
        .query_row([key.tenant.as_str(), key.user.as_str(), key.id.as_str()], |row| {
            let columns = &mut Columns::of(row);
            let number = columns.get()?;
            let progress = entry(
                columns.count()?,
                columns.optional_time()?,
                columns.optional_value()?.map(EntryBody::Progress),
            );
            let (seq, at, status) = (columns.count()?, columns.optional_time()?, columns.status()?);
            let outcome = entry(seq, at, read_outcome(status, columns)?.map(EntryBody::Outcome));
            Ok(Ends { number, progress, outcome })
        })
        .optional()
}

fn entry(seq: u64, at: Option<streamer_protocol::Timestamp>, body: Option<EntryBody>) -> Option<LogEntry> {
    Some(LogEntry { seq, at: at?, body: body? })
}

fn read_entry(row: &Row<'_>) -> Result<LogEntry> {
    let columns = &mut Columns::of(row);
    let (seq, at, place) = (columns.count()?, columns.time()?, columns.count()?);
    let body = match columns.get::<Option<u32>>()? {
        Some(attempt) => EntryBody::Restart { attempt, from_index: place },
        None => EntryBody::Chunk { index: place, data: columns.json()? },
    };
    Ok(LogEntry { seq, at, body })
}
