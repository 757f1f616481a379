//! Reading bytes in their order.

use streamer_events::change::Lsn;

use super::Malformed;

pub(super) struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn left(&self) -> usize {
        self.0.len()
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (read, rest) = self.0.split_at_checked(count).ok_or(Malformed::TooShort)?;
        self.0 = rest;
        Ok(read)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (read, rest) = self.0.split_first_chunk().ok_or(Malformed::TooShort)?;
        self.0 = rest;
        Ok(*read)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_be_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_be_bytes)
    }

    pub(super) fn lsn(&mut self) -> Result<Lsn, Malformed> {
        self.array().map(u64::from_be_bytes).map(Lsn)
    }

    /// A length in four bytes; a negative one is not of this world.
    pub(super) fn length(&mut self) -> Result<usize, Malformed> {
        usize::try_from(self.i32()?).map_err(|_| Malformed::TooShort)
    }

    /// Text up to a zero byte.
    pub(super) fn text(&mut self) -> Result<&'a str, Malformed> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or(Malformed::TooShort)?;
        let text = self.bytes(end)?;
        self.u8()?;
        std::str::from_utf8(text).map_err(|_| Malformed::NotUtf8)
    }

    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// The message, if it is whole.
    pub(super) fn end<T>(self, message: T) -> Result<T, Malformed> {
        match self.0.len() {
            0 => Ok(message),
            left => Err(Malformed::TooLong(left)),
        }
    }
}
