//! Messages too large for a gateway, cut and joined.

use std::{collections::HashMap, fmt};

use crate::{Part, ServerFrame, Timestamp};

/// What a part's own envelope takes at most, in bytes, beside its data.
const ENVELOPE_BYTES: usize = 256;

/// Cuts `text` into part frames of at most `bytes_max` bytes each, in order. The data of a part is at least
/// one character, however small the bound.
#[must_use]
pub fn split(text: &str, message_id: &str, bytes_max: usize, timestamp: Timestamp) -> Vec<ServerFrame> {
    let room = bytes_max.saturating_sub(ENVELOPE_BYTES + message_id.len());
    let mut pieces = Vec::new();
    let (mut start, mut printed) = (0, 0);
    for (at, c) in text.char_indices() {
        let size = printed_bytes(c);
        if printed + size > room && at > start {
            pieces.push(&text[start..at]);
            (start, printed) = (at, 0);
        }
        printed += size;
    }
    pieces.push(&text[start..]);
    let count = u32::try_from(pieces.len()).expect("a message has fewer than 2^32 characters");
    (0..count)
        .zip(pieces)
        .map(|(index, data)| {
            let (message_id, data) = (message_id.to_owned(), data.to_owned());
            ServerFrame::Part(Part { message_id, index, count, data, timestamp })
        })
        .collect()
}

/// The bytes that a character takes inside a JSON string as `serde_json` prints it.
fn printed_bytes(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        c if c < ' ' => 6,
        c => c.len_utf8(),
    }
}

/// Why a part could not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinError {
    /// Its index or count contradicts itself or an earlier part of the message.
    Inconsistent,
    /// The unfinished messages together are over the joiner's bound.
    TooLarge,
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inconsistent => "a part contradicts the other parts of its message",
            Self::TooLarge => "unfinished messages are over the bound",
        })
    }
}

impl std::error::Error for JoinError {}

/// Joins the parts of messages, in whatever order they come. Holds at most `bytes_max` bytes of unfinished
/// messages.
#[derive(Debug)]
pub struct PartJoiner {
    bytes_max: usize,
    bytes: usize,
    open: HashMap<String, Vec<Option<String>>>,
}

impl PartJoiner {
    /// A joiner with its bound.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, bytes: 0, open: HashMap::new() }
    }

    /// Takes a part; gives the message's text once all parts are there. A repeated part changes nothing.
    pub fn add(&mut self, part: Part) -> Result<Option<String>, JoinError> {
        let count = part.count as usize;
        let index = part.index as usize;
        if index >= count {
            return Err(JoinError::Inconsistent);
        }
        let known = self.open.get(&part.message_id);
        if known.is_some_and(|pieces| pieces.len() != count) {
            return Err(JoinError::Inconsistent);
        }
        if known.is_some_and(|pieces| pieces[index].is_some()) {
            return Ok(None);
        }
        // A part claims room for its siblings too, so that a huge `count` costs nothing.
        let fresh = known.is_none();
        let claimed = part.data.len() + if fresh { count * size_of::<Option<String>>() } else { 0 };
        if self.bytes + claimed > self.bytes_max {
            return Err(JoinError::TooLarge);
        }
        let pieces = self.open.entry(part.message_id.clone()).or_insert_with(|| vec![None; count]);
        self.bytes += claimed;
        pieces[index] = Some(part.data);
        if pieces.iter().any(Option::is_none) {
            return Ok(None);
        }
        let pieces = self.open.remove(&part.message_id).expect("just filled");
        let text: String = pieces.into_iter().flatten().collect();
        self.bytes -= text.len() + count * size_of::<Option<String>>();
        Ok(Some(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str, bytes_max: usize) -> Vec<Part> {
        split(text, "m1", bytes_max, Timestamp::from_millis(0))
            .into_iter()
            .map(|frame| {
                assert!(frame.encode().len() <= bytes_max.max(320), "{} bytes", frame.encode().len());
                let ServerFrame::Part(part) = frame else { unreachable!("only parts") };
                part
            })
            .collect()
    }

    #[test]
    fn what_is_split_joins_in_any_order() {
        let text = "{\"data\":\"é\\n\u{1}😀 plain text\"}".repeat(200);
        let mut parts = parts(&text, 512);
        assert!(parts.len() > 5);
        parts.reverse();
        parts.push(parts[0].clone());
        parts.rotate_right(1);
        let mut joiner = PartJoiner::new(1 << 20);
        let joined: Vec<_> = parts.into_iter().filter_map(|part| joiner.add(part).expect("fits")).collect();
        assert_eq!(joined, [text]);
        assert_eq!(joiner.bytes, 0);
    }

    #[test]
    fn a_bound_smaller_than_the_envelope_still_ends() {
        assert_eq!(parts("abc", 10).len(), 3);
        assert_eq!(parts("", 10).len(), 1);
    }

    #[test]
    fn nonsense_is_refused() {
        let mut joiner = PartJoiner::new(1000);
        let part = |index, count, data: &str| Part {
            message_id: "m".into(),
            index,
            count,
            data: data.into(),
            timestamp: Timestamp::from_millis(0),
        };
        assert_eq!(joiner.add(part(2, 2, "")), Err(JoinError::Inconsistent));
        assert_eq!(joiner.add(part(0, u32::MAX, "")), Err(JoinError::TooLarge));
        assert_eq!(joiner.add(part(0, 2, "a")), Ok(None));
        assert_eq!(joiner.add(part(0, 2, &"a".repeat(1000))), Ok(None), "a repeated part changes nothing");
        assert_eq!(joiner.add(part(1, 3, "b")), Err(JoinError::Inconsistent));
        assert_eq!(joiner.add(part(1, 2, &"b".repeat(1000))), Err(JoinError::TooLarge));
        assert_eq!(joiner.add(part(1, 2, "b")), Ok(Some("ab".into())));
    }
}
