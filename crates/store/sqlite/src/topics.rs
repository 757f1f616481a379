//! Topics in their tables.

mod append;
mod purge;
mod usage;

use rusqlite::{Connection, OptionalExtension, Result, Row};
use streamer_engine::store::{Message, TopicHead, TopicKey};
use streamer_protocol::Epoch;

use crate::value::{Columns, int};

pub(crate) use append::append;
pub(crate) use purge::purge;
pub(crate) use usage::usage;

pub(crate) fn head(conn: &Connection, key: &TopicKey) -> Result<Option<TopicHead>> {
    let sql = "SELECT epoch, last, last - messages + 1 FROM topic WHERE tenant = ?1 AND name = ?2";
    let read = |row: &Row<'_>| {
        let columns = &mut Columns::of(row);
        Ok(TopicHead {
            epoch: columns.text(Epoch::new)?,
            offset: columns.count()?,
            kept_from: columns.count()?,
        })
    };
    conn.prepare_cached(sql)?.query_row((key.tenant.as_str(), key.topic.as_str()), read).optional()
}

pub(crate) fn messages(
    conn: &Connection,
    key: &TopicKey,
    after: u64,
    upto: u64,
    limit: u32,
) -> Result<Vec<Message>> {
    let sql = "SELECT offset, at, json FROM message \
               WHERE topic = (SELECT number FROM topic WHERE tenant = ?1 AND name = ?2) \
               AND offset > ?3 AND offset <= ?4 ORDER BY offset LIMIT ?5";
    let read = |row: &Row<'_>| {
        let columns = &mut Columns::of(row);
        Ok(Message { offset: columns.count()?, at: columns.time()?, data: columns.json()? })
    };
    let range = (key.tenant.as_str(), key.topic.as_str(), int(after), int(upto), limit);
    conn.prepare_cached(sql)?.query_map(range, read)?.collect()
}

/// Cuts the oldest messages off: those up to `upto`. Returns when the oldest of the rest expires, if there is a rest.
fn cut(conn: &Connection, topic: i64, upto: u64) -> Result<Option<i64>> {
    conn.prepare_cached("DELETE FROM message WHERE topic = ?1 AND offset <= ?2")?
        .execute((topic, int(upto)))?;
    oldest_expiry(conn, topic)
}

fn oldest_expiry(conn: &Connection, topic: i64) -> Result<Option<i64>> {
    let sql = "SELECT expires_at FROM message WHERE topic = ?1 ORDER BY offset LIMIT 1";
    conn.prepare_cached(sql)?.query_row([topic], |row| row.get(0)).optional()
}
