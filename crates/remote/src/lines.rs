//! A streamed answer as it comes: into lines, and those into records.

use bytes::{Buf as _, Bytes, BytesMut};

use crate::{record, trouble::Trouble};

/// How records stand in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Newline-delimited JSON: a record a line. Empty lines are passed over.
    Lines,
    /// Server-sent events (the HTML standard, section 9.2.6): a record is the data of an event. Its name and its id are
    /// not looked at.
    Events,
}

/// Cuts a stream into records. Holds no more than one of them, within its bound.
#[derive(Debug)]
pub(crate) struct Records {
    framing: Framing,
    bytes_max: usize,
    buffer: BytesMut,
    /// Up to here there is no end of a line.
    searched: usize,
    /// The data of the event so far.
    data: Vec<u8>,
    /// Whether a byte order mark may still come.
    begins: bool,
}

impl Records {
    pub(crate) fn new(framing: Framing, bytes_max: usize) -> Self {
        Self { framing, bytes_max, buffer: BytesMut::new(), searched: 0, data: Vec::new(), begins: true }
    }

    /// More of the stream.
    pub(crate) fn push(&mut self, bytes: &Bytes) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next record that is whole.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<u8>>, Trouble> {
        while let Some(line) = self.line()? {
            match self.framing {
                Framing::Lines if line.iter().all(u8::is_ascii_whitespace) => {}
                Framing::Lines => return Ok(Some(line.into())),
                Framing::Events if line.is_empty() => {
                    if !self.data.is_empty() {
                        return Ok(Some(std::mem::take(&mut self.data)));
                    }
                }
                Framing::Events => self.field(&line)?,
            }
        }
        Ok(None)
    }

    /// What the end of the stream leaves. Half an event is none; a last line needs no end.
    pub(crate) fn rest(mut self) -> Option<Vec<u8>> {
        let mut rest = std::mem::take(&mut self.buffer);
        if self.begins && rest.starts_with(record::BYTE_ORDER_MARK) {
            rest.advance(record::BYTE_ORDER_MARK.len());
        }
        let says_something = !rest.iter().all(u8::is_ascii_whitespace);
        (self.framing == Framing::Lines && says_something).then(|| rest.into())
    }

    /// The next whole line, without its end.
    fn line(&mut self) -> Result<Option<BytesMut>, Trouble> {
        let found = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n');
        let end = found.map(|at| self.searched + at);
        if end.unwrap_or(self.buffer.len()) > self.bytes_max {
            return Err(self.too_large());
        }
        let Some(end) = end else {
            self.searched = self.buffer.len();
            return Ok(None);
        };
        let mut line = self.buffer.split_to(end);
        self.buffer.advance(1);
        self.searched = 0;
        if line.ends_with(b"\r") {
            line.truncate(line.len() - 1);
        }
        if std::mem::take(&mut self.begins) && line.starts_with(record::BYTE_ORDER_MARK) {
            line.advance(record::BYTE_ORDER_MARK.len());
        }
        Ok(Some(line))
    }

    /// A line of an event.
    fn field(&mut self, line: &[u8]) -> Result<(), Trouble> {
        let Some(value) = line.strip_prefix(b"data:") else { return Ok(()) };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        if self.data.len() + value.len() > self.bytes_max {
            return Err(self.too_large());
        }
        if !self.data.is_empty() {
            self.data.push(b'\n');
        }
        self.data.extend_from_slice(value);
        Ok(())
    }

    fn too_large(&self) -> Trouble {
        let what = match self.framing {
            Framing::Lines => "a line of its answer",
            Framing::Events => "an event of its answer",
        };
        Trouble::TooLarge { what, bytes_max: self.bytes_max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The records of a stream that comes in pieces of so many bytes.
    fn cut(framing: Framing, text: &str, piece: usize) -> Result<Vec<String>, Trouble> {
        let mut records = Records::new(framing, 24);
        let mut found = Vec::new();
        for piece in text.as_bytes().chunks(piece) {
            records.push(&Bytes::copy_from_slice(piece));
            while let Some(record) = records.next()? {
                found.push(record);
            }
        }
        found.extend(records.rest());
        Ok(found.into_iter().map(|record| String::from_utf8(record).expect("text")).collect())
    }

    #[test]
    fn lines_are_records_wherever_they_are_cut() {
        let text = "\u{feff}{\"a\":1}\r\n\n  \n{\"b\":2}\n{\"c\":3}";
        for piece in 1..text.len() {
            let found = cut(Framing::Lines, text, piece).expect("within bounds");
            assert_eq!(found, ["{\"a\":1}", "{\"b\":2}", "{\"c\":3}"], "{piece}");
        }
    }

    #[test]
    fn a_byte_order_mark_may_come_before_all_of_it() {
        assert_eq!(cut(Framing::Lines, "\u{feff}{}", 2).expect("within bounds"), ["{}"]);
        let found = cut(Framing::Events, "\u{feff}data: {}\n\n", 2).expect("within bounds");
        assert_eq!(found, ["{}"]);
        let later = cut(Framing::Lines, "{}\n\u{feff}{}", 2).expect("within bounds");
        assert_eq!(later, ["{}", "\u{feff}{}"]);
    }

    #[test]
    fn events_are_their_data() {
        let text = ": hello\n\nevent: x\nid: 1\nretry: 5\ndata: {\"a\":\ndata: 1}\n\ndata:{}\n\ndata: half";
        for piece in 1..text.len() {
            let found = cut(Framing::Events, text, piece).expect("within bounds");
            assert_eq!(found, ["{\"a\":\n1}", "{}"], "{piece}");
        }
    }

    #[test]
    fn a_record_over_the_bound_is_refused_before_it_is_whole() {
        let long = "x".repeat(25);
        for text in [long.clone(), format!("{long}\n")] {
            assert!(matches!(cut(Framing::Lines, &text, 5), Err(Trouble::TooLarge { bytes_max: 24, .. })));
        }
        assert!(cut(Framing::Lines, &format!("{}\n", &long[1..]), 5).is_ok());
        let split = "data: xxxxxxxxxxxxxxx\n".repeat(2);
        assert!(matches!(cut(Framing::Events, &split, 5), Err(Trouble::TooLarge { .. })));
    }
}
