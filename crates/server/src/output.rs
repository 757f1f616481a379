//! The writing half of a TCP stream: its connection's task writes to it, and whoever publishes may too.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};
use parking_lot::Mutex;
use tokio::{io::AsyncWrite, net::tcp::OwnedWriteHalf};

/// Where bytes go to the peer. What is begun here is ended before anything else is written.
pub(crate) struct Output {
    writer: Mutex<Writer>,
}

struct Writer {
    half: OwnedWriteHalf,
    /// What is left of frames that were begun at once.
    rest: Bytes,
    taken: u64,
}

/// What became of frames that were to be written at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    All,
    /// The rest goes before whatever is written next. Somebody must see to that: [`Output::poll_flush`].
    Part,
    /// There is no room, or no peer any more: whoever writes next learns it.
    Nothing,
}

impl Output {
    pub(crate) fn new(half: OwnedWriteHalf) -> Self {
        Self { writer: Mutex::new(Writer { half, rest: Bytes::new(), taken: 0 }) }
    }

    /// Writes whole frames as far as the system takes them, and never waits. To be asked only while nobody else has
    /// begun a frame.
    pub(crate) fn write_at_once(&self, frames: &Bytes) -> Written {
        let mut writer = self.writer.lock();
        if !writer.rest.is_empty() {
            return Written::Nothing;
        }
        match writer.half.try_write(frames) {
            Ok(0) | Err(_) => Written::Nothing,
            Ok(count) => {
                writer.taken += count as u64;
                writer.rest = frames.slice(count..);
                if writer.rest.is_empty() { Written::All } else { Written::Part }
            }
        }
    }

    /// How many bytes the peer took, as far as the system tells.
    pub(crate) fn taken(&self) -> u64 {
        self.writer.lock().taken
    }

    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.writer.lock().write(cx, |half, cx| half.poll_write(cx, bytes))
    }

    pub(crate) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.writer.lock().write(cx, |half, cx| half.poll_write_vectored(cx, slices))
    }

    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut writer = self.writer.lock();
        ready!(writer.write_rest(cx))?;
        Pin::new(&mut writer.half).poll_flush(cx)
    }

    pub(crate) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut writer = self.writer.lock();
        ready!(writer.write_rest(cx))?;
        Pin::new(&mut writer.half).poll_shutdown(cx)
    }
}

impl Writer {
    fn write(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut OwnedWriteHalf>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        ready!(self.write_rest(cx))?;
        let count = ready!(write(Pin::new(&mut self.half), cx))?;
        self.taken += count as u64;
        Poll::Ready(Ok(count))
    }

    fn write_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.rest.is_empty() {
            let count = ready!(Pin::new(&mut self.half).poll_write(cx, &self.rest))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.taken += count as u64;
            self.rest.advance(count);
        }
        // It may be a part of something that many share: not to be kept alive by an idle connection.
        self.rest = Bytes::new();
        Poll::Ready(Ok(()))
    }
}
