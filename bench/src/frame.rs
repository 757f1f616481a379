//! WebSocket frames by hand, by RFC 6455 section 5.2: the load must cost less than what it measures.

use std::ops::Range;

const TEXT: u8 = 0x1;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;
const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;

/// Appends a text frame as a client sends it. Its mask is zero, so that the payload stays as it is; the server
/// does not know and unmasks it all the same.
pub(crate) fn append_text(out: &mut Vec<u8>, payload: &[u8]) {
    append(out, TEXT, payload);
}

/// As above, the answer to a ping.
pub(crate) fn append_pong(out: &mut Vec<u8>, payload: &[u8]) {
    append(out, PONG, payload);
}

fn append(out: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    out.push(FINAL | kind);
    match payload.len() {
        length @ 0..126 => out.push(MASKED | length as u8),
        length @ 126..=0xffff => {
            out.push(MASKED | 126);
            out.extend((length as u16).to_be_bytes());
        }
        length => {
            out.push(MASKED | 127);
            out.extend((length as u64).to_be_bytes());
        }
    }
    out.extend([0; 4]);
    out.extend(payload);
}

/// A text frame of its own.
pub(crate) fn text(payload: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 14);
    append_text(&mut out, payload.as_bytes());
    out
}

/// What a server's frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Close,
    Ping,
    /// Pongs.
    Other,
}

/// The first frame in `bytes`, once it is whole: its kind, and where its payload is. The next begins after that.
pub(crate) fn first(bytes: &[u8]) -> Option<(Kind, Range<usize>)> {
    let kind = match bytes.first()? & 0x0f {
        TEXT => Kind::Text,
        0x8 => Kind::Close,
        PING => Kind::Ping,
        _ => Kind::Other,
    };
    let (start, length): (usize, usize) = match bytes.get(1)? & 0x7f {
        126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => (10, usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?),
        length => (2, usize::from(length)),
    };
    let end = start.checked_add(length)?;
    (bytes.len() >= end).then_some((kind, start..end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_every_length_are_read_whole() {
        for length in [0, 5, 125, 126, 65_535, 65_536] {
            let mut masked = text(&"x".repeat(length));
            // As a server sends it: without mask.
            masked[1] &= 0x7f;
            let head = masked.len() - length - 4;
            masked.drain(head..head + 4);
            assert_eq!(first(&masked[..masked.len() - 1]), None, "{length}");
            assert_eq!(first(&masked), Some((Kind::Text, head..masked.len())), "{length}");
        }
    }
}
