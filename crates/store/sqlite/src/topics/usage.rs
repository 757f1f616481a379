//! How much there is of topics, in all and by tenant.

use rusqlite::{Connection, OptionalExtension, Result, Row};
use streamer_engine::store::{Error, ErrorKind, TopicQuota, TopicUsage};
use streamer_protocol::TenantId;

use crate::value::Columns;

fn read(row: &Row<'_>) -> Result<TopicUsage> {
    let columns = &mut Columns::of(row);
    Ok(TopicUsage { topics: columns.count()?, bytes: columns.count()? })
}

pub(crate) fn usage(conn: &Connection) -> Result<TopicUsage> {
    conn.prepare_cached("SELECT topics, bytes FROM topic_total")?.query_row([], read)
}

/// Why there is no room for an append, if a quota is used up.
pub(super) fn used_up(
    conn: &Connection,
    tenant: &TenantId,
    is_new: bool,
    quota: &TopicQuota,
) -> Result<Option<Error>> {
    let sql = "SELECT topics, bytes FROM topic_tenant WHERE tenant = ?1";
    let of_tenant = conn.prepare_cached(sql)?.query_row([tenant.as_str()], read).optional()?;
    let of_tenant = of_tenant.unwrap_or_default();
    let used_up = if usage(conn)?.bytes >= quota.bytes_max {
        "all topics hold as many bytes as they may"
    } else if of_tenant.bytes >= quota.tenant_bytes_max {
        "the tenant's topics hold as many bytes as they may"
    } else if is_new && of_tenant.topics >= quota.tenant_topics_max {
        "the tenant has as many topics as it may"
    } else {
        return Ok(None);
    };
    Ok(Some(Error::new(ErrorKind::Full, used_up)))
}

/// Counts what a write added, or with negative numbers took away.
pub(super) fn count(conn: &Connection, tenant: &str, topics: i64, bytes: i64) -> Result<()> {
    if (topics, bytes) == (0, 0) {
        return Ok(());
    }
    let sql = "INSERT INTO topic_tenant VALUES (?1, ?2, ?3) \
               ON CONFLICT DO UPDATE SET topics = topics + ?2, bytes = bytes + ?3";
    conn.prepare_cached(sql)?.execute((tenant, topics, bytes))?;
    if topics < 0 {
        let sql = "DELETE FROM topic_tenant WHERE tenant = ?1 AND topics = 0";
        conn.prepare_cached(sql)?.execute([tenant])?;
    }
    let sql = "UPDATE topic_total SET topics = topics + ?1, bytes = bytes + ?2";
    conn.prepare_cached(sql)?.execute((topics, bytes))?;
    Ok(())
}
