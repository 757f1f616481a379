//! What logical replication says: the messages of the output plugin `pgoutput`, protocol version 1.
//!
//! Source: PostgreSQL's documentation, "Logical Replication Message Formats" and, for what stands around them,
//! "Streaming Replication Protocol". Pure: bytes in, messages out; whatever the bytes, it ends and does not panic.

mod cursor;

use streamer_events::change::Lsn;

use cursor::Cursor;

/// What cannot be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The message ends before it is whole.
    #[error("a message ends too early")]
    TooShort,
    /// The message is longer than what it says.
    #[error("a message has {0} bytes too many")]
    TooLong(usize),
    /// A kind that is not known.
    #[error("unknown kind {0} of {1}")]
    Unknown(u8, &'static str),
    /// Text is not UTF-8.
    #[error("text is not UTF-8")]
    NotUtf8,
}

/// What the server sends while it streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Streamed<'a> {
    /// A piece of the log.
    Data {
        /// Where it begins.
        start: Lsn,
        /// How far the server has come.
        end: Lsn,
        /// The server's time, in microseconds since 2000-01-01.
        sent_at: i64,
        /// A message of the plugin.
        message: &'a [u8],
    },
    /// How far the server has come, when it has nothing to send.
    Keepalive {
        /// How far.
        end: Lsn,
        /// Whether it wants to hear at once how far we are.
        reply: bool,
    },
}

/// A message of the plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message<'a> {
    /// A transaction begins; it is committed already.
    Begin {
        /// Where its commit stands. It rises from one transaction to the next.
        commit: Lsn,
        /// When it was committed, in microseconds since 2000-01-01.
        committed_at: i64,
        /// Its id.
        xid: u32,
    },
    /// The transaction is whole.
    Commit {
        /// Where its commit stands.
        commit: Lsn,
        /// Where the next may begin: confirming this confirms the transaction.
        end: Lsn,
        /// When.
        committed_at: i64,
    },
    /// The transaction came from another server.
    Origin {
        /// Where it stood there.
        commit: Lsn,
        /// Which server.
        name: &'a str,
    },
    /// A table, before the first change of it, and anew when it was altered.
    Relation(Relation<'a>),
    /// A type that is not built in, before the first table with it.
    Type {
        /// Its number.
        oid: u32,
        /// Its schema.
        schema: &'a str,
        /// Its name.
        name: &'a str,
    },
    /// A row was inserted.
    Insert {
        /// Into which table.
        relation: u32,
        /// The row.
        new: Tuple<'a>,
    },
    /// A row was updated.
    Update {
        /// Of which table.
        relation: u32,
        /// The row before, if the log holds it: its key, if that changed, or all of it.
        old: Option<Old<'a>>,
        /// The row.
        new: Tuple<'a>,
    },
    /// A row was deleted.
    Delete {
        /// From which table.
        relation: u32,
        /// The row before: its key, or all of it.
        old: Old<'a>,
    },
    /// Tables were emptied.
    Truncate {
        /// Which.
        relations: Vec<u32>,
        /// With the tables that refer to them.
        cascade: bool,
        /// Their sequences begin anew.
        restart_identity: bool,
    },
    /// What somebody wrote into the log.
    Logical {
        /// Whether it belongs to the transaction around it.
        transactional: bool,
        /// Where it stands.
        lsn: Lsn,
        /// For whom it is.
        prefix: &'a str,
        /// What it says.
        content: &'a [u8],
    },
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation<'a> {
    /// Its number.
    pub id: u32,
    /// Its schema; empty stands for `pg_catalog`.
    pub schema: &'a str,
    /// Its name.
    pub name: &'a str,
    /// What the log holds of a row that was changed: `d`efault, `n`othing, `f`ull or an `i`ndex.
    pub replica_identity: u8,
    /// Its columns.
    pub columns: Vec<Column<'a>>,
}

/// A column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column<'a> {
    /// Whether it belongs to the key.
    pub is_key: bool,
    /// Its name.
    pub name: &'a str,
    /// Its type's number.
    pub type_oid: u32,
    /// What is said of the type beside it, such as a length; -1 for nothing.
    pub modifier: i32,
}

/// A row: a value for each column.
pub type Tuple<'a> = Vec<Datum<'a>>;

/// What is said of one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Datum<'a> {
    /// SQL's null.
    Null,
    /// A large value that was not changed, which the log does not hold.
    Unchanged,
    /// The value as text.
    Text(&'a str),
    /// The value in its type's binary form, which we do not ask for.
    Binary(&'a [u8]),
}

/// The row before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Old<'a> {
    /// Only its key; the other values are null.
    Key(Tuple<'a>),
    /// All of it.
    Whole(Tuple<'a>),
}

impl<'a> Old<'a> {
    /// The values.
    #[must_use]
    pub fn tuple(&self) -> &Tuple<'a> {
        match self {
            Self::Key(tuple) | Self::Whole(tuple) => tuple,
        }
    }
}

impl<'a> Streamed<'a> {
    /// Reads what a `CopyData` message holds.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::of(bytes);
        match cursor.u8()? {
            b'w' => Ok(Self::Data {
                start: cursor.lsn()?,
                end: cursor.lsn()?,
                sent_at: cursor.i64()?,
                message: cursor.rest(),
            }),
            b'k' => {
                let end = cursor.lsn()?;
                cursor.i64()?;
                let reply = cursor.u8()? == 1;
                cursor.end(Self::Keepalive { end, reply })
            }
            kind => Err(Malformed::Unknown(kind, "replication message")),
        }
    }
}

impl<'a> Message<'a> {
    /// Reads a message of the plugin.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::of(bytes);
        let message = match cursor.u8()? {
            b'B' => Self::Begin { commit: cursor.lsn()?, committed_at: cursor.i64()?, xid: cursor.u32()? },
            b'C' => {
                cursor.u8()?; // Flags: none are in use.
                Self::Commit { commit: cursor.lsn()?, end: cursor.lsn()?, committed_at: cursor.i64()? }
            }
            b'O' => Self::Origin { commit: cursor.lsn()?, name: cursor.text()? },
            b'R' => Self::Relation(relation(&mut cursor)?),
            b'Y' => Self::Type { oid: cursor.u32()?, schema: cursor.text()?, name: cursor.text()? },
            b'I' => {
                let relation = cursor.u32()?;
                match cursor.u8()? {
                    b'N' => Self::Insert { relation, new: tuple(&mut cursor)? },
                    kind => return Err(Malformed::Unknown(kind, "inserted row")),
                }
            }
            b'U' => update(&mut cursor)?,
            b'D' => {
                let relation = cursor.u32()?;
                let kind = cursor.u8()?;
                let old = old(kind, &mut cursor)?.ok_or(Malformed::Unknown(kind, "deleted row"))?;
                Self::Delete { relation, old }
            }
            b'T' => truncate(&mut cursor)?,
            b'M' => Self::Logical {
                transactional: cursor.u8()? & 1 == 1,
                lsn: cursor.lsn()?,
                prefix: cursor.text()?,
                content: {
                    let length = cursor.length()?;
                    cursor.bytes(length)?
                },
            },
            kind => return Err(Malformed::Unknown(kind, "message")),
        };
        cursor.end(message)
    }
}

fn relation<'a>(cursor: &mut Cursor<'a>) -> Result<Relation<'a>, Malformed> {
    let (id, schema, name, replica_identity) = (cursor.u32()?, cursor.text()?, cursor.text()?, cursor.u8()?);
    let columns = (0..cursor.u16()?).map(|_| {
        Ok(Column {
            is_key: cursor.u8()? & 1 == 1,
            name: cursor.text()?,
            type_oid: cursor.u32()?,
            modifier: cursor.i32()?,
        })
    });
    let columns = columns.collect::<Result<_, Malformed>>()?;
    Ok(Relation { id, schema, name, replica_identity, columns })
}

fn tuple<'a>(cursor: &mut Cursor<'a>) -> Result<Tuple<'a>, Malformed> {
    let columns = cursor.u16()?;
    // At least a byte a column, so that a short message does not reserve for a long one.
    let mut tuple = Vec::with_capacity(usize::from(columns).min(cursor.left()));
    for _ in 0..columns {
        tuple.push(match cursor.u8()? {
            b'n' => Datum::Null,
            b'u' => Datum::Unchanged,
            b't' => {
                let length = cursor.length()?;
                Datum::Text(std::str::from_utf8(cursor.bytes(length)?).map_err(|_| Malformed::NotUtf8)?)
            }
            b'b' => {
                let length = cursor.length()?;
                Datum::Binary(cursor.bytes(length)?)
            }
            kind => return Err(Malformed::Unknown(kind, "value")),
        });
    }
    Ok(tuple)
}

fn old<'a>(kind: u8, cursor: &mut Cursor<'a>) -> Result<Option<Old<'a>>, Malformed> {
    Ok(match kind {
        b'K' => Some(Old::Key(tuple(cursor)?)),
        b'O' => Some(Old::Whole(tuple(cursor)?)),
        _ => None,
    })
}

fn update<'a>(cursor: &mut Cursor<'a>) -> Result<Message<'a>, Malformed> {
    let relation = cursor.u32()?;
    let mut kind = cursor.u8()?;
    let old = old(kind, cursor)?;
    if old.is_some() {
        kind = cursor.u8()?;
    }
    match kind {
        b'N' => Ok(Message::Update { relation, old, new: tuple(cursor)? }),
        kind => Err(Malformed::Unknown(kind, "updated row")),
    }
}

fn truncate<'a>(cursor: &mut Cursor<'a>) -> Result<Message<'a>, Malformed> {
    let count = cursor.u32()?;
    let options = cursor.u8()?;
    let mut relations = Vec::new();
    for _ in 0..count {
        relations.push(cursor.u32()?);
    }
    Ok(Message::Truncate { relations, cascade: options & 1 != 0, restart_identity: options & 2 != 0 })
}

#[cfg(test)]
mod tests;
