//! A WebSocket's stream, which knows where among its frames the peer stands.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use crate::{frames::Frames, output::Output, stream::Stream};

/// A stream of frames.
pub(crate) struct Wire {
    stream: Stream,
    frames: Frames,
}

impl Wire {
    /// Of the stream `read` was read already.
    pub(crate) fn new(mut stream: Stream, read: &[u8]) -> Self {
        let (mut frames, now) = (Frames::default(), Instant::now());
        frames.follow(read, now);
        stream.line_mut().listen_again(now);
        Self { stream, frames }
    }

    /// How many bytes the peer took, as far as the system tells.
    pub(crate) fn taken(&self) -> u64 {
        self.stream.line().output().taken()
    }

    /// Where frames may be written beside the library, between its own; not through TLS.
    pub(crate) fn plain_output(&self) -> Option<&Arc<Output>> {
        self.stream.plain_output()
    }

    /// Ready when there may be something to read that was not there when reading last had to wait. (TLS waits for
    /// nothing but the line: it holds nothing back.)
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.line().poll_readable(cx)
    }

    /// When the peer was last heard from.
    pub(crate) fn heard(&self) -> Instant {
        self.stream.line().heard()
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
        let now = Instant::now();
        self.stream.line_mut().listen_again(now);
        self.frames.listen_again(now);
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
            let heard = self.heard();
            self.frames.follow(fresh, heard);
        }
        read
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
