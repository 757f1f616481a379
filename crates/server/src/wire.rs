//! A TCP stream that knows what its peer last took and gave, and where among its frames it stands.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Instant,
};

use crate::frames::Frames;

/// A TCP stream. Counts by bytes, not by messages: a large message on a slow line is a sign of life too.
pub(crate) struct Wire {
    stream: TcpStream,
    taken: u64,
    heard: Instant,
    frames: Frames,
}

impl Wire {
    /// A stream of frames, of which `read` was read already.
    pub(crate) fn new(stream: TcpStream, read: &[u8]) -> Self {
        let (mut frames, heard) = (Frames::default(), Instant::now());
        frames.follow(read, heard);
        Self { stream, taken: 0, heard, frames }
    }

    /// How many bytes the peer took, as far as the system tells.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    /// Ready when there may be something to read, be it the reason why there is nothing more.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.poll_read_ready(cx).map(drop)
    }

    /// When the peer was last heard from.
    pub(crate) fn heard(&self) -> Instant {
        self.heard
    }

    /// Since when a message has begun that has not come to its end.
    pub(crate) fn unfinished_since(&self) -> Option<Instant> {
        self.frames.unfinished_since()
    }

    /// How many frames came, since this was last asked, that are worth little: see [`Frames`].
    pub(crate) fn take_small_frames(&mut self) -> u32 {
        self.frames.take_small()
    }

    /// Begins the peer's silence anew, after a time in which nobody listened.
    pub(crate) fn listen_again(&mut self) {
        self.heard = Instant::now();
        self.frames.listen_again(self.heard);
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let fresh = &buffer.filled()[before..];
        if !fresh.is_empty() {
            let now = Instant::now();
            self.heard = now;
            self.frames.follow(fresh, now);
        }
        read
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = &written {
            self.taken += *count as u64;
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
