//! What the server sends, cut into its messages.

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, ReadHalf};

use super::Transport;
use crate::{
    error::{Error, Result, ServerError},
    pgoutput::Malformed,
};

/// A message: its kind and what it holds.
pub(crate) struct Frame {
    pub(crate) tag: u8,
    pub(crate) body: Bytes,
}

pub(super) struct Frames {
    half: ReadHalf<Box<dyn Transport>>,
    buffer: BytesMut,
    bytes_max: usize,
    /// So many bytes that come next are nobody's.
    skipping: usize,
}

/// The tag and the length.
const HEAD: usize = 5;

/// As much is read at once.
const READ_BYTES: usize = 64 * 1024;

impl Frames {
    pub(super) fn new(half: ReadHalf<Box<dyn Transport>>, bytes_max: usize) -> Self {
        Self { half, buffer: BytesMut::with_capacity(READ_BYTES), bytes_max, skipping: 0 }
    }

    /// The next message. What has come of it stays if the call is dropped.
    pub(super) async fn next(&mut self) -> Result<Frame> {
        loop {
            if let Some(frame) = self.at_hand()? {
                return Ok(frame);
            }
            self.buffer.reserve(READ_BYTES);
            if self.half.read_buf(&mut self.buffer).await? == 0 {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            }
        }
    }

    /// The next message, if it has come already.
    pub(super) fn at_hand(&mut self) -> Result<Option<Frame>> {
        let skipped = self.skipping.min(self.buffer.len());
        self.buffer.advance(skipped);
        self.skipping -= skipped;
        let Some(head) = self.buffer.first_chunk::<HEAD>() else { return Ok(None) };
        let tag = head[0];
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        // The length counts itself.
        let body = length.checked_sub(4).ok_or(Malformed::TooShort)?;
        if body > self.bytes_max {
            match self.is_logical_message(tag) {
                Some(true) => {
                    self.skipping = HEAD + body;
                    return self.at_hand();
                }
                Some(false) => return Err(too_large(body, self.bytes_max)),
                None => return Ok(None),
            }
        }
        if self.buffer.len() < HEAD + body {
            self.buffer.reserve(HEAD + body - self.buffer.len());
            return Ok(None);
        }
        self.buffer.advance(HEAD);
        Ok(Some(Frame { tag, body: self.buffer.split_to(body).freeze() }))
    }
}

/// Where the decoder's own message begins in one of the stream's: behind its kind, two positions and a time.
const DECODED: usize = HEAD + 1 + 8 + 8 + 8;

impl Frames {
    /// Whether the message that begins is what somebody has written into the log beside all tables, with
    /// `pg_logical_emit_message`: whoever that was, it is not for us, however large. None until that can be told.
    fn is_logical_message(&self, tag: u8) -> Option<bool> {
        if tag != b'd' {
            return Some(false);
        }
        if *self.buffer.get(HEAD)? != b'w' {
            return Some(false);
        }
        Some(*self.buffer.get(DECODED)? == b'M')
    }
}

fn too_large(bytes: usize, bytes_max: usize) -> Error {
    use streamer_events::source::{Error as SourceError, ErrorKind};
    let message =
        format!("the server sends a message of {bytes} bytes, more than the {bytes_max} that it may have");
    Error::Fatal(SourceError::new(ErrorKind::NotReady, message).mended_by("a larger message_bytes_max"))
}

/// The fields of a message, in their order.
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn of(body: &'a [u8]) -> Self {
        Self(body)
    }

    pub(super) fn skip(&mut self, count: usize) -> Result<&'a [u8]> {
        let (skipped, rest) = self.0.split_at_checked(count).ok_or(Malformed::TooShort)?;
        self.0 = rest;
        Ok(skipped)
    }

    pub(super) fn u16(&mut self) -> Result<u16> {
        let (read, rest) = self.0.split_first_chunk().ok_or(Malformed::TooShort)?;
        self.0 = rest;
        Ok(u16::from_be_bytes(*read))
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        let (read, rest) = self.0.split_first_chunk().ok_or(Malformed::TooShort)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*read))
    }

    pub(super) fn rest(self) -> &'a [u8] {
        self.0
    }

    /// Text up to a zero byte.
    pub(super) fn text(&mut self) -> Result<&'a str> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or(Malformed::TooShort)?;
        let text = std::str::from_utf8(&self.0[..end]).map_err(|_| Malformed::NotUtf8)?;
        self.0 = &self.0[end + 1..];
        Ok(text)
    }

    /// A value with its length before it; -1 is null.
    pub(super) fn value(&mut self) -> Result<Option<&'a str>> {
        let Ok(length) = usize::try_from(self.u32()?.cast_signed()) else { return Ok(None) };
        let text = std::str::from_utf8(self.skip(length)?).map_err(|_| Malformed::NotUtf8)?;
        Ok(Some(text))
    }

    /// An ErrorResponse: fields, each a letter and text.
    pub(super) fn error(mut self) -> ServerError {
        let mut error = ServerError { code: "XX000".into(), message: "the server does not say why".into() };
        while let Some((kind, rest)) = self.0.split_first().filter(|(kind, _)| **kind != 0) {
            self.0 = rest;
            // What it says is in the database's encoding only once the login is over.
            let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(self.0.len());
            let text = String::from_utf8_lossy(&self.0[..end]).into_owned();
            self.0 = self.0.get(end + 1..).unwrap_or_default();
            match kind {
                b'C' => error.code = text,
                b'M' => error.message = text,
                _ => {}
            }
        }
        error
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    fn frames(bytes_max: usize) -> (Frames, tokio::io::DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(16);
        let ours: Box<dyn Transport> = Box::new(ours);
        (Frames::new(tokio::io::split(ours).0, bytes_max), theirs)
    }

    #[tokio::test]
    async fn messages_come_whole_even_if_reading_is_dropped_between() {
        let (mut frames, mut server) = frames(1000);
        let sent = [&b"Z\0\0\0\x05I"[..], b"d\0\0\0\x68", &[7; 100], b"n\0\0\0\x04"].concat();
        let sending = tokio::spawn(async move {
            for byte in sent {
                server.write_all(&[byte]).await.expect("is read");
                tokio::task::yield_now().await;
            }
        });
        let mut seen = Vec::new();
        while seen.len() < 3 {
            tokio::select! {
                biased;
                frame = frames.next() => {
                    let frame = frame.expect("is whole");
                    seen.push((frame.tag, frame.body.len()));
                }
                () = tokio::task::yield_now() => {}
            }
        }
        assert_eq!(seen, [(b'Z', 1), (b'd', 100), (b'n', 0)]);
        sending.await.expect("ends");
        assert!(matches!(frames.next().await, Err(Error::Io(_))), "the server is gone");
    }

    #[tokio::test]
    async fn a_message_that_is_too_large_is_not_waited_for() {
        let (mut frames, mut server) = frames(99);
        server.write_all(b"d\0\0\0\x68k").await.expect("is read");
        assert!(matches!(frames.next().await, Err(Error::Fatal(_))));
        let (mut frames, mut server) = self::frames(99);
        server.write_all(b"d\0\0\0\x03").await.expect("is read");
        assert!(matches!(frames.next().await, Err(Error::Malformed(Malformed::TooShort))));
    }

    #[tokio::test]
    async fn what_others_say_in_the_log_may_be_of_any_size() {
        let (mut frames, mut server) = frames(99);
        let decoded = |kind: &[u8]| [&b"d\0\0\0\xc8w"[..], &[0; 24], kind, &[7; 170]].concat();
        let sent = [&decoded(b"M")[..], b"Z\0\0\0\x05I", &decoded(b"M"), &decoded(b"I")].concat();
        let sending = tokio::spawn(async move { server.write_all(&sent).await });
        assert_eq!(frames.next().await.expect("comes behind what was passed over").tag, b'Z');
        assert!(matches!(frames.next().await, Err(Error::Fatal(_))), "a row has its bound");
        drop(frames);
        sending.await.expect("no panic").expect_err("it is not read to its end");
    }

    #[test]
    fn an_error_is_read_by_its_fields() {
        let error = Fields::of(b"SERROR\0VERROR\0C42704\0Mno such slot\0\0").error();
        assert_eq!(error, ServerError { code: "42704".into(), message: "no such slot".into() });
        assert_eq!(Fields::of(b"").error().code, "XX000");
        assert_eq!(Fields::of(b"C42").error().code, "42");
    }
}
