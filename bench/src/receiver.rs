//! What reading an outbox cannot be faster than: a bare client of logical replication, which receives the rows and
//! decodes them, with nothing behind it.
//!
//! It is made of the same libraries as the product's source (`postgres-protocol` for the login and for what is sent, the
//! product's own decoder of pgoutput) on a blocking socket.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Instant,
};

use anyhow::{Context as _, Result, bail, ensure};
use postgres_protocol::{
    authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256},
    message::frontend,
};
use streamer_events::{
    Moment,
    change::Lsn,
    clock::{Clock as _, SystemClock},
};
use streamer_source_postgres::{
    Settings,
    pgoutput::{Message, Streamed},
};

use crate::{
    machine,
    reading::{Reading, Stopwatch, Turn},
};

/// Microseconds from 1970 to 2000, where PostgreSQL's time begins.
const EPOCH_2000_MICROS: i64 = 946_684_800_000_000;

/// Receives so many rows, and says how that went.
pub(crate) fn receive(settings: &Settings, rows: u64, turn: &Turn) -> Result<Reading> {
    let mut line = Line::open(settings)?;
    line.ask("CREATE_REPLICATION_SLOT bare TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT")?;
    turn.await_go()?;
    line.stream("bare", &settings.publication)?;
    turn.say_reading()?;
    let mut stopwatch = Stopwatch::start()?;
    let mut micros = machine::latencies();
    let (mut received, mut first, mut committed_at, mut end) = (0, None, Moment::default(), Lsn(0));
    while received < rows {
        let (b'd', from) = line.frame()? else { continue };
        match Streamed::parse(line.body(from))? {
            Streamed::Keepalive { reply: true, .. } => line.confirm(end)?,
            Streamed::Keepalive { .. } => {}
            Streamed::Data { message, .. } => match Message::parse(message)? {
                Message::Begin { committed_at: at, .. } => {
                    committed_at = Moment::from_micros(at.saturating_add(EPOCH_2000_MICROS));
                }
                Message::Insert { new, .. } => {
                    std::hint::black_box(&new);
                    first.get_or_insert_with(Instant::now);
                    let since = SystemClock.now().micros_since(committed_at);
                    micros.saturating_record(u64::try_from(since).unwrap_or(0));
                    received += 1;
                }
                Message::Commit { end: at, .. } => end = at,
                _ => {}
            },
        }
    }
    let took = first.context("no row was asked for")?.elapsed();
    stopwatch.stop(received, took, &micros)
}

/// A connection that may stream, and what has come over it.
struct Line {
    stream: TcpStream,
    out: bytes::BytesMut,
    buffer: Vec<u8>,
    begin: usize,
    end: usize,
}

/// As much is read at once, as in the product.
const READ_BYTES: usize = 64 * 1024;

/// The tag and the length.
const HEAD: usize = 5;

impl Line {
    /// Connects, and logs in by SCRAM.
    fn open(settings: &Settings) -> Result<Self> {
        let server = &settings.server;
        let stream = TcpStream::connect((server.host.as_str(), server.port))?;
        stream.set_nodelay(true)?;
        let out = bytes::BytesMut::new();
        let mut line = Self { stream, out, buffer: vec![0; 4 * READ_BYTES], begin: 0, end: 0 };
        let parameters = [
            ("user", server.user.as_str()),
            ("database", server.database.as_str()),
            ("replication", "database"),
            ("client_encoding", "UTF8"),
        ];
        frontend::startup_message(parameters, &mut line.out)?;
        line.flush()?;
        let password = server.password.as_deref().unwrap_or_default();
        let mut scram = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
        loop {
            let (tag, from) = line.frame()?;
            let body = line.body(from).to_vec();
            match (tag, body.first_chunk::<4>().map(|kind| u32::from_be_bytes(*kind))) {
                (b'R', Some(10)) => {
                    frontend::sasl_initial_response(SCRAM_SHA_256, scram.message(), &mut line.out)?;
                    line.flush()?;
                }
                (b'R', Some(11)) => {
                    scram.update(&body[4..])?;
                    frontend::sasl_response(scram.message(), &mut line.out)?;
                    line.flush()?;
                }
                (b'R', Some(12)) => scram.finish(&body[4..])?,
                (b'Z', _) => return Ok(line),
                _ => {}
            }
        }
    }

    fn flush(&mut self) -> Result<()> {
        self.stream.write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    /// The next message's tag, and where its body is.
    fn frame(&mut self) -> Result<(u8, std::ops::Range<usize>)> {
        loop {
            let bytes = &self.buffer[self.begin..self.end];
            let mut wanted = HEAD;
            if let Some(head) = bytes.first_chunk::<HEAD>() {
                let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
                wanted = 1 + length;
                if bytes.len() >= wanted {
                    let body = self.begin + HEAD..self.begin + wanted;
                    self.begin += wanted;
                    if head[0] == b'E' {
                        bail!("PostgreSQL: {}", String::from_utf8_lossy(&self.buffer[body]));
                    }
                    return Ok((head[0], body));
                }
            }
            self.fill(wanted)?;
        }
    }

    fn body(&self, at: std::ops::Range<usize>) -> &[u8] {
        &self.buffer[at]
    }

    /// Reads more, with room for a message of so many bytes.
    fn fill(&mut self, wanted: usize) -> Result<()> {
        if self.buffer.len() - self.begin < wanted.max(READ_BYTES) {
            self.buffer.copy_within(self.begin..self.end, 0);
            (self.begin, self.end) = (0, self.end - self.begin);
            let enough = self.buffer.len().max(wanted);
            self.buffer.resize(enough, 0);
        }
        let read = self.stream.read(&mut self.buffer[self.end..])?;
        ensure!(read > 0, "PostgreSQL closed the connection");
        self.end += read;
        Ok(())
    }

    fn ask(&mut self, sql: &str) -> Result<()> {
        frontend::query(sql, &mut self.out)?;
        self.flush()?;
        while self.frame()?.0 != b'Z' {}
        Ok(())
    }

    fn stream(&mut self, slot: &str, publication: &str) -> Result<()> {
        let sql = format!(
            "START_REPLICATION SLOT {slot} LOGICAL 0/0 (proto_version '1', publication_names '{publication}')"
        );
        frontend::query(&sql, &mut self.out)?;
        self.flush()?;
        while self.frame()?.0 != b'W' {}
        Ok(())
    }

    fn confirm(&mut self, upto: Lsn) -> Result<()> {
        let mut body = [0; 34];
        body[0] = b'r';
        for part in body[1..25].chunks_exact_mut(8) {
            part.copy_from_slice(&upto.0.to_be_bytes());
        }
        let now = SystemClock.now().as_micros().saturating_sub(EPOCH_2000_MICROS);
        body[25..33].copy_from_slice(&now.to_be_bytes());
        frontend::CopyData::new(&body[..])?.write(&mut self.out);
        self.flush()
    }
}
