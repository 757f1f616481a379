//! Connections in their table.

use rusqlite::{Connection, OptionalExtension, Result, Row, params_from_iter, types::Value};
use streamer_engine::store::{ConnectionFilter, ConnectionRecord, Page};
use streamer_protocol::{ConnectionId, TenantId, Timestamp, UserId};

use crate::{error::Failure, value::Columns, writer::Tx};

const COLUMNS: &str =
    "id, tenant, user, endpoint, connected_at, last_ping, user_agent, ip_address, expires_at";

fn read(row: &Row<'_>) -> Result<ConnectionRecord> {
    let columns = &mut Columns::of(row);
    Ok(ConnectionRecord {
        id: columns.text(ConnectionId::new)?,
        tenant: columns.text(TenantId::new)?,
        user: columns.text(UserId::new)?,
        endpoint: columns.get()?,
        connected_at: columns.time()?,
        last_ping: columns.time()?,
        user_agent: columns.get()?,
        ip_address: columns.get()?,
        expires_at: columns.time()?,
    })
}

pub(crate) fn connect(tx: &mut Tx<'_>, connection: &ConnectionRecord) -> Result<(), Failure> {
    let sql =
        format!("INSERT OR REPLACE INTO connection ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)");
    tx.conn.prepare_cached(&sql)?.execute((
        connection.id.as_str(),
        connection.tenant.as_str(),
        connection.user.as_str(),
        &connection.endpoint,
        connection.connected_at.as_millis(),
        connection.last_ping.as_millis(),
        &connection.user_agent,
        &connection.ip_address,
        connection.expires_at.as_millis(),
    ))?;
    Ok(())
}

pub(crate) fn get(conn: &Connection, id: &ConnectionId) -> Result<Option<ConnectionRecord>> {
    let sql = format!("SELECT {COLUMNS} FROM connection WHERE id = ?1");
    conn.prepare_cached(&sql)?.query_row([id.as_str()], read).optional()
}

pub(crate) fn touch(
    tx: &mut Tx<'_>,
    ids: &[ConnectionId],
    at: Timestamp,
    expires_at: Timestamp,
) -> Result<(), Failure> {
    let sql = "UPDATE connection SET last_ping = ?2, expires_at = ?3 WHERE id = ?1";
    let mut update = tx.conn.prepare_cached(sql)?;
    for id in ids {
        update.execute((id.as_str(), at.as_millis(), expires_at.as_millis()))?;
    }
    Ok(())
}

pub(crate) fn disconnect(tx: &mut Tx<'_>, id: &ConnectionId) -> Result<Option<ConnectionRecord>, Failure> {
    let sql = format!("DELETE FROM connection WHERE id = ?1 RETURNING {COLUMNS}");
    Ok(tx.conn.prepare_cached(&sql)?.query_row([id.as_str()], read).optional()?)
}

/// Those that match with an id above `after`; the cursor is the page's last id.
pub(crate) fn list(
    conn: &Connection,
    filter: &ConnectionFilter,
    limit: u32,
    after: Option<&str>,
) -> Result<Page<ConnectionRecord>> {
    let mut sql = format!("SELECT {COLUMNS} FROM connection WHERE true");
    let mut values = Vec::new();
    let conditions = [
        ("id >", after),
        ("tenant =", filter.tenant.as_ref().map(|tenant| tenant.as_str())),
        ("user =", filter.user.as_ref().map(|user| user.as_str())),
    ];
    for (condition, value) in conditions {
        if let Some(value) = value {
            sql += &format!(" AND {condition} ?");
            values.push(Value::from(value.to_owned()));
        }
    }
    sql += " ORDER BY id LIMIT ?";
    values.push(Value::from(i64::from(limit) + 1));
    let mut items: Vec<ConnectionRecord> =
        conn.prepare_cached(&sql)?.query_map(params_from_iter(values), read)?.collect::<Result<_>>()?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = items.len() > limit;
    items.truncate(limit);
    let cursor = items.last().filter(|_| more).map(|last| last.id.to_string());
    Ok(Page { items, cursor })
}

pub(crate) fn forget_endpoint(tx: &mut Tx<'_>, endpoint: &str) -> Result<u64, Failure> {
    let removed =
        tx.conn.prepare_cached("DELETE FROM connection WHERE endpoint = ?1")?.execute([endpoint])?;
    Ok(removed as u64)
}

/// Those whose time is over. Reads the whole table, so it is not the writer's.
pub(crate) fn expired(conn: &Connection, now: Timestamp, limit: u32) -> Result<Vec<ConnectionId>> {
    conn.prepare_cached("SELECT id FROM connection WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2")?
        .query_map((now.as_millis(), limit), |row| Columns::of(row).text(ConnectionId::new))?
        .collect()
}

/// Removes those of `ids` whose time is still over.
pub(crate) fn purge(tx: &mut Tx<'_>, ids: &[ConnectionId], now: Timestamp) -> Result<u64, Failure> {
    let mut removal = tx.conn.prepare_cached("DELETE FROM connection WHERE id = ?1 AND expires_at <= ?2")?;
    let mut removed = 0;
    for id in ids {
        removed += removal.execute((id.as_str(), now.as_millis()))? as u64;
    }
    Ok(removed)
}
