//! A connection to PostgreSQL: as much of its protocol, version 3, as reading its log and asking it a few things needs.
//!
//! Of the libraries at hand, one speaks replication but confirms nothing at its end and takes no snapshot, the others
//! do not speak it. What is hard (SCRAM, and the frames that are sent) is `postgres-protocol`'s; the rest is here.

mod frames;
mod login;
mod tls;

use bytes::{Bytes, BytesMut};
use postgres_protocol::message::frontend;
use streamer_events::change::Lsn;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, WriteHalf},
    net::{TcpStream, UnixStream},
};

use crate::{
    error::{Error, Result},
    settings::Server,
};
use frames::{Fields, Frames};

pub(crate) use frames::Frame;

/// What bytes go over.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// A connection that is ready for queries.
pub(crate) struct Connection {
    frames: Frames,
    sender: Sender,
    /// What the server says of itself.
    version: u32,
}

/// The half that writes.
pub(crate) struct Sender {
    half: WriteHalf<Box<dyn Transport>>,
    buffer: BytesMut,
}

/// The half that reads, while the log is streamed.
pub(crate) struct Receiver(Frames);

/// A row of an answer: each column as text.
pub(crate) type Row = Vec<Option<String>>;

/// A column of an answer: its name, its type's number and what is said beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AnswerColumn {
    pub(crate) name: String,
    pub(crate) type_oid: u32,
    pub(crate) modifier: i32,
}

/// What comes while a query is answered.
pub(crate) enum Answer {
    /// What the rows consist of.
    Columns(Vec<AnswerColumn>),
    /// A row, in its frame.
    Row(Bytes),
    /// It is over.
    Done,
}

/// Whether a connection reads the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Queries.
    Queries,
    /// The log, and the commands around it.
    Replication,
}

impl Connection {
    /// Connects and logs in.
    pub(crate) async fn open(server: &Server, purpose: Purpose, message_bytes_max: usize) -> Result<Self> {
        let opening = async {
            let transport = connect(server).await?;
            let (reader, half) = tokio::io::split(transport);
            let frames = Frames::new(reader, message_bytes_max);
            let sender = Sender { half, buffer: BytesMut::new() };
            let mut connection = Self { frames, sender, version: 0 };
            login::login(&mut connection, server, purpose).await?;
            Ok(connection)
        };
        let timed_out =
            |_| Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "connecting took too long"));
        let opened = tokio::time::timeout(server.connect_timeout, opening).await;
        opened.map_err(timed_out).and_then(|opened| opened).map_err(|e| e.at(server))
    }

    /// The server's version as a number: 15.3 is 150003.
    pub(crate) fn version(&self) -> u32 {
        self.version
    }

    /// Runs a statement or a replication command and collects its rows, which must be few.
    pub(crate) async fn query(&mut self, sql: &str) -> Result<Vec<Row>> {
        self.begin_query(sql).await?;
        let mut rows = Vec::new();
        loop {
            match self.answer().await? {
                Answer::Columns(_) => {}
                Answer::Row(frame) => rows.push(text_of(&frame)?),
                Answer::Done => return Ok(rows),
            }
        }
    }

    /// The one value that the statement gives, if it gives one.
    pub(crate) async fn value(&mut self, sql: &str) -> Result<Option<String>> {
        Ok(self.query(sql).await?.into_iter().next().and_then(|row| row.into_iter().next()).flatten())
    }

    /// Sends a statement, whose answer [`answer`](Self::answer) brings piece by piece.
    pub(crate) async fn begin_query(&mut self, sql: &str) -> Result<()> {
        frontend::query(sql, &mut self.sender.buffer)?;
        self.sender.flush().await
    }

    /// The next piece of an answer. Dropping the call loses nothing.
    pub(crate) async fn answer(&mut self) -> Result<Answer> {
        loop {
            let frame = self.frames.next().await?;
            match frame.tag {
                b'T' => return Ok(Answer::Columns(columns_of(&frame.body)?)),
                b'D' => return Ok(Answer::Row(frame.body)),
                b'Z' => return Ok(Answer::Done),
                b'E' => {
                    let error = Fields::of(&frame.body).error();
                    self.until_ready().await?;
                    return Err(error.into());
                }
                // CommandComplete, EmptyQueryResponse, notices and parameters.
                _ => {}
            }
        }
    }

    async fn until_ready(&mut self) -> Result<()> {
        while self.frames.next().await?.tag != b'Z' {}
        Ok(())
    }

    /// Begins to stream the slot's changes, from what is confirmed.
    pub(crate) async fn stream(mut self, slot: &str, publication: &str) -> Result<(Sender, Receiver)> {
        let publication = quoted_name_in_literal(publication);
        // Since 15, a transaction that changes nothing of ours is not sent, and what it says only if that is asked for: it
        // is how others have an idle slot move on.
        let messages = if self.version() >= 150_000 { ", messages 'true'" } else { "" };
        let sql = format!(
            "START_REPLICATION SLOT {} LOGICAL 0/0 (proto_version '1', publication_names {publication}{messages})",
            quoted(slot)
        );
        self.begin_query(&sql).await?;
        loop {
            let frame = self.frames.next().await?;
            match frame.tag {
                b'W' => return Ok((self.sender, Receiver(self.frames))),
                b'E' => return Err(Fields::of(&frame.body).error().into()),
                _ => {}
            }
        }
    }

    /// Says goodbye.
    pub(crate) async fn close(mut self) -> Result<()> {
        self.sender.close().await
    }
}

impl Sender {
    async fn flush(&mut self) -> Result<()> {
        // Taken out first: a call that is dropped must not send its beginning twice.
        let bytes = self.buffer.split();
        self.half.write_all(&bytes).await?;
        Ok(self.half.flush().await?)
    }

    /// Tells how far everything is durable here.
    pub(crate) async fn confirm(&mut self, flushed: Lsn, now_micros_2000: i64) -> Result<()> {
        let mut body = [0; 34];
        body[0] = b'r';
        // Written, flushed, applied: here they are one.
        for part in body[1..25].chunks_exact_mut(8) {
            part.copy_from_slice(&flushed.0.to_be_bytes());
        }
        body[25..33].copy_from_slice(&now_micros_2000.to_be_bytes());
        frontend::CopyData::new(&body[..])?.write(&mut self.buffer);
        self.flush().await
    }

    /// Ends the stream, if there is one, and says goodbye.
    pub(crate) async fn close(&mut self) -> Result<()> {
        frontend::terminate(&mut self.buffer);
        self.flush().await?;
        Ok(self.half.shutdown().await?)
    }

    /// Ends the stream.
    pub(crate) async fn end_stream(&mut self) -> Result<()> {
        frontend::copy_done(&mut self.buffer);
        self.flush().await
    }
}

impl Receiver {
    /// The next piece of the stream. Dropping the call loses nothing.
    pub(crate) async fn next(&mut self) -> Result<Bytes> {
        loop {
            if let Some(piece) = piece_of(self.0.next().await?)? {
                return Ok(piece);
            }
        }
    }

    /// The next piece, if it has come already.
    pub(crate) fn at_hand(&mut self) -> Result<Option<Bytes>> {
        while let Some(frame) = self.0.at_hand()? {
            if let Some(piece) = piece_of(frame)? {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }
}

fn piece_of(frame: Frame) -> Result<Option<Bytes>> {
    match frame.tag {
        b'd' => Ok(Some(frame.body)),
        b'E' => Err(Fields::of(&frame.body).error().into()),
        b'c' | b'C' | b'Z' => {
            Err(std::io::Error::new(std::io::ErrorKind::ConnectionReset, "the stream ended").into())
        }
        _ => Ok(None),
    }
}

async fn connect(server: &Server) -> Result<Box<dyn Transport>> {
    if server.host.starts_with('/') {
        let path = format!("{}/.s.PGSQL.{}", server.host, server.port);
        return Ok(Box::new(UnixStream::connect(path).await?));
    }
    let stream = TcpStream::connect((server.host.as_str(), server.port)).await?;
    stream.set_nodelay(true)?;
    tls::negotiate(stream, server).await
}

/// The columns of a RowDescription.
fn columns_of(body: &[u8]) -> Result<Vec<AnswerColumn>> {
    let mut fields = Fields::of(body);
    let count = fields.u16()?;
    (0..count)
        .map(|_| {
            let name = fields.text()?.to_owned();
            fields.skip(6)?; // The table and the column's number there.
            let type_oid = fields.u32()?;
            fields.skip(2)?; // The type's size.
            let modifier = fields.u32()?.cast_signed();
            fields.skip(2)?; // The format, which is text.
            Ok(AnswerColumn { name, type_oid, modifier })
        })
        .collect()
}

/// The values of a DataRow.
pub(crate) fn values_of(body: &[u8]) -> Result<Vec<Option<&str>>> {
    let mut fields = Fields::of(body);
    let count = fields.u16()?;
    (0..count).map(|_| fields.value()).collect()
}

pub(crate) fn text_of(body: &[u8]) -> Result<Row> {
    Ok(values_of(body)?.into_iter().map(|value| value.map(ToOwned::to_owned)).collect())
}

/// A name as SQL has it.
#[must_use]
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Text as SQL has it, on connections of this crate: `standard_conforming_strings` is on, a backslash is one.
#[must_use]
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn quoted_name_in_literal(name: &str) -> String {
    literal(&quoted(name))
}
