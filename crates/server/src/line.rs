//! A TCP stream that knows what its peer last took and gave.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, tcp::OwnedReadHalf},
    time::Instant,
};

use crate::output::Output;

/// A TCP stream. Counts by bytes, not by messages: a large message on a slow line is a sign of life too.
pub(crate) struct Line {
    input: OwnedReadHalf,
    output: Arc<Output>,
    heard: Instant,
}

impl Line {
    pub(crate) fn new(stream: TcpStream) -> Self {
        let (input, output) = stream.into_split();
        Self { input, output: Arc::new(Output::new(output)), heard: Instant::now() }
    }

    /// Where its bytes go out.
    pub(crate) fn output(&self) -> &Arc<Output> {
        &self.output
    }

    /// When the peer was last heard from.
    pub(crate) fn heard(&self) -> Instant {
        self.heard
    }

    /// Begins the peer's silence anew.
    pub(crate) fn listen_again(&mut self, now: Instant) {
        self.heard = now;
    }

    /// Ready when there may be something to read, be it the reason why there is nothing more.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.input.as_ref().poll_read_ready(cx).map(drop)
    }

    /// The first byte that is to be read, if one comes. It stays to be read.
    pub(crate) async fn peek(&mut self) -> io::Result<Option<u8>> {
        let mut first = [0];
        let count = self.input.peek(&mut first).await?;
        Ok((count > 0).then_some(first[0]))
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.input).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.heard = Instant::now();
        }
        read
    }
}

impl AsyncWrite for Line {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.output.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.output.poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.output.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.output.poll_shutdown(cx)
    }
}
