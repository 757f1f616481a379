//! Messages and topics whose time has come.

use rusqlite::{Connection, Result};
use streamer_protocol::Timestamp;

use super::{cut, usage};
use crate::{
    error::Failure,
    value::{Columns, int},
    writer::Tx,
};

struct Due {
    number: i64,
    tenant: String,
    last: u64,
    messages: u64,
    bytes: u64,
    forget_at: i64,
}

pub(crate) fn purge(tx: &mut Tx<'_>, now: Timestamp, limit: u32) -> Result<u64, Failure> {
    let now = now.as_millis();
    let mut left = u64::from(limit);
    for mut topic in due(tx.conn, now, limit)? {
        if left == 0 {
            break;
        }
        left -= topic.expire(tx.conn, now, left)?;
        if topic.messages == 0 && topic.forget_at <= now && left > 0 {
            topic.forget(tx.conn)?;
            left -= 1;
        }
    }
    Ok(u64::from(limit) - left)
}

fn due(conn: &Connection, now: i64, limit: u32) -> Result<Vec<Due>> {
    let sql = "SELECT number, tenant, last, messages, bytes, forget_at FROM topic \
               WHERE due_at <= ?1 ORDER BY due_at LIMIT ?2";
    let mut due = conn.prepare_cached(sql)?;
    let read = due.query_map((now, limit), |row| {
        let columns = &mut Columns::of(row);
        Ok(Due {
            number: columns.get()?,
            tenant: columns.get()?,
            last: columns.count()?,
            messages: columns.count()?,
            bytes: columns.count()?,
            forget_at: columns.get()?,
        })
    })?;
    read.collect()
}

impl Due {
    /// Removes at most `limit` of its oldest messages that have expired. Returns how many.
    fn expire(&mut self, conn: &Connection, now: i64, limit: u64) -> Result<u64> {
        let sql = "SELECT octet_length(json) FROM message WHERE topic = ?1 AND expires_at <= ?2 \
                   AND offset < coalesce((SELECT min(offset) FROM message WHERE topic = ?1 AND expires_at > ?2), \
                   9223372036854775807) ORDER BY offset LIMIT ?3";
        let mut expired = conn.prepare_cached(sql)?;
        let mut rows = expired.query((self.number, now, int(limit)))?;
        let (messages_before, bytes_before) = (self.messages, self.bytes);
        while let Some(row) = rows.next()? {
            self.messages -= 1;
            self.bytes -= Columns::of(row).count()?;
        }
        drop(rows);
        let oldest_expiry = cut(conn, self.number, self.last - self.messages)?;
        let sql = "UPDATE topic SET messages = ?2, bytes = ?3, due_at = ?4 WHERE number = ?1";
        let due_at = oldest_expiry.unwrap_or(self.forget_at);
        conn.prepare_cached(sql)?.execute((self.number, int(self.messages), int(self.bytes), due_at))?;
        usage::count(conn, &self.tenant, 0, int(self.bytes) - int(bytes_before))?;
        Ok(messages_before - self.messages)
    }

    fn forget(&self, conn: &Connection) -> Result<()> {
        conn.prepare_cached("DELETE FROM topic_source WHERE topic = ?1")?.execute([self.number])?;
        conn.prepare_cached("DELETE FROM topic WHERE number = ?1")?.execute([self.number])?;
        usage::count(conn, &self.tenant, -1, 0)
    }
}
