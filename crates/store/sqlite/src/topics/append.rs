//! Messages for a topic.

use rusqlite::{Connection, OptionalExtension, Result, Row};
use streamer_engine::store::{Append, Appended, Keep, NewMessage, Placed, SourcePosition, TopicKey};
use streamer_protocol::Epoch;

use super::{cut, oldest_expiry, usage};
use crate::{
    error::{Failure, invalid},
    value::{Columns, int, json_text},
    writer::Tx,
};

/// A topic's row, as far as an append concerns it.
struct Stored {
    number: i64,
    epoch: Epoch,
    last: u64,
    messages: u64,
    bytes: u64,
    forget_at: i64,
    due_at: i64,
    newest: Newest,
}

/// The newest append of a topic.
struct Newest {
    id: Vec<u8>,
    first: u64,
    count: u64,
    /// The places in it of those that their source had told before.
    dropped: Vec<u64>,
    /// The places of those whose keys were known, with the offset of that message; 0 if it is another.
    known: Vec<(u64, u64)>,
}

impl Newest {
    /// What became of its messages.
    fn placed(&self) -> Vec<Placed> {
        let mut next = self.first;
        let placed = |place| {
            if self.dropped.contains(&place) {
                return Placed::Dropped;
            }
            match self.known.iter().find(|(known, _)| *known == place) {
                Some((_, 0)) => return Placed::Conflict,
                Some((_, offset)) => return Placed::Known(*offset),
                None => {}
            }
            next += 1;
            Placed::New(next - 1)
        };
        (0..self.count).map(placed).collect()
    }
}

pub(crate) fn append(tx: &mut Tx<'_>, key: &TopicKey, append: &Append) -> Result<Appended, Failure> {
    if append.messages.is_empty() {
        return Err(invalid("an append has at least one message").into());
    }
    let conn = tx.conn;
    let found = find(conn, key)?;
    if let Some(topic) = &found
        && topic.newest.id == append.id.0
    {
        return Ok(topic.answer());
    }
    if let Some(full) = usage::used_up(conn, &key.tenant, found.is_none(), &append.quota)? {
        let answer = found.map(|topic| topic.when_full(conn, append)).transpose()?;
        return answer.flatten().ok_or_else(|| full.into());
    }
    let is_new = found.is_none();
    let mut topic = match found {
        Some(topic) => topic,
        None => begin(conn, key, append)?,
    };
    let bytes_before = topic.bytes;
    let was_empty = topic.messages == 0;
    topic.newest = Newest {
        id: append.id.0.to_vec(),
        first: topic.last + 1,
        count: append.messages.len() as u64,
        dropped: Vec::new(),
        known: Vec::new(),
    };
    topic.add(conn, append)?;
    let is_cut = topic.cut(conn, append.keep)?;
    if was_empty || is_cut {
        topic.due_at = oldest_expiry(conn, topic.number)?.unwrap_or(topic.forget_at);
    }
    topic.store(conn)?;
    usage::count(conn, key.tenant.as_str(), i64::from(is_new), int(topic.bytes) - int(bytes_before))?;
    Ok(topic.answer())
}

fn find(conn: &Connection, key: &TopicKey) -> Result<Option<Stored>> {
    let sql = "SELECT number, epoch, last, messages, bytes, forget_at, due_at, \
               append_id, append_first, append_count, append_dropped, append_known \
               FROM topic WHERE tenant = ?1 AND name = ?2";
    let read = |row: &Row<'_>| {
        let columns = &mut Columns::of(row);
        Ok(Stored {
            number: columns.get()?,
            epoch: columns.text(Epoch::new)?,
            last: columns.count()?,
            messages: columns.count()?,
            bytes: columns.count()?,
            forget_at: columns.get()?,
            due_at: columns.get()?,
            newest: Newest {
                id: columns.get()?,
                first: columns.count()?,
                count: columns.count()?,
                dropped: columns.optional_value()?.unwrap_or_default(),
                known: columns.optional_value()?.unwrap_or_default(),
            },
        })
    };
    conn.prepare_cached(sql)?.query_row((key.tenant.as_str(), key.topic.as_str()), read).optional()
}

fn begin(conn: &Connection, key: &TopicKey, append: &Append) -> Result<Stored> {
    let (epoch, last) = append.life.clone();
    let sql = "INSERT INTO topic \
               (tenant, name, epoch, last, forget_at, due_at, append_id, append_first, append_count) \
               VALUES (?1, ?2, ?3, ?4, 0, 0, x'', 0, 0)";
    conn.prepare_cached(sql)?.execute((
        key.tenant.as_str(),
        key.topic.as_str(),
        epoch.as_str(),
        int(last),
    ))?;
    let newest = Newest { id: Vec::new(), first: 0, count: 0, dropped: Vec::new(), known: Vec::new() };
    let number = conn.last_insert_rowid();
    Ok(Stored { number, epoch, last, messages: 0, bytes: 0, forget_at: 0, due_at: 0, newest })
}

impl Stored {
    fn answer(&self) -> Appended {
        let (epoch, placed) = (self.epoch.clone(), self.newest.placed());
        Appended { epoch, placed, kept_from: self.last - self.messages + 1 }
    }

    /// The answer to an append for which there is no room, if some of it needs none.
    fn when_full(&self, conn: &Connection, append: &Append) -> Result<Option<Appended>> {
        let known = append.messages.iter().map(|new| again(conn, self.number, new));
        let known: Vec<_> = known.collect::<Result<_>>()?;
        Ok(known.iter().any(Option::is_some).then(|| Appended {
            placed: known.into_iter().map(|known| known.unwrap_or(Placed::Full)).collect(),
            ..self.answer()
        }))
    }

    fn add(&mut self, conn: &Connection, append: &Append) -> Result<()> {
        let mut insert = conn.prepare_cached("INSERT INTO message VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
        for (place, new) in append.messages.iter().enumerate() {
            if let Some(source) = &new.source
                && !advance(conn, self.number, source, &new.known_at)?
            {
                self.newest.dropped.push(place as u64);
                continue;
            }
            if let Some(again) = again(conn, self.number, new)? {
                let offset = if let Placed::Known(offset) = again { offset } else { 0 };
                self.newest.known.push((place as u64, offset));
                continue;
            }
            self.last += 1;
            self.messages += 1;
            let json = new.data.as_str();
            self.bytes += json.len() as u64;
            let expires_at = new.at + append.keep.age_max;
            self.forget_at = (expires_at + append.keep.forget_after).as_millis();
            let (at, expires_at) = (new.at.as_millis(), expires_at.as_millis());
            let (user, key) = new.key.as_ref().map(|of| (of.user.as_str(), of.key.as_str())).unzip();
            insert.execute((self.number, int(self.last), at, expires_at, json, user, key))?;
        }
        Ok(())
    }

    /// Cuts what exceeds the bounds, but for the newest message. Whether there was something.
    fn cut(&mut self, conn: &Connection, keep: Keep) -> Result<bool> {
        let exceeds = |messages, bytes| messages > keep.messages_max || bytes > keep.bytes_max;
        if self.messages <= 1 || !exceeds(self.messages, self.bytes) {
            return Ok(false);
        }
        let sql = "SELECT octet_length(json) FROM message WHERE topic = ?1 ORDER BY offset";
        let mut oldest = conn.prepare_cached(sql)?;
        let mut rows = oldest.query([self.number])?;
        while self.messages > 1
            && exceeds(self.messages, self.bytes)
            && let Some(row) = rows.next()?
        {
            self.messages -= 1;
            self.bytes -= Columns::of(row).count()?;
        }
        drop(rows);
        cut(conn, self.number, self.last - self.messages)?;
        Ok(true)
    }

    fn store(&self, conn: &Connection) -> Result<()> {
        let dropped = Some(&self.newest.dropped).filter(|dropped| !dropped.is_empty()).map(json_text);
        let known = Some(&self.newest.known).filter(|known| !known.is_empty()).map(json_text);
        let sql = "UPDATE topic SET last = ?2, messages = ?3, bytes = ?4, forget_at = ?5, due_at = ?6, \
                   append_id = ?7, append_first = ?8, append_count = ?9, append_dropped = ?10, append_known = ?11 \
                   WHERE number = ?1";
        conn.prepare_cached(sql)?.execute((
            self.number,
            int(self.last),
            int(self.messages),
            int(self.bytes),
            self.forget_at,
            self.due_at,
            &self.newest.id,
            int(self.newest.first),
            int(self.newest.count),
            dropped,
            known,
        ))?;
        Ok(())
    }
}

/// What a message comes to whose key is known.
fn again(conn: &Connection, topic: i64, new: &NewMessage) -> Result<Option<Placed>> {
    let Some(of) = &new.key else { return Ok(None) };
    let sql = "SELECT offset, json FROM message WHERE topic = ?1 AND user = ?2 AND key = ?3";
    let read = |row: &Row<'_>| {
        let columns = &mut Columns::of(row);
        Ok(new.again(columns.count()?, &columns.json()?))
    };
    conn.prepare_cached(sql)?.query_row((topic, of.user.as_str(), of.key.as_str()), read).optional()
}

/// Notes how far a source has come in a topic. False if it had come as far before, or the message is known by another
/// place.
fn advance(
    conn: &Connection,
    topic: i64,
    source: &SourcePosition,
    known_at: &[SourcePosition],
) -> Result<bool> {
    let mut is_known = false;
    for place in known_at {
        // Before its own place is noted, which may be the same partition's.
        is_known = is_known || covers(conn, topic, place)?;
    }
    let sql = "INSERT INTO topic_source VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE \
               SET major = excluded.major, minor = excluded.minor \
               WHERE (excluded.major, excluded.minor) > (major, minor)";
    let (major, minor) = source.place;
    let changed = conn.prepare_cached(sql)?.execute((topic, &*source.partition, int(major), int(minor)))?;
    Ok(changed > 0 && !is_known)
}

fn covers(conn: &Connection, topic: i64, place: &SourcePosition) -> Result<bool> {
    let sql = "SELECT 1 FROM topic_source WHERE topic = ?1 AND source = ?2 AND (major, minor) >= (?3, ?4)";
    let (major, minor) = place.place;
    conn.prepare_cached(sql)?.exists((topic, &*place.partition, int(major), int(minor)))
}
