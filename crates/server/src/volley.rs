//! Messages that go to many connections together.

use bytes::{BufMut as _, Bytes, BytesMut};
use streamer_engine::Frame;
use streamer_protocol::RequestId;
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// The longest head of a frame that is not masked.
const HEAD_BYTES_MAX: usize = 10;

/// Set in a frame's first byte: it ends its message, and is a text.
const FINAL_TEXT: u8 = 0x81;

/// Messages in order, and all of them as they go on the wire: encoded once, and shared by those they go to.
pub(crate) struct Volley<'a> {
    frames: &'a [Frame],
    wire: Bytes,
}

impl<'a> Volley<'a> {
    pub(crate) fn new(frames: &'a [Frame]) -> Self {
        let texts = frames.iter().map(|frame| frame.bytes().len() + HEAD_BYTES_MAX);
        let mut wire = BytesMut::with_capacity(texts.sum());
        for frame in frames {
            put_text(&mut wire, frame.bytes());
        }
        Self { frames, wire: wire.freeze() }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    /// All of them, as they go on the wire.
    pub(crate) fn wire(&self) -> &Bytes {
        &self.wire
    }

    /// Each as the WebSocket takes it, and the request whose older progress it replaces.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (Utf8Bytes, Option<&RequestId>)> {
        self.frames.iter().map(|frame| (text(frame), frame.collapses()))
    }
}

/// The frame's text as the WebSocket takes it. Shares the bytes.
pub(crate) fn text(frame: &Frame) -> Utf8Bytes {
    Utf8Bytes::try_from(frame.bytes().clone()).expect("frames are UTF-8")
}

/// Appends a text in one frame, as a server sends it: RFC 6455, section 5.2.
fn put_text(wire: &mut BytesMut, text: &[u8]) {
    wire.put_u8(FINAL_TEXT);
    match text.len() {
        len @ 0..126 => wire.put_u8(len as u8),
        len @ 126..=0xffff => {
            wire.put_u8(126);
            wire.put_u16(len as u16);
        }
        len => {
            wire.put_u8(127);
            wire.put_u64(len as u64);
        }
    }
    wire.put_slice(text);
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use tokio_tungstenite::tungstenite::{Message, WebSocket, protocol::Role};

    use super::*;

    #[test]
    fn the_library_reads_what_goes_on_the_wire() {
        // The lengths at which a head becomes longer.
        let texts = [0, 1, 125, 126, 127, 0xffff, 0x1_0000].map(|len| "x".repeat(len));
        let frames = texts.clone().map(Frame::text);
        let volley = Volley::new(&frames);
        let wire = Cursor::new(volley.wire().to_vec());
        let mut client = WebSocket::from_raw_socket(wire, Role::Client, None);
        for text in texts {
            assert_eq!(client.read().expect("a frame"), Message::text(text));
        }
        assert_eq!(client.get_ref().position(), volley.wire().len() as u64);
    }
}
