//! The load: many connections on one thread, their frames pre-encoded and counted by hand.

use std::{
    io::{self, Read as _, Write as _},
    net::SocketAddr,
    ops::ControlFlow,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use mio::{Events, Interest, Poll, Token, net::TcpStream};

use crate::frame::{self, Kind};

/// How many handshakes are under way at once.
const OPENING_MAX: usize = 128;

/// Whatever is measured, it ends.
const PATIENCE: Duration = Duration::from_secs(30);

/// Open connections.
pub(crate) struct Crowd {
    poll: Poll,
    events: Events,
    peers: Vec<Peer>,
    buffer: Box<[u8]>,
}

struct Peer {
    stream: TcpStream,
    /// The beginning of a frame whose rest has not come yet.
    partial: Vec<u8>,
    /// What the socket does not take yet.
    outbox: Vec<u8>,
}

/// A text frame that one of them received.
pub(crate) struct Heard<'a> {
    pub(crate) text: &'a [u8],
    /// Frames that are put here are sent once everything that came with this one has been heard.
    pub(crate) answer: &'a mut Vec<u8>,
}

impl Crowd {
    /// Opens `count` connections, each with the token at its place among `tokens`, which go round.
    pub(crate) fn open(address: SocketAddr, tokens: &[String], count: usize) -> Result<Self> {
        let buffer = vec![0; 64 * 1024].into_boxed_slice();
        let events = Events::with_capacity(1024);
        let mut crowd = Self { poll: Poll::new()?, events, peers: Vec::new(), buffer };
        crowd.open_more(address, tokens, count)?;
        Ok(crowd)
    }

    /// Opens `count` more. Nothing comes to the others meanwhile.
    pub(crate) fn open_more(&mut self, address: SocketAddr, tokens: &[String], count: usize) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let (mut open, wanted) = (self.peers.len(), self.peers.len() + count);
        while open < wanted {
            while self.peers.len() < wanted && self.peers.len() - open < OPENING_MAX {
                self.begin(address, &tokens[self.peers.len() % tokens.len()])?;
            }
            self.poll.poll(&mut self.events, Some(PATIENCE))?;
            for event in &self.events {
                let peer = &mut self.peers[event.token().0];
                if event.is_readable() && peer.opened(&mut self.buffer)? {
                    open += 1;
                }
            }
            ensure!(Instant::now() < deadline, "only {open} of {wanted} connections were opened in time");
        }
        Ok(())
    }

    fn begin(&mut self, address: SocketAddr, token: &str) -> Result<()> {
        // On loopback a connection is there at once, unless the backlog is full.
        let mut stream = std::net::TcpStream::connect(address)?;
        let request = format!(
            "GET /ws HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             User-Agent: streamer-bench\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        stream.write_all(request.as_bytes())?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        let interests = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(self.peers.len()), interests)?;
        self.peers.push(Peer { stream, partial: Vec::new(), outbox: Vec::new() });
        Ok(())
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.peers.len()
    }

    /// Sends encoded frames from one of them.
    pub(crate) fn send(&mut self, peer: usize, frames: &[u8]) -> Result<()> {
        let peer = &mut self.peers[peer];
        peer.outbox.extend(frames);
        peer.flush()
    }

    /// Hears until `heard` has enough: true; or until `deadline`: false. What comes in the same moment as the
    /// last frame is still heard.
    pub(crate) fn hear(
        &mut self,
        deadline: Instant,
        mut heard: impl FnMut(Heard<'_>) -> ControlFlow<()>,
    ) -> Result<bool> {
        let mut enough = false;
        while !enough {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { return Ok(false) };
            // The system waits for whole milliseconds, and rounds up. What is left is slept: one that spun here would
            // keep the kernel's threads, and so the server's writes to the disk, from this core.
            let wait = if left < Duration::from_millis(1) {
                thread::sleep(left);
                Duration::ZERO
            } else {
                left
            };
            match self.poll.poll(&mut self.events, Some(wait)) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            for event in &self.events {
                let peer = &mut self.peers[event.token().0];
                if event.is_readable() {
                    peer.read(&mut self.buffer, |text, answer| {
                        enough |= heard(Heard { text, answer }).is_break();
                    })?;
                }
                peer.flush()?;
            }
        }
        Ok(true)
    }

    /// As [`hear`](Self::hear), of what is sure to come.
    pub(crate) fn await_enough(&mut self, heard: impl FnMut(Heard<'_>) -> ControlFlow<()>) -> Result<()> {
        ensure!(self.hear(Instant::now() + PATIENCE, heard)?, "the server does not answer any more");
        Ok(())
    }
}

impl Peer {
    /// Reads the answer to the upgrade; true once it is whole.
    fn opened(&mut self, buffer: &mut [u8]) -> Result<bool> {
        let read = match self.stream.read(buffer) {
            Ok(0) => bail!("the server closed a connection instead of opening it"),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            read => read?,
        };
        self.partial.extend(&buffer[..read]);
        let Some(end) = self.partial.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(false);
        };
        let head: Vec<u8> = self.partial.drain(..end + 4).collect();
        if !head.starts_with(b"HTTP/1.1 101") {
            bail!("the server refused a connection: {}", String::from_utf8_lossy(&head));
        }
        if self.partial.is_empty() {
            self.partial = Vec::new();
        }
        Ok(true)
    }

    fn read(&mut self, buffer: &mut [u8], mut heard: impl FnMut(&[u8], &mut Vec<u8>)) -> Result<()> {
        loop {
            let read = match self.stream.read(buffer) {
                Ok(0) => bail!("the server closed a connection"),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                read => read.context("a connection broke")?,
            };
            if self.partial.is_empty() {
                let used = frames(&buffer[..read], &mut self.outbox, &mut heard)?;
                self.partial.extend(&buffer[used..read]);
            } else {
                self.partial.extend(&buffer[..read]);
                let used = frames(&self.partial, &mut self.outbox, &mut heard)?;
                self.partial.drain(..used);
            }
            // Less than there was room for: there is no more, and more will be told.
            if read < buffer.len() {
                return Ok(());
            }
        }
    }

    fn flush(&mut self) -> Result<()> {
        while !self.outbox.is_empty() {
            match self.stream.write(&self.outbox) {
                Ok(written) => drop(self.outbox.drain(..written)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e).context("a connection broke"),
            }
        }
        Ok(())
    }
}

/// Hears every whole frame in `bytes`; gives how many bytes these were.
fn frames(bytes: &[u8], answer: &mut Vec<u8>, heard: &mut impl FnMut(&[u8], &mut Vec<u8>)) -> Result<usize> {
    let mut used = 0;
    while let Some((kind, payload)) = frame::first(&bytes[used..]) {
        let end = used + payload.end;
        let payload = &bytes[used + payload.start..end];
        match kind {
            Kind::Text => heard(payload, answer),
            Kind::Close => bail!("the server closes: {}", String::from_utf8_lossy(payload)),
            // Who never answers is taken for gone.
            Kind::Ping => frame::append_pong(answer, payload),
            Kind::Other => {}
        }
        used = end;
    }
    Ok(used)
}
