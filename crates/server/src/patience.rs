//! HTTP answers to clients that take them slowly, or not at all.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

use crate::{stream::Stream, waiting::Socket};

/// So much of an answer must be taken each time that patience lasts; or all of it, if it is less.
const PROGRESS_BYTES: usize = 16 * 1024;

/// A stream that fails once its peer takes too little of what is written to it, for too long.
pub(crate) struct Patient {
    stream: Stream,
    patience: Duration,
    waiting: Option<Waiting>,
    socket: Arc<Socket>,
}

/// The peer has no room just now.
struct Waiting {
    end: Pin<Box<Sleep>>,
    taken: usize,
}

impl Patient {
    pub(crate) fn new(stream: Stream, patience: Duration, socket: Arc<Socket>) -> Self {
        Self { stream, patience, waiting: None, socket }
    }

    pub(crate) fn into_inner(self) -> Stream {
        self.stream
    }

    /// Takes note of what came of writing `len` bytes. Fails if patience has come to its end.
    fn note(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
        len: usize,
    ) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Ok(taken)) if *taken == len => self.waiting = None,
            Poll::Ready(Ok(taken)) => {
                if let Some(waiting) = &mut self.waiting {
                    waiting.taken += taken;
                    if waiting.taken >= PROGRESS_BYTES {
                        self.waiting = None;
                    }
                }
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                let fresh = || Waiting { end: Box::pin(sleep(self.patience)), taken: 0 };
                if self.waiting.get_or_insert_with(fresh).end.as_mut().poll(cx).is_ready() {
                    metrics::counter!("streamer_slow_downloads_total").increment(1);
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
        }
        self.socket.hold(self.waiting.is_some());
        written
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note(cx, written, bytes.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.note(cx, written, slices.iter().map(|slice| slice.len()).sum())
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.note(cx, flushed.map_ok(|()| 0), 0).map_ok(drop)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.note(cx, shut.map_ok(|()| 0), 0).map_ok(drop)
    }
}
